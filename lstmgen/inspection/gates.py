"""How each gate is used over a text: nearly open, nearly shut, and how long each unit remembers.

The fractions are those of Karpathy, Johnson & Li 2015, "Visualizing and understanding recurrent networks".
A unit keeps the fraction f of its old cell state at each step: the forget gate, or the update gate z of a GRU. From the
mean of log f follows its half-life: after how many tokens half of what it remembered is left, if nothing is written.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lstmgen.inspection.trace import FloatArray, Trace

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
    open: NDArray[np.float64]
    """The fraction of time in which each unit's gate is above 0.9, (hidden,)."""
    shut: NDArray[np.float64]
    """The fraction of time in which it is below 0.1, (hidden,)."""
    histogram: NDArray[np.int64]
    """How many activations, of all units, lie in each of 20 equal parts from 0 to 1, (bins,)."""
    half_life: NDArray[np.float64] | None
    """Of each unit's memory, in tokens, (hidden,); None for a gate that does not keep the old state."""

    @property
    def nearly_open(self) -> float:
        """The fraction of time in which the gate is nearly open, mean over the units."""
        return float(self.open.mean())

    @property
    def nearly_shut(self) -> float:
        """The fraction of time in which the gate is nearly shut, mean over the units."""
        return float(self.shut.mean())


class _Sums:
    """What is added up of one gate over a text."""

    def __init__(self, hidden_size: int) -> None:
        self.tokens = 0
        self.open, self.shut, self.log = np.zeros((3, hidden_size))
        self.histogram = np.zeros(BINS, np.int64)

    def add(self, gate: FloatArray) -> None:
        """Add a part of the text, (time, hidden)."""
        self.tokens += len(gate)
        self.open += (gate > NEARLY_OPEN).sum(axis=0)
        self.shut += (gate < NEARLY_SHUT).sum(axis=0)
        self.log += np.log(np.maximum(gate, _MIN), dtype=np.float64).sum(axis=0)
        self.histogram += np.histogram(gate, BINS, (0, 1))[0]


def gate_uses(pieces: Iterable[Trace]) -> tuple[GateUse, ...]:
    """How each gate of each layer is used over a text that comes in pieces; the candidate is no gate."""
    sums: dict[tuple[int, str], _Sums] = {}
    for piece in pieces:
        for number, layer in enumerate(piece.layers, 1):
            for name, gate in layer.gates.items():
                if name != "candidate":
                    sums.setdefault((number, name), _Sums(gate.shape[1])).add(gate)
    return tuple(
        GateUse(
            layer,
            name,
            open=each.open / each.tokens,
            shut=each.shut / each.tokens,
            histogram=each.histogram,
            half_life=half_lives(each.log / each.tokens) if name in _KEEPS else None,
        )
        for (layer, name), each in sums.items()
    )


def half_lives(mean_logs: NDArray[np.float64]) -> NDArray[np.float64]:
    """After how many steps half is left, given the mean logarithm of the fraction that one step keeps; (hidden,).

    It is infinite for a unit that keeps all.
    """
    with np.errstate(divide="ignore"):
        return np.abs(math.log(0.5) / mean_logs)


def half_life_text(half_life: float) -> str:
    """Return a half-life, in tokens, with fewer digits the longer it is; from a million on it is called endless."""
    return f"{half_life:.1f}" if half_life < 100 else f"{half_life:,.0f}" if half_life < 1e6 else "endless"
