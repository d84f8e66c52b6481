"""Standard output and error: a stream that cannot be written is muted here, so no writer has to expect that."""

import errno
import io
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

_PATIENCE_SECONDS = 5.0  # how long a non-blocking pipe may stay full
_RETRY_SECONDS = 0.02


class OutputLostError(Exception):
    """Standard output cannot be written any more. No OSError, so that nobody takes it for the error of a file."""


class Output(io.BufferedWriter):
    """The bytes of a standard stream. If a write fails, that and everything later is discarded."""

    def __init__(self, stream: Any, *, is_product: bool) -> None:
        """Write to where a text stream writes; `is_product`: this is standard output, not standard error."""
        super().__init__(getattr(stream.buffer, "raw", stream.buffer))
        self.error: OSError | None = None
        """Why the stream is muted; None: it is not."""
        self.is_product = is_product
        self.is_vital = is_product
        """Whether the command ends, with OutputLostError, when the stream is muted."""
        self._is_terminal = self.isatty()  # a terminal that is gone says that it is none
        self._is_unbuffered = isinstance(stream.buffer, io.RawIOBase)  # as PYTHONUNBUFFERED asks for
        self._blocked_since: float | None = None

    def write(self, content: Any, /) -> int:
        """Write all of the content, or discard it."""
        left = memoryview(content)
        while left and self.error is None:
            try:
                left = left[super().write(left) :]
                self._blocked_since = None
            except OSError as error:
                left = left[self._wait_or_mute(error) :]
        if self._is_unbuffered:
            self.flush()
        return len(content)

    def flush(self) -> None:
        """Write what is in the buffer, or discard it."""
        while self.error is None:
            try:
                super().flush()
                self._blocked_since = None
                return
            except OSError as error:
                self._wait_or_mute(error)

    @property
    def is_missed(self) -> bool:
        """Whether output is lost that somebody wants: a reader of messages who is gone does not."""
        closed = isinstance(self.error, ConnectionError)  # EPIPE and its relatives
        if self.error is not None and not closed:
            hung_up = self._is_terminal and self.error.errno in (errno.EIO, errno.ENXIO)
            closed = hung_up or (os.name == "nt" and self.error.errno == errno.EINVAL)  # what Windows says for EPIPE
        outlived = self.is_product and not self.is_vital
        return self.error is not None and (outlived or not closed)

    def _wait_or_mute(self, error: OSError) -> int:
        """Wait a moment for a full pipe that does not block, else mute the stream; how many bytes it has taken."""
        taken: int = getattr(error, "characters_written", 0)
        now = time.monotonic()
        if self._blocked_since is None or taken:
            self._blocked_since = now
        if isinstance(error, BlockingIOError) and now - self._blocked_since < _PATIENCE_SECONDS:
            time.sleep(_RETRY_SECONDS)
            return taken
        self.error = error
        if self.is_vital:
            raise OutputLostError from error
        return 0


@contextmanager
def guarded_streams() -> Iterator[list[Output]]:
    """Let `sys.stdout` and `sys.stderr` be text streams in UTF-8 on top of an `Output`, for the length of the context.

    A stream that was closed before the program began discards everything.
    """
    before = {name: getattr(sys, name) for name in ("stdout", "stderr")}
    outputs, texts = [], []
    for name, stream in before.items():
        if stream is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115  # until the process ends
        elif hasattr(stream, "buffer"):
            output = Output(stream, is_product=name == "stdout")
            lines = name == "stderr" or stream.line_buffering
            # Without a buffer of its own: a signal handler that writes while a write is under way would damage that.
            text = io.TextIOWrapper(output, "utf-8", "replace", line_buffering=lines, write_through=True)
            setattr(sys, name, text)
            outputs.append(output)
            texts.append(text)
    try:
        yield outputs
    finally:
        for output, text in zip(outputs, texts, strict=True):
            output.is_vital = False
            text.detach()
            output.detach()
        for name, stream in before.items():
            if stream is not None:
                setattr(sys, name, stream)


def outlive_output() -> None:
    """From now on, let the command continue to its end when standard output cannot be written."""
    if isinstance(output := getattr(sys.stdout, "buffer", None), Output):
        output.is_vital = False


def exit_code_for(outputs: list[Output]) -> int:
    """Write what is still buffered, and say what is missing; 1 if somebody wants that, else 0."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OutputLostError):
            stream.flush()
    losses = [_loss(output) for output in outputs if output.is_missed]
    for output in reversed(outputs) if losses else ():
        if output.is_product and (output.is_vital or output.error):  # it is not for messages, or cannot be written
            continue
        output.error = None  # there may be room again
        output.write("".join(losses).encode())
        output.flush()
        if output.error is None:
            break
    return 1 if losses else 0


def _loss(output: Output) -> str:
    """A line about the output that is lost."""
    name = "standard output" if output.is_product else "standard error"
    reason = output.error and (output.error.strerror or output.error)
    outcome = "the command ended" if output.is_vital else "the command continued without it"
    return f"lstmgen: {name} cannot be written ({reason}); {outcome}\n"
