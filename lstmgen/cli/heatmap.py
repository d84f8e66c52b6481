"""A text coloured by surprisal, or by anything else, in a terminal.

Without colours, a line of marks below each line of text takes their place: for surprisal, the bits, rounded.
"""

import math
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from rich.cells import cell_len
from rich.color import Color
from rich.style import Style
from rich.text import Text

from lstmgen.cli.render import columns_of, rendered, text_console, wrapped
from lstmgen.cli.report import height
from lstmgen.evaluation.characters import MAX_BITS, CharacterScore
from lstmgen.inspection.units import MIN_STRENGTH, Units
from lstmgen.inspection.walk import Unit
from lstmgen.printable import shown

_MIN_COLUMNS = 50  # for a scale next to its name
_LONGEST_PART = 200  # characters of a line to paint together
_PAPER, _LIGHT_INK, _DARK_INK = 234, 254, 16
_HEAT = (_PAPER, 52, 88, 124, 160, 196, 202, 208, 214)
_NEGATIVE, _POSITIVE = (_PAPER, 17, 18, 20, 27), (_PAPER, 52, 88, 124, 160)
_BRIGHT = _HEAT[6:]
"""Colours from the 256 that most terminals have, chosen so that any two levels look different.

Whole lines get a background of their own, because the scale would not rise evenly on an unknown one.
"""


_REST_OF_LINE = f"\x1b[48;5;{_PAPER}m\x1b[K\x1b[0m"  # gets the background too


class _Painted(NamedTuple):
    """A character and its colour."""

    text: str
    background: int  # the number of a colour
    mark: str  # the mark below it if there are no colours; empty: none


def heatmap(characters: Iterable[CharacterScore]) -> Iterator[str]:
    """Yield a text coloured by surprisal, part by part, so that each can be written at once; then a legend."""
    levels = ((character.text, character.level) for character in characters)
    yield from _paint(_Painted(text, _HEAT[number], f"{number or ''}") for text, number in levels)
    if _has_colors():
        scale = (f" {number}{'+' if number == MAX_BITS else ''} " for number in range(MAX_BITS + 1))
        yield _label("\nbits of surprisal")
        yield from _paint(_Painted(text, _HEAT[number], "") for number, text in enumerate(scale))
        yield "\n"
    else:
        yield f"\nBelow each line: bits of surprisal, rounded; {MAX_BITS} means {MAX_BITS} or more, a space means 0.\n"


def unit_text(units: Units, tokens: Sequence[str], unit: Unit | None) -> Iterator[str]:
    """Yield an excerpt of a text, coloured by what one unit remembers, and a legend.

    None is the unit of the first feature; without features nothing is shown.
    """
    best = [each.found for each in units.features if unit in (None, each.found.unit)]
    best += [each for each in units.units if each.unit == unit]
    if not best:
        return
    found, part = best[0], units.excerpts[best[0].feature]
    tracks = f"{found.feature}, {found}" if found.strength >= MIN_STRENGTH else "which tracks none of these features"
    yield f"\n{wrapped(f'Unit {found.unit}, {tracks}:', columns_of(sys.stdout))}\n\n"
    activity = units.activity[found.unit.layer - 1][part, found.unit.unit - 1].tolist()
    yield from _paint(_of_unit(text, value) for text, value in zip(tokens[part], activity, strict=True))
    if _has_colors():
        yield _label("\n\nwhat the unit remembers")
        yield from _paint(_of_unit(f" {value:+g} ", value) for value in (-1.0, -0.5, 0.0, 0.5, 1.0))
        yield "\n"
    else:
        low, high = (_of_unit("", value).mark for value in (-1, 1))
        yield f"\nBelow each line: what the unit remembers, from {low} for -1 to {high} for 1.\n"


def _of_unit(text: str, value: float) -> _Painted:
    scale = _POSITIVE if value > 0 else _NEGATIVE
    return _Painted(text, scale[math.ceil(min(abs(value), 1.0) * (len(scale) - 1))], height((value + 1) / 2))


def _label(text: str) -> str:
    """The name of a scale, on a line of its own in a narrow terminal."""
    return text + (" " if columns_of(sys.stdout) >= _MIN_COLUMNS else "\n")


def _has_colors() -> bool:
    """Whether stdout has enough colours for a scale; 16 are too few."""
    console = text_console()
    return console.color_system in ("256", "truecolor") and not console.no_color


def _paint(characters: Iterable[_Painted]) -> Iterator[str]:
    """Yield a text line by line, in colours, or with marks below lines that are short enough not to be wrapped."""
    show, room = (_in_colors, sys.maxsize) if _has_colors() else (_with_marks, columns_of(sys.stdout))
    line: list[_Painted] = []
    used = 0  # columns
    for character in characters:
        width = cell_len(shown(character.text).removesuffix("\n"))
        if line and (used + width > room or len(line) == _LONGEST_PART):
            yield show(line)
            line, used = [], 0
        line.append(character)
        used += width
        if character.text == "\n":
            yield show(line)
            line, used = [], 0
    if line:
        yield show(line)


def _in_colors(line: Iterable[_Painted]) -> str:
    text = Text()
    for character in line:
        ink = _DARK_INK if character.background in _BRIGHT else _LIGHT_INK
        style = Style(color=Color.from_ansi(ink), bgcolor=Color.from_ansi(character.background))
        text.append(shown(character.text).removesuffix("\n"), style)
    return f"{rendered(text)}{_REST_OF_LINE}\n"


def _with_marks(line: Iterable[_Painted]) -> str:
    text, marks = "", ""
    for character in line:
        visible = shown(character.text).removesuffix("\n")
        text += visible
        marks += character.mark.ljust(cell_len(visible))[: cell_len(visible)]
    return f"{text}\n{marks.rstrip()}\n"
