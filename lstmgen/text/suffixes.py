"""A suffix array: an index that finds every occurrence of a run of tokens in a text.

It is built once, in linear time (libdivsufsort), and takes five to eight bytes per token. A look-up is a binary search.
"""

from bisect import bisect_left, bisect_right
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from lstmgen.files import replace_file
from lstmgen.text.vocabulary import Ids, as_string

_FORMAT = "lstmgen suffixes 1"


class SuffixIndex:
    """The sorted suffixes of a text; a rank is an index into that order."""

    def __init__(self, ids: Ids, order: NDArray[np.integer[Any]]) -> None:
        """Wrap a text and the sorted positions at which its suffixes begin, both (tokens,); see `build` and `load`."""
        self._ids = ids
        self.text = as_string(ids)  # the text as a string with one character for each id
        self._order = order

    @staticmethod
    def build(ids: Ids) -> "SuffixIndex":
        """Sort the suffixes of a text, (tokens,)."""
        from pydivsufsort import divsufsort

        text = np.ascontiguousarray(ids)
        return SuffixIndex(text, divsufsort(text) if len(text) else np.zeros(0, np.int32))

    def find(self, run: str) -> range:
        """The ranks of the suffixes that begin with a run; `positions` gives their positions in the text."""
        length = len(run)

        def beginning(rank: int) -> str:
            start = self._order[rank]
            return self.text[start : start + length]

        ranks = range(len(self._order))
        first = bisect_left(ranks, run, key=beginning)
        if first == len(ranks) or beginning(first) != run:
            return range(first, first)
        return range(first, bisect_right(ranks, run, lo=first, key=beginning))

    def longest_end(self, run: str) -> int:
        """The length of the longest suffix of a run that occurs in the text."""
        return bisect_left(range(len(run)), True, key=lambda length: not self.find(run[len(run) - length - 1 :]))

    def positions(self, ranks: range) -> NDArray[np.integer[Any]]:
        """The positions in the text at which the suffixes of these ranks begin, (ranks,)."""
        return self._order[ranks.start : ranks.stop]

    def followers(self, run: str) -> list[int]:
        """The distinct ids that follow a run in the text."""
        ranks, length = self.find(run), len(run)
        if len(ranks) and self._order[ranks.start] + length == len(self.text):
            ranks = ranks[1:]  # the text ends with the run: that suffix sorts first, and nothing follows it
        found = []
        while len(ranks):
            token = self.text[self._order[ranks.start] + length]
            found.append(ord(token))
            ranks = ranks[bisect_right(ranks, token, key=lambda rank: self.text[self._order[rank] + length]) :]
        return found

    def save(self, path: Path, text: str) -> None:
        """Write the index to a file, together with `text`, a name for the indexed text; raises OSError."""
        replace_file(path, save({"ids": self._ids, "order": self._order}, {"format": _FORMAT, "text": text}))

    @staticmethod
    def load(path: Path, text: str) -> "SuffixIndex | None":
        """Read the index of the text named `text`; None if the file is missing, damaged, or of another text."""
        try:
            with safe_open(path, framework="numpy") as file:
                if file.metadata() != {"format": _FORMAT, "text": text}:
                    return None
                ids, order = file.get_tensor("ids"), file.get_tensor("order")
        except (OSError, SafetensorError, TypeError):
            return None
        valid = ids.dtype.kind == "u" and order.dtype.kind == "i" and ids.shape == order.shape == (len(order),)
        return SuffixIndex(ids, order) if valid and (order >= 0).all() and (order < len(ids)).all() else None
