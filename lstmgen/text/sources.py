"""The sources of a text: files, folders, patterns, standard input, compressed files and named corpora.

Knows: how to find and open them. Does not know: encodings, or what the bytes mean.
"""

import glob
import gzip
import os
import stat
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from lstmgen.errors import TextError
from lstmgen.text.named import NAMED_CORPORA

STANDARD_INPUT = "-"
BLOCK_BYTES = 1 << 20
_PEEK_BYTES = 8192
_SHOWN_CHARACTERS = 60


Progress = Callable[[int, int | None], None]
"""Is told how many bytes of a text have been read, and how many there are; None: that is not known."""


@dataclass(frozen=True)
class Source:
    """The bytes of one file, and the name to show for it."""

    name: str
    open: Callable[[], BinaryIO]
    path: Path | None = None  # of a file that is read as it is
    seen: Callable[[bytes], object] = len  # is called with each block when it is read, and with an empty one at the end

    def size(self) -> int | None:
        """The number of bytes; None: it is not known before they are read."""
        try:
            status = None if self.path is None else self.path.stat()
        except OSError:
            return None
        return status.st_size if status is not None and stat.S_ISREG(status.st_mode) else None

    def blocks(self) -> Iterator[bytes]:
        """The bytes, block by block; raises TextError if they cannot be read."""
        try:
            with self.open() as file:
                read = getattr(file, "read1", file.read)  # `read1` returns what a pipe has now, before the pipe ends
                while block := read(BLOCK_BYTES):
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


def find_sources(names: Sequence[str], *, zero_bytes: bool = False) -> Found:
    """Find the sources of each name, in the order given.

    Args:
        names: named corpora, `-` for standard input, files, folders or patterns.
        zero_bytes: whether the text may have zero bytes; otherwise a folder's files with zero bytes are not text.

    Raises TextError for a name without a source, for a folder without text, and if standard input is named twice.
    """
    if names.count(STANDARD_INPUT) > 1:
        raise TextError("-: standard input can be read only once; give `-` only once")
    sources: list[Source] = []
    notes: list[str] = []
    for name in names:
        if name in NAMED_CORPORA:
            sources += [Source(part, opener) for part, opener in NAMED_CORPORA[name]()]
        elif name == STANDARD_INPUT:
            sources.append(Source(display_name(name), _standard_input))
        elif not _exists(name):
            sources += _matching(name)
        elif Path(name).is_dir():
            files = list(_files_below(Path(name)))
            texts = [file for file in files if zero_bytes or _looks_like_text(file)]
            if len(texts) < len(files):
                notes.append(f"{name}: files skipped that are not text: {len(files) - len(texts)}")
            if not texts:
                raise TextError(f"{name}: a folder without text files; name a file, or a folder with text files")
            sources += texts
        else:
            sources.append(_file(Path(name)))
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


def _matching(pattern: str) -> list[Source]:
    """The files that match a pattern, in a fixed order; raises TextError if there is none."""
    matches = sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207  # a pattern may be absolute
    files = [_file(Path(match)) for match in matches if Path(match).is_file()]
    if not files:
        known = ", ".join(NAMED_CORPORA)
        shown = pattern[:_SHOWN_CHARACTERS] or "(an empty name)"
        raise TextError(f"{shown}: no such file, folder or pattern; check the path, or name a corpus: {known}")
    return files


def _standard_input() -> BinaryIO:
    if sys.stdin is None:
        raise TextError("standard input is closed; pipe a text into it, or name a file")
    return sys.stdin.buffer


def _file(path: Path) -> Source:
    if path.suffix == ".gz":
        return Source(str(path), lambda: gzip.open(path, "rb"))  # type: ignore[arg-type,return-value]
    return Source(str(path), lambda: path.open("rb"), path)


def _files_below(folder: Path) -> Iterator[Source]:
    """The files in a folder and its subfolders in a fixed order, without hidden ones."""
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if not name.startswith(".") and Path(parent, name).is_file():
                yield _file(Path(parent, name))


def _looks_like_text(source: Source) -> bool:
    """Whether the beginning of a file has no zero byte; UTF-8 text has none."""
    for block in source.blocks():
        return b"\0" not in block[:_PEEK_BYTES]
    return True
