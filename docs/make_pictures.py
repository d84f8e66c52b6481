"""Draw the pictures of the cells in docs/pictures/, which LEARN.md shows, from the cells' equations.

python docs/make_pictures.py
"""

import re
from collections.abc import Callable
from pathlib import Path

from lstmgen.cells import build_cell
from lstmgen.config import CellKind, ModelConfig, Peephole, Reset
from lstmgen.pages.diagram import draw_attention, draw_cell, draw_chain
from lstmgen.pages.svg import BOX_HEIGHT, ROUND, Picture, standalone

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
"""The cells to draw, by the name of the picture's file."""

STEPS = ("forget", "write", "update", "output")
"""The parts of a step of the LSTM, as the names of their pictures."""

EARLIER, LATER = 0.5, 0.16  # the opacity of what comes before and after the highlighted part


def main() -> None:
    """Write every picture."""
    cells = {name: build_cell(config, input_size=1) for name, config in CELLS.items()}
    pictures = {name: draw_cell(cell) for name, cell in cells.items()}
    pictures |= {f"chain-{name}": draw_chain(cells[name], "the") for name in ("rnn", "lstm")}
    pictures["attention"] = draw_attention()
    pictures["gate"] = draw_gate()
    line = {True: 1.0, False: LATER}
    pictures["lstm-line"] = faded(pictures["lstm"], lambda shape: line["wire state" in shape or 'cy="76"' in shape])
    for part, name in enumerate(STEPS, 1):
        pictures[f"lstm-{name}"] = faded(pictures["lstm"], lambda shape, part=part: opacity(part_of(shape), part))
    FOLDER.mkdir(exist_ok=True)
    for name, picture in pictures.items():
        (FOLDER / f"{name}.svg").write_text(standalone(picture), encoding="utf-8", newline="\n")


def draw_gate() -> str:
    """Return the picture of one gate on a line."""
    picture, line, x = Picture(), 46, 150
    picture.wire((0, line), (x - ROUND, line), kind="state")
    picture.wire((x + ROUND, line), (300, line), kind="state")
    picture.wire((x, 130 - BOX_HEIGHT), (x, line + ROUND), kind="gated")
    picture.wire((x - 12, 190), (x - 12, 130 + BOX_HEIGHT), kind="input")
    picture.wire((x + 12, 190), (x + 12, 130 + BOX_HEIGHT))
    picture.circle(x, line, "×")
    picture.box(x, 130, "σ", title="a gate: a number between 0 and 1")
    for place, level, text, anchor in ((24, 34, "c", ""), (276, 34, "f c", ""), (162, 92, "f", "start")):
        picture.label(place, level, text, anchor=anchor)
    for place, text, anchor in ((x - 20, "x", "end"), (x + 20, "h", "start")):
        picture.label(place, 184, text, anchor=anchor)
    told = "σ turns x and h into a number f between 0 and 1, which multiplies the value on the line."
    return picture.svg("gate", 300, 196, "A gate", told)


def faded(picture: str, opacity_of: Callable[[str], float]) -> str:
    """Return a picture with some of its wires, boxes and labels faint; each of them is a line of the SVG."""
    shapes = (shape.replace("<g", f'<g opacity="{opacity_of(shape):g}"', 1) for shape in picture.split("\n"))
    return "\n".join(shapes).replace(' opacity="1"', "")


def opacity(part: int, shown: int) -> float:
    """The opacity of a part of a step, as on the page of `inspect --html`; part 0 belongs to all parts."""
    return 1.0 if part in (0, shown) else EARLIER if part < shown else LATER


def part_of(shape: str) -> int:
    """The part of a step that a shape belongs to, from 1, or 0 for the whole step."""
    found = re.match(r'<g[^>]* data-part="(\d+)"', shape)
    return int(found[1]) if found else 0


if __name__ == "__main__":
    main()
