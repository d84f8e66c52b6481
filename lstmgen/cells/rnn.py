"""The tanh RNN (Elman 1990, "Finding structure in time"): the baseline that forgets.

    h' = tanh(W x + R h + b)

Gate order: candidate, which is the new hidden state itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from lstmgen.cells.arrays import Array, tanh


class RNNState(NamedTuple):
    """`hidden`: what the layer last said, (batch, hidden)."""

    hidden: Array


class RNNGates(NamedTuple):
    """`candidate`: the new hidden state; this cell has no gate to refuse it."""

    candidate: Array


@dataclass(frozen=True)
class RNNCell:
    """One step of a tanh RNN."""

    input_size: int
    hidden_size: int
    state_type: ClassVar[type] = RNNState
    gates_type: ClassVar[type] = RNNGates

    @property
    def extra_shapes(self) -> dict[str, tuple[int, ...]]:
        """No parameters beside W, R and b."""
        return {}

    def step(self, projected: Array, state: RNNState, weights: Mapping[str, Array]) -> tuple[RNNState, RNNGates]:
        """Advance one step; see the equation above."""
        h = tanh(projected + state.hidden @ weights["weight_hh"].T)
        return RNNState(h), RNNGates(h)
