"""Write a report to a terminal or a pipe: paragraphs, facts, tables, and text charts."""

import math
import shutil
import sys
import textwrap
from collections.abc import Iterable
from typing import Literal

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from lstmgen.cli.render import columns_of, facts_text, put, wrapped
from lstmgen.printable import printable
from lstmgen.report import MIN_POWER, Chart, Curve, Facts, Histogram, Marked, Part, Table

_EIGHTHS = " ▏▎▍▌▋▊▉█"
_HEIGHTS = "▁▂▃▄▅▆▇█"
_NARROWEST, _WIDEST = 50, 120  # columns of a chart
_MAX_WIDTH = 10_000  # columns of a table in a pipe
_NUMBERS = 49  # columns of its numbers, and of the space between them
_MIN_RISE = 0.01  # a curve that rises less is drawn as nearly flat


def print_report(parts: Iterable[Part]) -> None:
    """Write the parts to stdout, separated by empty lines."""
    for number, part in enumerate(parts):
        put("\n" if number else "")
        if isinstance(part, str | list):
            put("".join(map(_wrapped, [part] if isinstance(part, str) else part)))
        elif isinstance(part, Table):
            _print_table(part)
        elif isinstance(part, Chart):
            put(_chart(part))
        else:
            print_facts(part)


def print_facts(facts: Facts) -> None:
    """Write names and values to stdout, as two columns."""
    put(facts_text(facts, columns_of(sys.stdout)))


def _wrapped(paragraph: str) -> str:
    """Wrap a paragraph at the width of a terminal; a pipe gets it on one line."""
    return wrapped(printable(paragraph, single_line=True), columns_of(sys.stdout)) + "\n"


def _print_table(table: Table) -> None:
    """Write a table. The first column and numbers are never cut: if they do not fit, each row becomes a list."""
    shown, rows = RichTable(box=None, pad_edge=False), [list(map(_cell, row)) for row in table.rows]
    for number, name in enumerate(table.columns):
        words = number > 0 and name in table.left  # these may be wrapped
        cells = [Text(printable(name)), *(row[number] for row in rows if number < len(row))]
        width = None if words else max(cell_len(line) for cell in cells for line in cell.plain.split("\n"))
        justify: Literal["left", "right"] = "left" if number == 0 or words else "right"
        shown.add_column(cells[0], justify=justify, no_wrap=not words, min_width=width)
    for row in rows:
        shown.add_row(*row)
    width = min(columns_of(sys.stdout), _MAX_WIDTH)
    console = Console(markup=False, highlight=False, width=width, height=1)  # with a height, in case TERM is dumb
    unlimited = console.options.update(max_width=_MAX_WIDTH)
    for padding in (2, 1):  # spaces between columns
        shown.padding = (0, padding, 0, 0)
        if console.measure(shown, options=unlimited).minimum <= console.width:
            break
    else:
        names = [name.replace("\n", " ") for name in table.columns[1:]]
        for first, *others in rows:
            facts = {name: cell.plain for name, cell in zip(names, others, strict=False) if cell.plain}
            put(f"{first.plain}\n{textwrap.indent(facts_text(facts, console.width - 2), '  ')}")
        return
    with console.capture() as captured:
        console.print(shown)
    put("".join(line.rstrip() + "\n" for line in captured.get().splitlines()))


def _cell(cell: object) -> Text:
    if isinstance(cell, Histogram):
        return Text(histogram(cell.counts))
    if isinstance(cell, list):
        return Text("  ").join(map(_cell, cell))
    return Text(printable(str(cell), single_line=True), cell.color if isinstance(cell, Marked) else "")


def _chart(chart: Chart) -> str:
    """A row for each place, with each curve's value, its rise above the minimum, and a bar."""
    width = min(max(shutil.get_terminal_size().columns, _NARROWEST), _WIDEST)
    room = (width - _NUMBERS) // len(chart.curves)
    places = list(chart.curves[0].points)
    columns = [_column(curve, places, room) for curve in chart.curves]
    heads = [printable(chart.places, single_line=True), *(f"{place:,}" for place in places)]
    first = max(map(len, heads))
    lines = ("  ".join((f"{head:>{first}}", *row)) for head, *row in zip(heads, *columns, strict=True))
    return "".join(line.rstrip() + "\n" for line in lines)


def _column(curve: Curve, places: Iterable[int], room: int) -> list[str]:
    """The name of a curve, then its rows, padded to equal width."""
    name, values = printable(curve.name, single_line=True), curve.points
    shown = [name if curve.powers else f"{name}, rise"]
    low, high = min(values.values()), max(values.values())
    for place in places:
        value, text = values.get(place), ""
        if value is not None and curve.powers:
            power = 1 - math.log(value / high) / math.log(MIN_POWER) if value > 0 else 0
            text = f"{value:8.1e} {bar(power, room)}"
        elif value is not None:
            text = f"{value:.4f} {value - low:+8.4f} {bar((value - low) / max(high - low, _MIN_RISE), room)}"
        shown.append(text)
    width = max(map(len, shown))
    return [f"{text:<{width}}" for text in shown]


# Bars


def bar(fraction: float, width: int) -> str:
    """Return a bar from the left, `width` columns wide for a fraction of 1."""
    full, eighths = divmod(round(min(max(fraction, 0.0), 1.0) * width * 8), 8)
    return ("█" * full + _EIGHTHS[eighths]).strip()


def signed_bar(value: float, half_width: int) -> str:
    """Return a bar from a line in the middle: to the right for values up to 1, to the left for values down to -1."""
    halves = round(min(abs(value), 1.0) * half_width * 2)
    if value >= 0:
        return " " * half_width + "│" + "█" * (halves // 2) + "▌" * (halves % 2)
    return ("▐" * (halves % 2) + "█" * (halves // 2)).rjust(half_width) + "│"


def height(fraction: float) -> str:
    """Return one block whose height represents a fraction from 0 to 1."""
    return _HEIGHTS[min(len(_HEIGHTS) - 1, int(max(fraction, 0.0) * len(_HEIGHTS)))]


def histogram(counts: Iterable[float]) -> str:
    """Return one block for each count; the largest is a full block, and 0 is a space."""
    counts = list(counts)
    top = max(counts, default=0) or 1
    return "".join(height(count / top) if count else " " for count in counts)
