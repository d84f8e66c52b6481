"""The lines of a text as ids, in constant memory."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lstmgen.text.storage import blocks_of, stored
from lstmgen.text.vocabulary import Ids


def _edges(ids: Ids, newline: int) -> Iterator[tuple[Ids, NDArray[np.bool_]]]:
    """A text, block by block, with a mask of the edges of its lines that are not empty.

    The edges alternate: the first token of such a line, then the line feed that ends it.
    """
    after_feed = True
    for block in blocks_of(ids):
        feeds = block == newline
        yield block, feeds != np.append(after_feed, feeds[:-1])
        after_feed = bool(feeds[-1])


def line_items(ids: Ids, newline: int) -> NDArray[np.integer[Any]]:
    """The start and end of each line that is not empty, (lines, 2); the end is the position of its line feed."""

    def positions() -> Iterator[NDArray[np.int64]]:
        start = 0
        for block, edges in _edges(ids, newline):
            yield start + np.flatnonzero(edges)
            start += len(block)
        if len(ids) and ids[-1] != newline:  # a last line without a line feed
            yield np.array([len(ids)])

    return stored(positions(), np.uint32 if len(ids) < 2**32 - 1 else np.int64).reshape(-1, 2)


def split_lines(ids: Ids, newline: int, *, fraction: float, seed: int) -> tuple[Ids, Ids]:
    """Split off a random fraction of the lines that are not empty; both parts keep the order of the text.

    At least two lines always stay.
    """
    lines = (sum(int(edges.sum()) for _, edges in _edges(ids, newline)) + 1) // 2
    count = round(fraction * lines)
    if lines - count < 2:
        count = 0
    is_split_off = np.zeros(lines + 1, np.bool_)  # -1, which means no line, stays false
    is_split_off[random_order(np.random.default_rng(seed), lines)[:count]] = True

    def part(split_off: bool) -> Iterator[Ids]:
        seen = 0
        for block, edges in _edges(ids, newline):
            counts = seen + np.cumsum(edges)
            in_line = edges | (counts % 2 == 1)  # otherwise it is the line feed of an empty line
            yield block[(in_line & is_split_off[(counts - 1) // 2]) == split_off]
            seen = int(counts[-1])

    return stored(part(False), ids.dtype), stored(part(True), ids.dtype)


def random_order(generator: np.random.Generator, count: int) -> NDArray[np.integer[Any]]:
    """`generator.permutation(count)`, (count,), in half the memory."""
    order: NDArray[np.integer[Any]] = np.arange(count, dtype=np.uint32 if count < 2**32 else np.int64)
    generator.shuffle(order)
    return order
