"""The LSTM (Hochreiter & Schmidhuber 1997, with the forget gate of Gers, Schmidhuber & Cummins 2000).

    i, f, o = σ(W x + R h + b)      what to write, what to keep, what to say
    g = tanh(W x + R h + b)         what could be written
    c' = f c + i g
    h' = o tanh(c')

Gate order, as in torch: input, forget, candidate, output.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from lstmgen.cells.arrays import Array, sigmoid, split, tanh


class LSTMState(NamedTuple):
    """`hidden`: what the layer last said; `cell`: what it remembers; both (batch, hidden)."""

    hidden: Array
    cell: Array


class LSTMGates(NamedTuple):
    """The activated gates i, f, o and the candidate g, each (batch, hidden)."""

    input: Array
    forget: Array
    candidate: Array
    output: Array


@dataclass(frozen=True)
class LSTMCell:
    """One step of an LSTM."""

    input_size: int
    hidden_size: int
    state_type: ClassVar[type] = LSTMState
    gates_type: ClassVar[type] = LSTMGates

    @property
    def extra_shapes(self) -> dict[str, tuple[int, ...]]:
        """No parameters beside W, R and b."""
        return {}

    def step(self, projected: Array, state: LSTMState, weights: Mapping[str, Array]) -> tuple[LSTMState, LSTMGates]:
        """Advance one step; see the equations above."""
        i, f, g, o = split(projected + state.hidden @ weights["weight_hh"].T, 4)
        i, f, g, o = sigmoid(i), sigmoid(f), tanh(g), sigmoid(o)
        c = f * state.cell + i * g
        h = o * tanh(c)
        return LSTMState(h, c), LSTMGates(i, f, g, o)
