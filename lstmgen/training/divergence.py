"""Noticing that training has diverged: the loss is no finite number, or is far above what was reached before.

Knows: losses and symbol frequencies. Does not know: what is done about it.
"""

import math

import numpy as np

from lstmgen.text.vocabulary import Ids, symbol_counts

SUSPECTED, CERTAIN = 10, 30
"""After this many bad steps in a row, training may have diverged, or has."""

_FAR = 0.5  # nats
_SAMPLES, _SAMPLE_SYMBOLS = 16, 1 << 18


class GoodLoss:
    """Tells a good loss from a bad one.

    A loss is bad if it is not finite, or far above the lowest one so far. The loss of a model that knows only how often
    each symbol occurs is always good.
    """

    def __init__(self, ids: Ids, vocab_size: int) -> None:
        """Take note of the text that is learned, (symbols,)."""
        self._guessing = math.log(vocab_size)
        self._frequencies = frequency_nats(ids, vocab_size)

    def __call__(self, nats: float, lowest_nats: float) -> bool:
        """Whether a step is good.

        Args:
            nats: its loss per symbol; NaN if it is not finite.
            lowest_nats: the lowest smoothed loss before it; NaN if there is none.
        """
        reached = self._guessing if math.isnan(lowest_nats) else min(lowest_nats, self._guessing)
        return nats <= max(reached, self._frequencies) + _FAR


def frequency_nats(ids: Ids, vocab_size: int) -> float:
    """The nats per symbol of a model that knows only how often each symbol occurs.

    Of a long text, sixteen parts are counted.
    """
    stride = max(_SAMPLE_SYMBOLS, len(ids) // _SAMPLES)
    samples = [ids[start : start + _SAMPLE_SYMBOLS] for start in range(0, len(ids), stride)]
    counts = np.sum([symbol_counts(sample, vocab_size) for sample in samples], axis=0)
    frequencies = counts[counts > 0] / counts.sum()
    return float(-(frequencies * np.log(frequencies)).sum())
