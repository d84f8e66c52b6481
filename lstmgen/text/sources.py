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


@dataclass(frozen=True)
class Source:
    """One file's worth of bytes, and what to call it."""

    name: str
    open: Callable[[], BinaryIO]

    def blocks(self) -> Iterator[bytes]:
        """The bytes, block by block; raises TextError if they cannot be read."""
        try:
            with self.open() as file:
                while block := file.read(BLOCK_BYTES):
                    yield block
        except (OSError, EOFError, zlib.error) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise TextError(f"cannot read {self.name}: {reason}") from error


@dataclass(frozen=True)
class Found:
    """The sources that the given names mean, and what a user should know of the search."""

    sources: tuple[Source, ...]
    notes: tuple[str, ...]


def find_sources(names: Sequence[str]) -> Found:
    """Find what each name means, in the order given: a named corpus, `-`, a file, a folder or a pattern.

    Raises TextError for a name that means nothing, and for a folder without text.
    """
    sources: list[Source] = []
    notes: list[str] = []
    for name in names:
        if name in NAMED_CORPORA:
            sources += [Source(part, opener) for part, opener in NAMED_CORPORA[name]()]
        elif name == STANDARD_INPUT:
            sources.append(Source("standard input", _standard_input))
        elif Path(name).is_dir():
            files, binary = _walk(Path(name))
            if binary:
                notes.append(f"{name}: {binary} files skipped that are not text")
            if not files:
                raise TextError(f"{name}: a folder without text files; name a file, or a folder that has some")
            sources += files
        elif Path(name).exists():
            sources.append(_file(Path(name)))
        else:
            matches = [Path(match) for match in sorted(glob.glob(name, recursive=True))]  # noqa: PTH207  # patterns may be absolute
            if not matches:
                known = ", ".join(NAMED_CORPORA)
                raise TextError(f"{name}: no such file, folder or pattern; check the path, or name a corpus: {known}")
            sources += [_file(match) for match in matches if match.is_file()]
    return Found(tuple(sources), tuple(notes))


def _standard_input() -> BinaryIO:
    if sys.stdin is None:
        raise TextError("standard input is closed; pipe a text into it, or name a file")
    return sys.stdin.buffer


def _file(path: Path) -> Source:
    if path.suffix == ".gz":
        return Source(str(path), lambda: gzip.open(path, "rb"))  # type: ignore[arg-type,return-value]
    return Source(str(path), lambda: path.open("rb"))


def _walk(folder: Path) -> tuple[list[Source], int]:
    """The text files below a folder in a fixed order, hidden ones left out, and how many others there are."""
    files: list[Source] = []
    binary = 0
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(parent, name)
            if name.startswith(".") or not path.is_file():
                continue
            source = _file(path)
            if _looks_like_text(source):
                files.append(source)
            else:
                binary += 1
    return files, binary


def _looks_like_text(source: Source) -> bool:
    """Whether the beginning holds no zero byte, which UTF-8 text never does."""
    for block in source.blocks():
        return b"\0" not in block[:_PEEK_BYTES]
    return True
