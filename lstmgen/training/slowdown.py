"""Noticing that other programs slow training down.

The threads of a step wait for each other many times. If another program takes the core of one of them, all wait for it.
A step can then take a hundred times as long as with one thread, which waits for nobody.

Knows: how long steps took. Does not know: threads, or what follows.
"""

import math

_TIMES_SLOWER = 4.0
_LEAST_STEPS = 3


class Slowdown:
    """Watches how long steps take."""

    def __init__(self, most_seconds: float) -> None:
        """Begin to watch; a slowdown that ends within `most_seconds` is not noticed."""
        self._most_seconds = most_seconds
        self._fastest = math.inf  # seconds per symbol
        self._slow_steps, self._slow_seconds = 0, 0.0  # in a row

    def noticed(self, seconds: float, symbols: int) -> bool:
        """Whether this step and those before it were several times as slow as the fastest one, and for too long."""
        self._fastest = min(self._fastest, seconds / symbols)
        if seconds / symbols <= _TIMES_SLOWER * self._fastest:
            self._slow_steps, self._slow_seconds = 0, 0.0
            return False
        self._slow_steps, self._slow_seconds = self._slow_steps + 1, self._slow_seconds + seconds
        return self._slow_steps >= _LEAST_STEPS and self._slow_seconds > self._most_seconds
