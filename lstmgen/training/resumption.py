"""What decides the next step besides the weights, as arrays that a checkpoint can hold.

Knows: the optimizer's state, the random generator, the carried state. Does not know: files, or when to save.
"""

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch

from lstmgen.checkpoint import AnyArray
from lstmgen.errors import CheckpointError
from lstmgen.network.architecture import NetworkState, map_state
from lstmgen.training.optimization import optimizer_tensors, restore_optimizer
from lstmgen.training.trainer import Trainer

_OPTIMIZER, _STATE = "optimizer/", "state/"


class CarriedState(NamedTuple):
    """What one step hands to the next, besides what the trainer holds."""

    network: NetworkState | None = None  # after the last chunk; None: the initial state
    training_nats: float = math.nan  # smoothed


def resumption_arrays(trainer: Trainer, carried: CarriedState) -> dict[str, AnyArray]:
    """Everything that a resumed run needs, by name."""
    optimizer = optimizer_tensors(trainer.optimizer, trainer.model.parameters)
    arrays: dict[str, AnyArray] = {_OPTIMIZER + name: tensor.cpu().numpy() for name, tensor in optimizer.items()}
    arrays["generator"] = trainer.generator.get_state().numpy()
    arrays["training_nats"] = np.array(carried.training_nats)
    if carried.network is not None:
        fields: list[torch.Tensor] = []
        map_state(fields.append, carried.network)
        arrays |= {f"{_STATE}{number}": field.cpu().numpy() for number, field in enumerate(fields)}
    return arrays


def restore(trainer: Trainer, arrays: Mapping[str, AnyArray], batch_size: int | None) -> CarriedState:
    """Restore what `resumption_arrays` took.

    Args:
        trainer: gets the optimizer's state and the generator's state. Without the latter it keeps its own.
        arrays: from `resumption_arrays`.
        batch_size: the rows of the carried state; None: any number.

    Raises CheckpointError for arrays that do not fit.
    """
    try:
        tensors = {name: torch.from_numpy(array.copy()) for name, array in arrays.items()}
        optimizer = {
            name.removeprefix(_OPTIMIZER): tensor for name, tensor in tensors.items() if name.startswith(_OPTIMIZER)
        }
        restore_optimizer(trainer.optimizer, trainer.model.parameters, optimizer)
        if "generator" in tensors:
            trainer.generator.set_state(tensors["generator"])
        state = None
        if f"{_STATE}0" in tensors:
            fields = iter(tensors[f"{_STATE}{number}"] for number in range(len(tensors)))
            zeros = trainer.model.initial_state(batch_size or len(tensors[f"{_STATE}0"]))
            state = map_state(lambda zero: _fitting(next(fields), zero), zeros)
        return CarriedState(state, float(tensors["training_nats"]))
    except (KeyError, RuntimeError, StopIteration, TypeError, ValueError) as error:
        raise CheckpointError(f"cannot be resumed ({error}); the run's best checkpoint can still be sampled") from error


def _fitting(saved: torch.Tensor, zero: torch.Tensor) -> torch.Tensor:
    if saved.shape != zero.shape or saved.dtype != zero.dtype:
        raise ValueError(f"a state of shape {tuple(saved.shape)}, not {tuple(zero.shape)}")
    return saved.to(zero.device)
