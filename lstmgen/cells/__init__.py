"""The recurrent cells: one file for each, with the equations of one step.

Knows: which class belongs to which cell of a configuration; no other module selects one.
Does not know: torch, time (`network.unroll`) or depth (`network.architecture`).
"""

from lstmgen.cells.arrays import Array
from lstmgen.cells.base import Cell, State, initial_state, parameter_shapes
from lstmgen.cells.coupled import CoupledCell
from lstmgen.cells.gru import GRUCell
from lstmgen.cells.lstm import LSTMCell
from lstmgen.cells.peephole import PeepholeCell
from lstmgen.cells.rnn import RNNCell
from lstmgen.config import CellKind, ModelConfig

__all__ = [
    "Array",
    "Cell",
    "CoupledCell",
    "GRUCell",
    "LSTMCell",
    "PeepholeCell",
    "RNNCell",
    "State",
    "build_cell",
    "initial_state",
    "parameter_shapes",
]


def build_cell(config: ModelConfig, input_size: int) -> Cell:
    """Build the cell that a configuration selects, for inputs of the given size."""
    sizes = (input_size, config.hidden_size)
    match config.cell:
        case CellKind.RNN:
            return RNNCell(*sizes)
        case CellKind.LSTM:
            return LSTMCell(*sizes)
        case CellKind.PEEPHOLE:
            return PeepholeCell(*sizes, peepholes=config.peepholes)
        case CellKind.COUPLED:
            return CoupledCell(*sizes)
        case CellKind.GRU:
            return GRUCell(*sizes, reset=config.reset)
