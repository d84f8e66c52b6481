"""How much of a training budget is used up.

A budget counts steps, epochs or seconds. A time budget holds the whole command: loading, evaluating and the end as well
as the steps, over all sessions of a run.

Knows: budgets and a clock. Does not know: what the time is spent on.
"""

from collections.abc import Callable

from lstmgen.config import Budget, BudgetUnit

_CLOSING_SECONDS = 0.3  # to save at the end and to leave
_CLOSING_FRACTION = 0.01  # of the budget, to evaluate at the end, as long as no evaluation has been timed


class BudgetMeter:
    """Measures the fraction of a budget that is used up, from 0 to 1; it starts when it is made."""

    def __init__(
        self,
        budget: Budget,
        most_epochs: float | None,
        *,
        seconds_before: float,
        progress_before: float,
        started: float,
        clock: Callable[[], float],
    ) -> None:
        """Start to measure.

        Args:
            budget: the budget.
            most_epochs: where a time budget ends even if there is time left; None: it does not.
            seconds_before: how long earlier sessions of the run took.
            progress_before: the fraction of a time budget that earlier sessions used up.
            started: the clock's time when the command began.
            clock: seconds that never go back.
        """
        self.budget = budget
        self.most_epochs = most_epochs
        """Where a time budget ends even if there is time left, in epochs; None: it does not."""
        self.timed = budget.unit is BudgetUnit.SECONDS
        self.evaluation_seconds = 0.0
        """How long the last evaluation took. The same time is kept for the one at the end."""
        self._seconds_before = seconds_before
        self._progress_before = progress_before
        self._started = started
        self._clock = clock
        self._session_started = clock()

    def seconds(self) -> float:
        """Seconds since the command began, with those of earlier sessions."""
        return self._seconds_before + self._clock() - self._started

    def session_seconds(self) -> float:
        """Seconds since this session began to train."""
        return self._clock() - self._session_started

    def progress_before(self, step: int, epochs: float) -> float:
        """The fraction of the budget that was used up before this session, which begins at this step and epoch."""
        of_time = min(1.0, max(self._progress_before, self._of_epochs(epochs)))
        return of_time if self.timed else self._counted(step, epochs)

    def progress(self, step: int, epochs: float) -> float:
        """The fraction of the budget that is used up at this step and epoch."""
        if not self.timed:
            return self._counted(step, epochs)
        closing = _CLOSING_SECONDS + max(1.1 * self.evaluation_seconds, _CLOSING_FRACTION * self.budget.amount)
        loading = self._session_started - self._started
        available = self.budget.amount - self._seconds_before - loading - closing
        if available <= 0:
            return 1.0
        of_time = self._progress_before + (1 - self._progress_before) * self.session_seconds() / available
        return min(1.0, max(of_time, self._of_epochs(epochs)))

    def _of_epochs(self, epochs: float) -> float:
        return epochs / self.most_epochs if self.most_epochs else 0.0

    def _counted(self, step: int, epochs: float) -> float:
        done = step if self.budget.unit is BudgetUnit.STEPS else epochs
        return min(1.0, done / self.budget.amount)
