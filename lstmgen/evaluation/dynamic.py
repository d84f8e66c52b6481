"""Dynamic evaluation: the model keeps learning from the text that it is evaluated on.

Krause, Kahembwe, Murray & Renals 2018, "Dynamic Evaluation of Neural Sequence Models". The model reads a text in short
segments. It first predicts a segment with the current weights, and only then updates them. With g the gradient of the
segment's mean negative log-probability, W0 the trained weights, and M the root mean square of such gradients over the
training text:

    W <- W + min(decay M / mean(M), 1) (W0 - W) - learning_rate g / (M + epsilon mean(M))

So a weight with small gradients in training moves farther, and a weight with large ones is pulled back more strongly to
its trained value.
"""

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

import torch
from torch import Tensor, nn

from lstmgen.checkpoint import Checkpoint
from lstmgen.evaluation.config import DynamicConfig
from lstmgen.evaluation.score import Predictions, predicted
from lstmgen.network.architecture import NetworkState
from lstmgen.network.model import Model, detach
from lstmgen.text.streams import IGNORED, Chunk, build_text, lines_in_order, one_stream
from lstmgen.text.vocabulary import Ids

Tensors = dict[str, Tensor]


class AdaptingModel:
    """A copy of a checkpoint's network that learns from the text it reads.

    The gradient scales M are computed from `training`, the text it was trained on, (tokens,).
    """

    def __init__(self, checkpoint: Checkpoint, training: Ids, config: DynamicConfig) -> None:
        self._checkpoint = checkpoint
        self._config = config
        self._model = Model(checkpoint.network, checkpoint.weights, torch.device("cpu"))
        self._trained = {name: weight.detach().clone() for name, weight in self._model.parameters.items()}
        scales = self._gradient_scales(training)
        mean = torch.cat([scale.flatten() for scale in scales.values()]).mean().clamp(min=torch.finfo().tiny)
        self._pull = {name: (config.decay * scale / mean).clamp(max=1) for name, scale in scales.items()}
        self._rate = {name: -config.learning_rate / (scale + config.epsilon * mean) for name, scale in scales.items()}

    def predict(self, ids: Ids) -> Iterator[Predictions]:
        """Read a text, (tokens,), in order; yield the predictions of each segment.

        The model learns from a segment only after its predictions were yielded, when the next ones are requested.
        """
        length, newline = self._config.segment_length, self._checkpoint.end_token
        segments = one_stream(ids, length) if newline is None else lines_in_order(ids, newline, length)
        state = None
        for chunk in segments:
            logits, state = self._read(chunk, state)
            predictions = predicted(chunk, logits.detach().numpy())
            if predictions is not None:
                yield predictions
                self._learn(self._gradients(chunk, logits))

    def adapted(self, text: str) -> Checkpoint:
        """A checkpoint with the current weights; its record names the text that the model has adapted to."""
        record = self._checkpoint.record
        position = replace(record.position, best_nats=None)
        record = replace(record, position=position, validation_nats=None, adapted_to=(*record.adapted_to, text))
        return replace(self._checkpoint, weights=self._model.weights(), record=record, extra={})

    def _gradient_scales(self, training: Ids) -> Tensors:
        """Compute M: the root mean square of each weight's gradient over chunks of the training text."""
        rows, length, newline = self._config.scale_batch_size, self._config.segment_length, self._checkpoint.end_token
        if newline is None:
            rows = max(1, min(rows, (len(training) - 1) // length))
        text = build_text(training, newline, batch_size=rows, chunk_length=length, seed=0)
        squares = {name: torch.zeros_like(weight) for name, weight in self._trained.items()}
        state, count = None, 0
        for chunk in islice(text.chunks(0), self._config.scale_chunks):
            count += 1
            logits, state = self._read(chunk, state)
            for name, gradient in self._gradients(chunk, logits).items():
                squares[name].addcmul_(gradient, gradient)
        return {name: (square / max(1, count)).sqrt() for name, square in squares.items()}

    def _read(self, chunk: Chunk, state: NetworkState | None) -> tuple[Tensor, NetworkState]:
        if state is None or chunk.reset_state:
            state = self._model.initial_state(len(chunk.inputs))
        logits, after = self._model.read(torch.from_numpy(chunk.inputs), state)
        return logits, detach(after)

    def _gradients(self, chunk: Chunk, logits: Tensor) -> Tensors:
        """The gradients of the mean negative log-probability of a chunk's targets."""
        targets = torch.from_numpy(chunk.targets)
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORED)
        gradients = torch.autograd.grad(loss, list(self._model.parameters.values()))
        return dict(zip(self._model.parameters, gradients, strict=True))

    @torch.no_grad()
    def _learn(self, gradients: Tensors) -> None:
        for name, weight in self._model.parameters.items():
            weight.lerp_(self._trained[name], self._pull[name]).addcmul_(gradients[name], self._rate[name])
