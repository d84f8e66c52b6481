"""Standard output and error. A stream that cannot be written is muted here, so no caller has to deal with that."""

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
    """Standard output can no longer be written. Not an OSError, so that it is not mistaken for the error of a file."""


class Output(io.BufferedWriter):
    """The bytes of a standard stream. If a write fails, it and everything later is discarded."""

    def __init__(self, stream: Any, *, is_product: bool) -> None:
        """Write to the target of a text stream; `is_product`: it is standard output, not standard error."""
        super().__init__(getattr(stream.buffer, "raw", stream.buffer))
        self.error: OSError | None = None
        """Why the stream is muted; None: it is not muted."""
        self.is_product = is_product
        self.is_vital = is_product
        """Whether muting the stream ends the command, with OutputLostError."""
        self._is_terminal = self.isatty()  # asked now, because a closed terminal says no
        self._is_unbuffered = isinstance(stream.buffer, io.RawIOBase)  # because of PYTHONUNBUFFERED
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
        """Whether lost output matters; a reader that closed its end does not want any more."""
        closed = isinstance(self.error, ConnectionError)  # EPIPE and its relatives
        if self.error is not None and not closed:
            hung_up = self._is_terminal and self.error.errno in (errno.EIO, errno.ENXIO)
            closed = hung_up or (os.name == "nt" and self.error.errno == errno.EINVAL)  # Windows's name for EPIPE
        outlived = self.is_product and not self.is_vital
        return self.error is not None and (outlived or not closed)

    def _wait_or_mute(self, error: OSError) -> int:
        """Wait a moment if a non-blocking pipe is full, else mute the stream; return how many bytes it took."""
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
    """Within the context, make `sys.stdout` and `sys.stderr` UTF-8 text streams on top of an `Output`.

    A stream that was closed before the program started discards everything.
    """
    before = {name: getattr(sys, name) for name in ("stdout", "stderr")}
    outputs, texts = [], []
    for name, stream in before.items():
        if stream is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115  # until the process ends
        elif hasattr(stream, "buffer"):
            output = Output(stream, is_product=name == "stdout")
            lines = name == "stderr" or stream.line_buffering
            # No buffer of its own, which a signal handler could damage by writing during another write.
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
    """From now on, let the command run to its end even if standard output cannot be written."""
    if isinstance(output := getattr(sys.stdout, "buffer", None), Output):
        output.is_vital = False


def exit_code_for(outputs: list[Output]) -> int:
    """Write what is still buffered, and report lost output; return 1 if any was lost that matters, else 0."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OutputLostError):
            stream.flush()
    losses = [_loss(output) for output in outputs if output.is_missed]
    for output in reversed(outputs) if losses else ():
        if output.is_product and (output.is_vital or output.error):  # not for messages, or broken
            continue
        output.error = None  # the disk may have room again
        output.write("".join(losses).encode())
        output.flush()
        if output.error is None:
            break
    return 1 if losses else 0


def _loss(output: Output) -> str:
    """A line about lost output."""
    name = "standard output" if output.is_product else "standard error"
    reason = output.error and (output.error.strerror or output.error)
    outcome = "the command ended" if output.is_vital else "the command continued without it"
    return f"lstmgen: {name} cannot be written ({reason}); {outcome}\n"
