"""Render a report as a section of a page: paragraphs, tables, and charts in SVG."""

import math
from collections.abc import Iterable, Mapping
from html import escape

import numpy as np

from lstmgen.inspection.walk import Unit
from lstmgen.printable import readably
from lstmgen.report import Chart, Curve, Histogram, Part, Table

_LEFT, _RIGHT, _TOP, _BOTTOM = 48, 380, 10, 190  # of a chart's curve, in an SVG of 400 x 232
_LINES = 4  # the most lines on a logarithmic scale, not counting the lowest


def section(title: str, parts: Iterable[Part]) -> str:
    """Return a section with a title."""
    return "\n".join(("<section>", f"<h2>{escape(title)}</h2>", *map(_part, parts), "</section>"))


def _part(part: Part) -> str:
    if isinstance(part, str):
        return f"<p>{escape(part)}</p>"
    if isinstance(part, list):
        return f"<p>{'<br>'.join(map(escape, part))}</p>"
    if isinstance(part, Chart):
        return f'<div class="charts">{"".join(_figure(part, curve) for curve in part.curves)}</div>'
    return _table(part if isinstance(part, Table) else Table((), [*part.items()]))


def _table(table: Table) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in table.columns)
    body = "\n".join(f"<tr>{''.join(f'<td>{_cell(cell)}</td>' for cell in row)}</tr>" for row in table.rows)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table></div>'


def _cell(cell: object) -> str:
    if isinstance(cell, Unit):
        return f'<button type="button" data-unit="{cell}" aria-label="show unit {cell}">{cell}</button>'
    if isinstance(cell, Histogram):
        return _histogram(cell)
    return " ".join(map(_cell, cell)) if isinstance(cell, list) else escape(str(cell))


def _histogram(histogram: Histogram) -> str:
    top, width = max(1, *histogram.counts), 8 * len(histogram.counts)
    bars = "".join(
        f'<rect x="{8 * number + 1}" y="{24 - 24 * count / top:.1f}" width="6" height="{24 * count / top:.1f}"/>'
        for number, count in enumerate(histogram.counts)
    )
    return (
        f'<svg class="histogram" viewBox="0 0 {width} 25" role="img" aria-label="histogram: {escape(histogram.label)}">'
        f'<path class="grid" d="M0 24.5H{width}"/>{bars}</svg>'
    )


def _figure(chart: Chart, curve: Curve) -> str:
    """A curve over a logarithmic axis from 1, with lines at some heights."""
    values, name = [value for each in chart.curves for value in each.points.values()], curve.name
    if chart.lowest is None:
        lines = {value: f"{value:.2f}" for value in np.linspace(min(values), max(values), 4).tolist()}
    else:
        low, high = math.ceil(math.log10(chart.lowest)), math.floor(math.log10(max(*values, chart.lowest)))
        powers = range(low, high + 1, max(1, math.ceil((high - low) / _LINES)))
        lines = {10.0**power: readably(10.0**power) if power >= -4 else f"1e{power}" for power in powers}
    scale = chart.heights(Curve("", dict(enumerate(lines))))  # of each line, by its number
    written = {scale[number]: text for number, text in enumerate(lines.values())}
    if curve.marked is not None:
        name += f"; dashed line at {curve.marked:,}"
    drawn = _svg(curve, chart.heights(curve), written, escape(chart.places))
    return f'<figure class="panel"><figcaption>{escape(name)}</figcaption>{drawn}</figure>'


def _svg(curve: Curve, points: Mapping[int, float], heights: Mapping[float, str], label: str) -> str:
    """Draw the heights of a curve, from 0 to 1, by place, and lines at these heights with their labels."""
    last = max(2, *curve.points)

    def x(place: float) -> str:
        return f"{_LEFT + (_RIGHT - _LEFT) * math.log(place, last):.1f}"

    def y(value: float) -> str:
        return f"{_BOTTOM - (_BOTTOM - _TOP) * value:.1f}"

    parts = [
        f'<text x="{x(place)}" y="{_BOTTOM + 18}" text-anchor="middle">{place:,}</text>'
        for place in (4**power for power in range(10))
        if place <= last
    ]
    for value, written in heights.items():
        parts.append(f'<path class="grid" d="M{_LEFT} {y(value)}H{_RIGHT}"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y(value)}" dy="4" text-anchor="end">{written}</text>')
    if curve.marked is not None:
        parts.append(f'<path class="mark" d="M{x(curve.marked)} {_TOP}V{_BOTTOM}"/>')
    drawn = " ".join(f"{x(place)},{y(value)}" for place, value in points.items())
    return (
        f'<svg viewBox="0 0 400 232" role="img" aria-label="a curve over 1 to {last:,} {label}">{"".join(parts)}'
        f'<text x="{(_LEFT + _RIGHT) // 2}" y="{_BOTTOM + 38}" text-anchor="middle">{label}</text>'
        f'<polyline class="curve" points="{drawn}"/></svg>'
    )
