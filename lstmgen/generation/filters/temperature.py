"""Temperature filters: one temperature for all characters, or a second one where a word may begin."""

import numpy as np

from lstmgen.generation.engine import FloatArray
from lstmgen.generation.filters.base import Filter
from lstmgen.generation.history import History
from lstmgen.text.vocabulary import Ids


def temperature(value: float) -> Filter:
    """Divide the logits by a temperature.

    Below 1, likely tokens become more likely; above 1, rare tokens become less rare; 0 keeps the most likely alone.
    """
    if value in (0, 1):
        return Filter(lambda logits, _history: apply_temperature(logits, value))
    divisor = np.float32(max(value, 1e-6))
    return Filter(lambda logits, _history: logits / divisor)


def word_temperature(at_starts: float, inside: float, word_tokens: Ids) -> Filter:
    """Use two temperatures, so that words can be chosen more freely than they are spelled.

    A word may begin where the last token is not one of `word_tokens`, the ids of the tokens that belong to words.
    """
    in_words = frozenset(map(chr, word_tokens.tolist()))

    def apply(logits: FloatArray, history: History) -> FloatArray:
        is_inside = [tail[-1:] in in_words for tail in history.tails]
        if all(is_inside):
            return apply_temperature(logits, inside)
        if not any(is_inside):
            return apply_temperature(logits, at_starts)
        return np.where(
            np.array(is_inside)[:, None], apply_temperature(logits, inside), apply_temperature(logits, at_starts)
        )

    return Filter(apply, history_length=1)


def apply_temperature(logits: FloatArray, temperature: float) -> FloatArray:
    """Divide logits by a temperature; 0 keeps only the most likely token, the first of them if several are equal.

    A row without any allowed token is returned as it is.
    """
    if temperature == 1:
        return logits
    if temperature > 0:
        return logits / np.float32(max(temperature, 1e-6))
    rows, best = np.arange(len(logits)), logits.argmax(axis=-1)
    kept = np.full_like(logits, -np.inf)
    kept[rows, best] = logits[rows, best]
    return kept
