"""What SIGINT (Ctrl-C), SIGTERM and SIGHUP (a closed terminal) do: end a command in order, or set a stop flag.

Knows: signals. Does not know: what is being interrupted.
"""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType, TracebackType
from typing import Any


@contextmanager
def exit_on_signals() -> Iterator[None]:
    """In this context SIGTERM and SIGHUP raise SystemExit, with 143 or 129, so that files are cleaned up.

    A second one ends the process at once. SIGINT already raises KeyboardInterrupt.
    """
    if threading.current_thread() is not threading.main_thread():  # only there can handlers be set
        yield
        return
    before = {number: signal.getsignal(number) for number in _ending_signals()}

    def leave(number: int, _frame: FrameType | None) -> None:
        for handled in before:
            signal.signal(handled, signal.SIG_DFL)
        raise SystemExit(128 + number)

    try:
        for number in before:
            signal.signal(number, leave)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _ending_signals() -> list[signal.Signals]:
    """SIGTERM; and SIGHUP, unless the user has chosen to ignore it, as `nohup` does."""
    numbers = [signal.SIGTERM]
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    return numbers


class StopRequest:
    """A context in which the first signal sets a flag and a second one ends the process at once.

    Calling it returns the flag.
    """

    def __init__(self, announce: Callable[[], None]) -> None:
        """Prepare the context; `announce` is called after the first signal."""
        self.signal: int | None = None
        self.unread = False
        """Set by the caller when nobody reads the output any more: this is a request to stop, too."""
        self._announce = announce
        self._handlers_before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "StopRequest":
        for number in (signal.SIGINT, *_ending_signals()):
            self._handlers_before[number] = signal.signal(number, self._request)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._handlers_before.items():
            signal.signal(number, handler)

    def __call__(self) -> bool:
        """Whether a stop was requested."""
        return self.signal is not None or self.unread

    @property
    def exit_code(self) -> int:
        """130 after Ctrl-C, 143 after SIGTERM, 0 without either."""
        return 0 if self.signal is None else 128 + self.signal

    def _request(self, number: int, _frame: FrameType | None) -> None:
        self.signal = number
        for handled in self._handlers_before:
            signal.signal(handled, signal.SIG_DFL)
        with suppress(OSError):  # nothing can be written to a closed terminal
            self._announce()
