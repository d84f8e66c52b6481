"""Learning curves as a text chart or a picture, with a description of each run."""

import io
import math
import textwrap
import warnings
from collections.abc import Iterable, Iterator, Mapping
from itertools import cycle, dropwhile, pairwise
from typing import Any, Literal

from lstmgen.cli.render import duration
from lstmgen.printable import printable
from lstmgen.training.learning_curve import LearningCurve, Loss

Curves = Mapping[str, LearningCurve]
"""The curves of one chart, by the name of the run."""

Over = Literal["epoch", "seconds"]
"""The quantity on the horizontal axis: a field of `Loss`."""

_OPENING = 0.1  # the first fraction of a run, where its loss may be too high for the chart
_MARGIN = 0.05  # empty fraction of the height above and below
_MIN_NATS = 0.1  # smallest height of the chart, so that small differences look small
_MIN_WIDTH = 1e-6


def limits(curves: Curves, over: Over = "epoch") -> tuple[float, float, float]:
    """Return where a chart of these curves ends on the right, and its lowest and highest nats.

    The beginning of a run does not count, because the loss starts at random guessing, and a chart with room for that
    would show all later losses as a flat line.
    """
    ends, shown = [], []
    for curve in curves.values():
        losses = curve.training + curve.validation
        ends.append(max(getattr(loss, over) for loss in losses))
        shown += [loss.nats for loss in losses if getattr(loss, over) >= _OPENING * ends[-1]]
    low, high = min(shown), max(shown)
    margin = max(_MARGIN * (high - low), (_MIN_NATS - (high - low)) / 2)
    return max(_MIN_WIDTH, *ends), max(0.0, low - margin), high + margin


def describe(name: str, curve: LearningCurve) -> str:
    """Describe a run in one line: its best validation loss, at which step, and whether it overfitted."""
    name, best, kind = printable(name, single_line=True), curve.best, "best validation"
    if best is None:
        best, kind = curve.training[-1], "no validation loss; training loss"
    when = f"at epoch {best.epoch:.2f} (step {best.step:,}, {duration(best.seconds)})"
    line = f"{name}: {kind} {best.nats:.4f} {when}"
    if curve.overfitted:
        rise, fall = curve.overfitted
        line += f"; then it overfitted: validation rose by {rise:.3f}, training fell by {fall:.3f}"
    return line


# In a terminal

_BEST = "★"
_STYLES = (  # a run's marker, and the colours of its validation and its training loss
    ("●", "bright_cyan", "cyan"),
    ("■", "bright_yellow", "yellow"),
    ("▲", "bright_magenta", "magenta"),
    ("◆", "bright_green", "green"),
    ("▼", "bright_red", "red"),
    ("○", "bright_blue", "blue"),
)
_NARROWEST, _WIDEST = 24, 160  # columns, with the labels
_LOWEST, _HIGHEST = 10, 30  # rows, without the horizontal axis and the text above and below
_AXIS_ROWS = 2 + 1  # the axis and its labels, and the line of the shell's prompt
_TICK_COLUMNS, _TICK_ROWS = 12, 3  # smallest distance between two labels


