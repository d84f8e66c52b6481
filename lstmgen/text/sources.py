"""The sources of a text: files, folders, patterns, standard input, compressed files and named corpora.

What a user names is searched. What a checkpoint names is not: a stranger may have written it.
"""

import errno
import glob
import gzip
import json
import os
import stat
import sys
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from lstmgen.config import MAX_SOURCES
from lstmgen.errors import TextError
from lstmgen.text.folder import files_below
from lstmgen.text.named import NAMED_CORPORA, needs_download
from lstmgen.text.recognition import file_type

STANDARD_INPUT = "-"
BLOCK_BYTES = 1 << 20
_MAX_NAMES_BYTES = 16 << 20  # of the names of a text's files, as JSON in a checkpoint
_PEEK_BYTES = 8192
_SHOWN_CHARACTERS = 60
_SHOWN_NAMES = 3
_MOST_READINGS = 100  # of one file that a checkpoint names again and again
_NOT_REGULAR = "not a regular file"
_PAGE = b'<meta name="generator" content="lstmgen">'
_LOG = b'{"event": "plan"'  # the output of `train --json`

OpenFile = Callable[[Path], BinaryIO]


Progress = Callable[[int, int | None], None]
"""Is told how many bytes of a text have been read, and how many there are; None: that is not known."""


@dataclass(frozen=True)
class Source:
    """The bytes of one file, and the name to show for it."""

    name: str
    open: Callable[[], AbstractContextManager[BinaryIO]]
    path: Path | None = None  # of a file that is read as it is
    seen: Callable[[bytes], object] = len  # is called with each block when it is read, and with an empty one at the end

    def size(self) -> int | None:
        """The number of bytes; None: it is not known before they are read."""
        try:
            status = None if self.path is None else self.path.stat()
        except OSError:
            return None
        return status.st_size if status is not None and stat.S_ISREG(status.st_mode) else None

    def blocks(self, size: int | None = None) -> Iterator[bytes]:
        """The bytes, in blocks of `BLOCK_BYTES` or another size; raises TextError if they cannot be read."""
        try:
            with self.open() as file:
                read = getattr(file, "read1", file.read)  # `read1` returns what a pipe has now, before the pipe ends
                while block := read(size or BLOCK_BYTES):
                    self.seen(block)
                    yield block
                self.seen(b"")
        except (OSError, EOFError, zlib.error) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise TextError(f"cannot read {self.name}: {reason}; check the file and its permissions") from error


@dataclass(frozen=True)
class Found:
    """The sources that were found for some names, and notes for the user."""

    sources: tuple[Source, ...]
    notes: tuple[str, ...]
    names: tuple[str, ...]  # that a checkpoint stores: of files, of named corpora, or `-`; no folder and no pattern


def find_sources(names: Sequence[str], *, zero_bytes: bool = False) -> Found:
    """Find the sources of each name that a user gives, in the order given.

    Args:
        names: named corpora, `-` for standard input, files, folders or patterns.
        zero_bytes: whether the text may have zero bytes; otherwise a folder's files with zero bytes are not text.

    Raises TextError for a name without a source, for a folder without text, for too many files, and if standard input
    is named twice.
    """
    if names.count(STANDARD_INPUT) > 1:
        raise TextError("-: standard input can be read only once; give `-` only once")
    sources: list[Source] = []
    notes: list[str] = []
    resolved: list[str] = []
    for name in names:
        if name in NAMED_CORPORA:
            sources += [Source(part, opener) for part, opener in NAMED_CORPORA[name]()]
            resolved.append(name)
            continue
        if name == STANDARD_INPUT:
            sources.append(Source("standard input", _standard_input))
            resolved.append(name)
            continue
        if not _exists(name):
            files = [_file(path, _open) for path in _matching(name)]
        elif Path(name).is_dir():
            files = _texts_below(Path(name), notes, zero_bytes=zero_bytes)
        else:
            files = [_file(Path(name), _open)]
        sources += files
        resolved += [_name_in_checkpoint(Path(file.name)) for file in files]
    if len(resolved) > MAX_SOURCES or len(json.dumps(resolved)) > _MAX_NAMES_BYTES:
        raise TextError(f"{len(resolved):,} files are more than a checkpoint can name; join them into fewer files")
    return Found(tuple(sources), tuple(notes), tuple(resolved))


def recorded_sources(names: Sequence[str]) -> Found:
    """Find the sources that a checkpoint names; it may come from a stranger and name anything.

    So nothing is searched or downloaded, and only regular files are opened: no pipe that is never written to, and no
    device without end. Raises TextError for a name without a source.
    """
    sources: list[Source] = []
    readings: Counter[tuple[int, int]] = Counter()
    for name in names:
        if needs_download(name):
            raise TextError(f"{name}: this text is not here yet; download it: lstmgen train {name} `dry_run`")
        if name in NAMED_CORPORA:
            sources += [Source(part, opener) for part, opener in NAMED_CORPORA[name]()]
        else:
            status = _status_of_file(name)
            readings[status.st_dev, status.st_ino] += 1
            sources.append(_file(Path(name), _open_regular))
    if max(readings.values(), default=0) > _MOST_READINGS:
        raise TextError(f"the same file more than {_MOST_READINGS} times")
    return Found(tuple(sources), (), tuple(names))


