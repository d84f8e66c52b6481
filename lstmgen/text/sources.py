"""Where text comes from: files, folders, patterns, standard input, compressed files, named corpora.

Knows: how to find and open them. Does not know: encodings, or what the bytes mean.
"""

import glob
import gzip
import os
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


@dataclass(frozen=True)
class Source:
    """One file's worth of bytes, and what to call it."""

    name: str
    open: Callable[[], BinaryIO]

    def blocks(self) -> Iterator[bytes]:
        """The bytes, block by block; raises TextError if they cannot be read."""
        try:
            with self.open() as file:
                read = getattr(file, "read1", file.read)  # a pipe gives what it has, and need not end
                while block := read(BLOCK_BYTES):
                    yield block
        except (OSError, EOFError, zlib.error) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise TextError(f"cannot read {self.name}: {reason}; check the file and its rights") from error


@dataclass(frozen=True)
class Found:
    """The sources that the given names mean, and what a user should know of the search."""

    sources: tuple[Source, ...]
    notes: tuple[str, ...]


def find_sources(names: Sequence[str], *, zero_bytes: bool = False) -> Found:
    """Find what each name means, in the order given: a named corpus, `-`, a file, a folder or a pattern.

    Args:
        names: what the user gave.
        zero_bytes: whether the text may hold zero bytes; otherwise files of a folder that do are no text.

    Raises TextError for a name that means nothing, and for a folder without text.
    """
    if names.count(STANDARD_INPUT) > 1:
        raise TextError("-: standard input can be read only once; name it once")
    sources: list[Source] = []
    notes: list[str] = []
    for name in names:
        if name in NAMED_CORPORA:
            sources += [Source(part, opener) for part, opener in NAMED_CORPORA[name]()]
        elif name == STANDARD_INPUT:
            sources.append(Source(spoken_name(name), _standard_input))
        elif not _exists(name):
            sources += _matching(name)
        elif Path(name).is_dir():
            files = list(_files_below(Path(name)))
            texts = [file for file in files if zero_bytes or _looks_like_text(file)]
            if len(texts) < len(files):
                notes.append(f"{name}: files skipped that are not text: {len(files) - len(texts)}")
            if not texts:
                raise TextError(f"{name}: a folder without text files; name a file, or a folder that has some")
            sources += texts
        else:
            sources.append(_file(Path(name)))
    return Found(tuple(sources), tuple(notes))


def spoken_name(name: str) -> str:
    """What to call a source that a user named."""
    return "standard input" if name == STANDARD_INPUT else name


def may_be_text(name: str) -> bool:
    """Whether a name by itself is more likely a text than anything else."""
    return name in (STANDARD_INPUT, *NAMED_CORPORA) or (_exists(name) and Path(name).is_file()) or glob.has_magic(name)


def _exists(name: str) -> bool:
    try:
        return name != "" and Path(name).exists()
    except (OSError, ValueError):  # too long for a name, or not one: a text in place of its file, perhaps
        return False


def _matching(pattern: str) -> list[Source]:
    """The files that a pattern matches, in a fixed order."""
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
    return Source(str(path), lambda: path.open("rb"))


def _files_below(folder: Path) -> Iterator[Source]:
    """The files below a folder in a fixed order, hidden ones left out."""
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if not name.startswith(".") and Path(parent, name).is_file():
                yield _file(Path(parent, name))


def _looks_like_text(source: Source) -> bool:
    """Whether the beginning holds no zero byte, which UTF-8 text never does."""
    for block in source.blocks():
        return b"\0" not in block[:_PEEK_BYTES]
    return True
