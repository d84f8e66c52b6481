"""What a chart of learning curves shows, in a terminal or a picture: from where to where, and what is said of a run.

Knows: learning curves. Does not know: how they are drawn.
"""

from collections.abc import Mapping
from typing import NamedTuple

from lstmgen.cli.render import duration, printable
from lstmgen.training.log import LearningCurve, Loss

Curves = Mapping[str, LearningCurve]
"""The curves of one chart, by the names of their runs."""

_OPENING = 0.1  # share of a run in which its loss may be too high for the chart
_MARGIN = 0.05  # of the height, above and below
_LEAST_NATS = 0.1  # from the bottom to the top: what differs less should look alike
_LEAST_EPOCHS = 1e-6


class Limits(NamedTuple):
    """What a chart has room for."""

    last_epoch: float
    low: float  # nats per character
    high: float


def limits(curves: Curves) -> Limits:
    """How far a chart of these curves goes.

    A run's opening does not count: its loss falls from the height of chance, and would flatten all that follows.
    """
    ends, shown = [], []
    for curve in curves.values():
        losses = curve.training + curve.validation
        ends.append(max(loss.epoch for loss in losses))
        shown += [loss.nats for loss in losses if loss.epoch >= _OPENING * ends[-1]]
    low, high = min(shown), max(shown)
    margin = max(_MARGIN * (high - low), (_LEAST_NATS - (high - low)) / 2)
    return Limits(max(_LEAST_EPOCHS, *ends), max(0.0, low - margin), high + margin)


def describe(name: str, curve: LearningCurve) -> str:
    """One line in words: the best validation loss, where it was, and whether the run learned its text by heart."""
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
