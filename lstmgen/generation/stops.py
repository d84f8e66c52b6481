"""Stop texts: a sample ends before the first of them.

A token that may belong to the beginning of a stop text is kept in a buffer until it is clear whether the stop text is
completed. So no part of a stop text is ever shown.
"""

from collections.abc import Sequence
from typing import Generic, TypeVar

Item = TypeVar("Item")


class StopBuffer(Generic[Item]):
    """The last tokens of one sample, as long as they may be the beginning of a stop text, none of which is empty."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = stops
        self._first_tokens = {stop[0] for stop in stops}
        self._text = ""
        self._items: list[Item] = []

    def add(self, token: str, item: Item) -> tuple[list[Item], bool]:
        """Add a token and the item that belongs to it.

        Returns the items that are now released, and whether a stop text is complete.
        """
        if not self._items and token not in self._first_tokens:
            return [item], False
        self._text += token
        self._items.append(item)
        complete = [len(stop) for stop in self._stops if self._text.endswith(stop)]
        kept = max(complete, default=0) or max(map(self._matched_length, self._stops), default=0)
        released = self._items[: len(self._items) - kept]
        self._text, self._items = self._text[len(self._text) - kept :], self._items[len(self._items) - kept :]
        return released, bool(complete)

    def rest(self) -> list[Item]:
        """The items still in the buffer, when no more tokens come."""
        return self._items

    def _matched_length(self, stop: str) -> int:
        """Length of the longest beginning of a stop text with which the buffer ends."""
        longest = min(len(stop), len(self._text))
        return next((length for length in range(longest, 0, -1) if self._text.endswith(stop[:length])), 0)
