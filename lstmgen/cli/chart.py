"""The limits of a chart of learning curves, and a description of each run, for a terminal or a picture.

Knows: learning curves. Does not know: how they are drawn.
"""

from collections.abc import Mapping
from typing import Literal, NamedTuple

from lstmgen.cli.render import duration
from lstmgen.printable import printable
from lstmgen.training.learning_curve import LearningCurve, Loss

Curves = Mapping[str, LearningCurve]
"""The curves of one chart, by the name of the run."""

Over = Literal["epoch", "seconds"]
"""What the horizontal axis shows: a field of `Loss`."""

_OPENING = 0.1  # first fraction of a run, in which its loss may be too high for the chart
_MARGIN = 0.05  # fraction of the height that is left free above and below
_LEAST_NATS = 0.1  # smallest height of the chart, so that small differences look small
_LEAST_WIDTH = 1e-6


class Limits(NamedTuple):
    """The ranges of a chart's axes; the horizontal one begins at 0."""

    last: float  # epoch or second
    low: float  # nats per symbol
    high: float


def limits(curves: Curves, over: Over = "epoch") -> Limits:
    """Return the limits of a chart of these curves.

    The beginning of a run does not count: there the loss falls from that of a random guess, and a chart with room for
    it would show all later losses as a flat line.
    """
    ends, shown = [], []
    for curve in curves.values():
        losses = curve.training + curve.validation
        ends.append(max(getattr(loss, over) for loss in losses))
        shown += [loss.nats for loss in losses if getattr(loss, over) >= _OPENING * ends[-1]]
    low, high = min(shown), max(shown)
    margin = max(_MARGIN * (high - low), (_LEAST_NATS - (high - low)) / 2)
    return Limits(max(_LEAST_WIDTH, *ends), max(0.0, low - margin), high + margin)


def describe(name: str, curve: LearningCurve) -> str:
    """Describe a run in one line: its best validation loss, at which step, and whether it overfitted."""
    name, best = printable(name, single_line=True), curve.best
    if best is None:
        last = curve.training[-1]
        return f"{name}: no validation loss; training loss {last.nats:.4f} {_when(last)}"
    line = f"{name}: best validation {best.nats:.4f} {_when(best)}"
    if curve.overfitted:
        rise, fall = curve.overfitted
        line += f"; then it overfitted: validation rose by {rise:.3f}, training fell by {fall:.3f}"
    return line


def _when(loss: Loss) -> str:
    return f"at epoch {loss.epoch:.2f} (step {loss.step:,}, {duration(loss.seconds)})"
