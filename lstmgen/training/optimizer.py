"""AdamW, its state, and the schedule of a run: the learning rate, and how much text a step reads."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from lstmgen.config import TrainingConfig

_BETAS = (0.8, 0.99)
_MOMENTS = ("step", "exp_avg", "exp_avg_sq")
_GROWTH_FROM = 0.5  # the fraction of the budget from which steps read more than one chunk


def learning_rate(config: TrainingConfig, progress: float) -> float:
    """The learning rate after this fraction of the budget: it rises in the warm-up, then falls linearly to zero."""
    if progress < config.warm_up:
        return config.learning_rate * (0.1 + 0.9 * progress / config.warm_up)
    return config.learning_rate * (1 - progress) / (1 - config.warm_up)


def chunks_per_step(config: TrainingConfig, progress: float) -> int:
    """How many consecutive chunks a step reads as one after this fraction of the budget.

    Short chunks give many updates, which is worth most in the beginning. Long ones show what the network should have
    kept for longer, and an update from more text is more exact.
    """
    return config.chunk_growth if progress >= _GROWTH_FROM else 1


def mean_chunk_length(config: TrainingConfig) -> float:
    """How many tokens of each stream a step reads, as a mean over all steps of a budget that counts them."""
    return config.chunk_length * (_GROWTH_FROM + (1 - _GROWTH_FROM) * config.chunk_growth)


def build_optimizer(parameters: Mapping[str, nn.Parameter], weight_decay: float) -> torch.optim.AdamW:
    """AdamW (Loshchilov & Hutter 2019); matrices decay towards zero, biases and peepholes do not."""
    matrices = [tensor for tensor in parameters.values() if tensor.ndim > 1]
    vectors = [tensor for tensor in parameters.values() if tensor.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, betas=_BETAS, fused=matrices[0].device.type in ("cpu", "cuda"))


def optimizer_tensors(
    optimizer: torch.optim.Optimizer, parameters: Mapping[str, nn.Parameter]
) -> dict[str, torch.Tensor]:
    """The optimizer's state by name, `parameter/moment`; empty before the first step."""
    return {
        f"{name}/{moment}": optimizer.state[tensor][moment]
        for name, tensor in parameters.items()
        if tensor in optimizer.state
        for moment in _MOMENTS
    }


def restore_optimizer(
    optimizer: torch.optim.Optimizer,
    parameters: Mapping[str, nn.Parameter],
    tensors: Mapping[str, torch.Tensor],
) -> None:
    """Give an optimizer the state that `optimizer_tensors` took from another one.

    Raises KeyError or ValueError for what does not fit.
    """
    for name, tensor in tensors.items():
        parameter, moment = name.rsplit("/", 1)
        if tensor.shape != (() if moment == "step" else parameters[parameter].shape) or tensor.dtype != torch.float32:
            raise ValueError(f"{name} has shape {tuple(tensor.shape)}")
    name_of = {id(tensor): name for name, tensor in parameters.items()}
    order = [name_of[id(tensor)] for group in optimizer.param_groups for tensor in group["params"]]
    saved: dict[str, Any] = optimizer.state_dict()
    saved["state"] = {
        number: {moment: tensors[f"{name}/{moment}"] for moment in _MOMENTS}
        for number, name in enumerate(order)
        if f"{name}/step" in tensors
    }
    optimizer.load_state_dict(saved)
