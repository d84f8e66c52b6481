"""The recurrent cells: one file for each, with the equations of one step."""

from lstmgen.cells.arrays import Array
from lstmgen.cells.base import Cell, State, cell_options, initial_state, parameter_shapes
from lstmgen.cells.coupled import CoupledCell
from lstmgen.cells.gru import GRUCell
from lstmgen.cells.lstm import LSTMCell
from lstmgen.cells.peephole import PeepholeCell
from lstmgen.cells.rnn import RNNCell
from lstmgen.config import CellKind, ModelConfig

__all__ = [
    "CELLS",
    "Array",
    "Cell",
    "State",
    "build_cell",
    "cell_options",
    "initial_state",
    "parameter_shapes",
]

CELLS: dict[CellKind, type[Cell]] = {
    CellKind.RNN: RNNCell,
    CellKind.LSTM: LSTMCell,
    CellKind.PEEPHOLE: PeepholeCell,
    CellKind.COUPLED: CoupledCell,
    CellKind.GRU: GRUCell,
}
"""The class of each cell."""


def build_cell(config: ModelConfig, input_size: int) -> Cell:
    """Build the cell that a configuration selects, with its options, for inputs of the given size."""
    kind = CELLS[config.cell]
    return kind(input_size, config.hidden_size, **{name: getattr(config, name) for name in cell_options(kind)})
