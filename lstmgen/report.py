"""What to show of a result: paragraphs, facts, tables, charts. Terminals and pages have a renderer each."""

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
    """The columns that do not hold numbers, besides the first one."""


@dataclass(frozen=True)
class Curve:
    """Values by place, counted from 1."""

    name: str
    points: Mapping[int, float]
    powers: bool = False
    """Whether to show the values as fractions of the largest, on a logarithmic scale."""
    marked: int | None = None
    """Where to draw a dashed line."""


@dataclass(frozen=True)
class Chart:
    """Curves over the same places; a terminal has a row for each place of the first one."""

    places: str
    curves: Sequence[Curve]


Facts: TypeAlias = Mapping[str, str]
"""Names and values, shown as two columns."""

Part: TypeAlias = str | list[str] | Facts | Table | Chart
"""A string is a paragraph, a list of strings is several without empty lines between them."""

MIN_POWER = 1e-6
"""Where a logarithmic scale ends, as a fraction of the largest value."""
