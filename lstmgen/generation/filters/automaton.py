"""Which symbols can continue a match of a regular expression, and how far the nearest match is.

A text can be in several places of the expression at once; they are a state. There may be very many states, as many as
2 to the number of places. So a state is made when a text comes to it, and only the last ones are kept.
"""

from collections import deque
from collections.abc import Sequence
from functools import lru_cache, reduce
from operator import or_

import numpy as np
from numpy.typing import NDArray

from lstmgen.errors import ConfigError
from lstmgen.generation.filters.expression import Expression

UNREACHABLE = 1 << 30
"""A distance; also the number of symbols left where a sample has no maximum length."""

_KEPT_STATES = 512

State = int
"""The places that a text can be in, one bit each."""


class Automaton:
    """A regular expression over ids."""

    def __init__(self, text: str, characters: Sequence[str], length: int = -1) -> None:
        r"""Read a regular expression in Python's syntax, without group references, look-around and word boundaries.

        It must match the whole text. `characters` are those of the ids, empty for an id that no match may contain.
        A match has at most `length` symbols; -1: no maximum.

        Raises ConfigError if it cannot be read, is too large, or no match can be written with these characters and
        this length.
        """
        expression = Expression(text)
        self._places = expression.places
        drawable, joined = np.flatnonzero([character != "" for character in characters]), "".join(characters)
        self._sets = np.zeros((len(expression.sets), len(characters)), bool)
        for number, characters_of_set in enumerate(expression.sets):
            for found in characters_of_set.finditer(joined):
                self._sets[number, drawable[found.start() : found.end()]] = True
        self._set_of = np.array([place.character_set for place in self._places])
        self._distance = self._distances()
        self._closures = self._follow_without_characters()
        self.start: State = self._closures[expression.start]
        self.shortest = int(self._distance[expression.start])
        """The length of the shortest match in symbols."""
        if self.shortest >= UNREACHABLE:
            raise ConfigError(
                "match", repr(text), "the characters that the model knows cannot form a match; give another expression"
            )
        if 0 <= length < self.shortest:
            raise ConfigError(
                "match",
                repr(text),
                f"its shortest match has {self.shortest:,} characters, `length` is {length}; give a larger `length`",
            )
        self.after = lru_cache(_KEPT_STATES)(self._after)
        self._distance_after = lru_cache(_KEPT_STATES)(self._compute_distance_after)

    def allowed(self, state: State, left: int) -> NDArray[np.bool_]:
        """Which symbols, (vocab,), lead to a match within `left` symbols; the symbol itself is counted."""
        return self._distance_after(state) < left

    def matches(self, state: State) -> bool:
        """Whether a text that leads to this state is a match."""
        return bool(state & 1)

    def _after(self, state: State, symbol: int) -> State:
        """The state after a symbol."""
        places = self._of(state)
        taken = places[self._sets[self._set_of[places], symbol]].tolist()
        return reduce(or_, (self._closures[self._places[place].next[0]] for place in taken), 0)

    def _compute_distance_after(self, state: State) -> NDArray[np.int64]:
        """The distance to the nearest match after each symbol, (vocab,)."""
        places = self._of(state)
        distance = np.full(self._sets.shape[1], UNREACHABLE, np.int64)
        for row in np.unique(self._set_of[places]):
            nearest = self._distance[places[self._set_of[places] == row]].min() - 1
            np.minimum(distance, nearest, out=distance, where=self._sets[row])
        return distance

    def _of(self, state: State) -> NDArray[np.int64]:
        """The places of a state from which a text goes on with a character."""
        bits = np.frombuffer(state.to_bytes(len(self._places) // 8 + 1, "little"), np.uint8)
        places = np.flatnonzero(np.unpackbits(bits, bitorder="little"))
        return places[places > 0]

    def _distances(self) -> NDArray[np.int64]:
        """The distance of each place, (places,), from the nearest match in symbols."""
        possible = [row < 0 or bool(self._sets[row].any()) for row in self._set_of.tolist()]
        before: list[list[int]] = [[] for _ in self._places]
        for number, place in enumerate(self._places):
            for following in place.next if possible[number] else ():
                before[following].append(number)
        distance = [UNREACHABLE] * len(self._places)
        distance[0] = 0
        waiting = deque([0])
        while waiting:
            reached = waiting.popleft()
            for number in before[reached]:
                further = distance[reached] + (self._places[number].character_set >= 0)
                if further < distance[number]:
                    distance[number] = further
                    (waiting.append if self._places[number].character_set >= 0 else waiting.appendleft)(number)
        return np.array(distance, np.int64)

    def _follow_without_characters(self) -> list[State]:
        """For each place the state of a text that comes to it: the places that need no more characters to be reached.

        Places from which no match can be reached are left out. A place leads to places with smaller numbers, loops
        aside, so few rounds are enough.
        """
        useful = (self._distance < UNREACHABLE).tolist()
        own = [place.character_set >= 0 or number == 0 for number, place in enumerate(self._places)]
        states = [1 << number if own[number] and useful[number] else 0 for number in range(len(self._places))]
        changed = True
        while changed:
            changed = False
            for number, place in enumerate(self._places):
                if place.character_set < 0 and useful[number]:
                    state = reduce(or_, (states[following] for following in place.next), states[number])
                    changed |= state != states[number]
                    states[number] = state
        return states
