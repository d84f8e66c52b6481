"""The tanh RNN (Elman 1990, "Finding structure in time"): the baseline without gates, which forgets quickly.

    h' = tanh(W x + R h + b)

Gate order: candidate, which is the new hidden state itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from lstmgen.cells.arrays import Array, tanh
from lstmgen.cells.base import Cell


class RNNState(NamedTuple):
    """`hidden`: the layer's output at the last step, (batch, hidden)."""

    hidden: Array


class RNNGates(NamedTuple):
    """`candidate`: the new hidden state, (batch, hidden); this cell has no gate between the two."""

    candidate: Array


@dataclass(frozen=True)
class RNNCell(Cell):
    """One step of a tanh RNN."""

    state_type = RNNState
    gates_type = RNNGates

    def __str__(self) -> str:
        return "rnn"

    def step(self, projected: Array, state: RNNState, weights: Mapping[str, Array]) -> tuple[RNNState, RNNGates]:
        """Advance one step; see the equation above."""
        h = tanh(projected + state.hidden @ weights["weight_hh"].T)
        return RNNState(h), RNNGates(h)
