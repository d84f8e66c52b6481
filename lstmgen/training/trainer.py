"""One training step: read a chunk, compute the gradients, update the weights.

Knows: the loss, truncated backpropagation, precision. Does not know: how long, on what text, or what is saved.
"""

import math
from typing import Any

import torch
from torch import nn

from lstmgen.config import Precision, TrainingConfig
from lstmgen.network.architecture import NetworkState, map_state
from lstmgen.network.model import Model, detach
from lstmgen.text.streams import Chunk
from lstmgen.training.loss import head_loss
from lstmgen.training.optimization import build_optimizer


class Trainer:
    """A model with its optimizer; the recurrent state is passed in and returned."""

    def __init__(self, model: Model, config: TrainingConfig, precision: Precision) -> None:
        self.model = model
        self.optimizer = build_optimizer(model.parameters, config.weight_decay)
        self.generator = torch.Generator(model.device).manual_seed(config.seed)
        self._config = config
        self._precision = precision

    def step(self, chunk: Chunk, state: NetworkState | None, learning_rate: float) -> tuple[float, NetworkState | None]:
        """Learn from one chunk.

        Args:
            chunk: what to read and to predict.
            state: the state after the chunk before; None, or a chunk with `reset_state`: the initial one.
            learning_rate: of this step.

        Returns:
            The mean negative log-probability in nats, without label smoothing, and the state after the chunk. If the
            loss or its gradient is not finite, the weights stay as they were, the nats are NaN and the state is None.
        """
        if state is None or chunk.reset_state:
            state = self.model.initial_state(len(chunk.inputs))
        inputs, targets = (torch.from_numpy(ids).to(self.model.device) for ids in (chunk.inputs, chunk.targets))
        with mixed(self.model.device, self._precision):
            outputs, after = self.model.read_outputs(
                inputs,
                state,
                dropout=self._config.dropout,
                weight_drop=self._config.weight_drop,
                generator=self.generator,
            )
        loss, nats_per_symbol = head_loss(outputs, self.model.head, targets, self._config.label_smoothing)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(self.model.parameters.values(), self._config.clip)
        nats = float(nats_per_symbol)
        if not (math.isfinite(nats) and math.isfinite(float(norm))):
            return math.nan, None
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        self.optimizer.step()
        return nats, self._reset_some(detach(after))

    def _reset_some(self, state: NetworkState) -> NetworkState:
        """Reset the state of a few streams, so that the network also learns to begin (Melis et al. 2018)."""
        if self._config.state_reset == 0:
            return state
        batch_size = len(state.layers[0].hidden)
        kept = torch.empty(batch_size, device=self.model.device)
        kept.bernoulli_(1 - self._config.state_reset, generator=self.generator)
        return map_state(lambda field: field * kept.view(-1, *[1] * (field.ndim - 1)), state)


def mixed(device: torch.device, precision: Precision) -> Any:
    """Matrix products in the given precision; weights, cell states and the loss stay float32."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision is Precision.BFLOAT16)
