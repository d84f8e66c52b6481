"""Make the pictures of the cells in docs/pictures/, which LEARN.md shows, from the cells' equations.

python docs/make_pictures.py
"""

from pathlib import Path

from lstmgen.cells import build_cell
from lstmgen.config import CellKind, ModelConfig, Peephole, Reset
from lstmgen.pages.diagram import draw_attention, draw_cell, draw_chain
from lstmgen.pages.svg import standalone

FOLDER = Path(__file__).with_name("pictures")
CELLS = {
    "rnn": ModelConfig(cell=CellKind.RNN),
    "lstm": ModelConfig(cell=CellKind.LSTM),
    "peephole": ModelConfig(cell=CellKind.PEEPHOLE),
    "peephole-forget": ModelConfig(cell=CellKind.PEEPHOLE, peepholes=(Peephole.FORGET,)),
    "coupled": ModelConfig(cell=CellKind.COUPLED),
    "gru": ModelConfig(cell=CellKind.GRU),
    "gru-before": ModelConfig(cell=CellKind.GRU, reset=Reset.BEFORE),
}
"""The cells with a picture, by the name of its file."""


def main() -> None:
    """Write every picture."""
    cells = {name: build_cell(config, input_size=1) for name, config in CELLS.items()}
    pictures = {name: draw_cell(cell) for name, cell in cells.items()}
    pictures |= {f"chain-{name}": draw_chain(cells[name], "the") for name in ("rnn", "lstm")}
    pictures["attention"] = draw_attention()
    FOLDER.mkdir(exist_ok=True)
    for name, picture in pictures.items():
        (FOLDER / f"{name}.svg").write_text(standalone(picture), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
