"""The filter `match`: the whole sample matches a regular expression.

A token is allowed only if the remaining tokens can still complete a match. So this filter alone never reaches a dead
end: after every token a match is still possible. But another filter may exclude all such tokens, and a stop text may
cut a match short, so every finished sample is checked as well.

If the text already matches but could continue, the model decides: the sample ends with the total probability of all
tokens that cannot continue the match. That probability is an extra column of the logits.

The expression becomes a graph of states, as large as the expression with its repetitions written out. A text can be in
several states at once: a state set. With n states there can be 2^n sets, so a set is computed when a text reaches it,
and only the most recent ones are kept.
"""

import re
import warnings
from collections.abc import Sequence
from functools import lru_cache, reduce
from operator import or_
from re import _compiler, _parser  # type: ignore[attr-defined]  # Python's own parser and compiler: an expression means
from re import _constants as op  # type: ignore[attr-defined]  # what it means in `re`; private names since Python 3.11
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lstmgen.errors import ConfigError
from lstmgen.generation.engine import FloatArray
from lstmgen.generation.filters.base import Filter, History

UNREACHABLE = 1 << 30
"""A distance; also the number of remaining tokens if a sample has no maximum length."""
MAX_EXPRESSION = 10_000  # characters
MAX_STATES = 20_000
_KEPT_SETS = 512

_TEXT_FLAGS = int(re.ASCII | re.UNICODE)
_BEGINNINGS = {op.AT_BEGINNING: "^", op.AT_BEGINNING_STRING: r"\A"}
_ENDS = {op.AT_END: "$", op.AT_END_STRING: r"\Z"}
_POSITIONS = {**_BEGINNINGS, **_ENDS, op.AT_BOUNDARY: r"\b", op.AT_NON_BOUNDARY: r"\B"}

StateSet = int
"""The states that a text can be in, one bit each."""


class State(NamedTuple):
    """How a text continues from a state, and how many tokens away the nearest match is."""

    next: tuple[int, ...]  # the following states, with smaller numbers except in loops; after a character exactly one
    character_set: int  # its number; -1: the text moves on without a character
    distance: int


