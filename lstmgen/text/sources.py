"""The sources of a text: files, folders, patterns, standard input, compressed files and named corpora.

What a user names is searched. What a checkpoint names is not: a stranger may have written it.
"""

import errno
import glob
import gzip
import hashlib
import io
import json
import os
import stat
import sys
import sysconfig
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import BinaryIO, NamedTuple

from lstmgen.config import MAX_SOURCES
from lstmgen.errors import TextError
from lstmgen.text.decoding import signature
from lstmgen.text.folder import files_below, matching_files

STANDARD_INPUT = "-"
BLOCK_BYTES = 1 << 20
_SHAKESPEARE = Path("data", "tinyshakespeare.txt")
_SHAKESPEARE_URL = "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt"
_SHAKESPEARE_SHA256 = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"
_NOT_SOURCE = {"test", "tests", "idle_test", "site-packages", "dist-packages", "__pycache__"}
_MAX_NAMES_BYTES = 16 << 20  # of the names of a text's files, as JSON in a checkpoint
_MAX_READINGS = 100  # of one file that a checkpoint names again and again
_PEEK_BYTES = 8192
_OF_MACHINES = (
    "//",
    "\\\\",
    "/\\",
    "\\/",
    "\\??",
)  # how Windows begins paths of files on other machines, and of devices
_SHOWN_CHARACTERS = 60
_SHOWN_NAMES = 3
_PAGE = b'<meta name="generator" content="lstmgen">'
_LOG = b'{"event": "plan"'  # the output of `train --json`

Progress = Callable[[int, int | None], None]
"""Is told how many bytes of a text have been read, and how many there are; None: that is not known."""


@dataclass(frozen=True)
class Source:
    """The bytes of one file, and the name to show for it."""

    name: str
    open: Callable[[], AbstractContextManager[BinaryIO]]
    path: Path | None = None  # of a file that is read as it is
    seen: Callable[[bytes], object] = len  # is called with each block when it is read

    def size(self) -> int | None:
        """The number of bytes; None: it is not known before they are read."""
        with suppress(OSError):
            if self.path and stat.S_ISREG((status := self.path.stat()).st_mode):
                return status.st_size
        return None

    def blocks(self, size: int | None = None) -> Iterator[bytes]:
        """The bytes, in blocks of `BLOCK_BYTES` or another size; raises TextError if they cannot be read."""
        try:
            with self.open() as file:
                read = getattr(file, "read1", file.read)  # `read1` returns what a pipe has now, before the pipe ends
                while block := read(size or BLOCK_BYTES):
                    self.seen(block)
                    yield block
        except (OSError, ValueError, EOFError, zlib.error) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise TextError(f"cannot read {self.name}: {reason}; check the file and its permissions") from error


class Found(NamedTuple):
    """The sources that were found for some names."""

    sources: list[Source]
    notes: list[str]  # for the user
    names: list[str]  # that a checkpoint stores: of files, of named corpora, or `-`; no folder and no pattern


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
    found = Found([], [], [])
    for name in names:
        if name in _NOT_FILES:
            found.sources.extend(_NOT_FILES[name]())
            found.names.append(name)
            continue
        if _exists(name) and Path(name).is_dir():
            files = _texts_below(Path(name), found.notes, zero_bytes=zero_bytes)
        else:
            files = [_file(path) for path in ([Path(name)] if _exists(name) else matching_files(name))]
        if not files:
            shown, known = name[:_SHOWN_CHARACTERS] or "(an empty name)", ", ".join(NAMED_CORPORA)
            raise TextError(f"{shown}: no such file, folder or pattern; check the path, or name a corpus: {known}")
        found.sources.extend(files)
        found.names.extend(_stored_name(file.name) for file in files)
    if len(found.names) > MAX_SOURCES or len(json.dumps(found.names)) > _MAX_NAMES_BYTES:
        raise TextError(f"{len(found.names):,} files are more than a checkpoint can name; join them into fewer files")
    return found


def recorded_sources(names: Sequence[str]) -> Found:
    """The sources that a checkpoint names; it may come from a stranger and name anything.

    So nothing is searched or downloaded, and only regular files are opened: no pipe that is never written to, and no
    device without end. Raises TextError for a text to download, for a file that is named again and again, and for one
    on another machine: Windows would tell that machine who the user is.
    """
    sources: list[Source] = []
    readings: Counter[tuple[int, int]] = Counter()
    for name in names:
        if name == "shakespeare" and not _SHAKESPEARE.exists():
            raise TextError(f"{name}: this text is not here yet; download it: lstmgen train {name} `dry_run`")
        if name.startswith(_OF_MACHINES):
            raise TextError(f"{name}: it may be on another machine, and is not opened")
        if name in NAMED_CORPORA:
            sources += NAMED_CORPORA[name]()
            continue
        with suppress(OSError, ValueError):  # reading it fails, too
            status = os.stat(name)  # noqa: PTH116  # there may be many, and Path is slower
            readings[status.st_dev, status.st_ino] += 1
        sources.append(_file(Path(name), regular=True))
    if max(readings.values(), default=0) > _MAX_READINGS:
        raise TextError(f"the same file more than {_MAX_READINGS} times")
    return Found(sources, [], list(names))


