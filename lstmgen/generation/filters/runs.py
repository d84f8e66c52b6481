"""Filters for runs of tokens: never write the same run twice, never copy a long one from the training text.

They compare runs because a penalty on single characters would mainly hit frequent ones, such as the space and e.
"""

from collections import OrderedDict

import numpy as np

from lstmgen.generation.engine import FloatArray
from lstmgen.generation.filters.base import Filter, History
from lstmgen.text.suffixes import SuffixIndex
from lstmgen.text.vocabulary import Ids, as_string

REMEMBERED = 1_000_000
"""How many recent contexts a row remembers; an endless text may repeat an older run."""


def no_repeat(length: int, prompt: Ids, rows: int) -> Filter:
    """Exclude each token that would complete a run of `length` tokens already in the sample or its prompt."""
    in_prompt: OrderedDict[str, str] = OrderedDict()
    text = as_string(prompt)
    for end in range(length, len(text) + 1):
        _remember(text[end - length : end], in_prompt)
    written = [OrderedDict[str, str]() for _ in range(rows)]

    def apply(logits: FloatArray, history: History) -> FloatArray:
        allowed = logits
        for row, (tail, runs) in enumerate(zip(history.tails, written, strict=True)):
            if history.written and len(tail) >= length:
                _remember(tail[-length:], runs)
            if len(tail) < length - 1:
                continue
            context = tail[len(tail) - length + 1 :]
            if followers := in_prompt.get(context, "") + runs.get(context, ""):
                allowed = allowed.copy() if allowed is logits else allowed
                allowed[row, [ord(token) for token in followers]] = -np.inf
        return allowed

    return Filter(apply, history_length=length)


def max_copy(length: int, training: SuffixIndex) -> Filter:
    """Exclude each token that would complete a run of `length` + 1 tokens that occurs in the training text.

    So at most `length` consecutive tokens are copied. The end of the prompt counts too.
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


def _remember(run: str, followers: OrderedDict[str, str]) -> None:
    """Record the last token of a run as a follower of the tokens before it."""
    known = followers.get(run[:-1], "")
    if run[-1] not in known:
        followers[run[:-1]] = known + run[-1]
        if len(followers) > REMEMBERED:
            followers.popitem(last=False)
