"""The GRU, gated recurrent unit (Cho et al. 2014): an update gate and a reset gate, and no separate cell state.

    r, z = σ(W x + R h + b)
    h' = (1 - z) n + z h

The reset gate can act at two positions, which gives two candidates n:

    n = tanh(W x + b + R (r h))             before the recurrent product, as in the paper (eq. 8)
    n = tanh(W x + b + r (R h + b_n))       after it, as in cuDNN and torch: one product per step

With z = 1 the old state is kept, as in torch and in the paper's eq. 7: h' = z h + (1 - z) n.
Gate order, as in torch: reset, update, candidate.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from lstmgen.cells.arrays import Array, sigmoid, split, tanh
from lstmgen.cells.base import Cell
from lstmgen.config import Reset


class GRUState(NamedTuple):
    """`hidden`: the layer's output at the last step, (batch, hidden); it is also the layer's only memory."""

    hidden: Array


class GRUGates(NamedTuple):
    """The activated gates r, z and the candidate n, each (batch, hidden)."""

    reset: Array
    update: Array
    candidate: Array


@dataclass(frozen=True)
class GRUCell(Cell):
    """One step of a GRU."""

    reset: Reset
    state_type = GRUState
    gates_type = GRUGates

    def __str__(self) -> str:
        return f"gru, reset {self.reset}"

    @property
    def extra_shapes(self) -> dict[str, tuple[int, ...]]:
        """`bias_candidate` b_n, (hidden), which the reset gate multiplies; only with the reset after the product."""
        return {"bias_candidate": (self.hidden_size,)} if self.reset is Reset.AFTER else {}

    def step(self, projected: Array, state: GRUState, weights: Mapping[str, Array]) -> tuple[GRUState, GRUGates]:
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
        return GRUState(h), GRUGates(r, z, n)
