"""The GRU, gated recurrent unit (Cho et al. 2014): an update gate and a reset gate, and no separate cell state.

    r, z = σ(W x + R h + b)
    h' = (1 - z) n + z h

The reset gate can act in two places, which gives two candidates n:

    n = tanh(W x + b + R (r h))             before the recurrent product, as in the paper (eq. 8)
    n = tanh(W x + b + r (R h + b_n))       after the product, as in cuDNN and torch: one product per step

With z = 1 the old state is kept, as in torch and in the paper's eq. 7: h' = z h + (1 - z) n.
Gate order, as in torch: reset, update, candidate.
"""

from dataclasses import dataclass
from typing import NamedTuple

from lstmgen.cells.arrays import Array, sigmoid, split, tanh
from lstmgen.cells.base import Cell, HiddenState, Parameters
from lstmgen.config import CellKind, Reset


class GRUGates(NamedTuple):
    """The activated gates r, z and the candidate n, each (batch, hidden)."""

    reset: Array
    update: Array
    candidate: Array


@dataclass(frozen=True)
class GRUCell(Cell):
    """One step of a GRU."""

    reset: Reset
    kind = CellKind.GRU
    state_type = HiddenState
    gates_type = GRUGates

    def __str__(self) -> str:
        return f"gru, reset {self.reset}"

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """W, R, b, and if the reset gate acts after the product, `bias_candidate` b_n."""
        b_n = {"bias_candidate": (self.hidden_size,)} if self.reset is Reset.AFTER else {}
        return super().shapes() | b_n

    def step(self, projected: Array, state: HiddenState, weights: Parameters) -> tuple[HiddenState, GRUGates]:
        """Advance one step; see the equations above."""
        h, R = state.hidden, weights["weight_hh"]
        r_in, z_in, n_in = split(projected, 3)
        if self.reset is Reset.AFTER:
            r, z, n = split(h @ R.T, 3)
            r, z = sigmoid(r_in + r), sigmoid(z_in + z)
            n = tanh(n_in + r * (n + weights["bias_candidate"]))
        else:
            gates = 2 * self.hidden_size
            r, z = split(h @ R[:gates].T, 2)
            r, z = sigmoid(r_in + r), sigmoid(z_in + z)
            n = tanh(n_in + (r * h) @ R[gates:].T)
        h = (1 - z) * n + z * h
        return HiddenState(h), GRUGates(r, z, n)
