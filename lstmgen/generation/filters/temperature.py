"""Boldness: one temperature for all, or another one where a word may begin.

Knows: NumPy, and which symbols words are made of. Does not know: chance or the network.
"""

import numpy as np

from lstmgen.generation.engine import FloatArray
from lstmgen.generation.filters.base import Filter
from lstmgen.generation.history import History
from lstmgen.text.vocabulary import Ids


def temperature(value: float) -> Filter:
    """Divide by a temperature: below 1 the likely becomes likelier, above 1 the rare less rare; 0 keeps the best."""
    return lambda logits, _history: apply_temperature(logits, value)


def word_temperature(at_starts: float, inside: float, word_symbols: Ids) -> Filter:
    """Two temperatures: boldness in choosing a word need not be boldness in spelling it.

    Args:
        at_starts: where the last symbol is not part of a word, so that one may begin.
        inside: everywhere else.
        word_symbols: the ids of what words are made of.
    """
    in_words = frozenset(map(chr, word_symbols.tolist()))

    def apply(logits: FloatArray, history: History) -> FloatArray:
        is_inside = [tail[-1:] in in_words for tail in history.tails]
        if all(is_inside):
            return apply_temperature(logits, inside)
        if not any(is_inside):
            return apply_temperature(logits, at_starts)
        return np.where(
            np.array(is_inside)[:, None], apply_temperature(logits, inside), apply_temperature(logits, at_starts)
        )

    return apply


def apply_temperature(logits: FloatArray, temperature: float) -> FloatArray:
    """Divide by the temperature; at 0 the first of the likeliest is kept, and nothing else.

    A row in which nothing is allowed stays so.
    """
    if temperature == 1:
        return logits
    if temperature > 0:
        return logits / np.float32(max(temperature, 1e-6))
    rows, likeliest = np.arange(len(logits)), logits.argmax(axis=-1)
    kept = np.full_like(logits, -np.inf)
    kept[rows, likeliest] = logits[rows, likeliest]
    return kept
