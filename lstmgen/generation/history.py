"""What has been written so far, as filters see it.

A row's symbols are kept as a string with one character for each id, chr(id): such strings are cheap to extend, to cut
and to look up. Only so many of the last symbols are kept as filters look back at, so that an endless text needs no
more memory than a short one.

Knows: ids. Does not know: which characters they stand for, or what a filter does.
"""

from lstmgen.text.vocabulary import Ids, as_string


class History:
    """The last symbols of every row of a batch, the prompt included."""

    def __init__(self, opening: Ids, rows: int, length: int) -> None:
        """Begin after a prompt.

        Args:
            opening: the prompt's ids, (symbols,), perhaps none.
            rows: how many samples are written.
            length: how many of the last symbols are kept.
        """
        self._length = length
        self.written = 0
        """How many symbols each row has drawn."""
        self.tails = [as_string(opening[max(0, len(opening) - length) :])] * rows
        """The last symbols of each row."""

    def add(self, drawn: Ids) -> None:
        """Add one symbol to each row, (rows,)."""
        self.written += 1
        if self._length:
            start = -self._length
            self.tails = [(tail + chr(number))[start:] for tail, number in zip(self.tails, drawn.tolist(), strict=True)]
