"""The filter `no_repeat`: no run of a given length is written twice, so that a sample does not loop.

It compares runs of characters. A penalty on single characters would mainly hit frequent ones such as the space and e.
"""

from collections import deque

import numpy as np

from lstmgen.generation.engine import FloatArray
from lstmgen.generation.filters.base import Filter
from lstmgen.generation.history import History
from lstmgen.text.vocabulary import Ids, as_string

REMEMBERED = 1_000_000
"""The number of latest runs that a row remembers; an endless text may repeat an older one."""


def no_repeat(length: int, prompt: Ids, rows: int) -> Filter:
    """Exclude each token that would complete a run of `length` tokens that the sample or its prompt already has."""
    in_prompt = _Runs()
    text = as_string(prompt)
    for end in range(length, len(text) + 1):
        in_prompt.add(text[end - length : end])
    written = [_Runs() for _ in range(rows)]

    def apply(logits: FloatArray, history: History) -> FloatArray:
        allowed = logits
        for row, (tail, runs) in enumerate(zip(history.tails, written, strict=True)):
            if history.written and len(tail) >= length:
                runs.add(tail[-length:])
            context = tail[len(tail) - length + 1 :] if len(tail) >= length - 1 else None
            if context is not None and (followers := in_prompt.followers(context) + runs.followers(context)):
                allowed = allowed.copy() if allowed is logits else allowed
                allowed[row, [ord(token) for token in followers]] = -np.inf
        return allowed

    return Filter(apply, history_length=length)


class _Runs:
    """The last `REMEMBERED` runs of one length: for all tokens of a run but the last, which tokens followed them."""

    def __init__(self) -> None:
        self._followers: dict[str, str] = {}
        self._order: deque[str] = deque()

    def add(self, run: str) -> None:
        context, last = run[:-1], run[-1]
        followers = self._followers.get(context, "")
        if last in followers:
            return
        self._followers[context] = followers + last
        self._order.append(run)
        if len(self._order) > REMEMBERED:
            oldest = self._order.popleft()
            left = self._followers.pop(oldest[:-1]).replace(oldest[-1], "")
            if left:
                self._followers[oldest[:-1]] = left

    def followers(self, context: str) -> str:
        return self._followers.get(context, "")
