"""What was found about a network on a text, as sections of a web page: units, gates, memory.

Knows: HTML, SVG, and the findings. Does not know: how they are computed, or the rest of the page.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray

from lstmgen.inspection.gates import NEARLY_OPEN, NEARLY_SHUT, GateUse, half_life_text
from lstmgen.inspection.memory import NOTICEABLE, Memory
from lstmgen.inspection.units import Units
from lstmgen.inspection.walk import Unit

_LONGEST_SHOWN = 3  # units of each layer that remember longest
_LEAST_GRADIENT = 1e-6  # of the largest; the chart shows no smaller one
_LEFT, _RIGHT, _TOP, _BOTTOM = 48, 380, 10, 190  # of a chart's curve, in an SVG of 400 x 232


def units_section(units: Units | str, symbol: str) -> str:
    """The unit that tracks each feature, with its score; a text instead is the reason why there is none."""
    if isinstance(units, str):
        return _section("Units that track something", f"<p>Not searched: {escape(units)}.</p>")
    half = units.symbols // 2
    rows = (
        (
            escape(each.found.feature),
            _unit_button(each.found.unit),
            escape(str(each.found)),
            escape(str(each.untrained)),
        )
        for each in units.features
    )
    return _section(
        "Units that track something",
        f"<p>Some units follow a feature of the text that nobody told them about. The first {half:,} {symbol}s chose "
        f"the unit of each feature, the other {units.symbols - half:,} gave its score. The last column is the score of "
        "the best unit before training, in the same network.</p>",
        _table(("feature", "unit", "score", "before training"), rows),
        '<p class="faint">AUC: how often the unit tells a place with the feature from one without; 0.50 is chance. '
        "r: the rank correlation; 0 is chance.</p>",
    )


def gates_section(uses: Sequence[GateUse], symbol: str) -> str:
    """How often each gate is nearly open or shut, and how long units remember."""
    if not uses:
        return _section("Gates", f"<p>This cell has no gates: at every {symbol} it replaces all that it remembers.</p>")
    rows = (
        (str(use.layer), use.gate, f"{use.nearly_shut:.1%}", f"{use.nearly_open:.1%}", _histogram(use)) for use in uses
    )
    half_lives = (
        f"<li>Layer {use.layer}: {_half_lives(use.layer, use.half_life, symbol)}</li>"
        for use in uses
        if use.half_life is not None
    )
    return _section(
        "Gates",
        f"<p>A gate that is nearly shut, below {NEARLY_SHUT}, lets hardly anything through. One that is nearly open, "
        f"above {NEARLY_OPEN}, lets nearly all through. The table counts all units and {symbol}s.</p>",
        _table(("layer", "gate", "nearly shut", "nearly open", "from 0 to 1"), rows),
        f"<p>After how many {symbol}s is half of what a unit remembered gone? That is its half-life.</p>",
        f"<ul>{''.join(half_lives)}</ul>",
    )


def memory_section(memory: Memory | str, symbol: str) -> str:
    """Loss and gradient by distance, as two charts; a text instead is the reason why there are none."""
    if isinstance(memory, str):
        return _section("How far back it looks", f"<p>Not measured: {escape(memory)}.</p>")
    losses = memory.nats_per_character
    reach = memory.reach / max(float(memory.reach.max()), 1e-30)
    gradients = {back: math.log10(max(each, _LEAST_GRADIENT)) for back, each in enumerate(reach.tolist(), 1)}
    nats = {value: f"{value:.2f}" for value in np.linspace(min(losses.values()), max(losses.values()), 4).tolist()}
    decades = {float(power): f"{10**power:g}" for power in range(math.floor(min(gradients.values())), 1)}
    return _section(
        "How far back it looks",
        f"<p>When the network may see only the last {symbol}, its loss is {losses[1]:.2f} nats per {symbol}. When it "
        f"may see {max(losses):,}, it is {losses[max(losses)]:.2f}. It uses {memory.used:,} {symbol}s, at the dashed "
        f"line: more of them change the loss by less than {NOTICEABLE} nats.</p>",
        '<div class="charts">',
        _figure(f"Loss, nats per {symbol}", _chart(losses, nats, f"{symbol}s that it may see", memory.used)),
        _figure("Gradient, as a fraction of the largest", _chart(gradients, decades, f"{symbol}s back")),
        "</div>",
        f'<p class="faint">Each loss is the mean of {memory.positions:,} predictions. The gradient shows how much the '
        f"loss depends on the {symbol} at that distance: the norm of d loss / d input.</p>",
    )


def _section(title: str, *parts: str) -> str:
    return "\n".join(("<section>", f"<h2>{title}</h2>", *parts, "</section>"))


def _table(names: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = "".join(f"<th>{name}</th>" for name in names)
    body = "\n".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table></div>'


def _unit_button(unit: Unit) -> str:
    return f'<button type="button" data-unit="{unit}" aria-label="show unit {unit}">{unit}</button>'


def _half_lives(layer: int, half_life: NDArray[np.float64], symbol: str) -> str:
    longest = np.argsort(-half_life, kind="stable")[:_LONGEST_SHOWN].tolist()
    units = ", ".join(f"{_unit_button(Unit(layer, unit + 1))} {half_life_text(half_life[unit])}" for unit in longest)
    return f"the median is {half_life_text(float(np.median(half_life)))} {symbol}s; the longest are {units}."


def _histogram(use: GateUse) -> str:
    heights = 24 * use.histogram / max(1, use.histogram.max())
    bars = "".join(
        f'<rect x="{8 * number + 1}" y="{24 - height:.1f}" width="6" height="{height:.1f}"/>'
        for number, height in enumerate(heights.tolist())
    )
    width = 8 * len(heights)
    label = f"histogram of the {use.gate} gate of layer {use.layer}"
    return (
        f'<svg class="histogram" viewBox="0 0 {width} 25" role="img" aria-label="{label}">'
        f'<path class="grid" d="M0 24.5H{width}"/>{bars}</svg>'
    )


def _figure(caption: str, content: str) -> str:
    return f'<figure class="panel"><figcaption>{caption}</figcaption>{content}</figure>'


def _chart(points: Mapping[int, float], heights: Mapping[float, str], label: str, marked: int | None = None) -> str:
    """A curve over a logarithmic axis that begins at 1, as SVG.

    Args:
        points: the values by their place.
        heights: the values at which a line is drawn, and how each is written; they enclose the points.
        label: what the axis shows.
        marked: the place of a dashed line.
    """
    last, low, high = max(2, *points), min(heights), max(heights)

    def x(place: float) -> str:
        return f"{_LEFT + (_RIGHT - _LEFT) * math.log(place, last):.1f}"

    def y(value: float) -> str:
        return f"{_BOTTOM - (_BOTTOM - _TOP) * (value - low) / max(high - low, NOTICEABLE):.1f}"

    parts = [
        f'<text x="{x(place)}" y="{_BOTTOM + 18}" text-anchor="middle">{place:,}</text>'
        for place in (4**power for power in range(10))
        if place <= last
    ]
    for value, written in heights.items():
        parts.append(f'<path class="grid" d="M{_LEFT} {y(value)}H{_RIGHT}"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y(value)}" dy="4" text-anchor="end">{written}</text>')
    if marked is not None:
        parts.append(f'<path class="mark" d="M{x(marked)} {_TOP}V{_BOTTOM}"/>')
    curve = " ".join(f"{x(place)},{y(value)}" for place, value in points.items())
    return (
        f'<svg viewBox="0 0 400 232" role="img" aria-label="a curve over 1 to {last:,} {label}">{"".join(parts)}'
        f'<text x="{(_LEFT + _RIGHT) // 2}" y="{_BOTTOM + 38}" text-anchor="middle">{label}</text>'
        f'<polyline class="curve" points="{curve}"/></svg>'
    )
