"""How much of a budget is used up: counted in steps or epochs, or told by a clock.

Knows: that a time budget holds all of a command, loading and closing included, over all sessions of a run.
Does not know: what the time is spent on.
"""

from collections.abc import Callable

from lstmgen.config import Budget, BudgetUnit

_CLOSING_SECONDS = 0.3  # to save at the end and to leave
_CLOSING_SHARE = 0.01  # to evaluate at the end, as long as no evaluation has been timed


class BudgetMeter:
    """Tells the share of a budget that is used up, 0 to 1; it begins when it is made."""

    def __init__(
        self,
        budget: Budget,
        most_epochs: float | None,
        *,
        seconds: float,
        share: float,
        started: float,
        clock: Callable[[], float],
    ) -> None:
        """Begin.

        Args:
            budget: what there is.
            most_epochs: how many may be made of a budget of time; None: any number.
            seconds: that earlier sessions of the run took.
            share: that was used up before, of a time budget.
            started: the clock's time when the command began.
            clock: seconds that never go back.
        """
        self.budget = budget
        self.most_epochs = most_epochs
        """A budget of time ends after so many epochs even if there is time left; None: it does not."""
        self.timed = budget.unit is BudgetUnit.SECONDS
        self.evaluation_seconds = 0.0
        """How long the last evaluation took: so much is kept back for the one at the end."""
        self._seconds_before = seconds
        self._share_before = share
        self._started = started
        self._clock = clock
        self._begun = clock()

    def seconds(self) -> float:
        """Seconds since the command began, with those of earlier sessions."""
        return self._seconds_before + self._clock() - self._started

    def session_seconds(self) -> float:
        """Seconds since this session began to train."""
        return self._clock() - self._begun

    def share_before(self, step: int, epochs: float) -> float:
        """The share that earlier sessions used up, who made so many steps, which are so many epochs."""
        return max(self._share_before, self._of_epochs(epochs)) if self.timed else self._counted(step, epochs)

    def share(self, step: int, epochs: float) -> float:
        """The share that is used up after so many steps, which are so many epochs."""
        if not self.timed:
            return self._counted(step, epochs)
        closing = _CLOSING_SECONDS + max(1.1 * self.evaluation_seconds, _CLOSING_SHARE * self.budget.amount)
        loading = self._begun - self._started
        available = self.budget.amount - self._seconds_before - loading - closing
        if available <= 0:
            return 1.0
        of_time = self._share_before + (1 - self._share_before) * self.session_seconds() / available
        return min(1.0, max(of_time, self._of_epochs(epochs)))

    def _of_epochs(self, epochs: float) -> float:
        return epochs / self.most_epochs if self.most_epochs else 0.0

    def _counted(self, step: int, epochs: float) -> float:
        done = step if self.budget.unit is BudgetUnit.STEPS else epochs
        return min(1.0, done / self.budget.amount)
