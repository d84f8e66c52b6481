"""Filters by likelihood: exclude unlikely tokens, and apply a temperature to the others.

The first three always keep the most likely token; a row without any allowed token is left unchanged.
"""

import numpy as np

from lstmgen.generation.engine import FloatArray
from lstmgen.generation.filters.base import Filter, History
from lstmgen.text.vocabulary import Ids

_EXCLUDED = np.float32(-np.inf)
_LOWEST = np.finfo(np.float32).min  # instead of -inf, because -inf - -inf is not a number


def top_k(count: int) -> Filter:
    """Keep the `count` most likely tokens, and any others that tie with the last of them."""

    def apply(logits: FloatArray, _history: History) -> FloatArray:
        place = -min(count, logits.shape[-1])
        last = np.partition(logits, place, axis=-1)[:, place, None]
        return np.where(logits >= last, logits, _EXCLUDED)

    return Filter(apply)


def top_p(probability: float) -> Filter:
    """Keep the smallest set of most likely tokens whose probabilities sum to at least `probability`.

    Nucleus sampling (Holtzman et al. 2020). Tokens that tie with the last of the set are kept too.
    """

    def apply(logits: FloatArray, _history: History) -> FloatArray:
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

    def apply(logits: FloatArray, _history: History) -> FloatArray:
        return np.where(logits >= logits.max(axis=-1, keepdims=True) - distance, logits, _EXCLUDED)

    return Filter(apply)


def temperature(value: float) -> Filter:
    """Divide the logits by a temperature: below 1 likely tokens become more likely, above 1 rare ones less rare.

    0 keeps only the most likely token, the first one in a tie.
    """
    if value == 0:
        return Filter(_keep_most_likely)
    if value == 1:
        return Filter(lambda logits, _history: logits)
    divisor = np.float32(max(value, 1e-6))
    return Filter(lambda logits, _history: logits / divisor)


def word_temperature(at_starts: float, inside: float, word_tokens: Ids) -> Filter:
    """Use two temperatures, so that words can be chosen more freely than they are spelled.

    A word may begin after any token that is not in `word_tokens`, the ids that belong to words.
    """
    in_words = frozenset(map(chr, word_tokens.tolist()))
    spell, choose = temperature(inside).apply, temperature(at_starts).apply

    def apply(logits: FloatArray, history: History) -> FloatArray:
        is_inside = [tail[-1:] in in_words for tail in history.tails]
        if len(set(is_inside)) == 1:
            return spell(logits, history) if is_inside[0] else choose(logits, history)
        return np.where(np.array(is_inside)[:, None], spell(logits, history), choose(logits, history))

    return Filter(apply, history_length=1)


def _keep_most_likely(logits: FloatArray, _history: History) -> FloatArray:
    rows, best = np.arange(len(logits)), logits.argmax(axis=-1)
    kept = np.full_like(logits, -np.inf)
    kept[rows, best] = logits[rows, best]
    return kept
