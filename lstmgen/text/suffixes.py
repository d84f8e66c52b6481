"""Where any run of symbols stands in a text: an index of all its suffixes, sorted.

Built once in linear time (libdivsufsort), five to eight bytes a symbol; a look-up is a binary search.

Knows: ids and strings with one character for each id. Does not know: which characters they stand for.
"""

import os
from bisect import bisect_left, bisect_right
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from lstmgen.text.vocabulary import Ids, as_string

_FORMAT = "lstmgen suffixes 1"


class SuffixIndex:
    """Finds runs of symbols in a text, exactly."""

    def __init__(self, ids: Ids, order: NDArray[np.integer[Any]]) -> None:
        """Wrap a text and the order of its suffixes; see `build` and `load`.

        Args:
            ids: the text, (symbols,).
            order: where each suffix begins, in the order in which they sort, (symbols,).
        """
        self._ids = ids
        self.text = as_string(ids)  # with one character for each id
        self._order = order

    @staticmethod
    def build(ids: Ids) -> "SuffixIndex":
        """Sort the suffixes of a text, (symbols,)."""
        from pydivsufsort import divsufsort

        text = np.ascontiguousarray(ids)
        return SuffixIndex(text, divsufsort(text) if len(text) else np.zeros(0, np.int32))

    def find(self, run: str) -> range:
        """The places of a run in the sorted order; `positions` says where in the text they are."""
        length = len(run)

        def beginning(place: int) -> str:
            start = self._order[place]
            return self.text[start : start + length]

        places = range(len(self._order))
        first = bisect_left(places, run, key=beginning)
        if first == len(places) or beginning(first) != run:
            return range(first, first)
        return range(first, bisect_right(places, run, lo=first, key=beginning))

    def longest_end(self, run: str) -> int:
        """How many of the last symbols of a run stand somewhere in the text in a row."""
        return bisect_left(range(len(run)), True, key=lambda length: not self.find(run[len(run) - length - 1 :]))

    def positions(self, places: range) -> NDArray[np.integer[Any]]:
        """Where in the text the suffixes at these places begin."""
        return self._order[places.start : places.stop]

    def followers(self, run: str) -> list[int]:
        """The ids that follow a run somewhere in the text, each once."""
        places, length = self.find(run), len(run)
        found = []
        while len(places):
            after = int(self._order[places.start]) + length
            if after == len(self.text):  # the text ends with the run: this sorts first, and nothing follows
                places = places[1:]
                continue
            symbol = self.text[after]
            found.append(ord(symbol))
            places = places[bisect_right(places, symbol, key=lambda place: self.text[self._order[place] + length]) :]
        return found

    def save(self, path: Path, text: str) -> None:
        """Write the index to a file, with a name of the text that it is of; raises OSError."""
        part = path.with_name(f"{path.name}.{os.getpid()}.part")
        try:
            part.write_bytes(save({"ids": self._ids, "order": self._order}, {"format": _FORMAT, "text": text}))
            part.replace(path)
        except OSError:
            part.unlink(missing_ok=True)
            raise

    @staticmethod
    def load(path: Path, text: str) -> "SuffixIndex | None":
        """Read an index; None if the file is missing, of another text, or damaged."""
        try:
            with safe_open(path, framework="numpy") as file:
                if file.metadata() != {"format": _FORMAT, "text": text}:
                    return None
                ids, order = file.get_tensor("ids"), file.get_tensor("order")
        except (OSError, SafetensorError, TypeError):
            return None
        sound = ids.dtype.kind == "u" and order.dtype.kind == "i" and ids.shape == order.shape == (len(order),)
        return SuffixIndex(ids, order) if sound and (order >= 0).all() and (order < len(ids)).all() else None
