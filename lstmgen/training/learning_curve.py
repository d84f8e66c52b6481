"""The learning curve of a run, from its log, which may be cut off, damaged or from another version."""

import json
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple

from lstmgen.errors import CheckpointError
from lstmgen.training.events import WORSE_NATS, Evaluated, Stepped

_TRAINING_NATS = {Stepped.event: "nats", Evaluated.event: "training_nats"}
"""The name of the training loss in each kind of event."""

_MAX_NATS = 1e3
_MAX_NUMBER = 1e12


class Loss(NamedTuple):
    """A loss, and the step, epoch and second at which it was measured."""

    step: int
    epoch: float
    seconds: float  # since the command began, over all sessions
    nats: float  # per character


@dataclass(frozen=True)
class LearningCurve:
    """The losses that led to a run's newest weights, by step; at least one."""

    training: tuple[Loss, ...]  # smoothed over about fifty steps
    validation: tuple[Loss, ...]

    @property
    def best(self) -> Loss | None:
        """The lowest validation loss; None: there is no validation loss."""
        return min(self.validation, key=attrgetter("nats"), default=None)

    @property
    def overfitted(self) -> tuple[float, float] | None:
        """By how many nats the validation loss rose after its best and the training loss fell; None: no overfitting."""
        best = self.best
        before = [loss.nats for loss in self.training if best and loss.step <= best.step]
        if best is None or not before:
            return None
        rise, fall = self.validation[-1].nats - best.nats, before[-1] - self.training[-1].nats
        return (rise, fall) if rise >= WORSE_NATS and fall > 0 else None


def read_log(path: Path) -> LearningCurve:
    """Read a run's log. Lines that cannot be understood are skipped.

    Raises CheckpointError if there is no log, or no loss in it.
    """
    training: list[Loss] = []
    validation: list[Loss] = []
    try:
        with path.open(encoding="utf-8", errors="replace") as lines:
            for event in map(_event, lines):
                name = _TRAINING_NATS.get(str(event.get("event")))
                step, epoch, seconds = (_number(event.get(field)) for field in ("step", "epoch", "seconds"))
                if name is None or step is None or step % 1 or epoch is None or seconds is None:
                    continue
                for losses, value in ((training, event.get(name)), (validation, event.get("validation_nats"))):
                    while losses and losses[-1].step >= step:  # a resumed run repeats unsaved steps
                        losses.pop()
                    if (nats := _number(value, _MAX_NATS)) is not None:
                        losses.append(Loss(int(step), epoch, seconds, nats))
    except OSError as error:
        raise CheckpointError(
            f"{path}: {error.strerror}; without its log, a run cannot be drawn; name another run"
        ) from error
    if not training and not validation:
        raise CheckpointError(f"{path}: the log has no losses, so the run cannot be drawn; name another run")
    return LearningCurve(tuple(training), tuple(validation))


def logged_step(line: bytes) -> float:
    """The step of the event on a line of a log; 0 if it cannot be read."""
    return _number(_event(line).get("step")) or 0


def _event(line: str | bytes) -> dict[str, Any]:
    """The event on a line of a log; empty if it cannot be read."""
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return event if isinstance(event, dict) else {}


def _number(value: Any, maximum: float = _MAX_NUMBER) -> float | None:
    """The value, if it is a number that training can produce; otherwise None."""
    return value if type(value) in (int, float) and 0 <= value <= maximum else None
