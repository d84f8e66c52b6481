"""The interface of a filter, and the history of the samples that it sees."""

from collections.abc import Callable
from typing import NamedTuple

from lstmgen.generation.engine import FloatArray
from lstmgen.text.vocabulary import Ids, as_string


class History:
    """The last `length` tokens of each row of a batch, including the prompt; memory stays constant for endless text.

    The tokens of a row are a string with one character chr(id) per token, which is fast to extend, cut and search.
    """

    def __init__(self, prompt: Ids, rows: int, length: int) -> None:
        """Begin after a prompt, (tokens,)."""
        self._length = length
        self.written = 0
        """The number of tokens that each row has drawn."""
        self.tails = [as_string(prompt[max(0, len(prompt) - length) :])] * rows
        """The last tokens of each row."""

    def add(self, drawn: Ids) -> None:
        """Add one token to each row, (rows,)."""
        self.written += 1
        if self._length:
            start = -self._length
            self.tails = [(tail + chr(number))[start:] for tail, number in zip(self.tails, drawn.tolist(), strict=True)]


class Filter(NamedTuple):
    """A change to the logits before a token is drawn."""

    apply: Callable[[FloatArray, History], FloatArray]
    """Takes logits, (rows, tokens), and the history of each row; returns logits, -inf for tokens not to draw.

    It is called once per token of the samples, in order, and may remember earlier calls. It does not change its
    arguments.
    """

    history_length: int = 0
    """How many of the last tokens it looks back at."""
