"""How often each gate is nearly open or nearly shut over a text, and how long each unit remembers.

The fractions follow Karpathy, Johnson & Li 2015, "Visualizing and understanding recurrent networks".
At each step a unit keeps the fraction f of its old cell state: its forget gate, or the update gate z in a GRU. The mean
of log f gives its half-life: the number of tokens after which half of a memory is left if nothing is written.
"""

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lstmgen.inspection.trace import Trace

NEARLY_OPEN, NEARLY_SHUT = 0.9, 0.1
BINS = 20
"""The number of bars in a histogram from 0 to 1."""

_KEEPS = ("forget", "update")  # the gate that keeps a unit's old state; a cell has at most one of them
_MIN = 1e-12  # smaller gate values count as this, so that their logarithms are finite


@dataclass(frozen=True)
class GateUse:
    """How one gate of one layer is used."""

    layer: int  # from 1
    gate: str
    nearly_open: float  # the fraction of the time it is above 0.9, averaged over the units
    nearly_shut: float  # the fraction of the time it is below 0.1, averaged over the units
    histogram: NDArray[np.int64]  # (bins,): how many activations of all units are in each of 20 equal bins
    half_life: NDArray[np.float64] | None  # (hidden,), in tokens; None for a gate that does not keep the old state


def gate_uses(pieces: Iterable[Trace]) -> tuple[GateUse, ...]:
    """Measure how each gate of each layer is used over a text that comes in pieces; the candidate is not a gate."""
    sums, histograms, tokens = defaultdict[Any, Any](int), defaultdict[Any, Any](int), 0
    for piece in pieces:
        tokens += len(piece.ids)
        for number, layer in enumerate(piece.layers, 1):
            for name, gate in layer.gates.items():
                if name != "candidate":
                    logs = np.log(np.maximum(gate, _MIN), dtype=np.float64)
                    parts = [part.sum(axis=0) for part in (gate > NEARLY_OPEN, gate < NEARLY_SHUT, logs)]
                    sums[number, name] += np.stack(parts)
                    histograms[number, name] += np.histogram(gate, BINS, (0, 1))[0]
    uses = []
    for (number, name), sums_of_units in sums.items():
        opened, shut, log = sums_of_units / tokens  # (hidden,) each
        half_life = half_lives(log) if name in _KEEPS else None
        uses.append(
            GateUse(number, name, float(opened.mean()), float(shut.mean()), histograms[number, name], half_life)
        )
    return tuple(uses)


def half_lives(mean_logs: NDArray[np.float64]) -> NDArray[np.float64]:
    """The half-life of each unit in steps, (hidden,), from the mean logarithm of the fraction that one step keeps.

    It is infinite for a unit that keeps everything.
    """
    with np.errstate(divide="ignore"):
        return np.abs(math.log(0.5) / mean_logs)


def half_life_text(half_life: float) -> str:
    """Format a half-life, in tokens: longer ones get fewer digits, and from a million on they are "endless"."""
    return f"{half_life:.1f}" if half_life < 100 else f"{half_life:,.0f}" if half_life < 1e6 else "endless"
