"""Ctrl-C as a wish, not an accident.

Knows: signals. Does not know: what is being interrupted.
"""

import signal
from collections.abc import Callable
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Any


class StopRequest:
    """While entered, the first Ctrl-C, SIGTERM or closed terminal asks to stop; a second one ends the process at once.

    Called, it says whether a stop was requested.
    """

    def __init__(self, announce: Callable[[], None]) -> None:
        self.signal: int | None = None
        self.unread = False
        """Set when nobody reads the output any more, which is a request too."""
        self._announce = announce
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "StopRequest":
        for number in (signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])):
            self._before[number] = signal.signal(number, self._request)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
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
        for known in self._before:
            signal.signal(known, signal.SIG_DFL)
        with suppress(OSError):  # a closed terminal cannot be told
            self._announce()
