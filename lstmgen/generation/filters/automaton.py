"""Which tokens can continue a match of a regular expression, and how far the nearest match is.

A text can be in several states of the expression at once: a state set. There may be very many sets, as many as 2 to
the number of states. So a set is made when a text comes to it, and only the last ones are kept.
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
"""A distance; also the number of tokens left where a sample has no maximum length."""

_KEPT_SETS = 512

StateSet = int
"""The states that a text can be in, one bit each."""


class Automaton:
    """A regular expression over ids."""

    def __init__(self, text: str, characters: Sequence[str], length: int = -1) -> None:
        r"""Read a regular expression in Python's syntax, without group references, look-around and word boundaries.

        It must match the whole text. `characters` are those of the ids, empty for an id that no match may contain.
        A match has at most `length` tokens; -1: no maximum.

        Raises ConfigError if it cannot be read, is too large, or no match can be written with these characters and
        this length.
        """
        expression = Expression(text)
        self._states = expression.states
        drawable, joined = np.flatnonzero([character != "" for character in characters]), "".join(characters)
        self._sets = np.zeros((len(expression.sets), len(characters)), bool)
        for number, characters_of_set in enumerate(expression.sets):
            for found in characters_of_set.finditer(joined):
                self._sets[number, drawable[found.start() : found.end()]] = True
        self._character_set_of = np.array([state.character_set for state in self._states])
        self._distance = self._distances()
        self._closures = self._follow_without_characters()
        self.start: StateSet = self._closures[expression.start]
        self.shortest = int(self._distance[expression.start])
        """The length of the shortest match in tokens."""
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
        self.after = lru_cache(_KEPT_SETS)(self._after)
        self._distance_after = lru_cache(_KEPT_SETS)(self._compute_distance_after)

    def allowed(self, state_set: StateSet, left: int) -> NDArray[np.bool_]:
        """Which tokens, (vocab,), lead to a match within `left` tokens; the token itself is counted."""
        return self._distance_after(state_set) < left

    def matches(self, state_set: StateSet) -> bool:
        """Whether a text that leads to these states is a match."""
        return bool(state_set & 1)

    def _after(self, state_set: StateSet, token: int) -> StateSet:
        """The states after a token."""
        states = self._states_of(state_set)
        taken = states[self._sets[self._character_set_of[states], token]].tolist()
        return reduce(or_, (self._closures[self._states[state].next[0]] for state in taken), 0)

    def _compute_distance_after(self, state_set: StateSet) -> NDArray[np.int64]:
        """The distance to the nearest match after each token, (vocab,)."""
        states = self._states_of(state_set)
        distance = np.full(self._sets.shape[1], UNREACHABLE, np.int64)
        for row in np.unique(self._character_set_of[states]):
            nearest = self._distance[states[self._character_set_of[states] == row]].min() - 1
            np.minimum(distance, nearest, out=distance, where=self._sets[row])
        return distance

    def _states_of(self, state_set: StateSet) -> NDArray[np.int64]:
        """The states of a set from which a text continues with a character."""
        bits = np.frombuffer(state_set.to_bytes(len(self._states) // 8 + 1, "little"), np.uint8)
        states = np.flatnonzero(np.unpackbits(bits, bitorder="little"))
        return states[states > 0]

    def _distances(self) -> NDArray[np.int64]:
        """The distance of each state, (states,), from the nearest match in tokens."""
        possible = [row < 0 or bool(self._sets[row].any()) for row in self._character_set_of.tolist()]
        before: list[list[int]] = [[] for _ in self._states]
        for number, state in enumerate(self._states):
            for following in state.next if possible[number] else ():
                before[following].append(number)
        distance = [UNREACHABLE] * len(self._states)
        distance[0] = 0
        waiting = deque([0])
        while waiting:
            reached = waiting.popleft()
            for number in before[reached]:
                further = distance[reached] + (self._states[number].character_set >= 0)
                if further < distance[number]:
                    distance[number] = further
                    (waiting.append if self._states[number].character_set >= 0 else waiting.appendleft)(number)
        return np.array(distance, np.int64)

    def _follow_without_characters(self) -> list[StateSet]:
        """For each state, the set that a text is in when it comes to it: all states that need no more characters.

        States from which no match can be reached are left out. A state leads to states with smaller numbers, loops
        aside, so few rounds are enough.
        """
        useful = (self._distance < UNREACHABLE).tolist()
        own = [state.character_set >= 0 or number == 0 for number, state in enumerate(self._states)]
        state_sets = [1 << number if own[number] and useful[number] else 0 for number in range(len(self._states))]
        changed = True
        while changed:
            changed = False
            for number, state in enumerate(self._states):
                if state.character_set < 0 and useful[number]:
                    state_set = reduce(or_, (state_sets[following] for following in state.next), state_sets[number])
                    changed |= state_set != state_sets[number]
                    state_sets[number] = state_set
        return state_sets
