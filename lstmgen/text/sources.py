"""The sources of a text: files, folders, patterns, standard input, compressed files and named corpora.

Knows: how to find and open them. Does not know: encodings, or what the bytes mean.
"""

import glob
import gzip
import os
import stat
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from lstmgen.errors import TextError
from lstmgen.text.caution import Walk, open_regular
from lstmgen.text.named import NAMED_CORPORA, needs_download

STANDARD_INPUT = "-"
BLOCK_BYTES = 1 << 20
_PEEK_BYTES = 8192
_SHOWN_CHARACTERS = 60

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


def find_sources(names: Sequence[str], *, zero_bytes: bool = False, careful: bool = False) -> Found:
    """Find the sources of each name, in the order given.

    Args:
        names: named corpora, `-` for standard input, files, folders or patterns.
        zero_bytes: whether the text may have zero bytes; otherwise a folder's files with zero bytes are not text.
        careful: whether the names come from a checkpoint and not from the user. Then nothing is downloaded, only
            regular files are opened, and the search is bounded.

    Raises TextError for a name without a source, for a folder without text, if standard input is named twice, and for a
    search that is too long.
    """
    if names.count(STANDARD_INPUT) > 1:
        raise TextError("-: standard input can be read only once; give `-` only once")
    sources: list[Source] = []
    notes: list[str] = []
    open_file = open_regular if careful else _open
    for name in names:
        if careful and needs_download(name):
            raise TextError(f"{name}: this text is not here yet; download it: lstmgen train {name} `dry_run`")
        if name in NAMED_CORPORA:
            sources += [Source(part, opener) for part, opener in NAMED_CORPORA[name]()]
        elif name == STANDARD_INPUT:
            sources.append(Source(display_name(name), _standard_input))
        elif not _exists(name):
            found = Walk(name).matching(name) if careful else glob.glob(name, recursive=True)  # noqa: PTH207  # Path.glob refuses absolute patterns
            sources += _files(name, found, open_file)
        elif Path(name).is_dir():
            files = [_file(path, open_file) for path in _files_below(Path(name), Walk(name) if careful else None)]
            texts = [file for file in files if zero_bytes or _looks_like_text(file)]
            if len(texts) < len(files):
                notes.append(f"{name}: files skipped that are not text: {len(files) - len(texts)}")
            if not texts:
                raise TextError(f"{name}: a folder without text files; name a file, or a folder with text files")
            sources += texts
        else:
            sources.append(_file(Path(name), open_file))
    return Found(tuple(sources), tuple(notes))


def display_name(name: str) -> str:
    """The name to show for a source that the user gave."""
    return "standard input" if name == STANDARD_INPUT else name


def may_be_text(name: str) -> bool:
    """Whether a name, taken alone, looks like the name of a text."""
    return name in (STANDARD_INPUT, *NAMED_CORPORA) or (_exists(name) and Path(name).is_file()) or glob.has_magic(name)


def _exists(name: str) -> bool:
    try:
        return name != "" and Path(name).exists()
    except (OSError, ValueError):  # not a valid path, for example a whole text instead of the name of its file
        return False


def _files(pattern: str, found: Iterable[str], open_file: OpenFile) -> list[Source]:
    """The files among what was found for a pattern, in a fixed order; raises TextError if there is none."""
    files = [_file(Path(match), open_file) for match in sorted(found) if Path(match).is_file()]
    if not files:
        known = ", ".join(NAMED_CORPORA)
        shown = pattern[:_SHOWN_CHARACTERS] or "(an empty name)"
        raise TextError(f"{shown}: no such file, folder or pattern; check the path, or name a corpus: {known}")
    return files


def _standard_input() -> BinaryIO:
    if sys.stdin is None:
        raise TextError("standard input is closed; pipe a text into it, or name a file")
    return sys.stdin.buffer


def _open(path: Path) -> BinaryIO:
    return path.open("rb")


def _file(path: Path, open_file: OpenFile) -> Source:
    if path.suffix == ".gz":
        return Source(str(path), lambda: _decompressed(path, open_file))
    return Source(str(path), lambda: open_file(path), path)


@contextmanager
def _decompressed(path: Path, open_file: OpenFile) -> Iterator[BinaryIO]:
    with open_file(path) as file, gzip.open(file, "rb") as content:
        yield content  # type: ignore[misc]  # it has the methods that are used


def _files_below(folder: Path, walk: Walk | None) -> Iterator[Path]:
    """The files in a folder and its subfolders in a fixed order, without hidden ones."""
    for parent, folders, names in os.walk(folder):
        if walk:
            walk.see(len(folders) + len(names))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if not name.startswith(".") and Path(parent, name).is_file():
                yield Path(parent, name)


def _looks_like_text(source: Source) -> bool:
    """Whether the beginning of a file has no zero byte; UTF-8 text has none."""
    for block in source.blocks(_PEEK_BYTES):
        return b"\0" not in block
    return True
