"""Cut ids into the chunks that a network reads: parallel streams of a text, or batches of its lines.

In training, the order of an epoch's chunks depends only on the seed and the number of the epoch, so two numbers, epoch
and chunk, give the position in the text. In scoring, every token but the first is predicted exactly once.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, islice
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lstmgen.text.lines import line_items, random_order
from lstmgen.text.vocabulary import Ids

IGNORED = -1
"""The target of a step without a prediction to score: padding, or the warm-up of a stream."""

_POOL_BATCHES = 64


class Chunk(NamedTuple):
    """The ids that the network reads in one call, and the ids to predict."""

    inputs: NDArray[np.int64]  # (batch, time)
    targets: NDArray[np.int64]  # (batch, time); IGNORED where nothing is predicted
    positions: NDArray[np.int64]  # (batch,): the position of each row's first target in the text
    reset_state: bool  # whether to start from the initial state instead of the state after the previous chunk

    def pieces(self, length: int) -> "Iterator[Chunk]":
        """Cut the chunk along the time axis into pieces of at most `length` steps."""
        for start in range(0, self.inputs.shape[1], length):
            steps = slice(start, start + length)
            reset_state = self.reset_state and start == 0
            yield Chunk(self.inputs[:, steps], self.targets[:, steps], self.positions + start, reset_state)

    @staticmethod
    def joined(chunks: "Sequence[Chunk]") -> "Chunk":
        """Consecutive chunks of the same streams as one; the inverse of `pieces`."""
        inputs = np.concatenate([chunk.inputs for chunk in chunks], axis=1)
        targets = np.concatenate([chunk.targets for chunk in chunks], axis=1)
        return chunks[0]._replace(inputs=inputs, targets=targets)

    def rows(self, rows: slice) -> "Chunk":
        """Some rows of the chunk."""
        return Chunk(self.inputs[rows], self.targets[rows], self.positions[rows], self.reset_state)


@dataclass(frozen=True)
class ParallelStreams:
    """A text cut into parallel streams, which are read chunk by chunk with carried state."""

    ids: Ids
    batch_size: int
    chunk_length: int
    seed: int

    def chunk_count(self, epoch: int) -> int:
        """The number of chunks of an epoch."""
        return self._streams(epoch)[2]

    def chunks(self, epoch: int, start: int = 0) -> Iterator[Chunk]:
        """The chunks of an epoch from number `start` on. All streams advance together; each epoch is offset."""
        offset, length, count = self._streams(epoch)
        firsts = offset + length * np.arange(self.batch_size)[:, None]
        for number in range(start, count):
            # The chunks have equal length, within one token, so that no epoch ends with a chunk of a few tokens.
            begin, end = (round(cut * (length / count)) for cut in (number, number + 1))
            window = self.ids[firsts + np.arange(begin, end + 1)].astype(np.int64)
            yield Chunk(window[:, :-1], window[:, 1:], firsts[:, 0] + begin + 1, reset_state=number == 0)

    def _streams(self, epoch: int) -> tuple[int, int, int]:
        """The beginning of the first stream, the length of every stream, and the number of its chunks."""
        predicted = len(self.ids) - 1
        slack = min(self.chunk_length, predicted - self.batch_size + 1)
        offset = int(np.random.default_rng([self.seed, epoch]).integers(slack))
        length = (predicted - offset) // self.batch_size
        return offset, length, max(1, round(length / self.chunk_length))


@dataclass(frozen=True)
class ShuffledLines:
    """A list of lines: each line is read from the initial state, in a new order each epoch.

    The network reads a line feed, then the line, and predicts the line, then its line feed. Lines of similar length
    share a batch, so that there is little padding.
    """

    ids: Ids
    newline: int
    batch_size: int
    chunk_length: int
    seed: int

    def chunk_count(self, epoch: int) -> int:
        """The number of chunks of an epoch."""
        return sum(int(counts.sum()) for _, _, counts in self._pools(epoch))

    def chunks(self, epoch: int, start: int = 0) -> Iterator[Chunk]:
        """The chunks of an epoch from number `start` on; the chunks of each batch of lines are consecutive."""
        skipped = 0
        for pool, starts, counts in self._pools(epoch):
            for first, count in zip(starts, counts.tolist(), strict=True):
                if skipped + count > start:
                    batch = self._items[pool[first : first + self.batch_size]].astype(np.int64)
                    pieces = item_chunks(self.ids, batch, self.newline, self.chunk_length)
                    yield from islice(pieces, max(0, start - skipped), None)
                skipped += count

    @cached_property
    def _items(self) -> NDArray[np.integer[Any]]:
        return line_items(self.ids, self.newline)

    def _pools(self, epoch: int) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]]:
        """An epoch's items, pool by pool: their numbers, shortest first, and each batch's start and chunk count."""
        generator = np.random.default_rng([self.seed, epoch])
        order = random_order(generator, len(self._items))
        pool_size = self.batch_size * _POOL_BATCHES
        for first in range(0, len(order), pool_size):
            pool = order[first : first + pool_size].astype(np.int64)
            lengths = (self._items[pool, 1] - self._items[pool, 0]).astype(np.int64)
            by_length = np.argsort(lengths, kind="stable")
            starts = generator.permutation(np.arange(0, len(pool), self.batch_size))
            last = np.minimum(starts + self.batch_size, len(pool)) - 1  # the longest of each batch
            steps = lengths[by_length[last]] + 1
            yield pool[by_length], starts, -(-steps // self.chunk_length)


TrainingText = ParallelStreams | ShuffledLines
"""A text that is read once per epoch, in a different order each time; reading can start at any chunk."""


def build_text(ids: Ids, newline: int | None, *, batch_size: int, chunk_length: int, seed: int) -> TrainingText:
    """A text to train on, (tokens,), as parallel streams; given the id of the line feed, as shuffled lines."""
    if newline is not None:
        return ShuffledLines(ids, newline, batch_size, chunk_length, seed)
    return ParallelStreams(ids, batch_size, chunk_length, seed)


def item_chunks(ids: Ids, items: NDArray[np.int64], newline: int, chunk_length: int) -> Iterator[Chunk]:
    """The chunks of one batch of items, (batch, 2) as `line_items` returns them; shorter items are padded."""
    begins, ends = items[:, :1], items[:, 1:]
    longest = int((ends - begins).max()) + 1
    for start in range(0, longest, chunk_length):
        steps = np.arange(start, min(start + chunk_length, longest) + 1)
        positions = begins + steps - 1  # the first step reads the line feed before the item
        within = (positions >= begins) & (positions < ends)
        window = np.where(within, ids[np.clip(positions, 0, len(ids) - 1)].astype(np.int64), newline)
        predicted = begins + steps[1:] - 1 <= ends  # the item, then its line feed
        targets = np.where(predicted, window[:, 1:], IGNORED)
        yield Chunk(window[:, :-1], targets, begins[:, 0] + start, reset_state=start == 0)


def every_line(ids: Ids, newline: int, batch_size: int, chunk_length: int = 256) -> Iterator[Chunk]:
    """All lines for scoring, each from the initial state; every token and every line's line feed is predicted once.

    The batches come in random order, so that any part of them is a fair sample of the text.
    """
    items = line_items(ids, newline)
    items = items[np.argsort(items[:, 1] - items[:, 0], kind="stable")]
    for start in np.random.default_rng(0).permutation(np.arange(0, len(items), batch_size)):
        yield from item_chunks(ids, items[start : start + batch_size].astype(np.int64), newline, chunk_length)


def lines_in_order(ids: Ids, newline: int, chunk_length: int = 256) -> Iterator[Chunk]:
    """All lines for scoring, as in `every_line`, but one line at a time and in the order of the text."""
    for item in line_items(ids, newline):
        yield from item_chunks(ids, item[None].astype(np.int64), newline, chunk_length)


def whole_lines(blocks: Iterable[Ids], newline: int) -> Iterator[Ids]:
    """Regroup the blocks of a text, (tokens,), so that each block but the last ends with a line feed."""
    held: list[Ids] = []
    for block in blocks:
        ends = np.flatnonzero(block == newline)
        if len(ends):
            yield np.concatenate([*held, block[: ends[-1] + 1]])
            held, block = [], block[ends[-1] + 1 :]
        held.append(block)
    if any(map(len, held)):
        yield np.concatenate(held)


def first_block(blocks: Iterable[Ids]) -> tuple[Ids, Iterator[Ids]]:
    """The first block that is not empty, and an iterator over it and all blocks after it."""
    rest = iter(blocks)
    head = next(filter(len, rest), np.zeros(0, np.int64))
    return head, chain([head], rest)


def one_stream(ids: Ids, chunk_length: int = 1024) -> Iterator[Chunk]:
    """The whole text for scoring as one stream with carried state: the exact protocol."""
    return stream_of_blocks([ids], chunk_length)


def stream_of_blocks(blocks: Iterable[Ids], chunk_length: int = 1024) -> Iterator[Chunk]:
    """`one_stream` for a text that comes in blocks, (tokens,); no block is kept, so the text may be endless."""
    before, position = np.zeros(0, np.int64), 0  # the last token of the previous chunk; the tokens read so far
    for block in blocks:
        for start in range(0, len(block), chunk_length):
            window = np.concatenate([before, block[start : start + chunk_length]]).astype(np.int64)
            if len(window) > 1:
                first = position + 1 - len(before)
                yield Chunk(window[None, :-1], window[None, 1:], np.array([first]), reset_state=first == 1)
            position += len(window) - len(before)
            before = window[-1:]


def overlapping_streams(ids: Ids, batch_size: int, warm_up: int, chunk_length: int = 256) -> Iterator[Chunk]:
    """The whole text for scoring in parallel streams: faster than `one_stream`, with nearly the same score.

    Each stream but the first reads `warm_up` tokens before it starts to predict.
    """
    predicted = len(ids) - 1
    batch_size = max(1, min(batch_size, predicted // (8 * warm_up + 1)))
    overlap = warm_up if batch_size > 1 else 0
    stride = -(-(predicted - overlap) // batch_size)
    firsts = stride * np.arange(batch_size)[:, None]
    for start in range(0, stride + overlap, chunk_length):
        steps = np.arange(start, min(start + chunk_length, stride + overlap))
        positions = firsts + steps
        within = positions < predicted
        scored = within & ((steps >= overlap) | (firsts == 0))
        positions = np.minimum(positions, predicted - 1)
        yield Chunk(
            ids[positions].astype(np.int64),
            np.where(scored, ids[positions + 1].astype(np.int64), IGNORED),
            firsts[:, 0] + start + 1,
            reset_state=start == 0,
        )


def cold_windows(ids: Ids, window: int, batch_size: int = 64) -> Iterator[Chunk]:
    """The text for scoring in non-overlapping windows of `window` predictions, each from the initial state.

    Transformers are often scored this way.
    """
    predicted = len(ids) - 1
    window = min(window, max(1, predicted))
    firsts = np.arange(0, predicted, window)
    for start in range(0, len(firsts), batch_size):
        positions = firsts[start : start + batch_size, None] + np.arange(window)
        within = positions < predicted
        positions = np.minimum(positions, predicted - 1)
        targets = np.where(within, ids[positions + 1].astype(np.int64), IGNORED)
        yield Chunk(ids[positions].astype(np.int64), targets, firsts[start : start + batch_size] + 1, reset_state=True)
