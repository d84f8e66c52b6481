"""Write files safely: replace one as a whole, or create one that must not exist yet.

Knows: file systems. Does not know: what is written, or how an error is shown.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


def replace_file(path: Path, content: bytes) -> None:
    """Replace a file, or create it. At every moment the path holds either the old file or the complete new one.

    The content is written to a part file beside the path, flushed to the disk, and then renamed.
    Raises OSError if it cannot be written; the old file is then still there.
    """
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    if hasattr(os, "O_DIRECTORY"):  # so that the rename survives a power cut, on systems that can open folders
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def remove_parts(path: Path) -> None:
    """Remove the part files of processes that were killed while they replaced this file."""
    for part in path.parent.glob(f"{path.name}.*.part"):
        part.unlink(missing_ok=True)


@contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """Create a file that does not exist yet, for the length of the context.

    The file is deleted if the context ends with an error. Raises FileExistsError, or another OSError.
    """
    file = path.open("xb")
    try:
        with file:
            yield file
    except BaseException:
        path.unlink(missing_ok=True)
        raise
