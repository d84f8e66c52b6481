"""Yardsticks: what a text costs those who know nothing, count, or compress.

All are given the network's training text, and predict the same symbols of the same text as the network.

Knows: ids, bytes, and the compressors of the standard library. Does not know: networks.
"""

import bz2
import lzma
import math
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from lstmgen.evaluation.confidence import Blocks
from lstmgen.evaluation.ngram import Alphabet, fit
from lstmgen.text.vocabulary import Ids, Vocabulary

_GZIP_WINDOW = 1 << 15
_BZ2_BLOCK = 900_000
_PIECE = 1 << 20
_LEAST_COMPRESSED = 1000  # symbols; what two compressed sizes differ by says nothing of fewer
_XZ_CONTEXT = 1 << 24  # of the training text; to look back at it takes ten times the memory


@dataclass(frozen=True)
class Baseline:
    """What one yardstick needs."""

    name: str
    nats_per_character: float
    blocks: Blocks | None = None  # where in the text, for those that can tell

    @property
    def bits_per_character(self) -> float:
        """The same in bits."""
        return self.nats_per_character / math.log(2)


def baselines(training: Ids, text: Ids, vocabulary: Vocabulary, *, lines: bool) -> Iterator[Baseline]:
    """The yardsticks for a text, (symbols,), of at least one symbol that is predicted, the best informed first.

    Args:
        training: the text that the network was trained on, (symbols,).
        text: the text that it is evaluated on.
        vocabulary: what the symbols of both stand for.
        lines: whether each line is an item of its own, that is predicted whole and from nothing but itself.
    """
    newline = vocabulary.newline if lines else None
    learned, read = _as_read(training, newline), _as_read(text, newline)
    count = len(read) - 1  # the first is given

    if len(learned):
        model = fit(learned, Alphabet(len(vocabulary), newline))
        places = range(1, len(read)) if newline is None else np.flatnonzero(_predicted(text, newline))
        blocks, begin = Blocks(len(text)), 0
        for nats in model.nats(read, 1, len(read)):
            blocks.add(np.asarray(places[begin : begin + len(nats)]), nats)
            begin += len(nats)
        yield Baseline(f"{model.order}-gram model", blocks.nats_per_character, blocks)

    known = b"".join(_pieces(training[-_XZ_CONTEXT:], vocabulary))
    for name, added_bytes in COMPRESSORS.items() if count >= _LEAST_COMPRESSED else ():
        added = added_bytes(known, _pieces(text, vocabulary))
        yield Baseline(name, added * 8 * math.log(2) / count)

    seen = _frequencies(learned, vocabulary) + 0.5
    met = _frequencies(read[1:], vocabulary)
    yield Baseline("character frequencies", float(-(met * np.log(seen / seen.sum())).sum() / count))
    yield Baseline(f"uniform, {len(vocabulary)} symbols", math.log(len(vocabulary)))


def _as_read(ids: Ids, newline: int | None) -> Ids:
    """A text as a network reads it: the first symbol is given, every other one predicted."""
    if newline is None:
        return ids
    feed = np.array([newline], ids.dtype)
    return np.concatenate([feed, np.concatenate([ids, feed])[_predicted(ids, newline)]])


def _predicted(ids: Ids, newline: int) -> NDArray[np.bool_]:
    """Which symbols of lines, and of one line feed more, are predicted: all but the line feeds of empty lines."""
    feeds = np.append(ids == newline, True)
    empty = feeds.copy()
    empty[1:] &= feeds[:-1]
    return ~empty


def _frequencies(ids: Ids, vocabulary: Vocabulary) -> NDArray[np.int64]:
    counts = np.zeros(len(vocabulary), np.int64)
    for start in range(0, len(ids), _PIECE):
        counts += np.bincount(ids[start : start + _PIECE], minlength=len(vocabulary))
    return counts


def _pieces(ids: Ids, vocabulary: Vocabulary) -> Iterator[bytes]:
    return (vocabulary.to_bytes(ids[start : start + _PIECE]) for start in range(0, len(ids), _PIECE))


class _Packer(Protocol):
    def compress(self, data: bytes, /) -> bytes: ...

    def flush(self) -> bytes: ...


def _packed_size(packer: _Packer, pieces: Iterable[bytes]) -> int:
    return sum(len(packer.compress(piece)) for piece in pieces) + len(packer.flush())


def _gzip(known: bytes, unknown: Iterable[bytes]) -> int:
    return _packed_size(zlib.compressobj(9, wbits=-15, zdict=known[-_GZIP_WINDOW:]), unknown)


def _bz2(known: bytes, unknown: Iterable[bytes]) -> int:
    """Of the training text it is given what fits, beside the text, into one of the blocks that it sorts."""
    first = next(iter(unknown), b"")
    known = known[max(0, len(known) + len(first) - _BZ2_BLOCK) :]
    packed = _packed_size(bz2.BZ2Compressor(), chain([known, first], unknown))
    return packed - _packed_size(bz2.BZ2Compressor(), [known])


def _xz(known: bytes, unknown: Iterable[bytes]) -> int:
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "dict_size": 2 * _XZ_CONTEXT}]
    both, alone = (lzma.LZMACompressor(lzma.FORMAT_RAW, filters=filters) for _ in range(2))
    return _packed_size(both, chain([known], unknown)) - _packed_size(alone, [known])


COMPRESSORS: dict[str, Callable[[bytes, Iterable[bytes]], int]] = {"bz2": _bz2, "xz": _xz, "gzip": _gzip}
