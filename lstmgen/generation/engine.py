"""Engines run a network for generation and scoring: ids in, logits out, one token or many at a time.

`NumpyEngine` is the fastest way to generate one character at a time on a CPU, and does not import torch.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from lstmgen.network.architecture import Network, NetworkState, map_state
from lstmgen.network.forward import LayerRunner, forward, head
from lstmgen.network.kernels.numpy_layers import numpy_layer, run_chunk, run_step
from lstmgen.text.vocabulary import Ids

FloatArray = NDArray[np.float32]

_CHUNK = 1024
_NEGLIGIBLE = 1e-36
"""Weights below this become zero, because many processors are a hundred times slower for numbers below 1.2e-38."""


class PromptState(NamedTuple):
    """The network after reading a prompt: samples continue from here. Immutable."""

    logits: FloatArray  # (1, vocab), for the next token
    state: NetworkState
    text: Ids  # the prompt, (tokens,); only its last tokens if loaded from a file


class Engine(Protocol):
    """Reads tokens and returns logits for the next one; the state is passed in and returned.

    Every engine also accepts a NumPy state, so that a saved state continues on any of them.
    """

    network: Network

    def initial_state(self, batch_size: int) -> NetworkState:
        """The state before any text."""
        ...

    def step(self, ids: Ids, state: NetworkState) -> tuple[FloatArray, NetworkState]:
        """Read one token per row: ids (batch,) -> logits (batch, vocab) and the next state."""
        ...

    def read(self, ids: Ids, state: NetworkState) -> tuple[FloatArray, NetworkState]:
        """Read many tokens per row: ids (batch, time) -> logits after each, (batch, time, vocab), and the state."""
        ...


class NumpyEngine:
    """The engine in NumPy, on the CPU."""

    def __init__(self, network: Network, weights: Mapping[str, NDArray[Any]]) -> None:
        self.network = network
        arranged = network.arrange(
            {name: np.where(np.abs(array) < _NEGLIGIBLE, np.float32(0), array) for name, array in weights.items()}
        )
        layers = tuple(numpy_layer(cell, layer) for cell, layer in zip(network.cells, arranged.layers, strict=True))
        self._weights = arranged._replace(
            embedding=layers[0].project(cast(FloatArray, arranged.embedding)),
            layers=layers,
            head_weight=np.asfortranarray(arranged.head_weight),  # products use its transpose
        )

    def initial_state(self, batch_size: int) -> NetworkState:
        """The state before any text."""
        return self.network.initial_state(batch_size, like=self._weights.embedding)

    def step(self, ids: Ids, state: NetworkState) -> tuple[FloatArray, NetworkState]:
        """Read one token per row: ids (batch,) -> logits (batch, vocab) and the next state."""
        return self._read(ids, state, run_step)

    def read(self, ids: Ids, state: NetworkState) -> tuple[FloatArray, NetworkState]:
        """Read many tokens per row: ids (batch, time) -> logits after each, (batch, time, vocab), and the state."""
        return self._read(ids, state, run_chunk)

    def read_before_head(self, ids: Ids, state: NetworkState) -> tuple[FloatArray, NetworkState]:
        """Read many tokens per row, as `read`, but return what `predict` makes logits of, (batch, time, ...)."""
        return self._forward(ids, state, run_chunk)

    def predict(self, head_inputs: FloatArray) -> FloatArray:
        """The logits, (..., vocab), of some results of `read_before_head`: for a large vocabulary, all take long."""
        with np.errstate(invalid="ignore", over="ignore"):  # see `_forward`
            return cast(FloatArray, head(head_inputs, self._weights))

    def _read(self, ids: Ids, state: NetworkState, run_layer: LayerRunner) -> tuple[FloatArray, NetworkState]:
        head_inputs, state = self._forward(ids, state, run_layer)
        return self.predict(head_inputs), state

    # BLAS also computes on unused lanes of a vector register, which may hold any value. Loaded weights are checked.
    @np.errstate(invalid="ignore", over="ignore")
    def _forward(self, ids: Ids, state: NetworkState, run_layer: LayerRunner) -> tuple[FloatArray, NetworkState]:
        outputs = forward(self.network, self._weights, ids, state, run_layer)
        return outputs.head_inputs, outputs.state


def in_numpy(state: NetworkState) -> NetworkState:
    """The state of any engine, as NumPy arrays."""
    return map_state(lambda field: field if isinstance(field, np.ndarray) else field.cpu().numpy(), state)


def read_text(engine: Engine, ids: Ids, state: NetworkState) -> PromptState:
    """Read one text, (tokens,), of at least one token, in chunks."""
    for start in range(0, len(ids), _CHUNK):
        logits, state = engine.read(ids[None, start : start + _CHUNK], state)
    return PromptState(logits[:, -1], state, ids)
