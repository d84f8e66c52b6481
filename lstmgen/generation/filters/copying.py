"""The filter `max_copy`: no long run of tokens is copied from the training text."""

import numpy as np

from lstmgen.generation.engine import FloatArray
from lstmgen.generation.filters.base import Filter
from lstmgen.generation.history import History
from lstmgen.text.suffixes import SuffixIndex


def max_copy(length: int, training: SuffixIndex) -> Filter:
    """Exclude each token that would complete a run of `length` + 1 tokens that occurs in the training text.

    So at most `length` consecutive tokens are copied. The end of the prompt counts as written.
    """
    safe_until: dict[int, int] = {}  # by row: below this number of written tokens no copied run can be complete

    def apply(logits: FloatArray, history: History) -> FloatArray:
        allowed = logits
        for row, tail in enumerate(history.tails):
            if len(tail) < length or history.written < safe_until.get(row, 0):
                continue
            context = tail[-length:]
            copied = training.longest_end(context)
            # The last `copied` + 1 tokens do not occur in the training text, so no run that contains them does.
            safe_until[row] = history.written + length - copied
            if copied == length:
                allowed = allowed.copy() if allowed is logits else allowed
                allowed[row, training.followers(context)] = -np.inf
        return allowed

    return Filter(apply, history_length=length)
