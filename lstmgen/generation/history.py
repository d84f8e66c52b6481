"""The last tokens of each row, for filters that look back at them.

The tokens of a row are stored as a string with one character for each id, chr(id): such a string is fast to extend,
to cut and to search. Only the last `length` tokens are kept, as many as the filters look back at, so that an endless
text needs no more memory than a short one.
"""

from lstmgen.text.vocabulary import Ids, as_string


class History:
    """The last tokens of each row of a batch, the prompt included."""

    def __init__(self, prompt: Ids, rows: int, length: int) -> None:
        """Begin after a prompt, (tokens,), for `rows` samples, and keep the last `length` tokens of each."""
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
