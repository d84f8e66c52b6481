"""What decides the next step besides the weights, as arrays that a checkpoint can hold.

Knows: the optimizer's state, the random generator, the carried state. Does not know: files, or when to save.
"""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch

from lstmgen.checkpoint import AnyArray
from lstmgen.errors import CheckpointError
from lstmgen.network.architecture import NetworkState, map_state
from lstmgen.training.optimization import optimizer_tensors, restore_optimizer
from lstmgen.training.trainer import Trainer

_OPTIMIZER, _STATE, _EVALUATED = "optimizer/", "state/", "evaluated"
_NUMBERS = ("training_nats", "lowest_nats", "bad_steps")
_SMOOTHING = 0.98


class CarriedState(NamedTuple):
    """What one step hands to the next, besides what the trainer holds."""

    network: NetworkState | None = None  # after the last chunk; None: the initial state
    training_nats: float = math.nan  # the smoothed loss; NaN: there was no finite loss yet
    lowest_nats: float = math.nan  # the lowest smoothed loss
    bad_steps: int = 0  # in a row; see `divergence`

    def after(self, network: NetworkState | None, nats: float, good: bool) -> "CarriedState":
        """What the step after this one gets: the network's state, and the losses with this one, which may be NaN."""
        smoothed, lowest = self.training_nats, self.lowest_nats
        if not math.isnan(nats):
            smoothed = nats if math.isnan(smoothed) else _SMOOTHING * smoothed + (1 - _SMOOTHING) * nats
            lowest = smoothed if math.isnan(lowest) else min(lowest, smoothed)
        return CarriedState(network, smoothed, lowest, 0 if good else self.bad_steps + 1)


def resumption_arrays(trainer: Trainer, carried: CarriedState, evaluated: AnyArray | None) -> dict[str, AnyArray]:
    """Everything that a resumed run needs, by name; `evaluated` is `Validation.best`.

    Of several processes all must call it. Only the first one gets the carried state of all.
    """
    optimizer = optimizer_tensors(trainer.optimizer, trainer.model.parameters)
    arrays: dict[str, AnyArray] = {_OPTIMIZER + name: tensor.cpu().numpy() for name, tensor in optimizer.items()}
    arrays["generator"] = trainer.generator.get_state().numpy()
    numbers = {name: getattr(carried, name) for name in _NUMBERS}
    arrays |= {name: np.array(number) for name, number in numbers.items() if not math.isnan(number)}
    if carried.network is not None:
        fields: list[torch.Tensor] = []
        map_state(fields.append, carried.network)
        arrays |= {
            f"{_STATE}{number}": trainer.processes.gathered(field).numpy() for number, field in enumerate(fields)
        }
    if evaluated is not None:
        arrays[_EVALUATED] = evaluated
    return arrays


def evaluated_sums(arrays: Mapping[str, AnyArray]) -> AnyArray | None:
    """The sums of the best weights in an evaluation, from `resumption_arrays`; None: there are none that make sense."""
    sums = arrays.get(_EVALUATED)
    if sums is None or sums.dtype != np.float64 or sums.ndim != 2 or sums.shape[1] != 2 or len(sums) == 0:
        return None
    return sums if np.isfinite(sums).all() and (sums >= 0).all() and (sums[:, 0] > 0).all() else None


def restore(trainer: Trainer, arrays: Mapping[str, AnyArray], batch_size: int | None) -> CarriedState:
    """Restore what `resumption_arrays` took.

    Args:
        trainer: gets the optimizer's state and the generator's state. Without the latter it keeps its own.
        arrays: from `resumption_arrays`.
        batch_size: the rows of the carried state, those of all processes; None: any number.

    Raises CheckpointError for arrays that do not fit.
    """
    try:
        tensors = {name: _finite(name, torch.from_numpy(array.copy())) for name, array in arrays.items()}
        optimizer = {
            name.removeprefix(_OPTIMIZER): tensor for name, tensor in tensors.items() if name.startswith(_OPTIMIZER)
        }
        restore_optimizer(trainer.optimizer, trainer.model.parameters, optimizer)
        if "generator" in tensors:
            trainer.generator.set_state(tensors["generator"])
        state = None
        if f"{_STATE}0" in tensors:
            fields = iter(tensors[f"{_STATE}{number}"] for number in range(len(tensors)))
            count = batch_size or len(tensors[f"{_STATE}0"])
            rows = trainer.processes.rows(count)
            state = map_state(lambda zero: _fitting(next(fields), zero)[rows], trainer.model.initial_state(count))
        numbers: dict[str, Any] = {name: tensors[name].item() for name in _NUMBERS if name in tensors}
        return CarriedState(state, **numbers)
    except (KeyError, RuntimeError, StopIteration, TypeError, ValueError) as error:
        raise CheckpointError(f"cannot be resumed ({error}); the run's best checkpoint can still be sampled") from error


def _finite(name: str, tensor: torch.Tensor) -> torch.Tensor:
    if name not in _NUMBERS and not tensor.isfinite().all():  # older versions wrote NaN where there was no loss yet
        raise ValueError(f"{name} holds numbers that are not finite")
    return tensor


def _fitting(saved: torch.Tensor, zero: torch.Tensor) -> torch.Tensor:
    if saved.shape != zero.shape or saved.dtype != zero.dtype:
        raise ValueError(f"a state of shape {tuple(saved.shape)}, not {tuple(zero.shape)}")
    return saved.to(zero.device)
