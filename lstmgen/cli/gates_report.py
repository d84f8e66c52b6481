"""How gates are used and how long units remember, as tables with histograms.

Knows: what was measured. Does not know: how it was measured.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from lstmgen.cli.bars import histogram
from lstmgen.cli.render import print_table, put
from lstmgen.inspection.gates import BINS, NEARLY_OPEN, NEARLY_SHUT, GateUse, half_life_text

_LONGEST_SHOWN = 3  # units
_POWERS = tuple(2**power for power in range(11))  # between two columns of the histogram of half-lives, in symbols


def print_gates(uses: Sequence[GateUse], symbol: str) -> None:
    """Print how each gate is used, and how long the units of each layer remember; a symbol is a character or byte."""
    if not uses:
        put(f"This cell has no gates: at every {symbol} it replaces all that it remembers.\n")
        return
    table = Table(box=None, pad_edge=False)
    table.add_column("layer", justify="right")
    table.add_column("gate")
    table.add_column("nearly shut", justify="right")
    table.add_column("nearly open", justify="right")
    table.add_column(f"0{'─' * (BINS - 2)}1", no_wrap=True)
    for use in uses:
        bars = histogram(use.histogram.tolist())
        table.add_row(str(use.layer), use.gate, f"{use.nearly_shut:.1%}", f"{use.nearly_open:.1%}", bars)
    print_table(table)
    put(
        f"\nNearly shut: below {NEARLY_SHUT}. Nearly open: above {NEARLY_OPEN}. Fractions of all units and {symbol}s."
        f"\n\nHalf-life of what each unit remembers, in {symbol}s:\n\n"
    )
    table = Table(box=None, pad_edge=False)
    table.add_column("layer", justify="right")
    table.add_column("median", justify="right")
    table.add_column(f"<1{'─' * (2 * len(_POWERS) - 3)}1024+", no_wrap=True)
    table.add_column("longest, by unit")
    for use in uses:
        if use.half_life is not None:
            longest = np.argsort(-use.half_life, kind="stable")[:_LONGEST_SHOWN]
            named = (f"{use.layer}.{number + 1} {half_life_text(use.half_life[number])}" for number in longest)
            median = half_life_text(float(np.median(use.half_life)))
            table.add_row(str(use.layer), median, _distribution(use.half_life), "  ".join(named))
    print_table(table)
    put(
        "\nAfter one half-life, half of what a unit remembered is left, by the mean logarithm\nof the gate that keeps "
        "it. <1 and 1024+ are the ends of a scale that doubles.\n"
    )


def _distribution(half_life: NDArray[np.float64]) -> str:
    """A histogram of half-lives: below 1, then from each power of 2 to the next, then 1024 and more."""
    counts = np.bincount(np.searchsorted(_POWERS, half_life, side="right"), minlength=len(_POWERS) + 1)
    return "".join(2 * block for block in histogram(counts.tolist()))


def gates_json(uses: Sequence[GateUse]) -> list[dict[str, Any]]:
    """How gates are used, as values that JSON can hold; an infinite half-life is null."""
    return [
        {
            "layer": use.layer,
            "gate": use.gate,
            "nearly_open": use.nearly_open,
            "nearly_shut": use.nearly_shut,
            "histogram": use.histogram.tolist(),
            **(
                {}
                if use.half_life is None
                else {"half_life": [value if np.isfinite(value) else None for value in use.half_life.tolist()]}
            ),
        }
        for use in uses
    ]
