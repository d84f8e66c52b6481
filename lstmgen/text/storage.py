"""Arrays that may be too large for memory: they are mapped from temporary files, and read block by block."""

import io
import mmap
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import DTypeLike, NDArray

from lstmgen.errors import TextError
from lstmgen.files import write_all

FOLDER_VARIABLE = "LSTMGEN_CACHE"
IN_MEMORY_BYTES = 16 << 20
"""Larger arrays are in files."""

BLOCK = 1 << 20
"""The number of elements that are worked on at once."""


def stored(blocks: Iterable[NDArray[Any]], dtype: DTypeLike) -> NDArray[Any]:
    """Join blocks into one array of a type, (elements,): in memory, or if it is large in a temporary file.

    Raises TextError if no folder has room for the file.
    """
    kind, size = np.dtype(dtype), 0
    memory, file = io.BytesIO(), None
    with ExitStack() as opened:
        for block in blocks:
            content = block.astype(kind, copy=False).tobytes()
            try:
                if file is None and size + len(content) > IN_MEMORY_BYTES:
                    file = opened.enter_context(_temporary_file())
                    write_all(file.write, memory.getvalue())
                    memory.close()
                write_all((file or memory).write, content)
            except OSError as error:
                raise TextError(
                    f"there is no room for a file of more than {size / 1e6:,.0f} MB that this text needs; "
                    f"let the environment variable {FOLDER_VARIABLE} name a folder on a disk with more room"
                ) from error
            size += len(content)
        if file is None:
            return np.frombuffer(memory.getbuffer(), kind)
        return np.frombuffer(mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ), kind)


def _temporary_file() -> BinaryIO:
    """A file in the user's folder for caches, because a system's folder for temporary files is often held in memory."""
    import pooch

    with suppress(OSError):
        folder = Path(os.environ.get(FOLDER_VARIABLE) or pooch.os_cache("lstmgen"))
        folder.mkdir(parents=True, exist_ok=True)
        return tempfile.TemporaryFile(buffering=0, dir=folder)
    return tempfile.TemporaryFile(buffering=0)


def blocks_of(array: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """An array, block by block. The process forgets the pages of a mapped one when it has read them."""
    owner: Any = array
    while isinstance(owner, np.ndarray):
        owner = owner.base
    mapped = getattr(owner, "obj", owner)  # a memory view's object
    for start in range(0, len(array), BLOCK):
        yield array[start : start + BLOCK]
        if isinstance(mapped, mmap.mmap) and hasattr(mapped, "madvise"):
            mapped.madvise(mmap.MADV_DONTNEED)
