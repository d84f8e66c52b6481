"""The lines of a text as ids, in memory that does not grow with the text."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lstmgen.text import storage
from lstmgen.text.storage import Spool, blocks_of, release, scratch_array
from lstmgen.text.vocabulary import Ids


class _LineBlock(NamedTuple):
    """Some tokens of a text, and masks, (tokens,), that mark the lines among them."""

    start: int  # the position of the first token
    ids: Ids  # (tokens,)
    begins: NDArray[np.bool_]  # the first tokens of lines that are not empty
    ends: NDArray[np.bool_]  # the line feeds of lines that are not empty
    empty: NDArray[np.bool_]  # the line feeds of empty lines


def _line_blocks(ids: Ids, newline: int) -> Iterator[_LineBlock]:
    """A text, (tokens,), block by block."""
    after_feed, start = True, 0
    for block in blocks_of(ids):
        feeds = block == newline
        after_feeds = np.append(after_feed, feeds[:-1])
        yield _LineBlock(start, block, ~feeds & after_feeds, feeds & ~after_feeds, feeds & after_feeds)
        after_feed, start = bool(feeds[-1]), start + len(block)


def line_count(ids: Ids, newline: int) -> int:
    """The number of lines that are not empty."""
    return sum(int(block.begins.sum()) for block in _line_blocks(ids, newline))


def line_items(ids: Ids, newline: int) -> NDArray[np.integer[Any]]:
    """The beginning and end of each line that is not empty, (lines, 2); the end is the position of its line feed."""
    kind = np.uint32 if len(ids) < 2**32 - 1 else np.int64
    count = line_count(ids, newline)
    items = scratch_array(2 * count, kind).reshape(count, 2)
    begun = ended = 0
    for block in _line_blocks(ids, newline):
        begins, ends = (np.flatnonzero(where) + block.start for where in (block.begins, block.ends))
        items[begun : begun + len(begins), 0] = begins
        items[ended : ended + len(ends), 1] = ends
        begun, ended = begun + len(begins), ended + len(ends)
    items[ended:, 1] = len(ids)  # a last line without a line feed
    return items


def longest_line(items: NDArray[np.integer[Any]]) -> int:
    """The number of tokens of the longest line, without its line feed; items: (lines, 2), as of `line_items`."""
    return max((int((block[:, 1] - block[:, 0]).max()) for block in blocks_of(items)), default=0)


def end_of_last_line(ids: Ids, newline: int | None) -> int:
    """The position after the last line feed of a text, (tokens,); 0: there is none."""
    for stop in range(len(ids), 0, -storage.BLOCK):
        start = max(0, stop - storage.BLOCK)
        ends = np.flatnonzero(ids[start:stop] == newline)
        if len(ends):
            return start + int(ends[-1]) + 1
    return 0


def split_lines(ids: Ids, newline: int, *, fraction: float, seed: int) -> tuple[Ids, Ids]:
    """Split off a random fraction of the lines that are not empty; both parts keep the order of the text.

    Args:
        ids: the text, (tokens,).
        newline: the id of the line feed.
        fraction: the part of the lines that is split off; two lines stay in any case.
        seed: which lines.
    """
    lines = line_count(ids, newline)
    count = round(fraction * lines)
    if lines - count < 2:
        count = 0
    is_split_off = scratch_array(lines + 1, np.bool_)  # number -1, of no line, stays false
    for chosen in blocks_of(random_order(np.random.default_rng(seed), lines)[:count]):
        is_split_off[chosen] = True
    line = -1  # the last line that has begun
    with Spool() as kept, Spool() as split_off:
        for block in _line_blocks(ids, newline):
            numbers = line + np.cumsum(block.begins)
            mask = is_split_off[numbers] & ~block.empty
            kept.write(block.ids[~mask].tobytes())
            split_off.write(block.ids[mask].tobytes())
            line = int(numbers[-1])
        return kept.array(ids.dtype), split_off.array(ids.dtype)


def random_order(generator: np.random.Generator, count: int) -> NDArray[np.integer[Any]]:
    """`generator.permutation(count)`, (count,), in half the memory, or if it is large in a file."""
    order = scratch_array(count, np.uint32 if count < 2**32 else np.int64)
    for start in range(0, count, storage.BLOCK):
        stop = min(start + storage.BLOCK, count)
        order[start:stop] = np.arange(start, stop)
    generator.shuffle(order)
    release(order)
    return order
