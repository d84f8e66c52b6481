"""Baselines: how many nats a text costs without a network, with uniform guesses, counting or compression.

Every baseline gets the network's training text, and predicts the same tokens of the same text as the network.

A network of lines reads each line by itself and learns nothing from their order. So all baselines get a list's lines in
random order: otherwise a compressor could exploit a sorted list, and the n-gram model would tune itself on an untypical
end. The result of bz2 still varies with the order, by 0.15 bits in trials (docs/TRIALS.md).
"""

import bz2
import lzma
import math
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lstmgen.evaluation.confidence import Blocks
from lstmgen.evaluation.ngram import Alphabet, fit
from lstmgen.text.lines import line_items
from lstmgen.text.storage import blocks_of
from lstmgen.text.vocabulary import Ids, Vocabulary, token_counts

_GZIP_WINDOW = 1 << 15
_BZ2_BLOCK = 900_000  # bytes
_LINES_AT_ONCE = 1 << 13
_XZ_CONTEXT = 1 << 24  # tokens of the training text; xz needs about ten times as many bytes of memory
_TRAINING_ORDER, _TEXT_ORDER = 0, 1  # seeds; they differ so that a list evaluated on itself is not one long repetition


class BaselineKind(StrEnum):
    """How a baseline predicts."""

    NGRAMS = "n-grams"
    COMPRESSOR = "compressor"
    FREQUENCIES = "frequencies"
    UNIFORM = "uniform"


@dataclass(frozen=True)
class Baseline:
    """The result of one baseline for a text."""

    kind: BaselineKind
    name: str
    nats_per_character: float  # per byte, for a vocabulary of bytes
    blocks: Blocks | None = None  # the nats by position in the text; None for baselines with a single sum

    @property
    def bits_per_character(self) -> float:
        """The same number in bits."""
        return self.nats_per_character / math.log(2)


def baselines(
    training: Ids,
    text: Ids,
    vocabulary: Vocabulary,
    *,
    lines: bool,
    min_compressed: int = 1000,
) -> Iterator[Baseline]:
    """The baselines of a text: n-grams, compressors, frequencies, uniform guesses.

    `training` is the network's training text and `text` the one to evaluate on, with at least one predicted token,
    (tokens,) each. With `lines` the network reads each line by itself, from its initial state.

    Without a training text there is no n-gram model. With fewer than `min_compressed` predicted tokens there are no
    compressors, because the difference of two compressed sizes is then too coarse.
    """
    newline = vocabulary.newline if lines else None
    learned, read = _as_read(training, newline), _as_read(text, newline)
    count = len(read) - 1  # the first token is given
    if newline is not None:
        learned = in_random_order(learned, newline, _TRAINING_ORDER)

    if len(learned):
        model = fit(learned, Alphabet(len(vocabulary), newline))
        positions = range(1, len(read)) if newline is None else np.flatnonzero(_predicted(text, newline))
        blocks, start = Blocks(len(text)), 0
        for nats in model.nats(read, 1, len(read)):
            blocks.add(np.asarray(positions[start : start + len(nats)]), nats)
            start += len(nats)
        yield Baseline(BaselineKind.NGRAMS, f"{model.order}-gram model", blocks.nats_per_character, blocks)

    if count >= min_compressed:
        known = b"".join(map(vocabulary.to_bytes, blocks_of(learned[-_XZ_CONTEXT:])))
        packed = read if newline is None else in_random_order(read, newline, _TEXT_ORDER)[1:]
        compressors: dict[str, Callable[[bytes, Iterable[bytes]], int]]
        compressors = {"bz2": bz2_added_bytes, "xz": _xz, "gzip": _gzip}
        for name, added_bytes in compressors.items():
            nats_added = added_bytes(known, map(vocabulary.to_bytes, blocks_of(packed))) * 8 * math.log(2)
            yield Baseline(BaselineKind.COMPRESSOR, name, nats_added / count)

    learned_counts = token_counts(learned, len(vocabulary)) + 0.5
    read_counts = token_counts(read[1:], len(vocabulary))
    nats_by_frequency = float(-(read_counts * np.log(learned_counts / learned_counts.sum())).sum() / count)
    yield Baseline(BaselineKind.FREQUENCIES, f"{vocabulary.unit} frequencies", nats_by_frequency)
    yield Baseline(BaselineKind.UNIFORM, f"uniform, {len(vocabulary):,} {vocabulary.unit}s", math.log(len(vocabulary)))


def _as_read(ids: Ids, newline: int | None) -> Ids:
    """A text as a network reads it: the first token is given, every other one is predicted.

    A list becomes a line feed, then each nonempty line with its line feed.
    """
    if newline is None:
        return ids
    line_feed = np.array([newline], ids.dtype)
    return np.concatenate([line_feed, np.concatenate([ids, line_feed])[_predicted(ids, newline)]])


def _predicted(ids: Ids, newline: int) -> NDArray[np.bool_]:
    """Which tokens of a list plus one line feed are predicted: all but the line feeds of empty lines."""
    line_feeds = np.append(ids == newline, True)
    empty = line_feeds.copy()
    empty[1:] &= line_feeds[:-1]
    return ~empty


def in_random_order(read: Ids, newline: int, seed: int) -> Ids:
    """A list as a network reads it, with its lines in an order that only depends on the seed and their number.

    `read` is a line feed, then each line with its line feed, (tokens,).
    """
    lines = np.random.default_rng(seed).permutation(line_items(read, newline))
    shuffled, end = read.copy(), 1
    for first in range(0, len(lines), _LINES_AT_ONCE):
        begins, ends = lines[first : first + _LINES_AT_ONCE].astype(np.int64).T
        lengths = ends - begins + 1  # with the line feed
        shifts = begins - (lengths.cumsum() - lengths)
        positions = np.arange(lengths.sum()) + np.repeat(shifts, lengths)
        shuffled[end : end + len(positions)] = read[positions]
        end += len(positions)
    return shuffled


def _compressed_size(compressor: Any, pieces: Iterable[bytes]) -> int:
    return sum(len(compressor.compress(piece)) for piece in pieces) + len(compressor.flush())


def _gzip(known: bytes, unknown: Iterable[bytes]) -> int:
    """Bytes for the unknown text, with the end of the known text, as far as gzip can look back, as its dictionary."""
    return _compressed_size(zlib.compressobj(9, wbits=-15, zdict=known[-_GZIP_WINDOW:]), unknown)


def bz2_added_bytes(known: bytes, unknown: Iterable[bytes], block: int = _BZ2_BLOCK) -> int:
    """Bytes that the unknown text adds after the end of the known text in one block of bz2."""
    first = next(iter(unknown), b"")
    known = known[max(0, len(known) + len(first) - block) :]
    both = _compressed_size(bz2.BZ2Compressor(), chain([known, first], unknown))
    return both - _compressed_size(bz2.BZ2Compressor(), [known])


def _xz(known: bytes, unknown: Iterable[bytes]) -> int:
    """Bytes that the unknown text adds to the known text."""
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "dict_size": 2 * _XZ_CONTEXT}]
    both, alone = (lzma.LZMACompressor(lzma.FORMAT_RAW, filters=filters) for _ in range(2))
    return _compressed_size(both, chain([known], unknown)) - _compressed_size(alone, [known])
