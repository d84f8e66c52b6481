"""How each gate is used over a text: nearly open, nearly shut, and how long each unit remembers.

The fractions are those of Karpathy, Johnson & Li 2015, "Visualizing and understanding recurrent networks".
A unit keeps the fraction f of its old cell state at each step: the forget gate, or the update gate z of a GRU. From the
mean of log f follows its half-life: after how many tokens half of what it remembered is left, if nothing is written.
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
"""Of a histogram from 0 to 1."""

_KEEPS = ("forget", "update")  # the gate by which a unit keeps its old state; a cell has one of them or none
_MIN = 1e-12  # of a gate, so that its logarithm is finite


@dataclass(frozen=True)
class GateUse:
    """How one gate of one layer is used."""

    layer: int  # from 1
    gate: str
    nearly_open: float  # the fraction of time in which it is above 0.9, mean over the units
    nearly_shut: float  # the fraction of time in which it is below 0.1, mean over the units
    histogram: NDArray[np.int64]  # (bins,): the activations, of all units, in each of 20 equal parts from 0 to 1
    half_life: NDArray[np.float64] | None  # (hidden,), in tokens; None for a gate that does not keep the old state


def gate_uses(pieces: Iterable[Trace]) -> tuple[GateUse, ...]:
    """How each gate of each layer is used over a text that comes in pieces; the candidate is no gate."""
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
    """After how many steps half is left, given the mean logarithm of the fraction that one step keeps; (hidden,).

    It is infinite for a unit that keeps all.
    """
    with np.errstate(divide="ignore"):
        return np.abs(math.log(0.5) / mean_logs)


def half_life_text(half_life: float) -> str:
    """Return a half-life, in tokens, with fewer digits the longer it is; from a million on it is called endless."""
    return f"{half_life:.1f}" if half_life < 100 else f"{half_life:,.0f}" if half_life < 1e6 else "endless"
