"""What is found about a network on one text, as parts for a terminal or a page, and as the fields of JSON."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from lstmgen.checkpoint import Checkpoint
from lstmgen.errors import TextError
from lstmgen.inspection.gates import NEARLY_OPEN, NEARLY_SHUT, GateUse, gate_uses, half_life_text
from lstmgen.inspection.memory import NOTICEABLE, Memory, measure_memory, memory_reach
from lstmgen.inspection.trace import traces
from lstmgen.inspection.units import Finding, Units, find_units
from lstmgen.inspection.walk import Unit, WalkStep
from lstmgen.printable import readably
from lstmgen.report import MIN_POWER, Chart, Curve, Histogram, Part, Table
from lstmgen.text.vocabulary import Ids

Found = TypeVar("Found")

_LONGEST_SHOWN = 3  # units of each layer that remember longest
_POWERS = tuple(2**power for power in range(11))  # between two bars of the histogram of half-lives, in tokens


@dataclass(frozen=True)
class Findings:
    """What was found; instead of a finding that the text is too short for, the text of the error."""

    units: Units | str
    gates: tuple[GateUse, ...]
    memory: Memory | str

    def tracking_units(self) -> list[Unit]:
        """The units that track something: first the best one of each feature, then all others, the strongest first."""
        if isinstance(self.units, str):
            return []
        return [each.found.unit for each in self.units.features] + [each.unit for each in self.units.units]


def find_all(
    checkpoint: Checkpoint, ids: Ids, watch: Callable[[Sequence[int]], Iterable[int]] = lambda visible: visible
) -> Findings:
    """Search a text, (time,), for everything; `watch` is that of `measure_memory`."""
    return Findings(
        units=_or_reason(lambda: find_units(checkpoint, ids)),
        gates=gate_uses(traces(checkpoint.network, checkpoint.weights, ids, end_token=checkpoint.end_token)),
        memory=_or_reason(lambda: measure_memory(checkpoint, ids, watch)),
    )


def _or_reason(find: Callable[[], Found]) -> Found | str:
    try:
        return find()
    except TextError as error:
        return str(error)


def units_report(units: Units, token: str) -> list[Part]:
    """The unit that tracks each feature, with its score; a token is a character or byte."""
    half = units.tokens // 2
    rows = [(each.found.feature, each.found.unit, each.found, each.untrained) for each in units.features]
    return [
        f"Some units follow a feature of the text that nobody told them about. The first {half:,} {token}s chose the "
        f"unit of each feature, the other {units.tokens - half:,} gave its score. The last column is the score of the "
        "best unit before training, in the same network.",
        Table(("feature", "unit", "score", "before training"), rows),
        f"Units are LAYER.UNIT. AUC: how often the unit tells a {token} with the feature from one without; "
        "0.50 is chance. r: the rank correlation; 0 is chance.",
    ]


def gates_report(uses: Sequence[GateUse], token: str) -> list[Part]:
    """How often each gate is nearly open or shut, and how long units remember."""
    if not uses:
        return [f"This cell has no gates: at every {token} it replaces all that it remembers."]
    gates = [
        (
            use.layer,
            use.gate,
            f"{use.nearly_shut:.1%}",
            f"{use.nearly_open:.1%}",
            Histogram(use.histogram.tolist(), f"values of the {use.gate} gate of layer {use.layer}"),
        )
        for use in uses
    ]
    half_lives = [_half_lives(use.layer, use.half_life) for use in uses if use.half_life is not None]
    return [
        f"A gate that is nearly shut, below {NEARLY_SHUT}, lets hardly anything through. One that is nearly open, "
        f"above {NEARLY_OPEN}, lets nearly all through. The table counts all units and {token}s.",
        Table(("layer", "gate", "nearly shut", "nearly open", "from 0 to 1"), gates, left=("gate", "from 0 to 1")),
        f"After how many {token}s is half of what a unit remembered gone? That is its half-life, "
        "by the mean logarithm of the gate that keeps it.",
        Table(
            ("layer", "median", "below 1, doubling to 1,024 and more", "longest, by unit"),
            half_lives,
            left=("below 1, doubling to 1,024 and more", "longest, by unit"),
        ),
    ]


def _half_lives(layer: int, half_life: NDArray[np.float64]) -> Sequence[object]:
    longest = np.argsort(-half_life, kind="stable")[:_LONGEST_SHOWN].tolist()
    counts = np.bincount(np.searchsorted(_POWERS, half_life, side="right"), minlength=len(_POWERS) + 1)
    named = [part for unit in longest for part in (Unit(layer, unit + 1), half_life_text(half_life[unit]))]
    distribution = Histogram(counts.tolist(), f"half-lives of layer {layer}")
    return layer, half_life_text(float(np.median(half_life))), distribution, named


def memory_report(memory: Memory, token: str) -> list[Part]:
    """Loss and gradient by distance."""
    losses, used = memory.nats_per_character, memory_reach(memory.nats_per_character)
    loss = Curve(f"nats per {token}", losses, marked=used)
    gradient = Curve("gradient at that distance", dict(enumerate(memory.reach.tolist(), 1)), powers=True)
    return [
        f"When the network may see only the last {token}, its loss is {losses[1]:.2f} nats per {token}. "
        f"When it may see {max(losses):,}, it is {losses[max(losses)]:.2f}. It uses {used:,} {token}s: "
        f"more of them change the loss by less than {NOTICEABLE} nats.",
        Chart(f"{token}s visible", (loss, gradient)),
        f"Each loss is the mean of the same {memory.positions:,} predictions. The gradient shows how much the loss "
        f"depends on the {token} at that distance: the norm of d loss / d input. Its scale is logarithmic and ends at "
        f"{readably(MIN_POWER)} of the largest.",
    ]


# JSON


def units_json(found: Units) -> dict[str, Any]:
    """What the units track, as values that JSON can hold."""
    return {
        "characters": found.tokens,
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


def gates_json(uses: Sequence[GateUse]) -> dict[str, Any]:
    """How gates are used, as values that JSON can hold; an infinite half-life is null."""
    entries = []
    for use in uses:
        entry: dict[str, Any] = {"layer": use.layer, "gate": use.gate}
        entry |= {"nearly_open": use.nearly_open, "nearly_shut": use.nearly_shut, "histogram": use.histogram.tolist()}
        if use.half_life is not None:
            entry["half_life"] = [value if np.isfinite(value) else None for value in use.half_life.tolist()]
        entries.append(entry)
    return {"gates": entries}


def memory_json(memory: Memory) -> dict[str, Any]:
    """How far back a network looks, as values that JSON can hold."""
    losses = memory.nats_per_character
    return {
        "positions": memory.positions,
        "memory": [{"visible": visible, "nats_per_character": nats} for visible, nats in losses.items()],
        "memory_reach": memory_reach(losses),
        "reach": [{"back": back, "gradient": float(norm)} for back, norm in enumerate(memory.reach)],
    }


def walk_json(unit: Unit, steps: Sequence[WalkStep]) -> list[dict[str, Any]]:
    """A walk as values that JSON can hold."""
    entries = []
    for step in steps:
        entry = {"character": step.character, **unit._asdict(), **vars(step)}
        if step.attention is None:
            del entry["attention"]
        else:
            entry["attention"] = [each._asdict() for each in step.attention]
        entries.append(entry)
    return entries
