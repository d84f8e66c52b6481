"""Ending a sample before a given text.

What could be the beginning of a stop text is held back until it is clear that it is none, so that nothing of it is
ever shown.

Knows: strings with one character for each id. Does not know: which characters they stand for.
"""

from collections.abc import Sequence
from typing import Generic, TypeVar

Item = TypeVar("Item")


class StopBuffer(Generic[Item]):
    """One sample's last symbols, while they may be the beginning of a stop text."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = stops
        self._beginnings = {stop[0] for stop in stops}
        self._text = ""
        self._items: list[Item] = []

    def add(self, symbol: str, item: Item) -> tuple[list[Item], bool]:
        """Add a symbol and what goes with it; what is released by it, and whether a stop text is complete."""
        if not self._items and symbol not in self._beginnings:
            return [item], False
        self._text += symbol
        self._items.append(item)
        complete = [len(stop) for stop in self._stops if self._text.endswith(stop)]
        kept = max(complete, default=0) or max(map(self._begun, self._stops), default=0)
        released = self._items[: len(self._items) - kept]
        self._text, self._items = self._text[len(self._text) - kept :], self._items[len(self._items) - kept :]
        return released, bool(complete)

    def rest(self) -> list[Item]:
        """What is still held back, when nothing more will come."""
        return self._items

    def _begun(self, stop: str) -> int:
        """How much of a stop text the last symbols are the beginning of."""
        longest = min(len(stop), len(self._text))
        return next((length for length in range(longest, 0, -1) if self._text.endswith(stop[:length])), 0)
