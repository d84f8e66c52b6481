"""Confidence intervals of a score: how much it would vary on other text of the same kind.

Neighbouring characters are not independent: if a word is hard to predict, so are its letters; if a scene is hard, so
are its words. Therefore the score is recomputed many times on whole blocks of the text, drawn with replacement (the
block bootstrap: Carlstein 1986, Künsch 1989).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.95
RESAMPLES = 2000
_BLOCKS = 100
_SHORTEST_BLOCK = 100
MIN_BLOCKS = 20


class Interval(NamedTuple):
    """The lower and the upper end of an interval, in nats per character."""

    low: float
    high: float


class Blocks:
    """The surprisal of a text, summed over blocks; a longer text takes no more memory.

    `nats` is the surprisal of each block, `characters` its number of predicted tokens, (blocks,) each.
    """

    def __init__(self, tokens: int) -> None:
        self.length = max(_SHORTEST_BLOCK, -(-tokens // _BLOCKS))
        count = tokens // self.length + 1  # the predicted end of the last line may lie one position after the text
        self.nats = np.zeros(count)
        self.characters = np.zeros(count)

    def add(self, positions: NDArray[np.int64], nats: NDArray[np.float64]) -> None:
        """Add the surprisal of the tokens at these positions, (tokens,) each."""
        numbers = positions // self.length
        self.nats += np.bincount(numbers, nats, len(self.nats))
        self.characters += np.bincount(numbers, minlength=len(self.nats))

    @property
    def nats_per_character(self) -> float:
        """The mean over the whole text."""
        return float(self.nats.sum() / self.characters.sum())

    def interval(self, other: "Blocks | None" = None) -> Interval | None:
        """The confidence interval of the nats per character; None if the text is too short for one.

        This is the percentile interval at `LEVEL`. Given the blocks of another model on the same text, it is the
        interval of the difference: how many more nats per character this model needs.
        """
        nats = self.nats - other.nats if other else self.nats
        filled = self.characters > 0
        count = int(filled.sum())
        if count < MIN_BLOCKS:
            return None
        drawn = np.random.default_rng(0).multinomial(count, np.full(count, 1 / count), RESAMPLES)
        means = drawn @ nats[filled] / (drawn @ self.characters[filled])
        low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        return Interval(float(low), float(high))
