"""One training step: read a chunk, compute the gradients, update the weights. Also the schedule of steps."""

import math
from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.optim.adamw import adamw

from lstmgen.config import Precision, TrainingConfig
from lstmgen.network.architecture import NetworkState, map_state
from lstmgen.network.model import Model, detach
from lstmgen.text.streams import IGNORED, Chunk
from lstmgen.training.loss import head_loss
from lstmgen.training.processes import ALONE, Processes

_BETAS, _EPSILON = (0.8, 0.99), 1e-8
_GROWTH_FROM = 0.5  # the fraction of the budget after which steps read more than one chunk


def learning_rate(config: TrainingConfig, progress: float) -> float:
    """The learning rate after this fraction of the budget: it rises during warm-up, then falls linearly to zero."""
    if progress < config.warm_up:
        return config.learning_rate * (0.1 + 0.9 * progress / config.warm_up)
    return config.learning_rate * (1 - progress) / (1 - config.warm_up)


def chunks_per_step(config: TrainingConfig, progress: float) -> int:
    """How many consecutive chunks a step reads as one after this fraction of the budget.

    Short chunks give many updates, which matter most at first. Long ones teach the network to remember for longer, and
    an update from more text is more accurate.
    """
    return config.chunk_growth if progress >= _GROWTH_FROM else 1


def mean_chunk_length(config: TrainingConfig) -> float:
    """How many tokens of each stream a step reads, as a mean over all steps of a budget in steps."""
    return config.chunk_length * (_GROWTH_FROM + (1 - _GROWTH_FROM) * config.chunk_growth)


class AdamW:
    """AdamW (Loshchilov & Hutter 2019); matrices decay towards zero, biases and peepholes do not.

    It calls the function behind `torch.optim.AdamW`, because creating an object of that class loads torch's compiler,
    which takes a second, or ten on a busy machine.
    """

    def __init__(self, parameters: Mapping[str, nn.Parameter], weight_decay: float) -> None:
        self.moments: dict[str, Tensor] = {}
        """The state, by names such as `head.bias/exp_avg`; empty before the first step."""
        self._parameters = parameters
        matrices = [name for name, parameter in parameters.items() if parameter.ndim > 1]
        self._groups = ((weight_decay, matrices), (0.0, [name for name in parameters if name not in matrices]))
        self._fused = parameters[matrices[0]].device.type in ("cpu", "cuda")

    @torch.no_grad()
    def step(self, learning_rate: float) -> None:
        """Update the parameters using their gradients."""
        self.moments = self.moments or self._first_moments()
        for weight_decay, names in self._groups:
            parameters = [self._parameters[name] for name in names]
            adamw(
                cast(list[Tensor], parameters),
                [cast(Tensor, parameter.grad) for parameter in parameters],
                [self.moments[f"{name}/exp_avg"] for name in names],
                [self.moments[f"{name}/exp_avg_sq"] for name in names],
                [],
                [self.moments[f"{name}/step"] for name in names],
                fused=self._fused,
                amsgrad=False,
                maximize=False,
                lr=learning_rate,
                beta1=_BETAS[0],
                beta2=_BETAS[1],
                weight_decay=weight_decay,
                eps=_EPSILON,
            )

    def restore(self, moments: Mapping[str, Tensor]) -> None:
        """Restore the moments of an optimizer for the same parameters; raises ValueError if they do not fit."""
        expected = self._first_moments()
        if moments and moments.keys() != expected.keys():  # before the first step there are none
            raise ValueError("the optimizer's state belongs to another network")
        self.moments = {name: like(expected[name], moment) for name, moment in moments.items()}

    def _first_moments(self) -> dict[str, Tensor]:
        moments = {}
        for name, parameter in self._parameters.items():
            moments[f"{name}/step"] = torch.zeros((), device=parameter.device)
            moments[f"{name}/exp_avg"] = torch.zeros_like(parameter, requires_grad=False)
            moments[f"{name}/exp_avg_sq"] = torch.zeros_like(parameter, requires_grad=False)
        return moments


class Trainer:
    """A model with its optimizer; the recurrent state is passed in and returned.

    With several processes, each reads its own rows of a chunk. Together they do the same as one process reading all
    rows, apart from rounding and the choice of dropped activations.
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
        """Train on one chunk.

        Args:
            chunk: what to read and predict, for the rows of all processes.
            state: the state of this process's rows after the previous chunk; None, or with a chunk whose `reset_state`
                is set: the initial one.
            learning_rate: for this step.

        Returns:
            The mean negative log-probability in nats, without label smoothing, and the state after the chunk. If the
            loss or its gradient is not finite, the weights are unchanged, the nats are NaN and the state is None.
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
        """Compute the gradients of all rows; this process's own rows predict a fraction of all targets.

        Returns the mean nats of all rows, and the state of its own rows after the chunk.
        """
        config, parameters = self._config, self.model.parameters.values()
        for parameter in parameters:
            parameter.grad = None if fraction > 0 else torch.zeros_like(parameter)
        generator = self.generator
        if config.dropout or config.weight_drop:  # even with nothing to learn, so that all processes draw alike
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
        nats = fraction * nats
        self.processes.sum(nats, *(cast(Tensor, parameter.grad) for parameter in parameters))
        return float(nats), state

    def _reset_some(self, state: NetworkState, batch_size: int) -> NetworkState:
        """Reset a few streams of the batch, so that the network also learns to begin a text (Melis et al. 2018)."""
        if self._config.state_reset == 0:
            return state
        drawn = torch.empty(batch_size, device=self.model.device)
        kept = drawn.bernoulli_(1 - self._config.state_reset, generator=self.generator)[self.processes.rows(batch_size)]
        return map_state(lambda field: field * kept.view(-1, *[1] * (field.ndim - 1)), state)


def _predicted(chunk: Chunk) -> int:
    """The number of targets in a chunk."""
    return int((chunk.targets != IGNORED).sum())


def like(expected: Tensor, saved: Tensor) -> Tensor:
    """A saved tensor, moved to the device of the expected one; raises ValueError if shape or type differ."""
    if saved.shape != expected.shape or saved.dtype != expected.dtype:
        raise ValueError(f"a tensor of shape {tuple(saved.shape)}, not {tuple(expected.shape)}")
    return saved.to(expected.device)


def mixed(device: torch.device, precision: Precision) -> Any:
    """A context for matrix products in the given precision; weights, cell states and the loss stay float32."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision is Precision.BFLOAT16)
