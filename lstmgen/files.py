"""Write files safely: replace one as a whole, or create one that must not exist yet.

Knows: file systems. Does not know: what is written, or how an error is shown.
"""

import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

_KEPT_OF_NAME = 40  # characters; so that the name of the part file is short enough for every file system


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
    """Create a file that does not exist yet, for the length of the context. It gets its name when it is complete.

    The content is written to a part file beside the path. An error in the context removes the part file; a process
    that is killed leaves it. Raises FileExistsError, also if the path appears meanwhile, or another OSError.
    """
    _require_free(path)
    part = _part_of(path)
    try:
        with part.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(part, path)  # unlike a rename, it never replaces a file
        except FileExistsError:
            raise
        except (OSError, AttributeError):  # a file system or a system without links
            _require_free(path)
            part.replace(path)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Make a folder that does not exist yet: a part folder to fill in the context, which then gets its name.

    An error in the context removes the part folder. Raises FileExistsError, or another OSError.
    """
    _require_free(path)
    part = _part_of(path)
    part.mkdir(parents=True)
    try:
        yield part
        part.rename(path)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise


def _require_free(path: Path) -> None:
    """Raise FileExistsError if something has this path, and OSError if nothing can have it."""
    try:
        path.lstat()
    except FileNotFoundError:
        return
    raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))


def _part_of(path: Path) -> Path:
    """A new path beside this one, for its content until it is complete."""
    return path.with_name(f"{path.name[:_KEPT_OF_NAME]}.{secrets.token_hex(4)}.part")
