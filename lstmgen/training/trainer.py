"""One training step: read a chunk, compute the gradients, update the weights."""

import math
from typing import Any, cast

import torch
from torch import Tensor, nn

from lstmgen.config import Precision, TrainingConfig
from lstmgen.network.architecture import NetworkState, map_state
from lstmgen.network.model import Model, detach
from lstmgen.text.streams import IGNORED, Chunk
from lstmgen.training.loss import head_loss
from lstmgen.training.optimizer import AdamW
from lstmgen.training.processes import ALONE, Processes


class Trainer:
    """A model with its optimizer; the recurrent state is passed in and returned.

    Of several processes, each one reads its own rows of a chunk. Together they do what one process does that reads all
    rows, up to rounding and up to which activations are dropped.
    """

    def __init__(
        self, model: Model, config: TrainingConfig, precision: Precision, processes: Processes = ALONE
    ) -> None:
        self.model = model
        self.optimizer = AdamW(model.parameters, config.weight_decay)
        self.generator = torch.Generator(model.device).manual_seed(config.seed)
        """Draws the same numbers in all processes."""
        self.processes = processes
        self._config = config
        self._precision = precision

    def step(self, chunk: Chunk, state: NetworkState | None, learning_rate: float) -> tuple[float, NetworkState | None]:
        """Learn from one chunk.

        Args:
            chunk: what to read and to predict, all rows.
            state: the state of this process's rows after the chunk before; None, or a chunk with `reset_state`: the
                initial one.
            learning_rate: of this step.

        Returns:
            The mean negative log-probability in nats, without label smoothing, and the state after the chunk. If the
            loss or its gradient is not finite, the weights stay as they were, the nats are NaN and the state is None.
        """
        own = chunk.rows(self.processes.rows(len(chunk.inputs)))
        if state is None or chunk.reset_state:
            state = self.model.initial_state(len(own.inputs))
        nats, state = self._compute_gradients(own, state, _predicted(own) / _predicted(chunk))
        norm = nn.utils.clip_grad_norm_(self.model.parameters.values(), self._config.clip)
        if not (math.isfinite(nats) and math.isfinite(float(norm))):
            return math.nan, None
        self.optimizer.step(learning_rate)
        return nats, self._reset_some(state, len(chunk.inputs))

    def _compute_gradients(self, own: Chunk, state: NetworkState, fraction: float) -> tuple[float, NetworkState]:
        """Compute the gradients of all rows, from this process's own ones, which predict a fraction of all targets.

        Returns the mean nats of all rows, and the state of the own ones after the chunk.
        """
        config, parameters = self._config, self.model.parameters.values()
        self.optimizer.zero_grad()
        generator = self.generator
        if config.dropout or config.weight_drop:  # also where there is nothing to learn: all processes draw alike
            generator = self.processes.own_generator(generator)
        nats = torch.zeros((), device=self.model.device)
        if fraction > 0:
            inputs, targets = (torch.from_numpy(ids).to(self.model.device) for ids in (own.inputs, own.targets))
            with mixed(self.model.device, self._precision):
                outputs, after = self.model.read_outputs(
                    inputs, state, dropout=config.dropout, weight_drop=config.weight_drop, generator=generator
                )
            loss, nats = head_loss(outputs, self.model.head, targets, config.label_smoothing)
            (fraction * loss).backward()  # type: ignore[no-untyped-call]  # torch has no types for it
            state = detach(after)
        else:
            for parameter in parameters:
                parameter.grad = torch.zeros_like(parameter)
        nats = fraction * nats
        self.processes.sum(nats, *(cast(Tensor, parameter.grad) for parameter in parameters))
        return float(nats), state

    def _reset_some(self, state: NetworkState, batch_size: int) -> NetworkState:
        """Reset a few of the batch's streams, so that the network also learns to begin (Melis et al. 2018)."""
        if self._config.state_reset == 0:
            return state
        drawn = torch.empty(batch_size, device=self.model.device)
        kept = drawn.bernoulli_(1 - self._config.state_reset, generator=self.generator)[self.processes.rows(batch_size)]
        return map_state(lambda field: field * kept.view(-1, *[1] * (field.ndim - 1)), state)


def _predicted(chunk: Chunk) -> int:
    """How many tokens a chunk predicts."""
    return int((chunk.targets != IGNORED).sum())


def mixed(device: torch.device, precision: Precision) -> Any:
    """Matrix products in the given precision; weights, cell states and the loss stay float32."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision is Precision.BFLOAT16)
