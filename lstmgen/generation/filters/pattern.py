"""The filter `match`: the whole sample matches a regular expression.

A token is allowed only if a match can still be reached with the number of tokens that are left. So this filter alone
has no dead end: after every token a match is still possible. Another filter may leave no such token, and a stop text
may cut a match short, so every finished sample is checked as well.

Where the text is already a match but could continue, the model decides: the sample ends with the summed probability of
all tokens that cannot continue the match. That probability is an extra column of the logits.
"""

import numpy as np

from lstmgen.generation.engine import FloatArray
from lstmgen.generation.filters.automaton import UNREACHABLE, Automaton
from lstmgen.generation.filters.base import Filter
from lstmgen.generation.history import History


def match(automaton: Automaton, length: int, rows: int, end: int | None) -> Filter:
    """Allow only tokens that lead to a match; where the text is a match, allow its end as well.

    A sample has at most `length` tokens; -1: no maximum. `end` is the token with which the model itself ends a
    sample; None if it does not. The filter adds one column to the logits; drawing that column ends the sample.
    """
    states = [automaton.start] * rows

    def apply(logits: FloatArray, history: History) -> FloatArray:
        vocab_size = logits.shape[-1]
        left = length - history.written if length >= 0 else UNREACHABLE
        filtered = np.full((rows, vocab_size + 1), -np.inf, np.float32)
        for row, tail in enumerate(history.tails):
            if history.written and (last := ord(tail[-1])) != end:
                states[row] = automaton.after(states[row], last)
            allowed = automaton.allowed(states[row], left)
            np.copyto(filtered[row, :vocab_size], logits[row], where=allowed)
            if automaton.matches(states[row]):
                if end is not None:
                    filtered[row, end] = logits[row, end]
                elif not allowed.all():
                    filtered[row, vocab_size] = np.logaddexp.reduce(logits[row, ~allowed])
        return filtered

    return Filter(apply, history_length=1)
