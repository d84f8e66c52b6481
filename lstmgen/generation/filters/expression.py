"""A regular expression as a graph of states, as small as the expression when its repetitions are written out.

From a state, a text goes on with one character of a set, or without a character. Nothing here grows faster than the
expression does: which states a text can be in is found while it is written (`automaton`).
"""

import re
import warnings
from collections.abc import Sequence
from re import _compiler, _parser  # type: ignore[attr-defined]  # Python's own parser and compiler: an expression means
from re import _constants as op  # type: ignore[attr-defined]  # what it means in `re`; private names since Python 3.11
from typing import Any, NamedTuple

from lstmgen.errors import ConfigError

MAX_STATES = 20_000
LONGEST_EXPRESSION = 10_000

_TEXT_FLAGS = int(re.ASCII | re.UNICODE)
_BEGINNINGS = (op.AT_BEGINNING, op.AT_BEGINNING_STRING)
_ENDS = (op.AT_END, op.AT_END_STRING)


class State(NamedTuple):
    """How a text goes on from a state."""

    character_set: int = -1  # its number; -1: the text goes on without a character
    next: tuple[int, ...] = ()  # the states after it; after a character exactly one


class Expression:
    """The graph of an expression, which must match the whole text, so ^ and $ at its ends change nothing.

    Raises ConfigError if the expression cannot be read, has a part that is not supported, or is too large.
    """

    def __init__(self, text: str) -> None:
        self.states: list[State] = [State()]  # the first one is the end of a match
        self.sets: list[re.Pattern[str]] = []
        """The character sets, each as a regular expression for one or more of its characters."""
        self._set_numbers: dict[tuple[Any, int, int], int] = {}
        self._text = text
        self._parts = 0
        if len(text) > LONGEST_EXPRESSION:
            raise self._refused(f"it is longer than {LONGEST_EXPRESSION:,} characters; give a shorter one")
        try:
            with warnings.catch_warnings(action="ignore"):  # of syntax that may change; this version reads it as it is
                parsed = _parser.parse(text)
            self._group_names = {number: name for name, number in parsed.state.groupdict.items()}
            self.start = self._sequence(_without_anchors([*parsed]), parsed.state.flags, then=0)
        except (re.error, OverflowError, ValueError) as error:
            raise self._refused(f"not a valid regular expression ({error}); correct it") from error
        except RecursionError:
            raise self._refused("its groups are nested too deeply; write it with fewer") from None

    def _refused(self, remedy: str) -> ConfigError:
        return ConfigError("match", repr(self._text), remedy)

    def _add(self, state: State) -> int:
        if len(self.states) == MAX_STATES:
            raise self._too_large()
        self.states.append(state)
        return len(self.states) - 1

    def _too_large(self) -> ConfigError:
        return self._refused(
            f"with its repetitions written out it has more than {MAX_STATES:,} parts; give smaller numbers in {{}}"
        )

    def _sequence(self, parts: Sequence[tuple[Any, Any]], flags: int, then: int) -> int:
        """Add parts that follow each other and lead to the state `then`; returns the state where they begin."""
        self._parts += 1 + len(parts)  # an empty part adds no state, but takes time
        if self._parts > 10 * MAX_STATES:
            raise self._too_large()
        for kind, value in reversed([*parts]):
            then = self._part(kind, value, flags, then)
        return then

    def _part(self, kind: Any, value: Any, flags: int, then: int) -> int:
        if kind in (op.LITERAL, op.NOT_LITERAL, op.ANY, op.IN):
            return self._add(State(self._number_of_set(kind, value, flags), (then,)))
        if kind is op.BRANCH:
            return self._add(State(next=tuple(self._sequence(option, flags, then) for option in value[1])))
        if kind is op.SUBPATTERN:
            _, added, removed, parts = value
            kept = flags & ~_TEXT_FLAGS if added & _TEXT_FLAGS else flags
            return self._sequence(parts, (kept | added) & ~removed, then)
        if kind in (op.MAX_REPEAT, op.MIN_REPEAT):  # which one is tried first does not matter for what matches
            least, most, parts = value
            return self._repeated(least, most, parts, flags, then)
        raise self._refused(f"{self._spelled(kind, value)} is not supported; write the expression without it")

    def _spelled(self, kind: Any, value: Any) -> str:
        """An unsupported part, as it is written in an expression."""
        if kind is op.AT:
            return _POSITIONS[value]
        if kind in (op.ASSERT, op.ASSERT_NOT):
            return f"(?{'<' if value[0] < 0 else ''}{'=' if kind is op.ASSERT else '!'}...)"
        if kind is op.GROUPREF:
            name = f"(?P={self._group_names.get(value)})"
            return name if name in self._text else f"\\{value}"
        if kind is op.GROUPREF_EXISTS:
            return f"(?({self._group_names.get(value[0], value[0])})...)"
        if kind is op.POSSESSIVE_REPEAT:
            least, most, _ = value
            numbers = f"{least or ''},{'' if most is op.MAXREPEAT else most}" if least != most else f"{least}"
            short = {(0, op.MAXREPEAT): "*", (1, op.MAXREPEAT): "+", (0, 1): "?"}
            return short.get((least, most), f"{{{numbers}}}") + "+"
        return "(?>...)" if kind is op.ATOMIC_GROUP else "(?!...)"  # what later versions read as FAILURE

    def _repeated(self, least: int, most: Any, parts: Sequence[tuple[Any, Any]], flags: int, then: int) -> int:
        if most is op.MAXREPEAT:
            loop = self._add(State())
            self.states[loop] = State(next=(self._sequence(parts, flags, loop), then))
            then = loop
        else:
            end = then
            for _ in range(most - least):
                then = self._add(State(next=(self._sequence(parts, flags, then), end)))
        for _ in range(least):
            then = self._sequence(parts, flags, then)
        return then

    def _number_of_set(self, kind: Any, value: Any, flags: int) -> int:
        """The number of a part's character set; a part that is repeated, and a character, have one set."""
        key = kind, value if isinstance(value, int) else id(value), flags
        if key not in self._set_numbers:
            self._set_numbers[key] = len(self.sets)
            state = _parser.State()
            state.flags = flags
            one = _parser.SubPattern(state, [(kind, value)])
            some = _parser.SubPattern(state, [(op.MAX_REPEAT, (1, op.MAXREPEAT, one))])
            self.sets.append(_compiler.compile(some, flags))
        return self._set_numbers[key]


_POSITIONS = {
    op.AT_BEGINNING: "^",
    op.AT_BEGINNING_STRING: r"\A",
    op.AT_BOUNDARY: r"\b",
    op.AT_NON_BOUNDARY: r"\B",
    op.AT_END: "$",
    op.AT_END_STRING: r"\Z",
}


def _without_anchors(parts: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    r"""Remove ^, \A, $ and \Z at the ends of an expression; they change nothing, because the whole text must match."""
    while parts and parts[0][0] is op.AT and parts[0][1] in _BEGINNINGS:
        parts = parts[1:]
    while parts and parts[-1][0] is op.AT and parts[-1][1] in _ENDS:
        parts = parts[:-1]
    return parts
