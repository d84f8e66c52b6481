"""A text coloured by surprise, or by anything else, in a terminal.

Without colours, a line of marks below each line of the text stands for them: for surprise its bits, rounded.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple, TypeAlias

from rich.cells import cell_len
from rich.color import Color
from rich.style import Style
from rich.text import Text

from lstmgen.cli.render import rendered, text_console
from lstmgen.evaluation.characters import MOST_BITS, CharacterScore
from lstmgen.printable import shown

RGB: TypeAlias = tuple[float, float, float]
"""Red, green and blue, 0 to 255."""

_LONGEST_PART = 200  # characters of a line that are shown together
PAPER, _HOT, _INK = (22, 23, 26), (214, 62, 8), (236, 233, 227)
"""Colours. The background is fixed too: on an unknown one, the scale of colours might not rise evenly."""


class Painted(NamedTuple):
    """A character and its colour."""

    text: str
    background: RGB
    mark: str  # what stands below it where there are no colours; empty: nothing


def heatmap(characters: Iterable[CharacterScore]) -> Iterator[str]:
    """Yield a text coloured by surprise in parts, so that each can be written before the next is made, and a legend."""
    levels = ((character.text, character.level) for character in characters)
    yield from paint(Painted(text, _background(number), f"{number or ''}") for text, number in levels)
    if in_colors():
        scale = (f" {number}{'+' if number == MOST_BITS else ''} " for number in range(MOST_BITS + 1))
        yield "\nbits of surprise "
        yield from paint(Painted(text, _background(number), "") for number, text in enumerate(scale))
        yield "\n"
    else:
        yield f"\nBelow each line: bits of surprise, rounded; {MOST_BITS} means {MOST_BITS} or more, a space means 0.\n"


def in_colors() -> bool:
    """Whether stdout has enough colours for a scale; 16 are too few."""
    console = text_console()
    return console.color_system in ("256", "truecolor") and not console.no_color


def paint(characters: Iterable[Painted]) -> Iterator[str]:
    """Yield a text, line by line, in its colours or with its marks below each line."""
    show = _in_colors if in_colors() else _with_marks
    return map(show, _lines(characters))


def mix(from_: RGB, to: RGB, fraction: float) -> RGB:
    """Return the colour between two, at this fraction of the way from the first to the second."""
    red, green, blue = (start + fraction * (end - start) for start, end in zip(from_, to, strict=True))
    return red, green, blue


def _lines(characters: Iterable[Painted]) -> Iterator[list[Painted]]:
    """Split a text into lines, and long lines into parts."""
    line: list[Painted] = []
    for character in characters:
        line.append(character)
        if character.text == "\n" or len(line) == _LONGEST_PART:
            yield line
            line = []
    if line:
        yield line


def _in_colors(line: Iterable[Painted]) -> str:
    text = Text()
    for character in line:
        style = Style(color=Color.from_rgb(*_INK), bgcolor=Color.from_rgb(*character.background))
        text.append(shown(character.text), style)
    return rendered(text)


def _background(number: int) -> RGB:
    return mix(PAPER, _HOT, number / MOST_BITS)


def _with_marks(line: Iterable[Painted]) -> str:
    text, marks = "", ""
    for character in line:
        visible = shown(character.text).removesuffix("\n")
        text += visible
        marks += character.mark.ljust(cell_len(visible))[: cell_len(visible)]
    return f"{text}\n{marks.rstrip()}\n"
