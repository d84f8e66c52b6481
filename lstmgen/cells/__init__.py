"""The recurrent cells: one file each, with the equations of one step.

To add a cell, write its file, add its name to `config.CellKind`, and import its module below.
"""

from dataclasses import fields

from lstmgen.cells import coupled, gru, lstm, peephole, rnn  # noqa: F401  # each defines a cell of `CELLS`
from lstmgen.cells.arrays import Array
from lstmgen.cells.base import Cell, Gates, Parameters, State
from lstmgen.config import CellKind, ModelConfig

__all__ = ["CELLS", "Array", "Cell", "Gates", "Parameters", "State", "build_cell", "cell_options"]

CELLS: dict[CellKind, type[Cell]] = {cell.kind: cell for cell in Cell.__subclasses__()}
"""The class of each cell."""


def cell_options(cell: type[Cell]) -> tuple[str, ...]:
    """The names of a cell's options apart from its sizes; they are fields of `ModelConfig`."""
    return tuple(field.name for field in fields(cell) if field.name not in ("input_size", "hidden_size"))


def build_cell(config: ModelConfig, input_size: int) -> Cell:
    """Build the configured cell, with its options, for inputs of the given size."""
    cell = CELLS[config.cell]
    return cell(input_size, config.hidden_size, **{name: getattr(config, name) for name in cell_options(cell)})
