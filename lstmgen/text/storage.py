"""Arrays that may exceed memory: mapped from temporary files and read block by block."""

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
"""Larger arrays are stored in files."""

BLOCK = 1 << 20
"""The number of elements to process at once."""


def stored(blocks: Iterable[NDArray[Any]], dtype: DTypeLike) -> NDArray[Any]:
    """Join blocks into one array, (elements,): in memory, or in a temporary file if it is large.

    Raises TextError if there is no room for the file.
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
                    f"this text needs a temporary file of more than {size / 1e6:,.0f} MB, and the disk is full; "
                    f"set the environment variable {FOLDER_VARIABLE} to a folder on a disk with more room"
                ) from error
            size += len(content)
        if file is None:
            return np.frombuffer(memory.getbuffer(), kind)
        return np.frombuffer(mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ), kind)


def _temporary_file() -> BinaryIO:
    """A file in the user's cache folder, because the system's folder for temporary files is often in memory."""
    import pooch

    with suppress(OSError):
        folder = Path(os.environ.get(FOLDER_VARIABLE) or pooch.os_cache("lstmgen"))
        folder.mkdir(parents=True, exist_ok=True)
        return tempfile.TemporaryFile(buffering=0, dir=folder)
    return tempfile.TemporaryFile(buffering=0)


def blocks_of(array: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """An array, block by block. The pages of a mapped array are released once they have been read."""
    owner: Any = array
    while isinstance(owner, np.ndarray):
        owner = owner.base
    mapped = getattr(owner, "obj", owner)  # a memory view's object
    for start in range(0, len(array), BLOCK):
        yield array[start : start + BLOCK]
        if isinstance(mapped, mmap.mmap) and hasattr(mapped, "madvise"):
            mapped.madvise(mmap.MADV_DONTNEED)