def may_be_text(name: str) -> bool:
    """Whether a name, taken alone, looks like the name of a text."""
    return name in _NOT_FILES or (_exists(name) and Path(name).is_file()) or glob.has_magic(name)


def _exists(name: str) -> bool:
    try:
        return name != "" and Path(name).exists()
    except (OSError, ValueError):  # not a valid path, for example a whole text instead of the name of its file
        return False


def _stored_name(name: str) -> str:
    """The name of a file, the same on every system, that cannot be taken for another source."""
    name = Path(name).as_posix()
    return f"./{name}" if name in _NOT_FILES else name


def _texts_below(folder: Path, notes: list[str], *, zero_bytes: bool) -> list[Source]:
    """The text files of a folder and its subfolders; adds notes on what is left out, or raises TextError."""
    paths, left_out = files_below(folder)
    texts, others = [], 0
    for file in map(_file, paths):
        start = next(file.blocks(_PEEK_BYTES), b"")
        if not zero_bytes and (b"\0" in start or signature(start)):
            others += 1
        elif start.startswith(_LOG) or _PAGE in start:
            left_out.append(str(Path(file.name).relative_to(folder)))
        elif start:  # what a command writes into the folder is still empty when the command begins
            texts.append(file)
    reason = ""
    if left_out:
        shown = ", ".join(left_out[:_SHOWN_NAMES])
        more = f" and {len(left_out) - _SHOWN_NAMES:,} more" if len(left_out) > _SHOWN_NAMES else ""
        reason = f"left out: {shown}{more} (git ignores them, a program made them, or they cannot be read)"
        notes.append(f"{folder}: {reason}; name a file to have it")
    if not texts:
        remedy = "name a file, or a folder with text files"
        raise TextError(f"{folder}: a folder without text files; {reason}{'; ' * bool(reason)}{remedy}")
    if others:
        notes.append(f"{folder}: files skipped that are not text: {others:,}")
    return texts


def _file(path: Path, *, regular: bool = False) -> Source:
    """A file, decompressed if its name says so; a `regular` one is opened only if it is a regular file then."""
    open_file = partial(_open_regular, path) if regular else lambda: path.open("rb")
    if path.suffix == ".gz":
        return Source(str(path), partial(_decompressed, open_file))
    return Source(str(path), open_file, path)


@contextmanager
def _decompressed(open_file: Callable[[], BinaryIO]) -> Iterator[BinaryIO]:
    with open_file() as file, gzip.open(file, "rb") as content:
        yield content  # type: ignore[misc]  # it has the methods that are used


def _open_regular(path: Path) -> BinaryIO:
    """Open a regular file to read it; raises OSError for anything else, which is not even opened."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return path.open("rb")


def _standard_input() -> list[Source]:
    if sys.stdin is None:
        raise TextError("standard input is closed; pipe a text into it, or name a file")
    return [Source("standard input", lambda: sys.stdin.buffer)]


def _python_docs() -> list[Source]:
    """The language reference that is part of every Python as `pydoc_data.topics`; about 0.5 MB."""
    from pydoc_data.topics import topics

    text = "\n".join(topics[topic] for topic in sorted(topics))
    return [Source("python-docs", lambda: io.BytesIO(text.encode()))]


def _python_source() -> list[Source]:
    """The modules of Python's standard library without its tests, in the order of their paths."""
    library = Path(sysconfig.get_path("stdlib"))
    names = sorted(path.relative_to(library).as_posix() for path in library.rglob("*.py"))
    kept = [name for name in names if _NOT_SOURCE.isdisjoint(name.split("/"))]
    return [replace(_file(library / name), name=f"python-source {name}") for name in kept]


def _shakespeare() -> list[Source]:
    """tiny-shakespeare (Karpathy 2015), 1,115,394 characters; it is downloaded once into data/."""
    import pooch

    path = _SHAKESPEARE
    if not path.exists():
        pooch.get_logger().setLevel("ERROR")  # otherwise pooch prints its own messages between those of lstmgen
        try:
            pooch.retrieve(_SHAKESPEARE_URL, f"sha256:{_SHAKESPEARE_SHA256}", fname=path.name, path=path.parent)
        except (OSError, ValueError) as error:
            raise TextError(
                f"shakespeare: the download failed ({type(error).__name__}); "
                f"download {_SHAKESPEARE_URL} yourself and save it as {path}"
            ) from error
    if hashlib.sha256(path.read_bytes()).hexdigest() != _SHAKESPEARE_SHA256:
        raise TextError(f"{path}: this is not the expected text (its SHA-256 differs); delete it and try again")
    return [replace(_file(path), name="shakespeare")]


NAMED_CORPORA: dict[str, Callable[[], list[Source]]] = {
    "python-docs": _python_docs,
    "python-source": _python_source,
    "shakespeare": _shakespeare,
}
"""The texts that `lstmgen train NAME` finds by name. For a file with such a name, write `./NAME`."""

_NOT_FILES = NAMED_CORPORA | {STANDARD_INPUT: _standard_input}
