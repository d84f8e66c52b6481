"""What a result shows, as values: paragraphs, facts, tables, charts. Terminals and pages have a renderer each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias


class Histogram(NamedTuple):
    """A cell of a table: one bar for each count."""

    counts: Sequence[float]
    label: str


class Marked(NamedTuple):
    """A cell of a table whose text has a colour where there are colours."""

    text: str
    color: str

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Table:
    """A cell is a histogram, a list of cells, or anything that its `str` shows."""

    columns: Sequence[str]
    rows: Sequence[Sequence[object]]
    left: Sequence[str] = ()
    """The columns that do not hold numbers, besides the first one."""


@dataclass(frozen=True)
class Curve:
    """Values by their place, counted from 1."""

    name: str
    points: Mapping[int, float]
    powers: bool = False
    """Whether they are shown as fractions of the largest, on a logarithmic scale."""
    marked: int | None = None
    """The place of a dashed line."""


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
"""Of the largest value: where a logarithmic scale ends."""
