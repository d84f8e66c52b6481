"""What a cell is, and the functions that work for every cell.

A cell is one step of one recurrent layer: a dataclass that stores its sizes and options, and nothing that is learned.
Weights and states are passed to `step`. `str(cell)` describes the cell to a user.
A layer of any cell has these three parameters, in blocks of `hidden_size` rows in the order of the cell's gates:

    weight_ih  (gates * hidden, input)     W, applied to all inputs of a chunk at once, before the loop over time
    weight_hh  (gates * hidden, hidden)    R, applied to the previous hidden state, step by step
    bias       (gates * hidden)            b
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, TypeAlias

from lstmgen.cells.arrays import Array, zeros

State: TypeAlias = Any
"""A NamedTuple of (batch, hidden) arrays whose first field is `hidden`."""

Gates: TypeAlias = Any
"""A NamedTuple of (batch, hidden) arrays: the activations of one step, in the order of the rows of W, R and b."""


@dataclass(frozen=True)
class Cell(ABC):
    """One step of a recurrent layer: its sizes, its state and its equations; a subclass adds fields for its options."""

    input_size: int
    hidden_size: int  # of the hidden state h, and of every gate
    state_type: ClassVar[type]
    gates_type: ClassVar[type]

    @property
    def extra_shapes(self) -> dict[str, tuple[int, ...]]:
        """The shapes of the parameters other than W, R and b, by name: none, unless a cell says otherwise."""
        return {}

    @abstractmethod
    def step(self, projected: Array, state: Any, weights: Mapping[str, Array]) -> tuple[State, Gates]:
        """Advance one step, from W x + b, (batch, gates * hidden), and the layer's parameters by name.

        Returns the state after the step, and the activated gates from which it was computed.
        """


def cell_options(kind: type[Any]) -> tuple[str, ...]:
    """The names of the options of a cell class, besides its sizes; they are fields of `ModelConfig`."""
    return tuple(field.name for field in fields(kind) if field.name not in ("input_size", "hidden_size"))


def gate_names(cell: Cell) -> tuple[str, ...]:
    """The names of the cell's gates, in the order of their rows in W, R and b."""
    return cell.gates_type._fields  # type: ignore[attr-defined,no-any-return]  # a NamedTuple class


def parameter_shapes(cell: Cell) -> dict[str, tuple[int, ...]]:
    """The shape of every parameter of one layer of this cell, by name."""
    rows = len(gate_names(cell)) * cell.hidden_size
    return {
        "weight_ih": (rows, cell.input_size),
        "weight_hh": (rows, cell.hidden_size),
        "bias": (rows,),
        **cell.extra_shapes,
    }


def initial_state(cell: Cell, batch_size: int, like: Array) -> State:
    """The state before the first step: zeros, of the same library, type and device as another array."""
    fields = cell.state_type._fields  # type: ignore[attr-defined]  # a NamedTuple class
    return cell.state_type(*(zeros((batch_size, cell.hidden_size), like) for _ in fields))
