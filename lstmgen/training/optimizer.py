"""AdamW, its state, and the schedule of a run: the learning rate, and how much text a step reads."""

from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor, nn
from torch.optim.adamw import adamw

from lstmgen.config import TrainingConfig

_BETAS, _EPSILON = (0.8, 0.99), 1e-8
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


class AdamW:
    """AdamW (Loshchilov & Hutter 2019); matrices decay towards zero, biases and peepholes do not.

    It calls the function behind `torch.optim.AdamW`. The first object of that class loads torch's compiler, which takes
    a second, and ten beside other work.
    """

    def __init__(self, parameters: Mapping[str, nn.Parameter], weight_decay: float) -> None:
        self.state: dict[str, dict[str, Tensor]] = {}
        """The moments of each parameter by name; empty before the first step."""
        self._parameters = parameters
        matrices = [name for name, parameter in parameters.items() if parameter.ndim > 1]
        self._groups = ((weight_decay, matrices), (0.0, [name for name in parameters if name not in matrices]))
        self._fused = parameters[matrices[0]].device.type in ("cpu", "cuda")

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for parameter in self._parameters.values():
            parameter.grad = None

    @torch.no_grad()
    def step(self, learning_rate: float) -> None:
        """Update the parameters by their gradients."""
        self.state = self.state or {name: _no_moments(each) for name, each in self._parameters.items()}
        for weight_decay, names in self._groups:
            parameters = [self._parameters[name] for name in names]
            moments = [self.state[name] for name in names]
            adamw(
                cast(list[Tensor], parameters),
                [cast(Tensor, parameter.grad) for parameter in parameters],
                [moment["exp_avg"] for moment in moments],
                [moment["exp_avg_sq"] for moment in moments],
                [],
                [moment["step"] for moment in moments],
                fused=self._fused,
                amsgrad=False,
                maximize=False,
                lr=learning_rate,
                beta1=_BETAS[0],
                beta2=_BETAS[1],
                weight_decay=weight_decay,
                eps=_EPSILON,
            )

    def tensors(self) -> dict[str, Tensor]:
        """The state by name, `parameter/moment`."""
        return {f"{name}/{moment}": self.state[name][moment] for name in self.state for moment in _MOMENTS}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Take the state that `tensors` gave; raises KeyError or ValueError for what does not fit."""
        state: dict[str, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            parameter, moment = name.rsplit("/", 1)
            like = _no_moments(self._parameters[parameter])[moment]
            if tensor.shape != like.shape or tensor.dtype != like.dtype:
                raise ValueError(f"{name} has shape {tuple(tensor.shape)}")
            state.setdefault(parameter, {})[moment] = tensor.to(like.device)
        if state and sum(map(len, state.values())) < len(_MOMENTS) * len(self._parameters):
            raise ValueError("a part of the optimizer's state is missing")
        self.state = state


def _no_moments(parameter: Tensor) -> dict[str, Tensor]:
    """The moments before the first step."""
    step = torch.zeros((), device=parameter.device)
    return {"step": step, "exp_avg": torch.zeros_like(parameter), "exp_avg_sq": torch.zeros_like(parameter)}
