"""Files for arrays that are too large for memory.

They are in the folder of the cache, because a system's folder for temporary files is often held in memory. Where the
cache's folder cannot be written, they are in the system's.

Knows: folders, temporary files, mapped files. Does not know: what the numbers stand for.
"""

import mmap
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import DTypeLike, NDArray

from lstmgen.errors import TextError

FOLDER_VARIABLE = "LSTMGEN_CACHE"
IN_MEMORY_BYTES = 64 << 20


def cache_folder() -> Path:
    """The folder of the cache: the environment variable `LSTMGEN_CACHE`, or the usual one of the system."""
    if folder := os.environ.get(FOLDER_VARIABLE):
        return Path(folder)
    import pooch

    return Path(pooch.os_cache("lstmgen"))


def file_in_cache() -> BinaryIO:
    """A temporary file without a name, in the folder of the cache; raises OSError."""
    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    return tempfile.TemporaryFile(buffering=0, dir=folder)


def file_in_system_folder() -> BinaryIO:
    """A temporary file without a name, in the system's folder for them; raises OSError."""
    return tempfile.TemporaryFile(buffering=0)


def scratch_array(count: int, dtype: DTypeLike) -> NDArray[Any]:
    """An array of zeros, (count,): in memory, or if it is large in a file; raises TextError if no folder has room."""
    kind = np.dtype(dtype)
    size = count * kind.itemsize
    if size <= IN_MEMORY_BYTES:
        return np.zeros(count, kind)
    for open_file in (file_in_cache, file_in_system_folder):
        with suppress(OSError), open_file() as file:
            if hasattr(os, "posix_fallocate"):  # a write to a mapped file cannot report a full disk
                os.posix_fallocate(file.fileno(), 0, size)
            else:
                file.truncate(size)
            return map_file(file, kind, count, writable=True)
    raise no_room(size)


def map_file(file: BinaryIO, kind: np.dtype[Any], count: int, *, writable: bool = False) -> NDArray[Any]:
    """The first numbers of a file, (count,), as an array that the system reads when it is used."""
    access = mmap.ACCESS_WRITE if writable else mmap.ACCESS_READ
    return np.frombuffer(mmap.mmap(file.fileno(), count * kind.itemsize, access=access), kind)


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


def no_room(size: int) -> TextError:
    """The error that no folder has room for so many bytes."""
    return TextError(
        f"no folder has room for a file of {size / 1e6:,.0f} MB that this text needs; "
        f"let the environment variable {FOLDER_VARIABLE} name a folder on a disk with more room"
    )
