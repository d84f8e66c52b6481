"""Leaving out what is unlikely: by rank, by cumulated probability, or beside the likeliest.

Each keeps at least the likeliest symbol. They look at the model's own probabilities, before any temperature.

Knows: NumPy. Does not know: what was written; these filters do not look at it.
"""

import numpy as np

from lstmgen.generation.engine import FloatArray
from lstmgen.generation.filters.base import Filter


def top_k(count: int) -> Filter:
    """Keep the `count` likeliest symbols; of equally likely ones, all that tie with the last."""

    def apply(logits: FloatArray, _history: object) -> FloatArray:
        if count >= logits.shape[-1]:
            return logits
        last = np.partition(logits, -count, axis=-1)[:, -count, None]
        return np.where(logits >= last, logits, -np.inf)

    return apply


def top_p(share: float) -> Filter:
    """Keep the fewest likeliest symbols whose probabilities reach `share` (Holtzman et al. 2020), and their ties."""

    def apply(logits: FloatArray, _history: object) -> FloatArray:
        if share >= 1:
            return logits
        descending = -np.sort(-logits, axis=-1)
        likelihood = _likelihood(descending, descending[:, :1])
        before = np.cumsum(likelihood, axis=-1) - likelihood  # the probability of all that is likelier, unnormalised
        kept = before < share * likelihood.sum(axis=-1, keepdims=True)
        kept[:, 0] = True
        last = np.where(kept, descending, np.inf).min(axis=-1, keepdims=True)
        return np.where(logits >= last, logits, -np.inf)

    return apply


def min_p(share: float) -> Filter:
    """Keep what has at least this share of the likeliest symbol's probability (Nguyen et al. 2024)."""
    distance = np.float32(-np.log(share)) if share > 0 else np.float32(np.inf)

    def apply(logits: FloatArray, _history: object) -> FloatArray:
        return np.where(logits >= logits.max(axis=-1, keepdims=True) - distance, logits, -np.inf)

    return apply


def _likelihood(logits: FloatArray, best: FloatArray) -> FloatArray:
    likelihood: FloatArray = np.exp(logits - np.where(np.isneginf(best), 0, best), dtype=np.float64)
    return likelihood
