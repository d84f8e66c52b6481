"""Texts that are available by name, for users without a text of their own.

Knows: where each text comes from. Does not know: how text is decoded or used.
"""

import hashlib
import io
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from lstmgen.errors import TextError

Part = tuple[str, Callable[[], BinaryIO]]

DATA_FOLDER = Path("data")

_SHAKESPEARE_FILE = "tinyshakespeare.txt"
_SHAKESPEARE_URL = "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt"
_SHAKESPEARE_SHA256 = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"

_NOT_SOURCE = {"test", "tests", "idle_test", "site-packages", "dist-packages", "__pycache__"}


def python_docs() -> Iterator[Part]:
    """The language reference that is part of every Python as `pydoc_data.topics`; about 0.5 MB."""
    from pydoc_data.topics import topics

    text = "\n".join(topics[topic] for topic in sorted(topics))
    yield "python-docs", lambda: io.BytesIO(text.encode())


def python_source() -> Iterator[Part]:
    """The modules of Python's standard library without its tests, in the order of their paths."""
    library = Path(sysconfig.get_path("stdlib"))
    for path in sorted(library.rglob("*.py"), key=lambda path: path.relative_to(library).as_posix()):
        if _NOT_SOURCE.isdisjoint(path.relative_to(library).parts):
            yield f"python-source {path.relative_to(library).as_posix()}", _opener(path)


def _opener(path: Path) -> Callable[[], BinaryIO]:
    return lambda: path.open("rb")


def shakespeare(sha256: str = _SHAKESPEARE_SHA256) -> Iterator[Part]:
    """tiny-shakespeare (Karpathy 2015), 1,115,394 characters, with this SHA-256; it is downloaded once into data/."""
    path = DATA_FOLDER / _SHAKESPEARE_FILE
    if not path.exists():
        _fetch(path, sha256)
    if hashlib.sha256(path.read_bytes()).hexdigest() != sha256:
        raise TextError(f"{path}: this is not the expected text (its SHA-256 differs); delete it and try again")
    yield "shakespeare", _opener(path)


def _fetch(path: Path, sha256: str) -> None:
    import logging

    import pooch

    pooch.get_logger().setLevel(logging.ERROR)  # otherwise pooch prints its own messages between those of lstmgen
    try:
        pooch.retrieve(_SHAKESPEARE_URL, f"sha256:{sha256}", fname=path.name, path=path.parent)
    except (OSError, ValueError) as error:
        raise TextError(
            f"shakespeare: the download failed ({type(error).__name__}); download {_SHAKESPEARE_URL} yourself "
            f"and save it as {path}"
        ) from error


def needs_download(name: str) -> bool:
    """Whether the text of this name is one that has to be downloaded first."""
    return name == "shakespeare" and not (DATA_FOLDER / _SHAKESPEARE_FILE).exists()


NAMED_CORPORA: dict[str, Callable[[], Iterator[Part]]] = {
    "python-docs": python_docs,
    "python-source": python_source,
    "shakespeare": shakespeare,
}
"""The texts that `lstmgen train NAME` finds by name. For a file with such a name, write `./NAME`."""
