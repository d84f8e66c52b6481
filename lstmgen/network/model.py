"""The network in torch: trainable parameters, and the fastest kernels for reading chunks."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lstmgen.network.architecture import Network, NetworkState, map_state
from lstmgen.network.forward import forward, head
from lstmgen.network.kernels.torch_layers import run_layer


class Model:
    """A network with its parameters on one device.

    It keeps no recurrent state: that is passed to `read` and returned.
    """

    def __init__(self, network: Network, weights: Mapping[str, NDArray[Any]], device: torch.device) -> None:
        self.network = network
        self.device = device
        self.parameters = {
            name: nn.Parameter(torch.from_numpy(weights[name].copy()).to(device)) for name in network.shapes()
        }

    def initial_state(self, batch_size: int) -> NetworkState:
        """The state before any text: zeros."""
        return self.network.initial_state(batch_size, like=self.parameters["embedding"].detach())

    def read(self, ids: Tensor, state: NetworkState) -> tuple[Tensor, NetworkState]:
        """Read a chunk, (batch, time) int64; return logits, (batch, time, vocab), and the state after the chunk."""
        outputs, after = self.read_outputs(ids, state)
        return head(outputs, self.network.arrange(self.parameters)), after

    def read_outputs(
        self,
        ids: Tensor,
        state: NetworkState,
        *,
        dropout: float = 0.0,
        weight_drop: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> tuple[Tensor, NetworkState]:
        """Read a chunk, (batch, time) int64, up to the head.

        `dropout` is the fraction of units to drop between layers and before the head, `weight_drop` the fraction of
        recurrent weights (Merity et al. 2018). The dropped ones stay the same over the chunk (Gal & Ghahramani 2016).

        Returns the head's inputs, (batch, time, hidden or embedding), and the state after the chunk.
        """
        parameters: dict[str, Tensor] = {
            name: drop(parameter, weight_drop, generator) if name.endswith(".weight_hh") else parameter
            for name, parameter in self.parameters.items()
        }
        dropping = partial(drop_units, rate=dropout, generator=generator)
        outputs = forward(self.network, self.network.arrange(parameters), ids, state, run_layer, dropping)
        return outputs.head_inputs, outputs.state

    @property
    def head(self) -> tuple[Tensor, Tensor]:
        """The head's weight, (vocab, hidden or embedding), and its bias, (vocab,)."""
        weights = self.network.arrange(self.parameters)
        return weights.head_weight, weights.head_bias

    def weights(self) -> dict[str, NDArray[np.float32]]:
        """A copy of the parameters by name, as NumPy arrays."""
        return {name: tensor.detach().cpu().numpy().copy() for name, tensor in self.parameters.items()}


def drop(values: Tensor, rate: float, generator: torch.Generator | None) -> Tensor:
    """Set a random fraction of the values to zero and scale up the rest (Srivastava et al. 2014).

    The fraction is rounded to a multiple of 1/256: one random byte decides about each value. Drawing eight bytes at a
    time is faster than drawing a number for each value.
    """
    dropped = min(255, round(256 * rate))
    if dropped == 0:
        return values
    count = values.numel()
    words = torch.empty(-(-count // 8), dtype=torch.int64, device=values.device)
    random = words.random_(-(2**63), None, generator=generator).view(torch.uint8)
    kept = (random[:count] >= dropped).view(values.shape)
    return values * kept.to(values.dtype).mul_(256 / (256 - dropped))


def drop_units(outputs: Tensor, rate: float, generator: torch.Generator | None) -> Tensor:
    """Drop units of a layer, (batch, time, hidden); each row drops the same units at all times."""
    if rate == 0:
        return outputs
    return outputs * drop(outputs.new_ones(outputs.shape[0], 1, outputs.shape[2]), rate, generator)


def detach(state: NetworkState) -> NetworkState:
    """Detach the state from the graph that computed it: backpropagation through time ends here."""
    return map_state(torch.Tensor.detach, state)


@contextmanager
def using_threads(count: int) -> Iterator[None]:
    """Let torch use this number of threads within the context."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
