"""The whole sample matches a regular expression.

The expression becomes an automaton over characters (interegular), narrowed to the characters that the model knows and
to states from which a match can still be reached in the symbols that are left. So there is no dead end: whatever is
drawn, a match is possible, and there is one when the sample ends.

Where the text so far matches and could go on, the model decides: it ends with the probability of all that could not
go on. That probability stands in one more column of the logits.

Knows: which character each id is. Does not know: the network, or how a sample is ended.
"""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lstmgen.errors import ConfigError
from lstmgen.generation.engine import FloatArray
from lstmgen.generation.filters.base import Filter
from lstmgen.generation.history import History

_ENDLESS = 1 << 30


class Automaton:
    """A regular expression over ids: where it can go from where, and how far the nearest match is."""

    def __init__(self, expression: str, characters: Sequence[str]) -> None:
        """Read a regular expression in Python's syntax; it must match as a whole, so ^ and $ at its ends say nothing.

        Args:
            expression: without references to groups, look-around and word boundaries; its classes are ASCII's.
            characters: what each id stands for.

        Raises ConfigError if it cannot be read, or if nothing that it matches can be written with these characters.
        """
        from interegular.fsm import anything_else

        fsm = _parse(expression)
        keys = [fsm.alphabet[c if c in fsm.alphabet else anything_else] for c in characters if c]
        names = {state: number for number, state in enumerate([fsm.initial, *(fsm.states - {fsm.initial})])}
        nowhere = len(names)
        self._next = np.full((nowhere + 1, len(characters)), nowhere, np.int32)
        spelled = [number for number, character in enumerate(characters) if character]
        for state, row in names.items():
            goals = {key: names.get(goal, nowhere) for key, goal in fsm.map.get(state, {}).items()}
            self._next[row, spelled] = [goals.get(key, nowhere) for key in keys]
        self._distance = np.full(nowhere + 1, _ENDLESS)
        self._distance[[names[state] for state in fsm.finals]] = 0
        self._measure()
        self.shortest = int(self._distance[0])
        """How many symbols the shortest match has; it starts in state 0."""
        if self.shortest >= _ENDLESS:
            raise ConfigError(f"--match {expression!r}: cannot be written with the characters that the model knows")

    def _measure(self) -> None:
        """How many symbols the nearest match is away from each state: breadth first, from the matches back."""
        while True:
            nearest = np.minimum(self._distance, self._distance[self._next].min(axis=1) + 1)
            if (nearest == self._distance).all():
                break
            self._distance = nearest
        self._distance_after = self._distance[self._next]

    def after(self, state: int, symbol: int) -> int:
        """The state that a symbol leads to."""
        return int(self._next[state, symbol])

    def open(self, state: int, left: int) -> NDArray[np.bool_]:
        """The symbols, (vocab,), after which a match can be reached with `left` symbols, that one among them."""
        return self._distance_after[state] < left  # type: ignore[no-any-return]

    def matches(self, state: int) -> bool:
        """Whether what led to the state is a match."""
        return bool(self._distance[state] == 0)


def match(automaton: Automaton, length: int, rows: int, end: int | None = None) -> Filter:
    """Allow only what leads to a match, and the end of a match.

    Args:
        automaton: of the expression.
        length: how many symbols a sample may have; -1: any number.
        rows: how many samples are written.
        end: the symbol with which the model itself ends a sample, if it does.

    Returns:
        A filter that adds a column to the logits: to draw it is to end the sample.
    """
    states = [0] * rows

    def apply(logits: FloatArray, history: History) -> FloatArray:
        size = logits.shape[-1]
        left = length - history.written if length >= 0 else _ENDLESS
        allowed = np.full((rows, size + 1), -np.inf, np.float32)
        for row, tail in enumerate(history.tails):
            if history.written and (last := ord(tail[-1])) != end:
                states[row] = automaton.after(states[row], last)
            is_open = automaton.open(states[row], left)
            np.copyto(allowed[row, :size], logits[row], where=is_open)
            if automaton.matches(states[row]):
                if end is not None:
                    allowed[row, end] = logits[row, end]
                elif not is_open.all():
                    allowed[row, size] = np.logaddexp.reduce(logits[row, ~is_open])
        return allowed

    return apply


def _parse(expression: str) -> Any:
    """The automaton of an expression; raises ConfigError."""
    from interegular import InvalidSyntax, Unsupported, parse_pattern

    try:
        re.compile(expression)
        if re.search(r"(?<!\\)(?:\\\\)*\(\?<?[=!]", expression):
            raise Unsupported("look-around")
        return parse_pattern(_without_anchors(expression)).to_fsm()
    except re.error as error:
        raise ConfigError(f"--match {expression!r}: no regular expression ({error})") from error
    except (InvalidSyntax, Unsupported) as error:
        raise ConfigError(
            f"--match {expression!r}: this cannot be used here ({error}); say it in another way"
        ) from error


def _without_anchors(expression: str) -> str:
    """Leave out what marks the ends of the text, which a whole match has anyway."""
    expression = re.sub(r"^(\^|\\A)+", "", expression)
    return re.sub(r"(?<!\\)((?:\\\\)*)(\$|\\Z)+$", r"\1", expression)
