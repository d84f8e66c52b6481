"""The network in NumPy: the fastest way to write one character at a time on a CPU, without importing torch.

Knows: ids in, logits out. Does not know: characters, temperature or chance.
"""

from collections.abc import Mapping
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from lstmgen.network.architecture import Network, NetworkState
from lstmgen.network.chunk import read_chunk
from lstmgen.network.step import projection_table, step

FloatArray = NDArray[np.float32]
IntArray = NDArray[np.integer[Any]]


_unchecked = np.errstate(invalid="ignore", over="ignore")
"""BLAS computes on lanes that it does not use, and they may hold anything; weights are checked when they are loaded."""


class Engine:
    """Reads symbols and says what may come next; the state is passed in and returned."""

    @_unchecked
    def __init__(self, network: Network, weights: Mapping[str, FloatArray]) -> None:
        self.network = network
        self._weights = network.arrange(weights)
        self._table = projection_table(self._weights)

    def initial_state(self, batch_size: int) -> NetworkState:
        """The state before any text."""
        return self.network.initial_state(batch_size, like=self._weights.embedding)

    @_unchecked
    def step(self, ids: IntArray, state: NetworkState) -> tuple[FloatArray, NetworkState]:
        """Read one symbol a row, (batch,); logits, (batch, vocab), and the state."""
        read = step(self.network, self._weights, self._table, ids, state)
        return cast(FloatArray, read.logits), read.state

    @_unchecked
    def read(self, ids: IntArray, state: NetworkState) -> tuple[FloatArray, NetworkState]:
        """Read many symbols a row, (batch, time); logits after each, (batch, time, vocab), and the state."""
        logits, after = read_chunk(self.network, self._weights, ids, state)
        return cast(FloatArray, logits), after
