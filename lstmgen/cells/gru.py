"""The GRU (Cho et al. 2014): an update and a reset gate; cell and hidden state are one.

    r, z = σ(W x + R h + b)
    h' = (1 - z) n + z h

The candidate n depends on where the reset gate acts:

    n = tanh(W x + b + R (r h))             before the recurrent product, as in the paper (eq. 8)
    n = tanh(W x + b + r (R h + b_n))       after it, as in cuDNN and torch: one product a step

The update gate keeps, as in torch; in the paper's eq. 7 too: h' = z h + (1 - z) n.
Gate order, as in torch: reset, update, candidate.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from lstmgen.cells.arrays import Array, sigmoid, split, tanh
from lstmgen.config import Reset


class GRUState(NamedTuple):
    """`hidden`: what the layer last said, which is all it remembers, (batch, hidden)."""

    hidden: Array


class GRUGates(NamedTuple):
    """The activated gates r, z and the candidate n, each (batch, hidden)."""

    reset: Array
    update: Array
    candidate: Array


@dataclass(frozen=True)
class GRUCell:
    """One step of a GRU."""

    input_size: int
    hidden_size: int
    reset: Reset
    state_type: ClassVar[type] = GRUState
    gates_type: ClassVar[type] = GRUGates

    @property
    def extra_shapes(self) -> dict[str, tuple[int, ...]]:
        """`bias_candidate` b_n, (hidden), inside the reset gate's reach: only with the reset after the product."""
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
