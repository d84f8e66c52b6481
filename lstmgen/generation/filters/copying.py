"""Nothing long is copied from the training text.

Knows: what was written, and an index that finds it in the training text. Does not know: how the index was made.
"""

import numpy as np

from lstmgen.generation.engine import FloatArray
from lstmgen.generation.filters.base import Filter
from lstmgen.generation.history import History
from lstmgen.text.suffixes import SuffixIndex


def max_copy(length: int, training: SuffixIndex) -> Filter:
    """Forbid the symbol that would complete a run of `length` + 1 symbols that stands in the training text.

    So of all that is written no more than `length` symbols in a row are copied; the prompt's end counts with it.
    """
    safe_until: dict[int, int] = {}

    def apply(logits: FloatArray, history: History) -> FloatArray:
        allowed = logits
        for row, tail in enumerate(history.tails):
            if len(tail) < length or history.written < safe_until.get(row, 0):
                continue
            context = tail[-length:]
            copied = training.longest_end(context)
            # One symbol more than is copied now stands nowhere, and nothing that holds it does.
            safe_until[row] = history.written + length - copied
            if copied == length:
                allowed = allowed.copy() if allowed is logits else allowed
                allowed[row, training.followers(context)] = -np.inf
        return allowed

    return apply
