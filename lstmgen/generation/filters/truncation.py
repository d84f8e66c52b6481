"""Truncation filters: exclude unlikely tokens by rank, by cumulative probability, or relative to the most likely one.

Each keeps at least the most likely token. They use the model's own probabilities, before any temperature.
"""

import numpy as np

from lstmgen.generation.engine import FloatArray
from lstmgen.generation.filters.base import Filter

_EXCLUDED = np.float32(-np.inf)
_LOWEST = np.finfo(np.float32).min  # instead of -inf, because -inf - -inf is not a number


def top_k(count: int) -> Filter:
    """Keep the `count` most likely tokens, and all that are as likely as the last of them."""

    def apply(logits: FloatArray, _history: object) -> FloatArray:
        if count >= logits.shape[-1]:
            return logits
        last = np.partition(logits, -count, axis=-1)[:, -count, None]
        return np.where(logits >= last, logits, _EXCLUDED)

    return Filter(apply)


def top_p(probability: float) -> Filter:
    """Keep the smallest set of most likely tokens whose probabilities sum to at least `probability`.

    Nucleus sampling (Holtzman et al. 2020). All tokens that are as likely as the last of the set are kept too.
    """

    def apply(logits: FloatArray, _history: object) -> FloatArray:
        if probability >= 1:
            return logits
        descending = np.sort(logits, axis=-1)[:, ::-1]
        best = np.maximum(descending[:, :1], _LOWEST)
        cumulative = np.add.accumulate(np.exp(descending - best), axis=-1, dtype=np.float64)  # not normalised
        index = (cumulative[:, :-1] < probability * cumulative[:, -1:]).sum(axis=-1)  # the first that reaches it
        last = descending[np.arange(len(logits)), index]
        return np.where(logits >= last[:, None], logits, _EXCLUDED)

    return Filter(apply)


def min_p(fraction: float) -> Filter:
    """Keep each token with at least this fraction of the most likely token's probability (Nguyen et al. 2024)."""
    distance = np.float32(-np.log(fraction)) if fraction > 0 else np.float32(np.inf)

    def apply(logits: FloatArray, _history: object) -> FloatArray:
        return np.where(logits >= logits.max(axis=-1, keepdims=True) - distance, logits, _EXCLUDED)

    return Filter(apply)
