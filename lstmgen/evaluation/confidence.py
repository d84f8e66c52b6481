"""How far a score can be trusted: what another stretch of the same kind of text might have given.

Neighbouring characters are not independent: a hard word is hard in all its letters, a hard scene in all its words. So
whole blocks of the text are drawn again and again, with replacement, and the score computed anew (the block
bootstrap: Carlstein 1986, Künsch 1989).

Knows: sums of surprise by place in the text. Does not know: networks or ids.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.95
RESAMPLES = 2000
_BLOCKS = 100
_SHORTEST_BLOCK = 100
_FEWEST_BLOCKS = 20


class Interval(NamedTuple):
    """From where to where."""

    low: float
    high: float


class Blocks:
    """Sums of surprise by block of the text, in the same memory for a text of any length.

    Args:
        symbols: how long the text is.
    """

    def __init__(self, symbols: int) -> None:
        self.length = max(_SHORTEST_BLOCK, -(-symbols // _BLOCKS))
        count = symbols // self.length + 1  # a line's end can stand one place after the text's
        self._nats = np.zeros(count)
        self._characters = np.zeros(count)

    def add(self, places: NDArray[np.int64], nats: NDArray[np.float64]) -> None:
        """Add the surprise of symbols at these places, (symbols,)."""
        numbers = places // self.length
        self._nats += np.bincount(numbers, nats, len(self._nats))
        self._characters += np.bincount(numbers, minlength=len(self._nats))

    @property
    def nats_per_character(self) -> float:
        """Over the whole text."""
        return float(self._nats.sum() / self._characters.sum())

    def interval(self, beside: "Blocks | None" = None) -> Interval | None:
        """Where the nats per character, or how many more they are than another model's on the same text, may lie.

        The percentile interval at `LEVEL`; None for a text too short to tell.
        """
        nats = self._nats - beside._nats if beside else self._nats
        filled = self._characters > 0
        if filled.sum() < _FEWEST_BLOCKS:
            return None
        count = int(filled.sum())
        drawn = np.random.default_rng(0).multinomial(count, np.full(count, 1 / count), RESAMPLES)
        means = drawn @ nats[filled] / (drawn @ self._characters[filled])
        low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        return Interval(float(low), float(high))