class Automaton:
    """A regular expression over ids: which tokens can continue a match, and how far away the nearest match is."""

    def __init__(self, text: str, characters: Sequence[str], length: int = -1) -> None:
        r"""Read a regular expression in Python's syntax, without group references, look-around and word boundaries.

        It must match the whole text, so ^ and $ at its ends change nothing. `characters` has the character of each id,
        empty if no match may contain it. A match has at most `length` tokens; -1: no maximum.

        Raises ConfigError if it is invalid, unsupported or too large, or if these characters and this length allow no
        match.
        """
        self._text, self._characters = text, characters
        self._drawable = np.flatnonzero([character != "" for character in characters])
        self._states = [State(next=(), character_set=-1, distance=0)]  # the end of a match
        self._sets: list[NDArray[np.bool_]] = []  # which ids are in a character set, (vocab,) each
        self._set_numbers: dict[tuple[Any, int, int], int] = {}
        self._parts = 0
        start = self._read()
        self.shortest = self._states[start].distance
        """The length of the shortest match in tokens."""
        if self.shortest >= UNREACHABLE:
            raise self._refused("the characters that the model knows cannot form a match; change the pattern")
        if 0 <= length < self.shortest:
            shortest = f"its shortest match has {self.shortest:,} characters"
            raise self._refused(f"{shortest}, but `length` is {length}; give a larger `length`")
        self._in_set = np.array(self._sets, bool).reshape(-1, len(characters))
        self._character_set_of = np.array([state.character_set for state in self._states])
        self._distance = np.array([state.distance for state in self._states])
        self._reached = self._reached_without_characters()
        self.start: StateSet = self._reached[start]
        self.after = lru_cache(_KEPT_SETS)(self._after)
        self._distance_after = lru_cache(_KEPT_SETS)(self._compute_distance_after)

    def allowed(self, state_set: StateSet, left: int) -> NDArray[np.bool_]:
        """Which tokens, (vocab,), lead to a match within `left` tokens, counting the token itself."""
        return self._distance_after(state_set) < left

    def matches(self, state_set: StateSet) -> bool:
        """Whether a text that leads to these states is a match."""
        return bool(state_set & 1)

    def _after(self, state_set: StateSet, token: int) -> StateSet:
        """The states after a token."""
        states = self._states_of(state_set)
        taken = states[self._in_set[self._character_set_of[states], token]].tolist()
        return reduce(or_, (self._reached[self._states[state].next[0]] for state in taken), 0)

    def _compute_distance_after(self, state_set: StateSet) -> NDArray[np.int64]:
        """The distance to the nearest match after each token, (vocab,)."""
        states = self._states_of(state_set)
        distance = np.full(len(self._characters), UNREACHABLE, np.int64)
        for number in np.unique(self._character_set_of[states]):
            nearest = self._distance[states[self._character_set_of[states] == number]].min() - 1
            np.minimum(distance, nearest, out=distance, where=self._in_set[number])
        return distance

    def _states_of(self, state_set: StateSet) -> NDArray[np.int64]:
        """The states of a set that consume a character next."""
        bits = np.frombuffer(state_set.to_bytes(len(self._states) // 8 + 1, "little"), np.uint8)
        states = np.flatnonzero(np.unpackbits(bits, bitorder="little"))
        return states[states > 0]

    def _reached_without_characters(self) -> list[StateSet]:
        """For each state, the set of states that a text in it is also in, without reading another character.

        Omits states from which no match can be reached. Only loops need a second round.
        """
        useful = [state.distance < UNREACHABLE for state in self._states]
        own = [number == 0 or state.character_set >= 0 for number, state in enumerate(self._states)]
        state_sets = [1 << number if own[number] and useful[number] else 0 for number in range(len(self._states))]
        before: list[StateSet] = []
        while state_sets != before:
            before = [*state_sets]
            for number, state in enumerate(self._states):
                if not own[number] and useful[number]:
                    state_sets[number] = reduce(or_, (state_sets[each] for each in state.next), state_sets[number])
        return state_sets

    def _read(self) -> int:
        """Add the states of the whole expression; return the state where it begins."""
        if len(self._text) > MAX_EXPRESSION:
            raise self._refused(f"it is longer than {MAX_EXPRESSION:,} characters; shorten it")
        try:
            with warnings.catch_warnings(action="ignore"):  # about syntax whose meaning may change in a later Python
                parsed = _parser.parse(self._text)
            self._group_names = {number: name for name, number in parsed.state.groupdict.items()}
            parts = [*parsed]
            while parts and parts[0][0] is op.AT and parts[0][1] in _BEGINNINGS:
                parts = parts[1:]
            while parts and parts[-1][0] is op.AT and parts[-1][1] in _ENDS:
                parts = parts[:-1]
            return self._sequence(parts, parsed.state.flags, then=0)
        except (re.error, OverflowError, ValueError) as error:
            raise self._refused(f"not a valid regular expression ({error}); correct it") from error
        except RecursionError:
            raise self._refused("its groups are nested too deeply; use fewer") from None

    def _refused(self, remedy: str) -> ConfigError:
        return ConfigError("match", repr(self._text), remedy)

    def _add(self, *following: int, character_set: int = -1) -> int:
        """Add a state. Its distance is known already, because the shortest way to a match never goes round a loop."""
        if len(self._states) == MAX_STATES:
            raise self._too_large()
        distance = min(self._states[state].distance for state in following)
        if character_set >= 0:
            distance = min(distance + 1, UNREACHABLE) if self._sets[character_set].any() else UNREACHABLE
        self._states.append(State(following, character_set, distance))
        return len(self._states) - 1

    def _too_large(self) -> ConfigError:
        return self._refused(
            f"with its repetitions written out it has more than {MAX_STATES:,} parts; use smaller numbers in {{}}"
        )

    def _sequence(self, parts: Sequence[tuple[Any, Any]], flags: int, then: int) -> int:
        """Add consecutive parts that lead to the state `then`; return the state where they begin."""
        self._parts += 1 + len(parts)  # an empty part adds no state, but takes time
        if self._parts > 10 * MAX_STATES:
            raise self._too_large()
        for kind, value in reversed([*parts]):
            then = self._part(kind, value, flags, then)
        return then

    def _part(self, kind: Any, value: Any, flags: int, then: int) -> int:
        if kind in (op.LITERAL, op.NOT_LITERAL, op.ANY, op.IN):
            return self._add(then, character_set=self._number_of_set(kind, value, flags))
        if kind is op.BRANCH:
            return self._add(*[self._sequence(option, flags, then) for option in value[1]])
        if kind is op.SUBPATTERN:
            _, added, removed, parts = value
            kept = flags & ~_TEXT_FLAGS if added & _TEXT_FLAGS else flags
            return self._sequence(parts, (kept | added) & ~removed, then)
        if kind in (op.MAX_REPEAT, op.MIN_REPEAT):  # greedy or not, the same texts match
            min_times, max_times, parts = value
            return self._repeated(min_times, max_times, parts, flags, then)
        raise self._refused(f"{self._spelled(kind, value)} is not supported; rewrite the pattern without it")

    def _spelled(self, kind: Any, value: Any) -> str:
        """An unsupported part in the syntax of expressions."""
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
            low, high, _ = value
            numbers = f"{low or ''},{'' if high is op.MAXREPEAT else high}" if low != high else f"{low}"
            short = {(0, op.MAXREPEAT): "*", (1, op.MAXREPEAT): "+", (0, 1): "?"}
            return short.get((low, high), f"{{{numbers}}}") + "+"
        return "(?>...)" if kind is op.ATOMIC_GROUP else "(?!...)"  # later versions parse that as FAILURE

    def _repeated(self, min_times: int, max_times: Any, parts: Sequence[tuple[Any, Any]], flags: int, then: int) -> int:
        if max_times is op.MAXREPEAT:
            loop = self._add(then)
            self._states[loop] = self._states[loop]._replace(next=(self._sequence(parts, flags, loop), then))
            then = loop
        else:
            end = then
            for _ in range(max_times - min_times):
                then = self._add(self._sequence(parts, flags, then), end)
        for _ in range(min_times):
            then = self._sequence(parts, flags, then)
        return then

    def _number_of_set(self, kind: Any, value: Any, flags: int) -> int:
        """The number of a part's character set; repeated parts and equal characters share one set.

        A single search over all characters, for runs of those in the set, is much faster than one search for each.
        """
        key = kind, value if isinstance(value, int) else id(value), flags
        if key not in self._set_numbers:
            self._set_numbers[key] = len(self._sets)
            state = _parser.State()
            state.flags = flags
            one = _parser.SubPattern(state, [(kind, value)])
            some = _parser.SubPattern(state, [(op.MAX_REPEAT, (1, op.MAXREPEAT, one))])
            in_set = np.zeros(len(self._characters), bool)
            for found in _compiler.compile(some, flags).finditer("".join(self._characters)):
                in_set[self._drawable[found.start() : found.end()]] = True
            self._sets.append(in_set)
        return self._set_numbers[key]


def match(automaton: Automaton, length: int, rows: int, end: int | None) -> Filter:
    """Allow only tokens that lead to a match; if the text is already a match, also allow it to end.

    A sample has at most `length` tokens; -1: no maximum. `end` is the token by which the model itself ends a sample;
    None: there is none. The filter adds one column to the logits; drawing that column ends the sample.
    """
    states = [automaton.start] * rows

    def apply(logits: FloatArray, history: History) -> FloatArray:
        vocab_size = logits.shape[-1]
        left = length - history.written if length >= 0 else UNREACHABLE
        filtered = np.full((rows, vocab_size + 1), -np.inf, np.float32)
        for row, tail in enumerate(history.tails):
            if history.written and (last := ord(tail[-1])) != end:
                states[row] = automaton.after(states[row], last)
            allowed = automaton.allowed(states[row], left)
            np.copyto(filtered[row, :vocab_size], logits[row], where=allowed)
            if automaton.matches(states[row]):
                if end is not None:
                    filtered[row, end] = logits[row, end]
                elif not allowed.all():
                    filtered[row, vocab_size] = np.logaddexp.reduce(logits[row, ~allowed])
        return filtered

    return Filter(apply, history_length=1)
