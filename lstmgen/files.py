"""Write files safely: replace one as a whole, or create one that must not exist yet.

Knows: file systems. Does not know: what is written, or how an error is shown.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO


def replace_file(path: Path, content: bytes) -> None:
    """Replace one file, or create it; see `replace_files`."""
    replace_files([(path, content)])


def replace_files(contents: Iterable[tuple[Path, bytes]]) -> None:
    """Replace files of one folder, or create them, in the order given.

    At every moment each path holds either the old file or the complete new one. All contents are written to part files
    beside the paths and flushed to the disk before the first path changes. So a full disk changes no path.

    Raises OSError if they cannot be written. Old files are then still there, and no part file is left.
    """
    parts: dict[Path, Path] = {}
    try:
        for path, content in contents:
            parts[path] = path.with_name(f"{path.name}.{os.getpid()}.part")
            _write(parts[path], content)
        for path, part in parts.items():
            part.replace(path)
    except BaseException:
        for part in parts.values():
            with suppress(OSError):
                part.unlink(missing_ok=True)
        raise
    for folder in {path.parent for path in parts}:
        _flush_folder(folder)


def _write(path: Path, content: bytes) -> None:
    """Write a file and flush it to the disk."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0), 0o666)
    try:
        left = memoryview(content)
        while left:  # the system may write less than it was given
            left = left[os.write(file, left) :]
        os.fsync(file)
    finally:
        os.close(file)


def _flush_folder(folder: Path) -> None:
    """Flush the names of a folder's files to the disk, so that a renaming survives a power cut.

    Some systems and file systems cannot do that. The files themselves are flushed in any case.
    """
    if hasattr(os, "O_DIRECTORY"):
        with suppress(OSError):
            opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(opened)
            finally:
                os.close(opened)


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
