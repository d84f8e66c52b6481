"""The sources of a text: files, folders, patterns, standard input, compressed files and named corpora.

Names that the user gives are searched for. Names in a checkpoint are not, because the checkpoint may be untrusted.
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
_MAX_READINGS = 100  # how often a checkpoint may name the same file
_PEEK_BYTES = 8192
_OF_MACHINES = (
    "//",
    "\\\\",
    "/\\",
    "\\/",
    "\\??",
)  # how Windows paths to other machines and to devices begin
_SHOWN_CHARACTERS = 60
_SHOWN_NAMES = 3
_PAGE = b'<meta name="generator" content="lstmgen">'
_LOG = b'{"event": "plan"'  # the output of `train --json`

Progress = Callable[[int, int | None], None]
"""Called with the bytes read so far and the total, or None if the total is not known."""


@dataclass(frozen=True)
class Source:
    """The bytes of one file, and the name to show for it."""

    name: str
    open: Callable[[], AbstractContextManager[BinaryIO]]
    path: Path | None = None  # of a file that is not compressed
    seen: Callable[[bytes], object] = len  # called with each block that is read

    def size(self) -> int | None:
        """The number of bytes; None: unknown until they are read."""
        with suppress(OSError):
            if self.path and stat.S_ISREG((status := self.path.stat()).st_mode):
                return status.st_size
        return None

    def blocks(self, size: int | None = None) -> Iterator[bytes]:
        """The bytes, in blocks of `BLOCK_BYTES` or another size; raises TextError if they cannot be read."""
        try:
            with self.open() as file:
                read = getattr(file, "read1", file.read)  # `read1` does not wait for the end of a pipe
                while block := read(size or BLOCK_BYTES):
                    self.seen(block)
                    yield block
        except (OSError, ValueError, EOFError, zlib.error) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise TextError(f"cannot read {self.name}: {reason}; check the file and its permissions") from error


class Found(NamedTuple):
    """The sources found for some names."""

    sources: list[Source]
    notes: list[str]  # for the user
    names: list[str]  # for a checkpoint to store: files, named corpora or `-`, but no folders or patterns


def find_sources(names: Sequence[str], *, zero_bytes: bool = False) -> Found:
    """Find the sources of each name that the user gives, in the order given.

    Args:
        names: named corpora, `-` for standard input, files, folders or patterns.
        zero_bytes: whether text may contain zero bytes; if not, a folder's files that do are skipped.

    Raises TextError for a name without a source, a folder without text, too many files, or standard input named twice.
    """
    if names.count(STANDARD_INPUT) > 1:
        raise TextError("-: standard input can only be read once; give `-` only once")
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
        raise TextError(f"{len(found.names):,} files are more than a checkpoint can list; join them into fewer files")
    return found


def recorded_sources(names: Sequence[str]) -> Found:
    """The sources that a checkpoint names; it may be untrusted and name anything.

    So nothing is searched for or downloaded, and only regular files are opened: no silent pipe, no endless device.
    Raises TextError for a text to download, for a file named too often, and for a file on another machine, because
    Windows would send that machine the user's identity.
    """
    sources: list[Source] = []
    readings: Counter[tuple[int, int]] = Counter()
    for name in names:
        if name == "shakespeare" and not _SHAKESPEARE.exists():
            raise TextError(f"{name}: this text has not been downloaded; download it: lstmgen train {name} `dry_run`")
        if name.startswith(_OF_MACHINES):
            raise TextError(f"{name}: not opened, because it may be on another machine")
        if name in NAMED_CORPORA:
            sources += NAMED_CORPORA[name]()
            continue
        with suppress(OSError, ValueError):  # reading it will fail too
            status = os.stat(name)  # noqa: PTH116  # there may be many, and Path is slower
            readings[status.st_dev, status.st_ino] += 1
        sources.append(_file(Path(name), regular=True))
    if max(readings.values(), default=0) > _MAX_READINGS:
        raise TextError(f"the checkpoint names the same file more than {_MAX_READINGS} times")
    return Found(sources, [], list(names))


def may_be_text(name: str) -> bool:
    """Whether a name by itself looks like the name of a text."""
    return name in _NOT_FILES or (_exists(name) and Path(name).is_file()) or glob.has_magic(name)


def _exists(name: str) -> bool:
    try:
        return name != "" and Path(name).exists()
    except (OSError, ValueError):  # not a valid path, for example a whole text instead of the name of its file
        return False


def _stored_name(name: str) -> str:
    """The name of a file, the same on every system, that cannot be mistaken for another source."""
    name = Path(name).as_posix()
    return f"./{name}" if name in _NOT_FILES else name


def _texts_below(folder: Path, notes: list[str], *, zero_bytes: bool) -> list[Source]:
    """The text files below a folder; adds notes on what is left out, or raises TextError."""
    paths, left_out = files_below(folder)
    texts, others = [], 0
    for file in map(_file, paths):
        start = next(file.blocks(_PEEK_BYTES), b"")
        if not zero_bytes and (b"\0" in start or signature(start)):
            others += 1
        elif start.startswith(_LOG) or _PAGE in start:
            left_out.append(str(Path(file.name).relative_to(folder)))
        elif start:  # an output file in this folder is still empty when the command starts
            texts.append(file)
    reason = ""
    if left_out:
        shown = ", ".join(left_out[:_SHOWN_NAMES])
        more = f" and {len(left_out) - _SHOWN_NAMES:,} more" if len(left_out) > _SHOWN_NAMES else ""
        reason = f"left out: {shown}{more} (git ignores them, a program made them, or they cannot be read)"
        notes.append(f"{folder}: {reason}; name a file to include it")
    if not texts:
        remedy = "name a file, or a folder with text files"
        raise TextError(f"{folder}: this folder has no text files; {reason}{'; ' * bool(reason)}{remedy}")
    if others:
        notes.append(f"{folder}: skipped {others:,} file{'s' * (others > 1)} (not text)")
    return texts


def _file(path: Path, *, regular: bool = False) -> Source:
    """A file, decompressed if its name ends in .gz; with `regular`, opening anything but a regular file fails."""
    open_file = partial(_open_regular, path) if regular else lambda: path.open("rb")
    if path.suffix == ".gz":
        return Source(str(path), partial(_decompressed, open_file))
    return Source(str(path), open_file, path)


@contextmanager
def _decompressed(open_file: Callable[[], BinaryIO]) -> Iterator[BinaryIO]:
    with open_file() as file, gzip.open(file, "rb") as content:
        yield content  # type: ignore[misc]  # it has the methods we use


def _open_regular(path: Path) -> BinaryIO:
    """Open a regular file for reading; raises OSError for anything else without opening it."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return path.open("rb")


def _standard_input() -> list[Source]:
    if sys.stdin is None:
        raise TextError("standard input is closed; pipe text into it, or name a file")
    return [Source("standard input", lambda: sys.stdin.buffer)]


def _python_docs() -> list[Source]:
    """The language reference that comes with every Python as `pydoc_data.topics`; about 0.5 MB."""
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
    """tiny-shakespeare (Karpathy 2015), 1,115,394 characters, downloaded once into data/."""
    import pooch

    path = _SHAKESPEARE
    if not path.exists():
        pooch.get_logger().setLevel("ERROR")  # otherwise pooch prints messages of its own
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
"""The texts that `lstmgen train NAME` finds by name. A file with such a name is `./NAME`."""

_NOT_FILES = NAMED_CORPORA | {STANDARD_INPUT: _standard_input}
