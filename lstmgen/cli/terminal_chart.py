"""Learning curves drawn with text characters.

Knows: plotille, the size of the chart. Does not know: how a run is described; where the chart is written.
"""

import math
import textwrap
from collections.abc import Iterable, Iterator
from itertools import cycle, dropwhile, pairwise

from lstmgen.cli.chart import Curves, Over, describe, limits
from lstmgen.training.learning_curve import Loss

_BEST = "★"
_STYLES = (  # a run's marker, and the colours of its validation and its training loss
    ("●", "bright_cyan", "cyan"),
    ("■", "bright_yellow", "yellow"),
    ("▲", "bright_magenta", "magenta"),
    ("◆", "bright_green", "green"),
    ("▼", "bright_red", "red"),
    ("○", "bright_blue", "blue"),
)
_NARROWEST, _WIDEST = 40, 160  # columns, with the labels
_LOWEST, _HIGHEST = 10, 30  # rows, without the horizontal axis and the text above and below
_AXIS_ROWS = 2 + 1  # the axis and its labels, and the line of the shell's prompt
_TICK_COLUMNS, _TICK_ROWS = 12, 3  # smallest distance between two labels


def terminal_chart(curves: Curves, unit: str, columns: int, lines: int, over: Over = "epoch") -> str:
    """Draw curves with a description of each below them; in colours if stdout is a terminal with colours.

    Args:
        curves: the curves.
        unit: what the losses are measured per, such as character.
        columns: the width of the terminal.
        lines: the height of the terminal.
        over: what the horizontal axis shows.
    """
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
    # A canvas ends just below its limits; half a column more makes room for the last point.
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
    """Return the points from the first loss below the top on; later losses above the top are drawn at it."""
    return [(getattr(loss, over), min(loss.nats, high)) for loss in dropwhile(lambda loss: loss.nats > high, losses)]


def _ticks(low: float, high: float, most: int) -> Iterator[tuple[float, str]]:
    """Yield round numbers between two limits, each with its label; about `most` at most."""
    least_step = (high - low) / most
    power = 10.0 ** math.floor(math.log10(least_step))
    step = next(digit * power for digit in (1, 2, 5, 10) if digit * power >= least_step)
    decimals = max(0, -math.floor(math.log10(step)))
    for number in range(math.ceil(low / step), math.floor(high / step) + 1):
        yield number * step, f"{number * step:,.{decimals}f}"
