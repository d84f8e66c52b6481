"""The log of a run: events are appended to it, and its learning curve is read from it.

Knows: that a log may be cut off, damaged or from another version, and that a resumed run repeats some steps.
Does not know: torch, or how a curve is drawn.
"""

import json
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple

from lstmgen.errors import CheckpointError
from lstmgen.training.events import WORSE_NATS, Evaluated, Event, Stepped, is_logged, to_mapping

_TRAINING_NATS = {Stepped.event: "nats", Evaluated.event: "training_nats"}
"""The name of the training loss in each kind of event."""

_LARGEST_NATS = 1e3
_LARGEST_NUMBER = 1e12


def append_event(path: Path, event: Event) -> None:
    """Append an event to a log, if it is one that the log keeps."""
    if is_logged(event):
        with path.open("a", encoding="utf-8") as log:
            log.write(json.dumps(to_mapping(event)) + "\n")


class Loss(NamedTuple):
    """A loss, and the step, epoch and second at which it was measured."""

    step: int
    epoch: float
    seconds: float  # since the command began, over all sessions
    nats: float  # per symbol


@dataclass(frozen=True)
class LearningCurve:
    """The losses on the way to a run's newest weights, by step; at least one."""

    training: tuple[Loss, ...]  # smoothed over about fifty steps
    validation: tuple[Loss, ...]

    @property
    def best(self) -> Loss | None:
        """The lowest validation loss; None: there is none at all."""
        return min(self.validation, key=attrgetter("nats"), default=None)

    @property
    def overfitted(self) -> tuple[float, float] | None:
        """By how many nats validation loss rose after its best and training loss fell; None: it did not overfit."""
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
                if name is None or step is None or epoch is None or seconds is None:
                    continue
                for losses, value in ((training, event.get(name)), (validation, event.get("validation_nats"))):
                    while losses and losses[-1].step >= step:  # a resumed run repeats what was not saved
                        losses.pop()
                    if (nats := _number(value, _LARGEST_NATS)) is not None:
                        losses.append(Loss(int(step), epoch, seconds, nats))
    except OSError as error:
        raise CheckpointError(
            f"{path}: {error.strerror}; a run without its log cannot be drawn; name another run"
        ) from error
    if not training and not validation:
        raise CheckpointError(f"{path}: no loss in it; the run cannot be drawn")
    return LearningCurve(tuple(training), tuple(validation))


def _event(line: str) -> dict[str, Any]:
    """The event on a line; empty if it cannot be read."""
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return event if isinstance(event, dict) else {}


def _number(value: Any, largest: float = _LARGEST_NUMBER) -> float | None:
    """The value, if it is a number that training can give; otherwise None."""
    return value if type(value) in (int, float) and 0 <= value <= largest else None
