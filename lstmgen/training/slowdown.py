"""Fewer threads where other programs slow training down, and all of them again afterwards.

The threads of a step wait for each other many times. If another program takes the core of one of them, all wait for it.
A step can then take a hundred times as long as with one thread, which waits for nobody.
"""

import math
from collections.abc import Callable

_TIMES_SLOWER = 4.0
_FIRST_PAUSE = 5.0  # how long one thread computes before the cores are looked at, in times of `max_seconds`
_LONGEST_PAUSE = 60.0  # seconds


class Slowdown:
    """Watches how long steps take."""

    def __init__(
        self, threads: int, max_threads: int, max_seconds: float, cores_are_free: Callable[[int], bool]
    ) -> None:
        """Begin to watch.

        Args:
            threads: how many compute the first step.
            max_threads: how many compute where the cores are free; one stays one.
            max_seconds: a slowdown that ends within this time changes nothing.
            cores_are_free: whether so many threads can compute at once without waiting for other programs.
        """
        self.threads = threads
        """How many compute the next step."""
        self._all = max_threads
        self._max_seconds = max_seconds
        self._cores_are_free = cores_are_free
        self._fastest = math.inf  # seconds per token, with all threads
        self._slow_seconds = 0.0  # of slow steps in a row, or of one thread since the cores were looked at
        self._pause = min(_FIRST_PAUSE * max_seconds, _LONGEST_PAUSE)

    def notice(self, seconds: float, tokens: int) -> bool:
        """Take note of a step; returns whether the number of threads changes after it.

        One thread computes after steps that are several times as slow as the fastest one, for too long. From then on,
        in growing intervals, it is found out whether the cores are free again.
        """
        if self._all == 1:
            return False
        if self.threads == 1:
            self._slow_seconds += seconds
            if self._slow_seconds < self._pause:
                return False
            self._slow_seconds, self._pause = 0.0, min(2 * self._pause, _LONGEST_PAUSE)
            if not self._cores_are_free(self._all):
                return False
            self.threads = self._all
            return True
        self._fastest = min(self._fastest, seconds / tokens)
        slow = seconds / tokens > _TIMES_SLOWER * self._fastest
        self._slow_seconds = self._slow_seconds + seconds if slow else 0.0
        if self._slow_seconds <= self._max_seconds:
            return False
        self.threads, self._slow_seconds = 1, 0.0
        return True
