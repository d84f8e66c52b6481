"""Write results: sampled text to a terminal, a pipe or a new file; pictures and pages to a new file."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import numpy as np

from lstmgen.config import FinishReason
from lstmgen.errors import ConfigError, unwritable
from lstmgen.files import new_file
from lstmgen.generation.sampler import Drawn, Ended, Sample
from lstmgen.printable import json_line, printable
from lstmgen.text.vocabulary import Ids, Vocabulary


@contextmanager
def _errors_named(path: Path, setting: str = "output") -> Iterator[None]:
    """Turn an OSError for a new file into a ConfigError that names the setting."""
    try:
        yield
    except FileExistsError as error:
        raise ConfigError(setting, path, "the file exists and is never overwritten; choose another name") from error
    except OSError as error:
        raise ConfigError(setting, path, unwritable(error)) from error


@contextmanager
def whole_file(path: Path, setting: str = "output") -> Iterator[BinaryIO]:
    """Create the file that a setting names; an error in the context deletes it.

    Raises ConfigError if the file exists or cannot be written.
    """
    with _errors_named(path, setting), new_file(path) as file:
        yield file


class SampleOutput:
    """Writes tokens as text to stdout or a new file."""

    def __init__(
        self, vocabulary: Vocabulary, path: Path | None, *, endless: bool = False, keep_on_error: bool = False
    ) -> None:
        """Open a new file, or stdout for None; raises ConfigError if the file exists or cannot be created.

        The file of an endless text has its name from the start and keeps everything written; any other file gets its
        name at the end, and with `keep_on_error` even if an error ends the writing.
        """
        self._vocabulary = vocabulary
        self._decoder = vocabulary.decoder()
        self.terminal = path is None and sys.stdout.isatty()
        """Whether a person sees each token at once."""
        self._line_open = False
        self._path = path
        self._keep_on_error = keep_on_error
        self._open_file = ExitStack()
        if path is None:
            self._file: BinaryIO = sys.stdout.buffer
        elif endless:
            self._open_file.enter_context(_errors_named(path))  # for the last write, when the file is closed
            with _errors_named(path):
                self._file = self._open_file.enter_context(path.open("xb"))
        else:
            self._file = self._open_file.enter_context(whole_file(path))

    def __enter__(self) -> "SampleOutput":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._path is not None:
            if kind is None or self._keep_on_error:
                self._open_file.close()
            else:
                self._open_file.__exit__(kind, error, trace)
            return
        if self.terminal and kind is None:
            self._write_to_terminal(printable(self._decoder.finish()))
        if self.terminal and self._line_open:
            self._write_to_terminal("\n")

    def write(self, ids: Ids) -> None:
        """Write tokens, (tokens,); on a terminal they appear at once."""
        if self.terminal:
            self._write_to_terminal(printable("".join(self._decoder.feed(int(number)) for number in ids)))
        else:
            self._write(self._vocabulary.to_bytes(ids))

    def write_text(self, text: str) -> None:
        """Write text that does not consist of tokens, such as JSON or a separator."""
        if self.terminal:
            self._write_to_terminal(printable(self._decoder.finish() + text))
        else:
            self._write(text.encode("utf-8", "backslashreplace"))

    def write_stream(self, prompt: Ids, events: Iterable[Drawn | Ended]) -> list[FinishReason]:
        """Write the prompt, (tokens,), then each token of one text as it is drawn; return why the text ended."""
        self.write(prompt)
        reasons = []
        for event in events:
            if isinstance(event, Drawn):
                self.write(np.array([event.id]))
            else:
                reasons.append(event.finish_reason)
        return reasons

    def write_samples(
        self, prompt: Ids, samples: Iterable[Sample], facts: dict[str, object] | None, separator: str
    ) -> None:
        """Write each sample with the prompt: as JSON with these facts, or as a line of text unless it is unmatched."""
        for number, sample in enumerate(samples):
            ids = np.concatenate([prompt, sample.ids]).astype(np.int64)
            line = sample.finish_reason is FinishReason.LINE
            if facts is not None:
                text = self._vocabulary.decode(ids[:-1] if line else ids)
                about = {"sample": number, "nats": sample.nats, "finish": sample.finish_reason}
                self.write_text(json_line({"text": text, **facts, **about}))
            elif sample.finish_reason is not FinishReason.UNMATCHED:
                self.write_text(separator if number else "")
                self.write(ids)
                self.write_text("" if line else "\n")

    def _write_to_terminal(self, text: str) -> None:
        if text:
            self._line_open = not text.endswith("\n")
            self._write(text.encode("utf-8", "replace"))
            self._file.flush()

    def _write(self, content: bytes) -> None:
        with _errors_named(self._path) if self._path else nullcontext():
            self._file.write(content)
