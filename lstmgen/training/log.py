"""The log of a run: events are appended to it, and its learning curve is read from it.

Knows: that a log may be cut off, damaged or from another version, and that a resumed run repeats some steps.
Does not know: torch, or how a curve is drawn.
"""

import json
from contextlib import suppress
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple

from lstmgen.errors import CheckpointError
from lstmgen.files import replace_file
from lstmgen.training.events import WORSE_NATS, Evaluated, Event, Stepped, is_logged, to_mapping

_TRAINING_NATS = {Stepped.event: "nats", Evaluated.event: "training_nats"}
"""The name of the training loss in each kind of event."""

_LARGEST_NATS = 1e3
_LARGEST_NUMBER = 1e12


class Log:
    """The log of a run while it trains. What cannot be written now is written later."""

    def __init__(self, path: Path, step: int) -> None:
        """Begin a log, or go on with the one at this path, without the events after this step.

        A run that was killed has logged steps after its last save. It takes these steps again, and logs them again.
        """
        self.path = path
        self._lines = _lines_until(path, step)
        self._written = -1  # bytes that are known to be in the file; -1: not even that it is ours

    def append(self, event: Event) -> None:
        """Add an event, if it is one that the log keeps. It is not written yet."""
        if is_logged(event):
            self._lines.append(json.dumps(to_mapping(event)).encode() + b"\n")

    def write(self) -> None:
        """Write what is not in the file yet; all of it, if the file is not as it was left."""
        content = b"".join(self._lines)
        with suppress(OSError):
            if _size(self.path) == self._written:
                with self.path.open("ab") as file:
                    file.write(content[self._written :])
            else:
                replace_file(self.path, content)
            self._written = len(content)


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None


def _lines_until(path: Path, step: int) -> list[bytes]:
    """The complete lines of a log, without the events after this step."""
    try:
        lines = path.read_bytes().splitlines(keepends=True)
    except OSError:
        return []
    return [line for line in lines if line.endswith(b"\n") and (_step(line) or 0) <= step]


def _step(line: bytes) -> float | None:
    return _number(_event(line).get("step"))


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


def _event(line: str | bytes) -> dict[str, Any]:
    """The event on a line; empty if it cannot be read."""
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return event if isinstance(event, dict) else {}


def _number(value: Any, largest: float = _LARGEST_NUMBER) -> float | None:
    """The value, if it is a number that training can give; otherwise None."""
    return value if type(value) in (int, float) and 0 <= value <= largest else None
