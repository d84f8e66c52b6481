"""Large texts as ids, kept between runs, so that each is decoded and encoded once.

A text is found by its content: every byte of every file is read and hashed (SHA-256) before kept ids are used. A
change of the text is therefore always noticed, whatever the time of its file says. Kept ids are used only if their
checksum is right; a damaged file is ignored, and replaced.

A kept text is one file: its ids, its facts as JSON, the length of the JSON, and a checksum of all that. It gets its
name when it is complete, and it is never changed after that, so several processes may use the cache at once. A cache
that cannot be read or written is like an empty one.

Knows: the files of the cache. Does not know: how text is decoded or encoded.
"""

import hashlib
import json
import os
import tempfile
import time
import zlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np

from lstmgen.files import write_all
from lstmgen.text.scratch import cache_folder, file_in_cache, map_file
from lstmgen.text.sources import Progress, Source
from lstmgen.text.vocabulary import Ids

SMALLEST_BYTES = 32 << 20
"""Smaller texts are not kept: to encode them takes a fraction of a second."""

LARGEST_CACHE = 8 << 30
"""The size of all kept texts in bytes. Above it, those that were not used for the longest time are removed."""

_FORMAT = "lstmgen text 1"
_PART = ".part"  # the end of the name of a file that is not complete
_STALE_SECONDS = 24 * 3600  # a part that is older was left by a process that was killed
_NUMBER = 8  # bytes of a number at the end of a file
_BLOCK = 1 << 20


@dataclass(frozen=True)
class KeptText:
    """A text of the cache."""

    ids: Ids  # (symbols,), mapped
    characters: str  # its vocabulary, in the order of the ids
    sha256: str  # of the decoded text


class CacheEntry:
    """The place of one text in the cache. It also reads the text, because its name is the hash of what was read."""

    def __init__(self, sources: Sequence[Source], encoding: str, progress: Progress | None, *, keep: bool) -> None:
        """Find the place.

        Args:
            sources: the text.
            encoding: how its bytes become characters.
            progress: is called while the text is read.
            keep: whether to use the cache.
        """
        sizes = [source.size() for source in sources]
        self._total = None if None in sizes else sum(size or 0 for size in sizes)
        self._kept = keep and self._total is not None and self._total >= SMALLEST_BYTES
        self._sources, self._encoding, self._progress = sources, encoding, progress
        self._part: BinaryIO | None = None

    def sources(self) -> list[Source]:
        """The sources, to be read once in this order; what is read is hashed, and the progress is reported."""
        self._hash, self._read = hashlib.sha256(f"{_FORMAT} {self._encoding!a}".encode()), 0
        return [replace(source, seen=self._see) for source in self._sources]

    def _see(self, block: bytes) -> None:
        self._read += len(block)
        if self._kept:
            self._hash.update(block or self._read.to_bytes(8, "big"))  # an empty block is the end of a file
        if self._progress is not None:
            self._progress(self._read, self._total)

    def _path(self) -> Path:
        return cache_folder() / f"{self._total}-{self._hash.hexdigest()}.ids"

    def load(self) -> KeptText | None:
        """The text, if it is kept. All its bytes are read for that, but not if no kept text has their number."""
        if not self._kept or not any(cache_folder().glob(f"{self._total}-*.ids")):
            return None
        for source in self.sources():
            for _ in source.blocks():
                pass
        try:
            return _load(self._path())
        except (OSError, ValueError):
            return None

    def open_file(self) -> BinaryIO:
        """A file for the ids, in the folder of the cache; raises OSError."""
        if not self._kept:
            return file_in_cache()
        cache_folder().mkdir(parents=True, exist_ok=True)
        self._part = cast(BinaryIO, tempfile.NamedTemporaryFile(buffering=0, dir=cache_folder(), suffix=_PART))  # noqa: SIM115  # it is returned open
        return self._part

    def keep(self, text: KeptText, file: BinaryIO) -> None:
        """Keep a text that was read from `sources`, if it is large; its ids are in the file already, or are copied."""
        if not self._kept:
            return
        with suppress(OSError):
            if file is self._part:
                self._finish(text, file)
                return
            with self.open_file() as part:
                for start in range(0, len(text.ids), _BLOCK):
                    write_all(part.write, text.ids[start : start + _BLOCK].tobytes())
                self._finish(text, part)

    def _finish(self, text: KeptText, part: BinaryIO) -> None:
        """Complete the file of a text, and give it its name."""
        facts = {"dtype": text.ids.dtype.name, "characters": text.characters, "sha256": text.sha256}
        encoded = json.dumps(facts).encode()
        part.seek(text.ids.nbytes)
        write_all(part.write, encoded + len(encoded).to_bytes(_NUMBER, "big"))
        size = part.tell()
        write_all(part.write, _checksum(part, size).to_bytes(_NUMBER, "big"))
        self._path().unlink(missing_ok=True)  # a damaged one
        os.link(part.name, self._path())
        _remove_unused(cache_folder())


def _load(path: Path) -> KeptText | None:
    """Read the file of a text; None if it is damaged. Raises OSError, or ValueError for a file that is cut."""
    with path.open("rb") as file:
        size = file.seek(-_NUMBER, os.SEEK_END)
        if int.from_bytes(file.read(_NUMBER), "big") != _checksum(file, size):
            return None
        file.seek(size - _NUMBER)
        end = size - _NUMBER - int.from_bytes(file.read(_NUMBER), "big")
        file.seek(end)
        facts = json.loads(file.read(size - _NUMBER - end))
        kind = np.dtype(facts["dtype"])
        ids = map_file(file, kind, end // kind.itemsize)
    with suppress(OSError):
        os.utime(path)  # it was used now
    return KeptText(ids, facts["characters"], facts["sha256"])


def _checksum(file: BinaryIO, size: int) -> int:
    """The CRC-32 of the first bytes of a file."""
    file.seek(0)
    checksum = 0
    for start in range(0, size, _BLOCK):
        checksum = zlib.crc32(file.read(min(_BLOCK, size - start)), checksum)
    return checksum


def _remove_unused(folder: Path) -> None:
    """Remove the texts that were not used for the longest time, until the rest is small enough; and old parts."""
    total = 0
    for path in sorted(folder.glob("*.ids"), key=lambda path: path.stat().st_mtime, reverse=True):
        total += path.stat().st_size
        if total > LARGEST_CACHE:
            path.unlink(missing_ok=True)
    for part in folder.glob(f"*{_PART}"):
        if part.stat().st_mtime < time.time() - _STALE_SECONDS:
            part.unlink(missing_ok=True)
