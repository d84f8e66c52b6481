"""Handle SIGINT (Ctrl-C), SIGTERM, SIGHUP (a closed terminal) and SIGBREAK (Windows): end a command, or set a flag."""

import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

STOPPING = "\nfinishing this step, then saving; press Ctrl-C again to quit at once"


@contextmanager
def exit_on_signals() -> Iterator[None]:
    """Within this context, signals raise SystemExit with 128 plus their number, so that files are cleaned up.

    A second signal ends the process at once. SIGINT is left alone, because it already raises KeyboardInterrupt.
    """
    if threading.current_thread() is not threading.main_thread():  # handlers can only be set in the main thread
        yield
        return
    before = {number: signal.getsignal(number) for number in _ending_signals() if number != signal.SIGINT}

    def leave(number: int, _frame: FrameType | None) -> None:
        _end_at_once_next_time(before)
        raise SystemExit(128 + number)

    try:
        for number in before:
            signal.signal(number, leave)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _ending_signals() -> list[signal.Signals]:
    """The signals, except ignored ones, as under `nohup` or in a script's background jobs."""
    names = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    return [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]


def _end_at_once_next_time(handled: Iterable[signal.Signals]) -> None:
    """Let the next signal end the process. SIGHUP is ignored, because a closing terminal sends it more than once."""
    for number in handled:
        signal.signal(number, signal.SIG_IGN if number.name == "SIGHUP" else signal.SIG_DFL)


class StopRequest:
    """A context in which the first signal sets a flag and a second one ends the process at once.

    Calling it returns the flag.
    """

    def __init__(self, announce: Callable[[], None]) -> None:
        """Prepare the context; the first signal calls `announce`."""
        self.signal: int | None = None
        self._announce = announce
        self._handlers_before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "StopRequest":
        for number in _ending_signals():
            self._handlers_before[number] = signal.signal(number, self._request)
        return self

    def __exit__(self, *_error: object) -> None:
        for number, handler in self._handlers_before.items():
            signal.signal(number, handler)

    def __call__(self) -> bool:
        """Whether a stop was requested."""
        return self.signal is not None

    @property
    def exit_code(self) -> int:
        """130 after Ctrl-C, 143 after SIGTERM, 129 after SIGHUP; 1 if it stopped without a signal to this process."""
        return 1 if self.signal is None else 128 + self.signal

    def _request(self, number: int, _frame: FrameType | None) -> None:
        self.signal = number
        _end_at_once_next_time(self._handlers_before)
        with suppress(RuntimeError):  # the signal interrupted a write to the same stream
            self._announce()
