"""What changes in a run while it trains, and how a checkpoint holds it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch

from lstmgen.checkpoint import AnyArray, FloatArray
from lstmgen.config import TrainingConfig
from lstmgen.errors import CheckpointError
from lstmgen.network.architecture import NetworkState, map_state
from lstmgen.record import Position
from lstmgen.text.vocabulary import Ids, token_counts
from lstmgen.training.trainer import Trainer, like

SUSPECTED, CERTAIN = 10, 30
"""After this many consecutive bad steps, training may have diverged, or certainly has."""

_FAR = 0.5  # nats
_SMOOTHING = 0.98
_OPTIMIZER, _NETWORK, _START, _EVALUATED = "optimizer/", "state/", "start/", "evaluated"
_NUMBERS = ("training_nats", "lowest_nats", "bad_steps")
_SAMPLES, _SAMPLE_TOKENS = 16, 1 << 18


@dataclass
class RunState:
    """Everything in a run that changes from step to step, except the weights and optimizer, which `Trainer` holds."""

    training: TrainingConfig  # a divergence lowers the learning rate, and overfitting ends the run sooner
    position: Position  # in the text and in the budget
    network: NetworkState | None = None  # after the last chunk; None: the initial state
    start: Mapping[str, FloatArray] = field(default_factory=dict)  # trained weights; empty: it started untrained
    training_nats: float = math.nan  # the smoothed loss; NaN: there was no finite loss yet
    lowest_nats: float = math.inf  # the lowest smoothed loss
    bad_steps: int = 0  # consecutive ones

    divergences: int = 0
    returned_to: int = -1  # the step that the run last went back to
    returns: int = 0  # how often it went back there without a good step in between

    save_error: CheckpointError | None = None  # of the last attempt to save
    save_ended: float = 0.0  # the clock's time after the last attempt

    @property
    def suspicious(self) -> bool:
        """Whether the loss may be diverging."""
        return self.bad_steps >= SUSPECTED

    def add_loss(self, nats: float, *, vocab_size: int, frequency_nats: float) -> None:
        """Record the loss of a step, which is bad if it is not finite (NaN), or far above the lowest one so far.

        A loss near `frequency_nats` is always good, and so, at first, is the loss of an untrained network.
        """
        good = nats <= max(frequency_nats, min(self.lowest_nats, math.log(vocab_size))) + _FAR
        self.bad_steps = 0 if good else self.bad_steps + 1
        if not math.isnan(nats):
            before = self.training_nats
            self.training_nats = nats if math.isnan(before) else _SMOOTHING * before + (1 - _SMOOTHING) * nats
            self.lowest_nats = min(self.lowest_nats, self.training_nats)

    def to_arrays(self, trainer: Trainer, evaluated: AnyArray | None) -> dict[str, AnyArray]:
        """Everything but the weights that determines the next step, by name; `evaluated` is `Validation.best`.

        All processes must call it. Only the first one gets the network's state from all of them.
        """
        moments = trainer.optimizer.moments
        arrays: dict[str, AnyArray] = {_OPTIMIZER + name: moments[name].cpu().numpy() for name in moments}
        arrays["generator"] = trainer.generator.get_state().numpy()
        numbers = {name: getattr(self, name) for name in _NUMBERS}
        arrays |= {name: np.array(number) for name, number in numbers.items() if math.isfinite(number)}
        if self.network is not None:
            fields: list[torch.Tensor] = []
            map_state(fields.append, self.network)
            arrays |= {f"{_NETWORK}{i}": trainer.processes.gather(field).numpy() for i, field in enumerate(fields)}
        if evaluated is not None:
            arrays[_EVALUATED] = evaluated
        return arrays | {_START + name: array for name, array in self.start.items()}

    def restore(self, trainer: Trainer, arrays: Mapping[str, AnyArray], batch_size: int | None) -> None:
        """Restore the result of `to_arrays`, or start from scratch if it is empty.

        Args:
            trainer: a new one, which gets the states of the optimizer and, if there is one, of the generator.
            arrays: from `to_arrays`; empty before the first step.
            batch_size: the rows of the network's state, over all processes; None: any number.

        Raises CheckpointError for arrays that do not fit.
        """
        self.network, self.training_nats, self.lowest_nats, self.bad_steps = None, math.nan, math.inf, 0
        if not arrays:
            return
        try:
            tensors = {name: torch.from_numpy(array.copy()) for name, array in arrays.items()}
            for name, tensor in tensors.items():
                if name not in _NUMBERS and not tensor.isfinite().all():
                    raise ValueError(f"{name} holds numbers that are not finite")
            trainer.optimizer.restore(_part(tensors, _OPTIMIZER))
            if start := _part(tensors, _START):
                parameters = trainer.model.parameters
                self.start = {name: like(parameters[name].cpu(), start[name]).numpy() for name in parameters}
            if "generator" in tensors:
                trainer.generator.set_state(tensors["generator"])
            if f"{_NETWORK}0" in tensors:
                fields = iter(tensors[f"{_NETWORK}{number}"] for number in range(len(tensors)))
                count = batch_size or len(tensors[f"{_NETWORK}0"])
                rows, zeros = trainer.processes.rows(count), trainer.model.initial_state(count)
                self.network = map_state(lambda zero: like(zero, next(fields))[rows], zeros)
            for name in _NUMBERS:
                number = tensors[name].item() if name in tensors else math.nan
                if not math.isnan(number):  # older versions wrote NaN where there was no loss yet
                    setattr(self, name, number)
        except (KeyError, RuntimeError, StopIteration, TypeError, ValueError) as error:
            remedy = "its best checkpoint still works with sample"
            raise CheckpointError(f"the run cannot be resumed ({error}); {remedy}") from error


def _part(tensors: Mapping[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    """The tensors whose names have this prefix, which is removed."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def evaluated_sums(arrays: Mapping[str, AnyArray]) -> AnyArray | None:
    """The sums of the best weights in an evaluation, from `to_arrays`; None: missing or invalid."""
    sums = arrays.get(_EVALUATED)
    if sums is None or sums.dtype != np.float64 or sums.ndim != 2 or sums.shape[1] != 2 or len(sums) == 0:
        return None
    return sums if np.isfinite(sums).all() and (sums >= 0).all() and (sums[:, 0] > 0).all() else None


def frequency_nats(ids: Ids, vocab_size: int) -> float:
    """The nats per token of a model that only knows token frequencies, estimated from parts of a long text."""
    stride = max(_SAMPLE_TOKENS, len(ids) // _SAMPLES)
    samples = [ids[start : start + _SAMPLE_TOKENS] for start in range(0, len(ids), stride)]
    counts = np.sum([token_counts(sample, vocab_size) for sample in samples], axis=0)
    frequencies = counts[counts > 0] / counts.sum()
    return float(-(frequencies * np.log(frequencies)).sum())
