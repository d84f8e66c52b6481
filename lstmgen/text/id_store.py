"""Ids that are collected one block after the other: in memory, or in a file where they are many.

Knows: files, and how many bytes an id needs. Does not know: where the ids come from, or what they stand for.
"""

import io
from collections.abc import Callable
from typing import Any, BinaryIO

import numpy as np

from lstmgen.errors import TextError
from lstmgen.text.scratch import file_in_cache, file_in_system_folder, map_file, no_room
from lstmgen.text.vocabulary import Ids, look_up

IN_MEMORY_BYTES = 64 << 20
_BLOCK_SYMBOLS = 1 << 20
_ID_TYPES = (np.uint8, np.uint16, np.int32)


class TooLongError(TextError):
    """The text has more symbols than allowed."""


class IdStore:
    """Collects ids, in the smallest type that can hold them all.

    Args:
        max_symbols: with more ids than this, `append` raises TooLongError; None: no maximum.
        open_file: makes the file that holds many ids; it raises OSError.
    """

    def __init__(self, max_symbols: int | None = None, open_file: Callable[[], BinaryIO] = file_in_cache) -> None:
        self._max_symbols = max_symbols
        self._count = 0
        self._type = np.dtype(_ID_TYPES[0])
        self._places: list[Callable[[], BinaryIO]] = [open_file, file_in_system_folder]  # those not known to be full
        self.file: BinaryIO = io.BytesIO()

    def __enter__(self) -> "IdStore":
        return self

    def __exit__(self, *_: object) -> None:
        if not self._in_memory:
            self.file.close()

    def append(self, ids: Ids, size: int) -> None:
        """Add ids, (symbols,), all of them below `size`; raises TooLongError, and TextError if no folder has room."""
        if self._max_symbols is not None and self._count + len(ids) > self._max_symbols:
            raise TooLongError(f"the text is longer than {self._max_symbols:,} symbols")
        needed = np.dtype(next(kind for kind in _ID_TYPES if size - 1 <= np.iinfo(kind).max))
        if needed.itemsize > self._type.itemsize:
            self._copy(needed, in_memory=self._in_memory)
        if self._in_memory and (self._count + len(ids)) * self._type.itemsize > IN_MEMORY_BYTES:
            self._copy(self._type)
        self._write(self._count, ids.astype(self._type, copy=False))
        self._count += len(ids)

    def renumber(self, ranks: Ids) -> None:
        """Replace each id by its rank; ranks: (vocab,)."""
        ranks = ranks.astype(self._type)
        for start in range(0, self._count, _BLOCK_SYMBOLS):
            self._write(start, look_up(ranks, self._read(start)))

    def finish(self) -> Ids:
        """All ids, (symbols,): in memory, or mapped from the file. They stay valid when the store is closed."""
        if isinstance(self.file, io.BytesIO):
            return np.frombuffer(self.file.getbuffer(), self._type)
        return map_file(self.file, self._type, self._count)

    @property
    def _in_memory(self) -> bool:
        return isinstance(self.file, io.BytesIO)

    def _read(self, start: int) -> Ids:
        """The ids of one block, from position `start` on, (symbols,)."""
        self.file.seek(start * self._type.itemsize)
        count = min(_BLOCK_SYMBOLS, self._count - start)
        return np.frombuffer(self.file.read(count * self._type.itemsize), self._type)

    def _write(self, start: int, ids: Ids) -> None:
        """Write ids, (symbols,), from position `start` on; where there is no room, all ids move to the next place."""
        try:
            self.file.seek(start * self._type.itemsize)
            write_all(self.file, ids.tobytes())
        except OSError:
            self._places.pop(0)
            self._copy(self._type)
            self._write(start, ids)

    def _copy(self, kind: np.dtype[Any], *, in_memory: bool = False) -> None:
        """Copy all ids, as this type, to memory, or to a new file in the first place that has room for them."""
        places: list[Callable[[], BinaryIO]] = [io.BytesIO] if in_memory else self._places
        while places:
            try:
                file = places[0]()
            except OSError:
                places.pop(0)
                continue
            try:
                for start in range(0, self._count, _BLOCK_SYMBOLS):
                    write_all(file, self._read(start).astype(kind).tobytes())
            except OSError:
                file.close()
                places.pop(0)
                continue
            self.__exit__()
            self.file, self._type = file, kind
            return
        raise no_room(self._count * kind.itemsize)


def write_all(file: BinaryIO, data: bytes) -> None:
    """Write to a file without a buffer, which may take less than it is given."""
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]
