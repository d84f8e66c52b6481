"""Which units track which features, as a table; and a text coloured by what one unit remembers.

Knows: what was found. Does not know: how it was searched.
"""

from collections.abc import Sequence
from typing import Any

from rich.table import Table

from lstmgen.cli.bars import height
from lstmgen.cli.heatmap import PAPER, RGB, Painted, in_colors, mix, paint
from lstmgen.cli.render import print_table, put
from lstmgen.inspection.units import Finding, Units
from lstmgen.inspection.walk import Unit

_POSITIVE, _NEGATIVE = (196, 40, 40), (40, 90, 210)  # RGB
_LEGEND = (-1.0, -0.5, 0.0, 0.5, 1.0)


def print_units(found: Units, symbols: Sequence[str], shown: int, unit: Unit | None, symbol: str) -> None:
    """Print the table, and a part of the text coloured by a unit.

    Args:
        found: what the units track.
        symbols: the text that was read, (time,); a line feed as itself.
        shown: how many symbols of its second half to show.
        unit: the one to show; None: the one to which training added most.
        symbol: what one symbol is called: character or byte.
    """
    table = Table(box=None, pad_edge=False)
    for name in ("feature", "best unit", "score", "before training"):
        table.add_column(name, justify="left" if name == "feature" else "right")
    for each in found.features:
        table.add_row(each.found.feature, str(each.found.unit), str(each.found), str(each.untrained))
    print_table(table)
    half = len(symbols) // 2
    put(
        f"""
Units are LAYER.UNIT. The first {half:,} {symbol}s chose them, the others gave
the scores. AUC: how often the unit tells a {symbol} with the feature from one
without; 0.50 is chance. r: the rank correlation; 0 is chance. Before training:
the best unit of the same network before it learned anything.
"""
    )
    best = found.features[0].found
    finding = best if unit in (None, best.unit) else next(each for each in found.units if each.unit == unit)
    activity = found.activity[finding.unit.layer - 1][:, finding.unit.unit - 1]
    put(f"\nUnit {finding.unit}, {finding.feature}, {finding!s}:\n\n")
    part = slice(half, half + shown)
    characters = zip(symbols[part], activity[part].tolist(), strict=True)
    for text in paint(Painted(character, _background(value), _mark(value)) for character, value in characters):
        put(text)
    if in_colors():
        put("\n\nwhat the unit remembers ")
        for text in paint(Painted(f" {value:+g} ", _background(value), "") for value in _LEGEND):
            put(text)
        put("\n")
    else:
        put(f"\nBelow each line: what the unit remembers, from {_mark(-1)} for -1 to {_mark(1)} for 1.\n")


def _background(value: float) -> RGB:
    return mix(PAPER, _POSITIVE if value > 0 else _NEGATIVE, min(abs(value), 1.0))


def _mark(value: float) -> str:
    return height((value + 1) / 2)


def units_json(found: Units) -> dict[str, Any]:
    """What the units track, as values that JSON can hold."""
    return {
        "characters": found.symbols,
        "units": [_finding_json(each) for each in found.units],
        "features": [
            {**_finding_json(each.found), "untrained": _finding_json(each.untrained)} for each in found.features
        ],
    }


def _finding_json(finding: Finding) -> dict[str, Any]:
    return {
        "layer": finding.unit.layer,
        "unit": finding.unit.unit,
        "feature": finding.feature,
        "score": finding.score,
        "measure": "area under the ROC curve" if finding.binary else "rank correlation",
    }
