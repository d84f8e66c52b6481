"""A text coloured by surprise, in a terminal.

Without colours, a line of digits below each line of the text shows the bits of each character, rounded.

Knows: characters, their bits, and how both are shown. Does not know: where they come from, or web pages.
"""

import sys
from collections.abc import Iterable, Iterator

from rich.cells import cell_len
from rich.color import Color
from rich.console import Console
from rich.style import Style
from rich.text import Text

from lstmgen.cli.render import printable
from lstmgen.evaluation.characters import CharacterScore

MOST_BITS = 8
"""The highest level of the scale, for this many bits of surprise and more."""

_LINE_FEED = "\u240a"  # as `printable` shows it; the arrow is in more fonts
_LONGEST_PART = 200  # characters of a line that are shown together
_PAPER, _HOT, _INK = (22, 23, 26), (214, 62, 8), (236, 233, 227)
"""RGB colours. The background is fixed too: on an unknown one, the scale of colours might not rise evenly."""


def level(character: CharacterScore) -> int:
    """Return the level of a character's colour: its bits, rounded, from 0 to `MOST_BITS`."""
    return min(MOST_BITS, round(character.bits))


def shown(text: str) -> str:
    """Return a character in visible form; a line feed follows its symbol."""
    return printable(text, single_line=True).replace(_LINE_FEED, "\u21b5\n")


def name_of(symbol: str) -> str:
    """Return a single symbol in visible form; a space is visible, too."""
    return "\u2423" if symbol == " " else printable(symbol, single_line=True).replace(_LINE_FEED, "\u21b5")


def alternatives(character: CharacterScore) -> str:
    """Return the symbols that were expected at its position with their probabilities; of those of 0%, the first."""
    shown = [f"{name_of(expected.symbol)} {expected.probability:.0%}" for expected in character.expected]
    return "  ".join(text for number, text in enumerate(shown) if number == 0 or not text.endswith(" 0%"))


def heatmap(characters: Iterable[CharacterScore]) -> Iterator[str]:
    """Yield the text in parts, so that each can be written before the next is made, and a legend."""
    console = Console(file=sys.stdout, highlight=False, markup=False, soft_wrap=True)
    colored = (
        console.color_system in ("256", "truecolor") and not console.no_color
    )  # 16 colours are too few for the scale
    for line in _lines(characters):
        yield _in_colors(console, line) if colored else _in_digits(line)
    if colored:
        scale = Text("\nbits of surprise ")
        for number in range(MOST_BITS + 1):
            scale.append(f" {number}{'+' if number == MOST_BITS else ''} ", _style(number))
        yield _rendered(console, scale.append("\n"))
    else:
        yield f"\nBelow each line: bits of surprise, rounded; {MOST_BITS} means {MOST_BITS} or more, a space means 0.\n"


def _lines(characters: Iterable[CharacterScore]) -> Iterator[list[CharacterScore]]:
    """Split a text into lines, and long lines into parts."""
    line: list[CharacterScore] = []
    for character in characters:
        line.append(character)
        if character.text == "\n" or len(line) == _LONGEST_PART:
            yield line
            line = []
    if line:
        yield line


def _in_colors(console: Console, line: Iterable[CharacterScore]) -> str:
    text = Text()
    for character in line:
        text.append(shown(character.text), _style(level(character)))
    return _rendered(console, text)


def _rendered(console: Console, text: Text) -> str:
    with console.capture() as capture:
        console.print(text, end="")
    return capture.get()


def _style(number: int) -> Style:
    fraction = number / MOST_BITS
    red, green, blue = (paper + fraction * (hot - paper) for paper, hot in zip(_PAPER, _HOT, strict=True))
    return Style(color=Color.from_rgb(*_INK), bgcolor=Color.from_rgb(red, green, blue))


def _in_digits(line: Iterable[CharacterScore]) -> str:
    text, digits = "", ""
    for character in line:
        visible = shown(character.text).removesuffix("\n")
        text += visible
        digits += f"{level(character) or ' '}".ljust(cell_len(visible))[: cell_len(visible)]
    return f"{text}\n{digits.rstrip()}\n"
