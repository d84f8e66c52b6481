"""The filter `match`: the whole sample matches a regular expression.

The expression becomes a finite automaton over characters (interegular), limited to the characters that the model knows.
A symbol is allowed only if a match can still be reached with the number of symbols that are left. So there is no dead
end: after every symbol a match is still possible, and a finished sample is a match.

Where the text is already a match but could continue, the model decides: the sample ends with the summed probability of
all symbols that cannot continue the match. That probability is an extra column of the logits.

Knows: the character of each id. Does not know: the network, or how a sample is ended.
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

_UNREACHABLE = 1 << 30  # a distance; also the number of symbols left where a sample has no maximum length


class Automaton:
    """A regular expression as a finite automaton over ids, with each state's distance to the nearest match."""

    def __init__(self, expression: str, characters: Sequence[str]) -> None:
        r"""Read a regular expression in Python's syntax.

        It must match the whole text, so ^ and $ at its ends change nothing.

        Args:
            expression: without group references, look-around and word boundaries; classes such as \w are ASCII only.
            characters: the character of each id; empty for an id that no match may contain.

        Raises ConfigError if it cannot be read, or if no match can be written with these characters.
        """
        from interegular.fsm import anything_else

        fsm = _parse(expression)
        keys = [fsm.alphabet[c if c in fsm.alphabet else anything_else] for c in characters if c]
        numbers = {state: number for number, state in enumerate([fsm.initial, *(fsm.states - {fsm.initial})])}
        dead = len(numbers)  # the state from which no match can be reached
        self._next = np.full((dead + 1, len(characters)), dead, np.int32)
        drawable = [id_ for id_, character in enumerate(characters) if character]
        for state, row in numbers.items():
            targets = {key: numbers.get(target, dead) for key, target in fsm.map.get(state, {}).items()}
            self._next[row, drawable] = [targets.get(key, dead) for key in keys]
        self._distance = np.full(dead + 1, _UNREACHABLE)
        self._distance[[numbers[state] for state in fsm.finals]] = 0
        self._compute_distances()
        self.shortest = int(self._distance[0])
        """The length of the shortest match in symbols: the distance of state 0, in which every text starts."""
        if self.shortest >= _UNREACHABLE:
            raise ConfigError(
                "match",
                repr(expression),
                "the characters that the model knows cannot form a match; give another expression",
            )

    def _compute_distances(self) -> None:
        """Compute each state's distance to the nearest match, in symbols, step by step backwards from the matches."""
        while True:
            nearest = np.minimum(self._distance, self._distance[self._next].min(axis=1) + 1)
            if (nearest == self._distance).all():
                break
            self._distance = nearest
        self._distance_after = self._distance[self._next]

    def after(self, state: int, symbol: int) -> int:
        """The next state after a symbol."""
        return int(self._next[state, symbol])

    def allowed(self, state: int, left: int) -> NDArray[np.bool_]:
        """Which symbols, (vocab,), lead to a match within `left` symbols; the symbol itself is counted."""
        return self._distance_after[state] < left  # type: ignore[no-any-return]

    def matches(self, state: int) -> bool:
        """Whether a text that leads to this state is a match."""
        return bool(self._distance[state] == 0)


def match(expression: str, characters: Sequence[str], length: int, rows: int, end: int | None) -> Filter:
    """Allow only symbols that lead to a match; where the text is a match, allow its end as well.

    Args:
        expression: the regular expression.
        characters: the character of each id; empty for an id that no match may contain.
        length: the maximum number of symbols of a sample; -1: no maximum.
        rows: the number of samples.
        end: the symbol with which the model itself ends a sample; None if it does not.

    Returns:
        A filter that adds one column to the logits; drawing that column ends the sample.

    Raises ConfigError for an expression that cannot be read, or that no sample of this length matches.
    """
    automaton = Automaton(expression, characters)
    if 0 <= length < automaton.shortest:
        raise ConfigError(
            "match",
            repr(expression),
            f"its shortest match has {automaton.shortest} characters, `length` is {length}; give a larger `length`",
        )
    states = [0] * rows

    def apply(logits: FloatArray, history: History) -> FloatArray:
        vocab_size = logits.shape[-1]
        left = length - history.written if length >= 0 else _UNREACHABLE
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


def _parse(expression: str) -> Any:
    """Parse an expression into the automaton of interegular; raises ConfigError for one that cannot be used."""
    from interegular import InvalidSyntax, Unsupported, parse_pattern

    try:
        re.compile(expression)
        if re.search(r"(?<!\\)(?:\\\\)*\(\?<?[=!]", expression):
            raise Unsupported("look-around")
        return parse_pattern(_without_anchors(expression)).to_fsm()
    except re.error as error:
        raise ConfigError("match", repr(expression), f"not a valid regular expression ({error}); correct it") from error
    except (InvalidSyntax, Unsupported) as error:
        raise ConfigError(
            "match", repr(expression), f"it has a part that is not supported ({error}); write it without that part"
        ) from error


def _without_anchors(expression: str) -> str:
    r"""Remove ^, \A, $ and \Z at the ends of an expression; they change nothing, because the whole text must match."""
    expression = re.sub(r"^(\^|\\A)+", "", expression)
    return re.sub(r"(?<!\\)((?:\\\\)*)(\$|\\Z)+$", r"\1", expression)
