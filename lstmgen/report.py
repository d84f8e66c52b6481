"""What to show of a result: paragraphs, facts, tables, charts. Terminals and pages have a renderer each."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias


class Histogram(NamedTuple):
    """A cell of a table: one bar for each count."""

    counts: Sequence[float]
    label: str


class Marked(NamedTuple):
    """A cell of a table whose text is coloured where colours are shown."""

    text: str
    color: str

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Table:
    """A table. A cell is a histogram, a list of cells, or anything else, shown as its `str`."""

    columns: Sequence[str]
    rows: Sequence[Sequence[object]]
    left: Sequence[str] = ()
    """The columns that do not hold numbers, in addition to the first one."""


@dataclass(frozen=True)
class Curve:
    """Values by place, counted from 1."""

    name: str
    points: Mapping[int, float]
    marked: int | None = None
    """Where to draw a dashed line."""


@dataclass(frozen=True)
class Chart:
    """Curves on one scale. A terminal has a row for each place of a single curve, and one for each of several."""

    places: str
    curves: Sequence[Curve]
    lowest: float | None = None
    """Where a logarithmic scale begins: what is below is not drawn. None: the scale is linear."""

    def heights(self, curve: Curve) -> dict[int, float]:
        """Where a curve is on the scale of all curves, from 0 to 1, by its place; without what is not drawn."""
        values = [value for each in self.curves for value in each.points.values()]
        if self.lowest is None:
            least, rise = min(values), max(max(values) - min(values), _MIN_RISE)
            return {place: (value - least) / rise for place, value in curve.points.items()}
        decades = math.log(max(*values, self.lowest * (1 + _MIN_RISE)) / self.lowest)
        drawn = {place: value for place, value in curve.points.items() if value >= self.lowest}
        return {place: math.log(value / self.lowest) / decades for place, value in drawn.items()}


Facts: TypeAlias = Mapping[str, str]
"""Names and values, shown as two columns."""

Part: TypeAlias = str | list[str] | Facts | Table | Chart
"""A string is a paragraph, a list of strings is several without empty lines between them."""

_MIN_RISE = 0.01  # curves that rise less are drawn as nearly flat
