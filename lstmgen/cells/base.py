"""The interface of a cell: one step of one recurrent layer, without the learned parameters.

A layer of any cell has these three parameters, in blocks of `hidden_size` rows in the order of the cell's gates:

    weight_ih  (gates * hidden, input)     W, applied to all inputs of a chunk at once, before the loop over time
    weight_hh  (gates * hidden, hidden)    R, applied to the previous hidden state, step by step
    bias       (gates * hidden)            b
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, TypeAlias

from lstmgen.cells.arrays import Array, zeros
from lstmgen.config import CellKind

Parameters: TypeAlias = Mapping[str, Array]
"""The parameters of one layer by name."""

State: TypeAlias = Any
"""A NamedTuple of (batch, hidden) arrays whose first field is `hidden`."""

Gates: TypeAlias = Any
"""A NamedTuple of (batch, hidden) arrays: the activations of one step, in the order of the rows of W, R and b."""


class HiddenState(NamedTuple):
    """The state of a cell that only remembers `hidden`, its output at the last step, (batch, hidden)."""

    hidden: Array


@dataclass(frozen=True)
class Cell(ABC):
    """One step of a recurrent layer; a subclass adds fields for its options. `str(cell)` describes it to a user."""

    input_size: int
    hidden_size: int  # of the hidden state h, and of every gate
    kind: ClassVar[CellKind]
    state_type: ClassVar[Any]  # a NamedTuple class: see `State`
    gates_type: ClassVar[Any]  # a NamedTuple class: see `Gates`

    def __str__(self) -> str:
        return str(self.kind)

    @property
    def gate_names(self) -> tuple[str, ...]:
        """The names of the gates, in the order of their rows in W, R and b."""
        return tuple(self.gates_type._fields)

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of every parameter of one layer, by name; subclasses add those other than W, R and b."""
        rows = len(self.gate_names) * self.hidden_size
        return {"weight_ih": (rows, self.input_size), "weight_hh": (rows, self.hidden_size), "bias": (rows,)}

    def initial_state(self, batch_size: int, like: Array) -> State:
        """The state before the first step: zeros with the library, type and device of another array."""
        return self.state_type(*(zeros((batch_size, self.hidden_size), like) for _ in self.state_type._fields))

    @abstractmethod
    def step(self, projected: Array, state: Any, weights: Parameters) -> tuple[State, Gates]:
        """Advance one step, given W x + b as `projected`, (batch, gates * hidden), and the layer's parameters.

        Returns the state after the step, and the activated gates that produced it.
        """
