"""A regular expression as a graph of places, as small as the expression when its repetitions are written out.

From a place, a text goes on with one character of a set, or without a character. Nothing here grows faster than the
expression does: which places a text can be in is found while it is written (`automaton`).

Knows: the syntax of regular expressions. Does not know: which characters a model has, or texts.
"""

import re
import warnings
from collections.abc import Callable, Sequence
from re import _constants as op  # type: ignore[attr-defined]  # Python's own parser: an expression means what it
from re import _parser  # type: ignore[attr-defined]  # means in `re`; it has had no public name since Python 3.11
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lstmgen.errors import ConfigError

MOST_PLACES = 20_000
LONGEST_EXPRESSION = 10_000

Codes = NDArray[np.int64]
Forms = tuple[Codes, Codes, Codes]
"""The code points of some characters, (characters,), and those of the same characters as small and capital letters."""

CharacterSet = Callable[[Forms], NDArray[np.bool_]]
"""Tells which characters are in a set, (characters,)."""


class Place(NamedTuple):
    """How a text goes on from a place."""

    character_set: int = -1  # its number; -1: the text goes on without a character
    next: tuple[int, ...] = ()  # the places after it; after a character exactly one


class Expression:
    """The graph of an expression, which must match the whole text, so ^ and $ at its ends change nothing.

    Raises ConfigError if the expression cannot be read, has a part that is not supported, or is too large.
    """

    def __init__(self, text: str) -> None:
        self.places: list[Place] = [Place()]  # the first one is the end of a match
        self.sets: list[CharacterSet] = []
        self._set_numbers: dict[tuple[Any, int, int], int] = {}
        self._text = text
        self._parts = 0
        if len(text) > LONGEST_EXPRESSION:
            raise self._refused(f"it is longer than {LONGEST_EXPRESSION:,} characters; give a shorter one")
        try:
            with warnings.catch_warnings(action="ignore"):  # of syntax that may change; this version reads it as it is
                parsed = _parser.parse(_without_anchors(text))
            self.start = self._sequence(parsed, parsed.state.flags, then=0)
        except (re.error, OverflowError, ValueError) as error:
            raise self._refused(f"not a valid regular expression ({error}); correct it") from error
        except RecursionError:
            raise self._refused("its groups are nested too deeply; write it with fewer") from None

    def _refused(self, remedy: str) -> ConfigError:
        return ConfigError("match", repr(self._text), remedy)

    def _add(self, place: Place) -> int:
        if len(self.places) == MOST_PLACES:
            raise self._too_large()
        self.places.append(place)
        return len(self.places) - 1

    def _too_large(self) -> ConfigError:
        return self._refused(
            f"with its repetitions written out it has more than {MOST_PLACES:,} parts; give smaller numbers in {{}}"
        )

    def _sequence(self, parts: Sequence[tuple[Any, Any]], flags: int, then: int) -> int:
        """Add parts that follow each other and lead to the place `then`; returns the place where they begin."""
        self._parts += 1 + len(parts)  # an empty part adds no place, but takes time
        if self._parts > 10 * MOST_PLACES:
            raise self._too_large()
        for kind, value in reversed([*parts]):
            then = self._part(kind, value, flags, then)
        return then

    def _part(self, kind: Any, value: Any, flags: int, then: int) -> int:
        if kind in (op.LITERAL, op.NOT_LITERAL, op.ANY, op.IN):
            return self._add(Place(self._number_of_set(kind, value, flags), (then,)))
        if kind is op.BRANCH:
            return self._add(Place(next=tuple(self._sequence(option, flags, then) for option in value[1])))
        if kind is op.SUBPATTERN:
            _, added, removed, parts = value
            return self._sequence(parts, (flags | added) & ~removed, then)
        if kind in (op.MAX_REPEAT, op.MIN_REPEAT):  # which one is tried first does not matter for what matches
            least, most, parts = value
            return self._repeated(least, most, parts, flags, then)
        part = str(kind).lower().replace("_", " ")
        raise self._refused(f"it has a part that is not supported ({part}); write it without that part")

    def _repeated(self, least: int, most: Any, parts: Sequence[tuple[Any, Any]], flags: int, then: int) -> int:
        if most is op.MAXREPEAT:
            loop = self._add(Place())
            self.places[loop] = Place(next=(self._sequence(parts, flags, loop), then))
            then = loop
        else:
            end = then
            for _ in range(most - least):
                then = self._add(Place(next=(self._sequence(parts, flags, then), end)))
        for _ in range(least):
            then = self._sequence(parts, flags, then)
        return then

    def _number_of_set(self, kind: Any, value: Any, flags: int) -> int:
        """The number of a part's character set; a part that is repeated, and a character, have one set."""
        key = kind, value if isinstance(value, int) else id(value), flags & (re.IGNORECASE | re.DOTALL)
        if key not in self._set_numbers:
            self._set_numbers[key] = len(self.sets)
            self.sets.append(_character_set(kind, value, flags))
        return self._set_numbers[key]


def _character_set(kind: Any, value: Any, flags: int) -> CharacterSet:
    r"""What a part for one character matches. Classes such as \w contain ASCII characters only."""
    if kind is op.ANY:
        return lambda forms: (forms[0] != ord("\n")) | bool(flags & re.DOTALL)
    items = value if kind is op.IN else [(kind, value)]
    negated = items[0][0] in (op.NEGATE, op.NOT_LITERAL)
    kinds = [item for item in items if item[0] is not op.NEGATE]

    def contains(forms: Forms) -> NDArray[np.bool_]:
        found = np.zeros(len(forms[0]), bool)
        for form in forms if flags & re.IGNORECASE else forms[:1]:
            for item, argument in kinds:
                found |= _is_in(form, item, argument)
        return found ^ negated

    return contains


def _is_in(codes: Codes, kind: Any, value: Any) -> NDArray[np.bool_]:
    """Whether codes are in one item of a set; that a set is negated does not count."""
    if kind is op.RANGE:
        low, high = value
        within: NDArray[np.bool_] = (codes >= low) & (codes <= high)
        return within
    if kind in (op.LITERAL, op.NOT_LITERAL):
        same: NDArray[np.bool_] = codes == value
        return same
    name = str(value).removeprefix("CATEGORY_")
    members = _CATEGORIES[name.removeprefix("NOT_")]
    return np.isin(codes, [ord(character) for character in members]) ^ name.startswith("NOT_")


_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_CATEGORIES = {
    "DIGIT": "0123456789",
    "SPACE": " \t\n\r\f\v",
    "WORD": _LETTERS + _LETTERS.upper() + "0123456789_",
}


def forms_of(characters: Sequence[str]) -> Forms:
    """The code points of characters, as they are and as small and capital letters; an empty one counts as NUL."""
    small, capital = (
        [changed if len(changed := change(character)) == 1 else character for character in characters]
        for change in (str.lower, str.upper)
    )
    return _codes_of(characters), _codes_of(small), _codes_of(capital)


def _codes_of(characters: Sequence[str]) -> Codes:
    return np.array([ord(character or "\0") for character in characters], np.int64)


def _without_anchors(expression: str) -> str:
    r"""Remove ^, \A, $ and \Z at the ends of an expression; they change nothing, because the whole text must match."""
    expression = re.sub(r"^(\^|\\A)+", "", expression)
    return re.sub(r"(?<!\\)((?:\\\\)*)(\$|\\Z)+$", r"\1", expression)
