"""How much of a training budget is used up.

A budget counts steps, epochs or seconds. A time budget covers the whole command over all sessions of a run: loading,
evaluations and shutdown as well as the steps. Work other than steps may take at most `seconds_left`, so the budget
holds even if other programs slow this one down.
"""

import math
import threading
from collections.abc import Callable
from types import TracebackType

from lstmgen.config import Budget, BudgetUnit

_READ_EVERY = 0.2  # seconds
_STOPPED = 2.5  # seconds without a reading; not even a very busy machine makes a sleeping thread wait that long

_LEAVING_SECONDS = 0.3  # to end the process
_LEAVING_FRACTION = 0.1  # the same, as a fraction of the loading time: other work slows both down
_AGAIN = 1.1  # the most by which something may take longer the next time
_CLOSING_FRACTION = 0.01  # of the budget, for the evaluation at the end, until an evaluation has been timed


class RunningClock:
    """A clock that pauses while the whole process is stopped, by Ctrl-Z or because the machine sleeps.

    Within its context a thread keeps reading it. A gap between two readings means that the process was stopped. No slow
    step or save can cause one, and neither can other programs, because the thread waits for none of them.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        """Wrap a clock whose seconds never go back."""
        self.stopped = 0.0
        """Seconds for which the process was stopped."""
        self._clock = clock
        self._last = math.inf  # the last reading; infinite outside the context, where there are no gaps
        self._lock = threading.Lock()
        self._closed = threading.Event()

    def __call__(self) -> float:
        """The clock's time, minus the seconds for which the process was stopped."""
        with self._lock:
            now = self._clock()
            if now - self._last > _STOPPED:
                self.stopped += now - self._last
            if not math.isinf(self._last):
                self._last = now
            return now - self.stopped

    def __enter__(self) -> "RunningClock":
        self._last = self._clock()
        self._closed.clear()
        threading.Thread(target=self._read_often, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed.set()
        with self._lock:
            self._last = math.inf

    def _read_often(self) -> None:
        while not self._closed.wait(_READ_EVERY):
            self()


class BudgetMeter:
    """Measures the used-up fraction of a budget, from 0 to 1, starting on construction."""

    def __init__(
        self,
        budget: Budget,
        most_epochs: float | None = None,
        *,
        started: float,
        clock: Callable[[], float],
        seconds_before: float = 0.0,
        progress_before: float = 0.0,
    ) -> None:
        """Start measuring; the command began when the clock showed `started`.

        A time budget also ends after `most_epochs`. Earlier sessions took `seconds_before` and used `progress_before`.
        """
        self.most_epochs = most_epochs
        self.final_evaluations = 1
        """How many evaluations there are at the end."""
        self.timed = budget.unit is BudgetUnit.SECONDS
        self.evaluation_seconds = 0.0
        """How long the last evaluation took, with its save. As much time is reserved for each one at the end."""
        self.save_seconds = 0.0
        """How long the last save took."""
        self.step_seconds = 0.0
        """How long a step currently takes. No step starts that does not fit into the rest of the budget."""
        self._budget = budget
        self._seconds_before = seconds_before
        self._progress_before = progress_before
        self._started = started
        self._clock = clock
        self._session_started = clock()
        loading = self._session_started - started
        self._leaving_seconds = max(_LEAVING_SECONDS, _LEAVING_FRACTION * loading)

    def seconds(self) -> float:
        """Seconds since the command began, plus the seconds of earlier sessions."""
        return self._seconds_before + self._clock() - self._started

    def session_seconds(self) -> float:
        """Seconds since this session started training."""
        return self._clock() - self._session_started

    def seconds_left(self) -> float:
        """Seconds until a time budget is used up, minus those that a save takes; infinite for other budgets."""
        if not self.timed:
            return math.inf
        return self._budget.amount - self.seconds() - self._leaving_seconds - _AGAIN * self.save_seconds

    def progress_before(self, step: int, epochs: float) -> float:
        """The fraction of the budget used up before this session, which begins at this step and epoch."""
        return self._used(step, epochs, self._progress_before)

    def progress(self, step: int, epochs: float) -> float:
        """The fraction of the budget used up at this step and epoch."""
        evaluating = max(_AGAIN * self.evaluation_seconds, _CLOSING_FRACTION * self._budget.amount)
        closing = self._leaving_seconds + self.final_evaluations * evaluating + self.step_seconds
        loading = self._session_started - self._started
        available = self._budget.amount - self._seconds_before - loading - closing
        if available <= 0:
            return self._used(step, epochs, of_time=1.0)
        of_time = self._progress_before + (1 - self._progress_before) * self.session_seconds() / available
        return self._used(step, epochs, of_time)

    def _used(self, step: int, epochs: float, of_time: float) -> float:
        match self._budget.unit:
            case BudgetUnit.SECONDS:
                used = max(of_time, epochs / self.most_epochs if self.most_epochs else 0.0)
            case BudgetUnit.EPOCHS:
                used = epochs / self._budget.amount
            case BudgetUnit.STEPS:
                used = step / self._budget.amount
        return min(1.0, used)
