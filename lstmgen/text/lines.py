"""The lines of a text as ids, in memory that does not grow with the text.

Knows: ids, and which of them is the line feed. Does not know: characters, or how lines become chunks.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lstmgen.text.id_store import IdStore
from lstmgen.text.scratch import release, scratch_array
from lstmgen.text.vocabulary import Ids

BLOCK_SYMBOLS = 1 << 20
"""The number of symbols that are worked on at once."""


class _LineBlock(NamedTuple):
    """Some symbols of a text, and the lines among them."""

    start: int  # the position of the first symbol
    ids: Ids  # (symbols,)
    begins: NDArray[np.bool_]  # (symbols,): the first symbols of lines that are not empty
    ends: NDArray[np.bool_]  # (symbols,): the line feeds of lines that are not empty
    empty: NDArray[np.bool_]  # (symbols,): the line feeds of empty lines


def _line_blocks(ids: Ids, newline: int) -> Iterator[_LineBlock]:
    """A text, (symbols,), block by block."""
    after_feed = True
    for start in range(0, len(ids), BLOCK_SYMBOLS):
        block = ids[start : start + BLOCK_SYMBOLS]
        feeds = block == newline
        after_feeds = np.append(after_feed, feeds[:-1])
        after_feed = bool(feeds[-1])
        yield _LineBlock(start, block, ~feeds & after_feeds, feeds & ~after_feeds, feeds & after_feeds)
        release(block)


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
    """The number of symbols of the longest line, without its line feed; items: (lines, 2), as of `line_items`."""
    blocks = (items[start : start + BLOCK_SYMBOLS] for start in range(0, len(items), BLOCK_SYMBOLS))
    return max((int((block[:, 1] - block[:, 0]).max()) for block in blocks), default=0)


def split_lines(ids: Ids, newline: int, *, fraction: float, seed: int, vocab_size: int) -> tuple[Ids, Ids]:
    """Split off a random fraction of the lines that are not empty; both parts keep the order of the text.

    Args:
        ids: the text, (symbols,).
        newline: the id of the line feed.
        fraction: the part of the lines that is split off; two lines stay in any case.
        seed: which lines.
        vocab_size: the number of symbols.
    """
    lines = line_count(ids, newline)
    count = round(fraction * lines)
    if lines - count < 2:
        count = 0
    order = random_order(np.random.default_rng(seed), lines)
    is_split_off = scratch_array(lines + 1, np.bool_)  # number -1, of no line, stays false
    for start in range(0, count, BLOCK_SYMBOLS):
        is_split_off[order[start : min(start + BLOCK_SYMBOLS, count)]] = True
    line = -1  # the last line that has begun
    with IdStore() as rest, IdStore() as split_off:
        for block in _line_blocks(ids, newline):
            starts = np.append(0, np.flatnonzero(block.ids[:-1] == newline) + 1)  # of each line, or what is here of it
            numbers = line + np.cumsum(block.begins[starts])
            chosen = is_split_off[numbers] & ~block.empty[starts]
            chosen = np.repeat(chosen, np.diff(starts, append=len(block.ids)))
            rest.append(block.ids[~chosen], vocab_size)
            split_off.append(block.ids[chosen], vocab_size)
            line = int(numbers[-1])
        return rest.finish(), split_off.finish()


def random_order(generator: np.random.Generator, count: int) -> NDArray[np.integer[Any]]:
    """`generator.permutation(count)`, (count,), in half the memory, or if it is large in a file."""
    order = scratch_array(count, np.uint32 if count < 2**32 else np.int64)
    for start in range(0, count, BLOCK_SYMBOLS):
        stop = min(start + BLOCK_SYMBOLS, count)
        order[start:stop] = np.arange(start, stop)
    generator.shuffle(order)
    release(order)
    return order
