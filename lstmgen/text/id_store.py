"""Ids that are collected one block after the other: in memory, or in a file where they are many.

Knows: temporary files. Does not know: where the ids come from, or what they stand for.
"""

import mmap
import tempfile
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lstmgen.errors import TextError
from lstmgen.text.vocabulary import Ids

IN_MEMORY_BYTES = 64 << 20
_BLOCK_BYTES = 1 << 22
_ID_TYPES = (np.uint8, np.uint16, np.int32)


class TooLongError(TextError):
    """The text has more symbols than allowed."""


class IdStore:
    """Collects ids in a temporary file, in the smallest type that can hold them all.

    Args:
        max_symbols: with more ids than this, `append` raises TooLongError; None: no maximum.
    """

    def __init__(self, max_symbols: int | None = None) -> None:
        self._max_symbols = max_symbols
        self._count = 0
        self._type: type[np.integer[Any]] = _ID_TYPES[0]
        self._file = tempfile.TemporaryFile()  # noqa: SIM115  # closed on exit

    def __enter__(self) -> "IdStore":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def append(self, ids: Ids, size: int) -> None:
        """Add ids, (symbols,), all of them below `size`."""
        self._count += len(ids)
        if self._max_symbols is not None and self._count > self._max_symbols:
            raise TooLongError(f"the text is longer than {self._max_symbols:,} symbols")
        needed = next(kind for kind in _ID_TYPES if size - 1 <= np.iinfo(kind).max)
        if np.dtype(needed).itemsize > np.dtype(self._type).itemsize:
            self._widen(needed)
        self._file.write(ids.astype(self._type).tobytes())

    def _widen(self, needed: type[np.integer[Any]]) -> None:
        wide = tempfile.TemporaryFile()  # noqa: SIM115  # replaces the file, which is then closed
        self._file.seek(0)
        while block := self._file.read(_BLOCK_BYTES):
            wide.write(np.frombuffer(block, self._type).astype(needed).tobytes())
        self._file.close()
        self._file, self._type = wide, needed

    def finish(self) -> NDArray[np.integer[Any]]:
        """All ids, (symbols,), writable: in memory up to `IN_MEMORY_BYTES`, otherwise mapped from the file."""
        self._file.flush()
        size = self._file.tell()
        if size <= IN_MEMORY_BYTES:
            self._file.seek(0)
            ids = np.frombuffer(bytearray(self._file.read()), self._type)
        else:
            ids = np.frombuffer(mmap.mmap(self._file.fileno(), size), self._type)
        return ids
