"""Arrays that may be too large for memory: temporary ones, and ids that are kept in a cache.

A kept file holds ids and their CRC-32. It gets its name when it is complete and never changes after that, so several
processes may use the cache at once. A damaged file is replaced, and a cache that cannot be used is like none.
"""

import hashlib
import io
import mmap
import os
import tempfile
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, BinaryIO, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

from lstmgen.errors import TextError
from lstmgen.files import write_all
from lstmgen.text.vocabulary import Ids

FOLDER_VARIABLE = "LSTMGEN_CACHE"
IN_MEMORY_BYTES = 32 << 20
"""Larger arrays are in files. Smaller texts are not kept: to encode them takes a fraction of a second."""

MAX_CACHE_BYTES = 8 << 30
"""The size of all kept texts. Above it, those that were not used for the longest time are removed."""

BLOCK = 1 << 20
"""The number of tokens, or of bytes, that are worked on at once."""

_FORMAT = "lstmgen ids 2"
_ID_TYPES = (np.uint8, np.uint16, np.int32)
_CHECKSUM_BYTES = 4
_PART = ".part"  # the end of the name of a file that is not complete
_STALE_SECONDS = 24 * 3600  # a part that is older was left by a process that was killed


class Spool:
    """Bytes that are written once and then read, in memory, or if they are many in a temporary file.

    The file is in the folder of the cache, because a system's folder for temporary files is often held in memory. It
    moves to the system's folder where the cache's cannot be written.
    """

    def __init__(self) -> None:
        self._places = list(_PLACES)  # those not known to be full
        self._file: BinaryIO = io.BytesIO()
        self._size = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if not isinstance(self._file, io.BytesIO):  # an array may still use the bytes in memory
            self._file.close()

    def write(self, block: bytes) -> None:
        """Add bytes; raises TextError if no folder has room for them."""
        try:
            if isinstance(self._file, io.BytesIO) and self._size + len(block) > IN_MEMORY_BYTES:
                raise OSError("too large for memory")
            write_all(self._file.write, block)
        except OSError:
            self._move(self._size + len(block))
            self.write(block)
        else:
            self._size += len(block)

    def _move(self, needed: int) -> None:
        """Copy what was written to the next place that has room for it."""
        while self._places:
            with suppress(OSError), ExitStack() as opened:
                file = opened.enter_context(self._places.pop(0)())
                for block in self.blocks():
                    write_all(file.write, block)
                opened.pop_all()
                self._file.close()
                self._file = file
                return
        raise _no_room(needed)

    def blocks(self) -> Iterator[bytes]:
        """All that was written, block by block."""
        self._file.seek(0)
        for start in range(0, self._size, BLOCK):
            yield self._file.read(min(BLOCK, self._size - start))

    def array(self, kind: np.dtype[Any]) -> NDArray[Any]:
        """All that was written, as an array that stays valid when the spool is closed."""
        if isinstance(self._file, io.BytesIO):
            return np.frombuffer(self._file.getbuffer(), kind)
        return _map(self._file, kind, self._size // kind.itemsize)


def store_ids(name: str, vocab_size: int, count: int, encode: Callable[[], Iterable[Ids]]) -> Ids:
    """The ids of a text, (tokens,), in the smallest type that holds them; a large text is encoded only once.

    Args:
        name: says which text this is, and how it is encoded.
        vocab_size: the number of tokens in the vocabulary.
        count: the largest number of ids that `encode` may yield.
        encode: yields the ids, block by block; it may be called twice.

    Raises TextError if no folder has room for the ids.
    """
    kind = np.dtype(next(kind for kind in _ID_TYPES if vocab_size - 1 <= np.iinfo(kind).max))

    def encoded() -> Iterator[bytes]:
        return (ids.astype(kind, copy=False).tobytes() for ids in encode())

    if count * kind.itemsize > IN_MEMORY_BYTES:
        path = cache_folder() / f"{hashlib.sha256(f'{_FORMAT} {name!a}'.encode()).hexdigest()}.ids"
        with suppress(OSError):
            if (kept := _load(path, kind)) is not None:
                return kept
        with suppress(OSError):
            _save(path, encoded())
            with path.open("rb") as file:
                return _map(file, kind, (path.stat().st_size - _CHECKSUM_BYTES) // kind.itemsize)
    with Spool() as spool:
        for block in encoded():
            spool.write(block)
        return spool.array(kind)


def cache_folder() -> Path:
    """The folder of the cache: the environment variable `LSTMGEN_CACHE`, or the usual one of the system."""
    if folder := os.environ.get(FOLDER_VARIABLE):
        return Path(folder)
    import pooch

    return Path(pooch.os_cache("lstmgen"))


def _load(path: Path, kind: np.dtype[Any]) -> Ids | None:
    """The ids of a kept file; None if it is damaged. Raises OSError."""
    with path.open("rb") as file:
        content = _map(file, np.dtype(np.uint8), path.stat().st_size)
    ids, checksum = content[:-_CHECKSUM_BYTES], 0
    for block in blocks_of(ids):
        checksum = zlib.crc32(block.data, checksum)
    if len(ids) % kind.itemsize or content[len(ids) :].tobytes() != _checksum_bytes(checksum):
        return None
    with suppress(OSError):
        os.utime(path)  # it was used now
    return ids.view(kind)


def _save(path: Path, encoded: Iterable[bytes]) -> None:
    """Keep encoded ids in a file; raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = tempfile.NamedTemporaryFile(dir=path.parent, suffix=_PART, delete=False)  # noqa: SIM115  # renamed when closed
    try:
        with part as file:
            checksum = 0
            for block in encoded:
                file.write(block)
                checksum = zlib.crc32(block, checksum)
            file.write(_checksum_bytes(checksum))
        Path(part.name).replace(path)
    finally:
        Path(part.name).unlink(missing_ok=True)
    _remove_unused(path.parent)


def _checksum_bytes(checksum: int) -> bytes:
    return checksum.to_bytes(_CHECKSUM_BYTES, "big")


def _remove_unused(folder: Path) -> None:
    """Remove the texts that were not used for the longest time, until the rest is small enough; and old parts."""
    found = []
    for path in folder.iterdir():
        with suppress(OSError):  # another process may have removed it
            found.append((path.stat().st_mtime, path.stat().st_size, path))
    total = 0
    for changed, size, path in sorted(found, reverse=True):
        total += size if path.suffix == ".ids" else 0
        stale = path.suffix == _PART and changed < time.time() - _STALE_SECONDS
        if stale or (path.suffix == ".ids" and total > MAX_CACHE_BYTES):
            with suppress(OSError):
                path.unlink()


def scratch_array(count: int, dtype: DTypeLike) -> NDArray[Any]:
    """An array of zeros, (count,): in memory, or if it is large in a file; raises TextError if no folder has room."""
    kind = np.dtype(dtype)
    size = count * kind.itemsize
    if size <= IN_MEMORY_BYTES:
        return np.zeros(count, kind)
    for open_file in _PLACES:
        with suppress(OSError), open_file() as file:
            if hasattr(os, "posix_fallocate"):  # a write to a mapped file cannot report a full disk
                os.posix_fallocate(file.fileno(), 0, size)
            else:
                file.truncate(size)
            return _map(file, kind, count, mmap.ACCESS_WRITE)
    raise _no_room(size)


def blocks_of(array: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """An array, block by block; the process forgets the pages of a mapped one when it has read them."""
    for start in range(0, len(array), BLOCK):
        yield array[start : start + BLOCK]
        release(array[start : start + BLOCK])


def release(array: NDArray[Any]) -> None:
    """Let the process forget the pages of an array that is mapped from a file; they are read again when needed."""
    owner: Any = array
    while isinstance(owner, np.ndarray):
        first, owner = owner.ctypes.data, owner.base
    mapped = getattr(owner, "obj", owner)  # a memory view's object
    if isinstance(mapped, mmap.mmap) and hasattr(mapped, "madvise"):
        start = array.ctypes.data - first
        page = start // mmap.PAGESIZE * mmap.PAGESIZE
        mapped.madvise(mmap.MADV_DONTNEED, page, start - page + array.nbytes)


def _map(file: BinaryIO, kind: np.dtype[Any], count: int, access: int = mmap.ACCESS_READ) -> NDArray[Any]:
    """The first numbers of a file, (count,), as an array that the system reads when it is used."""
    if count == 0:
        return np.empty(0, kind)
    return np.frombuffer(mmap.mmap(file.fileno(), count * kind.itemsize, access=access), kind)


def _file_in_cache() -> BinaryIO:
    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    return tempfile.TemporaryFile(buffering=0, dir=folder)


def _file_in_system_folder() -> BinaryIO:
    return tempfile.TemporaryFile(buffering=0)


_PLACES = (_file_in_cache, _file_in_system_folder)


def _no_room(size: int) -> TextError:
    return TextError(
        f"no folder has room for a file of {size / 1e6:,.0f} MB that this text needs; "
        f"let the environment variable {FOLDER_VARIABLE} name a folder on a disk with more room"
    )