def may_be_text(name: str) -> bool:
    """Whether a name, taken alone, looks like the name of a text."""
    return name in (STANDARD_INPUT, *NAMED_CORPORA) or (_exists(name) and Path(name).is_file()) or glob.has_magic(name)


def _exists(name: str) -> bool:
    try:
        return name != "" and Path(name).exists()
    except (OSError, ValueError):  # not a valid path, for example a whole text instead of the name of its file
        return False


def _status_of_file(name: str) -> os.stat_result:
    """The status of a regular file; raises TextError for anything else, which has no remedy yet."""
    try:
        status = os.stat(name)  # noqa: PTH116  # there may be many, and Path is slower
        problem = "a folder, and only files are read again" if stat.S_ISDIR(status.st_mode) else _NOT_REGULAR
        if stat.S_ISREG(status.st_mode):
            return status
    except (OSError, ValueError) as error:
        problem = getattr(error, "strerror", None) or str(error)
        if isinstance(error, FileNotFoundError) and glob.has_magic(name):
            problem = "a pattern, and only files are read again"
    raise TextError(f"{name[:_SHOWN_CHARACTERS] or '(an empty name)'}: {problem}")


def _name_in_checkpoint(path: Path) -> str:
    """The name of a file, the same on every system, that cannot be taken for another source."""
    name = path.as_posix()
    return f"./{name}" if name in (STANDARD_INPUT, *NAMED_CORPORA) else name


def _matching(pattern: str) -> list[Path]:
    """The files that match a pattern, in a fixed order; raises TextError if there is none."""
    files = [path for path in map(Path, sorted(_expanded(pattern))) if path.is_file()]
    if not files:
        known = ", ".join(NAMED_CORPORA)
        shown = pattern[:_SHOWN_CHARACTERS] or "(an empty name)"
        raise TextError(f"{shown}: no such file, folder or pattern; check the path, or name a corpus: {known}")
    return files


def _expanded(pattern: str) -> set[str]:
    """What matches a pattern; `**` enters no symbolic link, because links can lead in circles."""
    parts = Path(pattern).parts
    if "**" not in parts:
        return set(glob.glob(pattern))  # noqa: PTH207  # Path.glob refuses absolute patterns
    stars = parts.index("**")
    rest = Path(*parts[stars + 1 :]) if parts[stars + 1 :] else Path("*")
    found = set()
    for top in glob.glob(str(Path(*parts[:stars]))):  # noqa: PTH207
        for parent, folders, _ in os.walk(top):
            folders[:] = [name for name in folders if not name.startswith(".")]
            found |= _expanded(str(Path(glob.escape(parent)) / rest))
    return found


def _texts_below(folder: Path, notes: list[str], *, zero_bytes: bool) -> list[Source]:
    """The text files of a folder and its subfolders; adds notes on what is left out, or raises TextError."""
    paths, left_out = files_below(folder)
    texts, others = [], 0
    for file in (_file(path, _open) for path in paths):
        start = next(file.blocks(_PEEK_BYTES), b"")
        if not zero_bytes and (b"\0" in start or file_type(start)):
            others += 1
        elif start.startswith(_LOG) or _PAGE in start:
            left_out.append(str(Path(file.name).relative_to(folder)))
        elif start:  # what a command writes into the folder is still empty when the command begins
            texts.append(file)
    if left_out:
        shown = ", ".join(left_out[:_SHOWN_NAMES])
        more = f" and {len(left_out) - _SHOWN_NAMES:,} more" if len(left_out) > _SHOWN_NAMES else ""
        reasons = "git ignores them, a program made them, or they cannot be read"
        notes.append(f"{folder}: left out: {shown}{more} ({reasons}); name a file to have it")
    if not texts:
        reason = f" ({notes[-1]})" if left_out else ""
        raise TextError(f"{folder}: a folder without text files{reason}; name a file, or a folder with text files")
    if others:
        notes.append(f"{folder}: files skipped that are not text: {others:,}")
    return texts


def _standard_input() -> BinaryIO:
    if sys.stdin is None:
        raise TextError("standard input is closed; pipe a text into it, or name a file")
    return sys.stdin.buffer


def _open(path: Path) -> BinaryIO:
    return path.open("rb")


def _open_regular(path: Path) -> BinaryIO:
    """Open a regular file to read it. Raises OSError; anything else, such as a pipe, is not waited for."""
    number = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    file = os.fdopen(number, "rb")
    if not stat.S_ISREG(os.fstat(number).st_mode):  # it was replaced since it was found
        file.close()
        raise OSError(errno.EINVAL, _NOT_REGULAR, str(path))
    return file


def _file(path: Path, open_file: OpenFile) -> Source:
    if path.suffix == ".gz":
        return Source(str(path), lambda: _decompressed(path, open_file))
    return Source(str(path), lambda: open_file(path), path)


@contextmanager
def _decompressed(path: Path, open_file: OpenFile) -> Iterator[BinaryIO]:
    with open_file(path) as file, gzip.open(file, "rb") as content:
        yield content  # type: ignore[misc]  # it has the methods that are used
