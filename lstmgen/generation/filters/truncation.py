"""Leaving out what is unlikely: by rank, by cumulated probability, or beside the likeliest.

Each keeps at least the likeliest symbol. They look at the model's own probabilities, before any temperature.

Knows: NumPy. Does not know: what was written; these filters do not look at it.
"""

import numpy as np

from lstmgen.generation.engine import FloatArray
from lstmgen.generation.filters.base import Filter

_IMPOSSIBLE = np.float32(-np.inf)
_LOWEST = np.finfo(np.float32).min  # in place of -inf where one is subtracted from another


def top_k(count: int) -> Filter:
    """Keep the `count` likeliest symbols; of equally likely ones, all that tie with the last."""

    def apply(logits: FloatArray, _history: object) -> FloatArray:
        if count >= logits.shape[-1]:
            return logits
        last = np.partition(logits, -count, axis=-1)[:, -count, None]
        return np.where(logits >= last, logits, _IMPOSSIBLE)

    return apply


def top_p(share: float) -> Filter:
    """Keep the fewest likeliest symbols whose probabilities reach `share` (Holtzman et al. 2020), and their ties."""

    def apply(logits: FloatArray, _history: object) -> FloatArray:
        if share >= 1:
            return logits
        descending = np.sort(logits, axis=-1)[:, ::-1]
        best = np.maximum(descending[:, :1], _LOWEST)
        reached = np.add.accumulate(np.exp(descending - best), axis=-1, dtype=np.float64)  # unnormalised
        short = (reached[:, :-1] < share * reached[:, -1:]).sum(axis=-1)  # so many do not reach it, one more does
        last = descending[np.arange(len(logits)), short]
        return np.where(logits >= last[:, None], logits, _IMPOSSIBLE)

    return apply


def min_p(share: float) -> Filter:
    """Keep what has at least this share of the likeliest symbol's probability (Nguyen et al. 2024)."""
    distance = np.float32(-np.log(share)) if share > 0 else np.float32(np.inf)

    def apply(logits: FloatArray, _history: object) -> FloatArray:
        return np.where(logits >= logits.max(axis=-1, keepdims=True) - distance, logits, _IMPOSSIBLE)

    return apply
