"""Write a report to a terminal or a pipe: paragraphs, facts, tables, and text charts."""

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
from lstmgen.report import Chart, Facts, Histogram, Marked, Part, Table

_EIGHTHS = " ▏▎▍▌▋▊▉█"
_HEIGHTS = "▁▂▃▄▅▆▇█"
_NARROWEST, _WIDEST = 50, 120  # columns of a chart
_MAX_WIDTH = 10_000  # columns of a table in a pipe
_NUMBERS = 26  # columns of its numbers, and of the space between them


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
    """One curve: each value with a bar. Several curves: a row each, with a block for each value."""
    width = min(max(shutil.get_terminal_size().columns, _NARROWEST), _WIDEST)
    heading = printable(chart.places, single_line=True)
    if len(chart.curves) > 1:
        return _blocks(chart, heading, width)
    (curve,) = chart.curves
    heights, least, first = chart.heights(curve), min(curve.points.values()), len(heading)
    name = printable(curve.name, single_line=True)
    lines = [f"{heading}  {name}" if chart.lowest is not None else f"{heading}  {name}, rise"]
    for place, value in curve.points.items():
        number = f"{value:.4f} {value - least:+8.4f}"
        if chart.lowest is not None:
            number = f"{value:8.1e}" if value else f"{0:8}"
        lines.append(f"{place:>{first},}  {number} {bar(heights.get(place, 0), width - first - _NUMBERS)}")
    return "".join(line.rstrip() + "\n" for line in lines)


def _blocks(chart: Chart, heading: str, width: int) -> str:
    """A row of blocks for each curve, below the places; where these do not fit, below the first and the last one."""
    places = sorted({place for curve in chart.curves for place in curve.points})
    names = [printable(curve.name, single_line=True) for curve in chart.curves]
    first, labels = max(map(cell_len, names)), [str(place) for place in places]
    each = max(1, min(len(labels[-1]) + 1, (width - first - 1) // len(places)))
    row = "".join(label.rjust(each) for label in labels)
    if each <= len(labels[-1]):
        row = labels[0].rjust(each) + labels[-1].rjust(each * (len(places) - 1))
    lines = [heading, " " * first + row]
    for name, curve in zip(names, chart.curves, strict=True):
        heights = chart.heights(curve)
        blocks = [height(heights[place]) if place in heights else " " for place in places]
        bars = "".join((block * max(1, each - 1)).rjust(each) for block in blocks)
        lines.append(name + " " * (first - cell_len(name)) + bars)
    return "".join(line.rstrip() + "\n" for line in lines)


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
