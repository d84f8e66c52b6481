"""The tanh RNN (Elman 1990, "Finding structure in time"): the baseline without gates, which forgets quickly.

    h' = tanh(W x + R h + b)

Gate order: candidate, which is the new hidden state itself.
"""

from dataclasses import dataclass
from typing import NamedTuple

from lstmgen.cells.arrays import Array, tanh
from lstmgen.cells.base import Cell, HiddenState, Parameters
from lstmgen.config import CellKind


class RNNGates(NamedTuple):
    """`candidate`: the new hidden state, (batch, hidden); this cell has no gate between the two."""

    candidate: Array


@dataclass(frozen=True)
class RNNCell(Cell):
    """One step of a tanh RNN."""

    kind = CellKind.RNN
    state_type = HiddenState
    gates_type = RNNGates

    def step(self, projected: Array, state: HiddenState, weights: Parameters) -> tuple[HiddenState, RNNGates]:
        """Advance one step; see the equation above."""
        h, R = state.hidden, weights["weight_hh"]
        h = tanh(projected + h @ R.T)
        return HiddenState(h), RNNGates(h)
