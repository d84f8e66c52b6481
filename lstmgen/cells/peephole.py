"""The LSTM with peephole connections (Gers & Schmidhuber 2000, "Recurrent nets that time and count").

The gates also see the cell state: the input and forget gates the old one, c, the output gate the new one, c'.

    i = σ(W x + R h + p_i c + b)
    f = σ(W x + R h + p_f c + b)
    g = tanh(W x + R h + b)
    c' = f c + i g
    o = σ(W x + R h + p_o c' + b)
    h' = o tanh(c')

Each p is a vector: a unit's gate sees only the cell state of that unit. Any of the three can be left out.
Gate order, as in torch: input, forget, candidate, output.
"""

from dataclasses import dataclass

from lstmgen.cells.arrays import Array, sigmoid, split, tanh
from lstmgen.cells.base import Cell, Parameters
from lstmgen.cells.lstm import LSTMGates, LSTMState
from lstmgen.config import CellKind, Peephole


@dataclass(frozen=True)
class PeepholeCell(Cell):
    """One step of an LSTM whose gates also see the cell state."""

    peepholes: tuple[Peephole, ...]
    kind = CellKind.PEEPHOLE
    state_type = LSTMState
    gates_type = LSTMGates

    def __str__(self) -> str:
        return "peephole" if set(self.peepholes) == set(Peephole) else f"peephole, {' and '.join(self.peepholes)}"

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """W, R and b, and whichever of `peephole_input`, `peephole_forget` and `peephole_output` the cell has."""
        return super().shapes() | {f"peephole_{gate}": (self.hidden_size,) for gate in self.peepholes}

    def step(self, projected: Array, state: LSTMState, weights: Parameters) -> tuple[LSTMState, LSTMGates]:
        """Advance one step; see the equations above."""
        (h, c), R = state, weights["weight_hh"]
        p_i, p_f, p_o = (weights.get(f"peephole_{gate}", 0) for gate in ("input", "forget", "output"))
        i, f, g, o = split(projected + h @ R.T, 4)
        i, f, g = sigmoid(i + p_i * c), sigmoid(f + p_f * c), tanh(g)
        c = f * c + i * g
        o = sigmoid(o + p_o * c)
        h = o * tanh(c)
        return LSTMState(h, c), LSTMGates(i, f, g, o)
