"""Write files safely: replace one as a whole, or create one that must not exist yet."""

import errno
import os
import secrets
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import BinaryIO

_KEPT_OF_NAME = 40  # characters; keeps the part file's name short enough for every file system
_PATIENCE_SECONDS = 2.0  # how long a file may be in use
_RETRY_SECONDS = 0.02


def replace_file(path: Path, content: bytes) -> None:
    """Replace one file, or create it; see `replace_files`."""
    replace_files([(path, content)])


def replace_files(contents: Iterable[tuple[Path, bytes]]) -> None:
    """Replace files of one folder, or create them, in the order given.

    At every moment each path holds either the old file or the complete new one: all contents are written to part files
    next to the paths and flushed to the disk before the first path changes. Raises OSError if they cannot be written;
    the old files are then intact, and no part file is left.
    """
    parts: dict[Path, Path] = {}
    try:
        for path, content in contents:
            parts[path] = _part_of(path)
            _write(parts[path], content)
        for path, part in parts.items():
            _when_unused(partial(part.replace, path))
    except BaseException:
        for part in parts.values():
            with suppress(OSError):
                _when_unused(partial(part.unlink, missing_ok=True))
        raise
    for folder in {path.parent for path in parts}:
        _flush_folder(folder)


def _write(path: Path, content: bytes) -> None:
    """Write a file and flush it to the disk."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0), 0o666)
    try:
        write_all(partial(os.write, file), content)
        _flush(file)
    finally:
        os.close(file)


def write_all(write: Callable[[memoryview], int], content: bytes) -> None:
    """Write everything with a function that may write only part of its argument and returns the number of bytes."""
    left = memoryview(content)
    while left:
        left = left[write(left) :]


def _flush(file: int) -> None:
    """Flush an open file to the disk."""
    os.fsync(file)
    if sys.platform == "darwin":  # fsync may leave it in the disk's cache, which a power cut empties
        import fcntl

        with suppress(OSError):
            fcntl.fcntl(file, fcntl.F_FULLFSYNC)


def _when_unused(change: Callable[[], object]) -> None:
    """Rename or remove a file. Windows refuses while another program, such as `sample` or a virus scanner, reads it."""
    patience = _PATIENCE_SECONDS if sys.platform == "win32" else 0
    patient_until = time.monotonic() + patience
    while True:
        try:
            change()
            return
        except PermissionError:
            if time.monotonic() >= patient_until:
                raise
            time.sleep(_RETRY_SECONDS)


def _flush_folder(folder: Path) -> None:
    """Flush a folder's file names to the disk, if the system can, so that a rename survives a power cut."""
    if hasattr(os, "O_DIRECTORY"):
        with suppress(OSError):
            opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(opened)
            finally:
                os.close(opened)


def remove_parts(path: Path) -> None:
    """Remove the part files that killed processes left while replacing this file."""
    for part in path.parent.glob(f"{path.name}.*.part"):
        part.unlink(missing_ok=True)


@contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """Create a file that does not exist yet, for the length of the context. It gets its name when it is complete.

    The content is written to a part file next to the path. An error in the context removes the part file; a killed
    process leaves it behind. Raises FileExistsError, even if the path appears meanwhile, or another OSError.
    """
    _require_free(path)
    part = _part_of(path)
    try:
        with part.open("xb") as file:
            yield file
            file.flush()
            _flush(file.fileno())
        try:
            os.link(part, path)  # unlike a rename, it never replaces a file
        except FileExistsError:
            raise
        except (OSError, AttributeError):  # a file system or a system without links
            _require_free(path)
            _when_unused(partial(part.replace, path))
    finally:
        _when_unused(partial(part.unlink, missing_ok=True))


def _require_free(path: Path) -> None:
    """Raise FileExistsError if something has this path, and OSError if nothing can have it."""
    try:
        path.lstat()
    except FileNotFoundError:
        return
    raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))


def _part_of(path: Path) -> Path:
    """A new path next to this one, to hold its content until it is complete."""
    return path.with_name(f"{path.name[:_KEPT_OF_NAME]}.{secrets.token_hex(4)}.part")
