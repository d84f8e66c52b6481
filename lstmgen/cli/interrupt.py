"""Turn SIGINT (Ctrl-C), SIGTERM and SIGHUP (a closed terminal) into a stop flag.

Knows: signals. Does not know: what is being interrupted.
"""

import signal
from collections.abc import Callable
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Any


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
        for number in (signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])):
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
