"""What decides the next step beside the weights, as arrays that a checkpoint can hold.

Knows: the optimizer's memory, the generator, the carried state. Does not know: files, or when to save.
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


class Place(NamedTuple):
    """Where training stands, beside what the trainer holds."""

    state: NetworkState | None = None  # after the last chunk; None: the initial one
    training_nats: float = math.nan  # smoothed


def take_place(trainer: Trainer, place: Place) -> dict[str, AnyArray]:
    """Everything by name."""
    memory = optimizer_tensors(trainer.optimizer, trainer.model.parameters)
    arrays: dict[str, AnyArray] = {_OPTIMIZER + name: tensor.cpu().numpy() for name, tensor in memory.items()}
    arrays["generator"] = trainer.generator.get_state().numpy()
    arrays["training_nats"] = np.array(place.training_nats)
    if place.state is not None:
        fields: list[torch.Tensor] = []
        map_state(fields.append, place.state)
        arrays |= {f"{_STATE}{number}": field.cpu().numpy() for number, field in enumerate(fields)}
    return arrays


def restore_place(trainer: Trainer, arrays: Mapping[str, AnyArray], batch_size: int | None) -> Place:
    """The inverse of `take_place`.

    Args:
        trainer: gets the optimizer's memory and the generator's state; without the latter it keeps its own.
        arrays: from `take_place`.
        batch_size: the rows of the carried state; None: any number.

    Raises CheckpointError for what does not fit.
    """
    try:
        tensors = {name: torch.from_numpy(array.copy()) for name, array in arrays.items()}
        memory = {
            name.removeprefix(_OPTIMIZER): tensor for name, tensor in tensors.items() if name.startswith(_OPTIMIZER)
        }
        restore_optimizer(trainer.optimizer, trainer.model.parameters, memory)
        if "generator" in tensors:
            trainer.generator.set_state(tensors["generator"])
        state = None
        if f"{_STATE}0" in tensors:
            fields = iter(tensors[f"{_STATE}{number}"] for number in range(len(tensors)))
            zeros = trainer.model.initial_state(batch_size or len(tensors[f"{_STATE}0"]))
            state = map_state(lambda zero: _fitting(next(fields), zero), zeros)
        return Place(state, float(tensors["training_nats"]))
    except (KeyError, RuntimeError, StopIteration, TypeError, ValueError) as error:
        raise CheckpointError(f"cannot be resumed ({error}); the run's best checkpoint can still be sampled") from error


def _fitting(saved: torch.Tensor, zero: torch.Tensor) -> torch.Tensor:
    if saved.shape != zero.shape or saved.dtype != zero.dtype:
        raise ValueError(f"a state of shape {tuple(saved.shape)}, not {tuple(zero.shape)}")
    return saved.to(zero.device)
