"""Where a product goes: sampled text to a terminal, a pipe or a new file; a picture to a new file.

Knows: that a terminal gets text it cannot obey, as it comes, and that pipes and files get the exact bytes; that a
closed pipe is no error. Does not know: how the text is made.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from lstmgen.cli.render import OutputClosedError, is_closed_pipe, printable
from lstmgen.errors import ConfigError
from lstmgen.text.vocabulary import Ids, Vocabulary


def new_file(path: Path, option: str = "--output") -> BinaryIO:
    """Make the file that an option names. Raises ConfigError if it exists or cannot be made."""
    try:
        return path.open("xb")
    except FileExistsError as error:
        raise ConfigError(f"{option} {path}: exists, and is not overwritten; give another name") from error
    except OSError as error:
        raise ConfigError(f"{option} {path}: {error.strerror}; give a file that can be made") from error


@contextmanager
def whole_file(path: Path, option: str = "--output") -> Iterator[BinaryIO]:
    """The same for a file that is of no use unless it is whole: if that fails, nothing of it is left."""
    file = new_file(path, option)
    try:
        with file:
            yield file
    except BaseException:
        path.unlink(missing_ok=True)
        raise


class SampleOutput:
    """Writes ids as a vocabulary's text. Raises ConfigError if the file exists or cannot be made."""

    def __init__(self, vocabulary: Vocabulary, path: Path | None) -> None:
        self._vocabulary = vocabulary
        self._decoder = vocabulary.decoder()
        self._terminal = path is None and sys.stdout.isatty()
        self._line_open = False
        self._file = sys.stdout.buffer if path is None else new_file(path)
        self._path = path

    def __enter__(self) -> "SampleOutput":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._path is not None:
            self._file.close()
            return
        if self._terminal and kind is None:
            self._put(printable(self._decoder.finish()))
        if self._terminal and self._line_open:
            self._put("\n")
        if kind is None or kind is KeyboardInterrupt:
            self._guarded(b"", flush=True)

    def write(self, ids: Ids) -> None:
        """Write symbols: on a terminal at once."""
        if self._terminal:
            self._put(printable("".join(self._decoder.feed(int(number)) for number in ids)))
        else:
            self._guarded(self._vocabulary.to_bytes(ids))

    def write_text(self, text: str) -> None:
        """Write text that is not of the vocabulary, such as JSON or what stands between samples."""
        if self._terminal:
            self._put(printable(self._decoder.finish() + text))
        else:
            self._guarded(text.encode("utf-8", "backslashreplace"))

    def _put(self, text: str) -> None:
        if text:
            self._line_open = not text.endswith("\n")
            self._guarded(text.encode("utf-8", "replace"), flush=True)

    def _guarded(self, content: bytes, *, flush: bool = False) -> None:
        try:
            self._file.write(content)
            if flush:
                self._file.flush()
        except OSError as error:
            if self._path is not None or not is_closed_pipe(error):
                raise
            raise OutputClosedError from error
