"""The LSTM with coupled input and forget gate (Greff et al. 2015, "LSTM: a search space odyssey", the CIFG variant).

The input gate is 1 - f: the cell state forgets only what it replaces, so there is one gate fewer to learn.

    f, o = σ(W x + R h + b)
    g = tanh(W x + R h + b)
    c' = f c + (1 - f) g
    h' = o tanh(c')

Gate order: forget, candidate, output.
"""

from dataclasses import dataclass
from typing import NamedTuple

from lstmgen.cells.arrays import Array, sigmoid, split, tanh
from lstmgen.cells.base import Cell, Parameters
from lstmgen.cells.lstm import LSTMState
from lstmgen.config import CellKind


class CoupledGates(NamedTuple):
    """The activated gates f, o and the candidate g, each (batch, hidden); the input gate is 1 - f."""

    forget: Array
    candidate: Array
    output: Array


@dataclass(frozen=True)
class CoupledCell(Cell):
    """One step of an LSTM whose input gate is 1 - f, with f the forget gate."""

    kind = CellKind.COUPLED
    state_type = LSTMState
    gates_type = CoupledGates

    def step(self, projected: Array, state: LSTMState, weights: Parameters) -> tuple[LSTMState, CoupledGates]:
        """Advance one step; see the equations above."""
        (h, c), R = state, weights["weight_hh"]
        f, g, o = split(projected + h @ R.T, 3)
        f, g, o = sigmoid(f), tanh(g), sigmoid(o)
        c = f * c + (1 - f) * g
        h = o * tanh(c)
        return LSTMState(h, c), CoupledGates(f, g, o)