def terminal_chart(curves: Curves, unit: str, columns: int, lines: int, over: Over = "epoch") -> str:
    """Draw losses per unit with a description of each curve below them; in colours if stdout has them."""
    from plotille import Canvas, color

    columns = min(max(columns, _NARROWEST), _WIDEST)
    styled = list(zip(curves.items(), cycle(_STYLES), strict=False))
    marks = "".join(mark for _, (mark, _, _) in styled[: len(_STYLES)])
    training = "   ⠤⠤ training" if any(curve.training for curve in curves.values()) else ""
    axis_name = "epochs" if over == "epoch" else over
    key = f"nats per {unit} over {axis_name}{training}   {marks} validation   {_BEST} the best"
    above, below = [*textwrap.wrap(key, columns), ""], [""]
    for (name, curve), (mark, bright, _) in styled:
        first, *more = textwrap.wrap(describe(name, curve), columns - 2)
        below += [f"{color(mark, fg=bright)} {first}", *(f"  {line}" for line in more)]

    last, low, high = limits(curves, over)
    height = min(max(lines - len(above) - len(below) - _AXIS_ROWS, _LOWEST), _HIGHEST)
    labels = {int((tick - low) / (high - low) * height): text for tick, text in _ticks(low, high, height // _TICK_ROWS)}
    margin = max(map(len, labels.values())) + 1
    width = columns - margin - 1
    # A canvas ends just below its limits; half an extra column makes room for the last point.
    canvas = Canvas(width, height, 0, low, last * (1 + 0.5 / width), high)
    for (_, curve), (_, _, dark) in styled:
        for start, end in pairwise(_entering(curve.training, high, over)):
            canvas.line(*start, *end, color=dark)
    for (_, curve), (mark, bright, _) in styled:
        points = _entering(curve.validation, high, over)
        for start, end in pairwise(points):
            canvas.line(*start, *end, color=bright)
        for point in points:
            canvas.point(*point, color=bright, marker=mark)
        if curve.best:
            canvas.point(getattr(curve.best, over), curve.best.nats, color=bright, marker=_BEST)

    chart = [
        f"{labels.get(number, ''):>{margin - 1}} {'┤' if number in labels else '│'}{row}"
        for number, row in zip(reversed(range(height)), canvas.plot(linesep="\n").split("\n"), strict=True)
    ]
    axis, numbers = ["─"] * width, [" "] * columns
    for tick, text in _ticks(0, last, width // _TICK_COLUMNS):
        column = round(tick / last * (width - 1))
        axis[column] = "┬"
        left = min(margin + 1 + column - len(text) // 2, columns - len(text))
        numbers[left : left + len(text)] = text
    chart += [" " * margin + "└" + "".join(axis), "".join(numbers)]
    return "\n".join(line.replace("\u2800", " ").rstrip() for line in [*above, *chart, *below]) + "\n"


def _entering(losses: Iterable[Loss], high: float, over: Over) -> list[tuple[float, float]]:
    """Return the points from the first loss below the top on; later losses above the top are clipped."""
    return [(getattr(loss, over), min(loss.nats, high)) for loss in dropwhile(lambda loss: loss.nats > high, losses)]


def _ticks(low: float, high: float, max_ticks: int) -> Iterator[tuple[float, str]]:
    """Yield up to about `max_ticks` round numbers between two limits, each with its label."""
    min_step = (high - low) / max_ticks
    power = 10.0 ** math.floor(math.log10(min_step))
    step = next(digit * power for digit in (1, 2, 5, 10) if digit * power >= min_step)
    decimals = max(0, -math.floor(math.log10(step)))
    for number in range(math.ceil(low / step), math.floor(high / step) + 1):
        yield number * step, f"{number * step:,.{decimals}f}"


# As a picture

FORMATS = ("png", "svg")

_COLORS = ("tab:blue", "tab:orange", "tab:green", "tab:red", "tab:purple", "tab:brown", "tab:pink", "tab:cyan")
_WIDTH, _HEIGHT, _LINE_HEIGHT = 10, 5.5, 0.2  # inches; the last is for each line of a description
_LINE_CHARACTERS = 145
_TRAINING_STYLE: dict[str, Any] = {"linewidth": 1, "alpha": 0.6}
_VALIDATION_STYLE: dict[str, Any] = {"linewidth": 1.8, "marker": "o", "markersize": 4}
_BEST_STYLE: dict[str, Any] = {"linestyle": "", "marker": "*", "markersize": 15, "markeredgecolor": "white"}
_OVERFITTING_STYLE: dict[str, Any] = {"linewidth": 1, "linestyle": ":"}
_SETTINGS: dict[Any, Any] = {  # matplotlib types the names as a long list of literals
    "axes.spines.right": False,
    "axes.spines.top": False,
    "legend.frameon": False,
    "svg.fonttype": "none",  # keep text as text, in any script
    "svg.hashsalt": "lstmgen",  # the same curves give the same bytes
    "text.parse_math": False,  # the name of a run may be $x$
}


def picture(curves: Curves, unit: str, format: str) -> bytes:  # noqa: A002  # matplotlib's name
    """Draw losses per unit with a description of each curve below them; return the content of the file."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    last, low, high = limits(curves)
    content = io.BytesIO()
    with rc_context(_SETTINGS), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph", UserWarning)  # the font lacks a character of a name and draws a box
        figure = Figure(figsize=(_WIDTH, _HEIGHT + _LINE_HEIGHT * len(curves)), dpi=150, layout="constrained")
        axes = figure.add_subplot(xlabel="epochs", ylabel=f"nats per {unit}", xlim=(0, 1.01 * last), ylim=(low, high))
        axes.grid(alpha=0.3)
        runs = []
        for (name, curve), color in zip(curves.items(), cycle(_COLORS), strict=False):
            for losses, style in ((curve.training, _TRAINING_STYLE), (curve.validation, _VALIDATION_STYLE)):
                axes.plot([loss.epoch for loss in losses], [loss.nats for loss in losses], color=color, **style)
            if curve.best:
                axes.plot([curve.best.epoch], [curve.best.nats], color=color, zorder=3, **_BEST_STYLE)
                if curve.overfitted:
                    axes.axvline(curve.best.epoch, color=color, **_OVERFITTING_STYLE)
            words = textwrap.fill(describe(name, curve), _LINE_CHARACTERS)
            runs.append(Line2D([], [], color=color, linewidth=4, label=words))
        figure.legend(handles=runs, loc="outside lower left", fontsize=9)
        key = {"training": _TRAINING_STYLE, "validation": _VALIDATION_STYLE, "the best": _BEST_STYLE}
        if any(curve.overfitted for curve in curves.values()):
            key["overfitting from there"] = _OVERFITTING_STYLE
        styles = [Line2D([], [], color="gray", label=label, **style) for label, style in key.items()]
        axes.legend(handles=styles, loc="lower right", bbox_to_anchor=(1, 1), ncols=len(styles))
        figure.savefig(content, format=format, metadata={"Date": None} if format == "svg" else None)
    return content.getvalue()
