"""The LSTM, long short-term memory (Hochreiter & Schmidhuber 1997; forget gate: Gers, Schmidhuber & Cummins 2000).

    i, f, o = σ(W x + R h + b)      input gate, forget gate, output gate
    g = tanh(W x + R h + b)         candidate for the cell state
    c' = f c + i g                  cell state: keeps the fraction f and adds the fraction i of g
    h' = o tanh(c')                 hidden state: the layer's output

Gate order, as in torch: input, forget, candidate, output.
"""

from dataclasses import dataclass
from typing import NamedTuple

from lstmgen.cells.arrays import Array, sigmoid, split, tanh
from lstmgen.cells.base import Cell, Parameters
from lstmgen.config import CellKind


class LSTMState(NamedTuple):
    """`hidden`: the layer's output at the last step, h; `cell`: the cell state c, its memory; both (batch, hidden)."""

    hidden: Array
    cell: Array


class LSTMGates(NamedTuple):
    """The activated gates i, f, o and the candidate g, each (batch, hidden)."""

    input: Array
    forget: Array
    candidate: Array
    output: Array


@dataclass(frozen=True)
class LSTMCell(Cell):
    """One step of an LSTM."""

    kind = CellKind.LSTM
    state_type = LSTMState
    gates_type = LSTMGates

    def step(self, projected: Array, state: LSTMState, weights: Parameters) -> tuple[LSTMState, LSTMGates]:
        """Advance one step; see the equations above."""
        (h, c), R = state, weights["weight_hh"]
        i, f, g, o = split(projected + h @ R.T, 4)
        i, f, g, o = sigmoid(i), sigmoid(f), tanh(g), sigmoid(o)
        c = f * c + i * g
        h = o * tanh(c)
        return LSTMState(h, c), LSTMGates(i, f, g, o)
