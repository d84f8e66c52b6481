"""Text that is safe to show, without terminal escapes; one-line messages; readable numbers."""

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

_KEPT = {"\n", "\t"}


def _replacement(code: int) -> str:
    """Return the visible replacement for a control character."""
    if code < 0x20:
        return chr(0x2400 + code)
    return "\u2421" if code == 0x7F else f"<U+{code:04X}>"


_DIRECTIONS = [
    0x061C,
    0x200E,
    0x200F,
    *range(0x202A, 0x202F),
    *range(0x2066, 0x206A),
]  # these change the direction of a line
_CONTROLS = [*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029, *_DIRECTIONS, *range(0xD800, 0xE000)]
_SAFE = {code: _replacement(code) for code in _CONTROLS if chr(code) not in _KEPT}
_IN_JSON = {code: f"\\u{code:04x}" for code in _CONTROLS}
_LINE_FEED = "\u240a"  # `shown` uses an arrow instead, because more fonts have it
_SAFE_LINE = _SAFE | {ord("\n"): _LINE_FEED, ord("\t"): "\u2409"}

_BEGINNING, _END = 600, 400  # characters of a long message that are kept
_OMITTED = " ... "

MESSAGE_LENGTH = _BEGINNING + len(_OMITTED) + _END
"""The length of the longest message."""


def printable(text: str, *, single_line: bool = False) -> str:
    """Return the text with control characters replaced by visible ones, so that it cannot control a terminal.

    Line feeds and tabs stay, unless the text must be a single line.
    """
    return text.translate(_SAFE_LINE if single_line else _SAFE)


def shown(text: str) -> str:
    """Return a character in visible form; a line feed becomes an arrow and a line break."""
    return printable(text, single_line=True).replace(_LINE_FEED, "\u21b5\n")


def name_of(character: str) -> str:
    """Return a single character in visible form, including a space."""
    return "\u2423" if character == " " else printable(character, single_line=True).replace(_LINE_FEED, "\u21b5")


def count(number: float) -> str:
    """Return a large number with three digits: 949, 1.12 M."""
    for unit in ("", " k", " M"):
        if number < 999.5:  # a larger number would be rounded to 1000, which belongs to the next unit
            return f"{readably(number, 3)}{unit}"
        number /= 1000
    return f"{readably(number, 3)} G"


def json_line(value: Mapping[str, Any]) -> str:
    """Return an object as a line of JSON; all control characters are escaped, Unicode's too."""
    return json.dumps(value, ensure_ascii=False).translate(_IN_JSON) + "\n"


def message_line(text: str) -> str:
    """Return a message as one printable line; a long one loses its middle, so that its remedy stays."""
    if len(text) > MESSAGE_LENGTH:
        text = text[:MESSAGE_LENGTH] + text[-MESSAGE_LENGTH:]  # before the work on each character
    line = printable(text, single_line=True)
    return line if len(line) <= MESSAGE_LENGTH else line[:_BEGINNING] + _OMITTED + line[-_END:]


def readably(number: float, digits: int = 6) -> str:
    """Return a number as people write it, rounded to so many digits: 3,080 and 0.00005, never 3.08e+03 or 5e-05."""
    return f"{Decimal(f'{number:.{digits}g}'):,f}"
