"""Report what an inspection found, as parts for a terminal or a page and as JSON fields."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from lstmgen.checkpoint import Checkpoint
from lstmgen.errors import TextError
from lstmgen.inspection.gates import NEARLY_OPEN, NEARLY_SHUT, GateUse, gate_uses, half_life_text
from lstmgen.inspection.influence import MIN_EXAMPLES, PairMemory
from lstmgen.inspection.memory import NOTICEABLE, Memory, Watch, measure_memory, memory_reach
from lstmgen.inspection.trace import traces
from lstmgen.inspection.units import Finding, Units, find_units
from lstmgen.inspection.walk import Unit, WalkStep
from lstmgen.report import Chart, Curve, Histogram, Part, Table
from lstmgen.text.vocabulary import Ids

Found = TypeVar("Found")

MIN_POWER = 1e-9
"""Where a logarithmic scale ends, as a fraction of the largest value."""

_LONGEST_SHOWN = 3  # how many units of each layer are named: those that remember longest
_POWERS = tuple(2**power for power in range(11))  # tokens: the borders between the bars of the histogram of half-lives


@dataclass(frozen=True)
class Findings:
    """What was found; if the text is too short for a finding, the error message takes its place."""

    units: Units | str
    gates: tuple[GateUse, ...]
    memory: Memory | str

    def tracking_units(self) -> list[Unit]:
        """The units that track something: first the best one for each feature, then all others, strongest first."""
        if isinstance(self.units, str):
            return []
        return [each.found.unit for each in self.units.features] + [each.unit for each in self.units.units]


def find_all(checkpoint: Checkpoint, ids: Ids, watch: Watch = lambda measured: measured) -> Findings:
    """Run every inspection on a text, (time,); see `measure_memory` for `watch`."""
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
    """The unit that tracks each feature, with its score; `token` is "character" or "byte"."""
    half = units.tokens // 2
    rows = [(each.found.feature, each.found.unit, each.found, each.untrained) for each in units.features]
    none = [f"No unit tracks: {', '.join(units.untracked)}."] if units.untracked else []
    if not rows:
        return [none]
    return [
        f"Some units track a feature of the text that nobody told them about. The first {half:,} {token}s chose the "
        f"unit for each feature; the other {units.tokens - half:,} gave its score. The last column is the best score "
        "in the same network before training. The features that training made most visible come first.",
        Table(("feature", "unit", "score", "before training"), rows),
        [
            f"Units are LAYER.UNIT. AUC: how often the unit tells a {token} with the feature from one without; "
            "0.50 is chance. r: the rank correlation; 0 is chance.",
            *none,
        ],
    ]


def gates_report(uses: Sequence[GateUse], token: str) -> list[Part]:
    """How often each gate is nearly open or shut, and how long units remember."""
    if not uses:
        return [f"This cell has no gates: at every {token} it replaces everything it remembers."]
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
        f"A gate below {NEARLY_SHUT} is nearly shut and lets hardly anything through; one above {NEARLY_OPEN} is "
        f"nearly open and lets nearly everything through. The table counts all units and {token}s.",
        Table(("layer", "gate", "nearly shut", "nearly open", "from 0 to 1"), gates, left=("gate", "from 0 to 1")),
        f"The half-life of a unit is the number of {token}s after which half of what it remembered is gone if nothing "
        "is written over it. It follows from the mean logarithm of the gate that keeps the memory. New writes can "
        f"replace a memory much sooner, so a half-life of thousands of {token}s does not mean that a unit remembers "
        "that long.",
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
    """How far back one network looks; `token` is "character" or "byte"."""
    return memories_report({"": memory}, token)


def memories_report(memories: Mapping[str, Memory], token: str) -> list[Part]:
    """How far back networks look, by name: each measure as a chart and, for several networks, as a table too."""
    losses = {name: memory.nats_per_character for name, memory in memories.items()}
    reaches = {name: memory_reach(nats) for name, nats in losses.items()}
    influences = {name: memory.influence for name, memory in memories.items()}
    positions = max(memory.positions for memory in memories.values())
    (name, reach), *others = reaches.items()
    used = ", ".join(
        [
            f"{name or 'It'} uses {reach:,} {token}{'' if reach == 1 else 's'}",
            *(f"{name} {reach:,}" for name, reach in others),
        ]
    )
    parts: list[Part] = [
        f"Loss: how well it predicts from only the last few {token}s, averaged over the same {positions:,} "
        "predictions. It shows how much of the past helps, but not what is remembered without being needed.",
        *_by_distance(f"{token}s visible", losses, f"nats per {token}", _nats, reaches),
        f"{used}: seeing more changes the loss by less than {NOTICEABLE} nats.",
    ]
    if any(influences.values()):
        parts += [
            f"Influence: how much changing one {token} changes the predictions some {token}s later (mean "
            "Kullback-Leibler divergence in nats). It shows whether any trace of the change is left, but not whether "
            "the trace is useful.",
            *_by_distance(f"{token}s later", influences, "nats", _power),
        ]
    gradients = {name: memory.gradient for name, memory in memories.items()}
    return [
        *parts,
        f"Gradient: how much a tiny change of the input some {token}s back changes the loss, |d loss / d input|. "
        "It shows what training can learn from, but not what is remembered: a network that keeps a value in saturated "
        "units has a gradient near 0.",
        *_by_distance(f"{token}s back", gradients, "gradient", _power),
        f"The scales of influence and gradient are logarithmic and begin at {MIN_POWER:.0e} of the largest value. "
        "Smaller values are not drawn, and an influence below 1e-28 counts as 0.",
        *_pairs_report([memory.pairs for memory in memories.values()], list(memories), token),
    ]


def _by_distance(
    places: str,
    values: Mapping[str, Mapping[int, float]],
    measured: str,
    shown: Callable[[float], str],
    marks: Mapping[str, int] | None = None,
) -> list[Part]:
    """A chart of each network's values by distance, linear if there are marks; for several networks, a table too."""
    largest = max(value for points in values.values() for value in points.values())
    curves = [Curve(name or measured, points, (marks or {}).get(name)) for name, points in values.items()]
    chart = Chart(places, curves, None if marks else largest * MIN_POWER or MIN_POWER)
    return [chart] if len(values) == 1 else [_table(places, values, shown), chart]


def _table(places: str, values: Mapping[str, Mapping[int, float]], shown: Callable[[float], str]) -> Table:
    """A row for each distance, a column for each network."""
    distances = sorted({distance for points in values.values() for distance in points})
    rows = [
        (f"{distance:,}", *(shown(points[distance]) if distance in points else "" for points in values.values()))
        for distance in distances
    ]
    return Table((places.replace(" ", "\n"), *values), rows)


def _pairs_report(found: Sequence[Mapping[str, PairMemory]], names: Sequence[str], token: str) -> list[Part]:
    """A table by distance for each kind of pair; `found` has the pairs of each network."""
    kinds = {kind: [pairs.get(kind, PairMemory({}, {})) for pairs in found] for pairs in found for kind in pairs}
    counted = {kind: pairs for kind, pairs in kinds.items() if any(pair.ratios for pair in pairs)}
    most = {kind: max(max(pair.examples.values(), default=0) for pair in pairs) for kind, pairs in kinds.items()}
    few = [f"{kind} ({count})" for kind, count in most.items() if kind not in counted]
    left_out = f" Left out, with fewer than {MIN_EXAMPLES} examples: {', '.join(few)}." if few else ""
    if not counted:
        return [f"Open pairs: the text has too few quotes, brackets, tags and comments.{left_out}"]
    parts: list[Part] = [
        f"Open pairs: does it still know that a pair is open, some {token}s after it opened? The number is "
        "P(closing | opened) / P(closing | a space instead), the geometric mean over pairs that are still open; 1 "
        "means that it does not know. It shows memory that the text needs, but not how long that memory would last in "
        f"longer pairs.{left_out}"
    ]
    for kind, pairs in counted.items():
        ratios = {name: pair.ratios for name, pair in zip(names, pairs, strict=True)}
        examples = {distance: pair.examples[distance] for pair in pairs for distance in pair.ratios}
        table = _table(f"{token}s later", {(name or "ratio"): each for name, each in ratios.items()}, _ratio)
        rows = [(*row, f"{count:,}") for row, (_, count) in zip(table.rows, sorted(examples.items()), strict=True)]
        parts += [f"{kind}:", Table((*table.columns, "examples"), rows)]
    curves = [
        Curve(f"{kind}, {name}", pair.ratios)
        for kind, pairs in counted.items()
        for name, pair in zip(names, pairs, strict=True)
    ]
    return [*parts, Chart(f"{token}s later", curves, 1)] if len(names) > 1 else parts


def _nats(value: float) -> str:
    return f"{value:.3f}"


def _power(value: float) -> str:
    return f"{value:.1e}" if value else "0"


def _ratio(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:,.0f}"


# JSON


def units_json(found: Units) -> dict[str, Any]:
    """What the units track, ready for JSON."""
    return {
        "characters": found.tokens,
        "units": [_finding_json(each) for each in found.units],
        "features": [
            {**_finding_json(each.found), "untrained": _finding_json(each.untrained), "contrast": each.contrast}
            for each in found.features
        ],
        "untracked": found.untracked,
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
    """How gates are used, ready for JSON; an infinite half-life is null."""
    entries = []
    for use in uses:
        entry: dict[str, Any] = {"layer": use.layer, "gate": use.gate}
        entry |= {"nearly_open": use.nearly_open, "nearly_shut": use.nearly_shut, "histogram": use.histogram.tolist()}
        if use.half_life is not None:
            entry["half_life"] = [value if np.isfinite(value) else None for value in use.half_life.tolist()]
        entries.append(entry)
    return {"gates": entries}


def memory_json(memory: Memory) -> dict[str, Any]:
    """How far back a network looks, ready for JSON."""
    return {
        "visible": memory.nats_per_character,
        "influence": memory.influence,
        "gradient": memory.gradient,
        "pairs": {kind: pair.ratios for kind, pair in memory.pairs.items() if pair.ratios},
        "examples": {kind: pair.examples for kind, pair in memory.pairs.items()},
    }


def one_memory_json(memory: Memory) -> dict[str, Any]:
    """The loss by visible tokens and the gradient at every distance, as lists."""
    losses = memory.nats_per_character
    return {
        "positions": memory.positions,
        "memory": [{"visible": visible, "nats_per_character": nats} for visible, nats in losses.items()],
        "memory_reach": memory_reach(losses),
        "reach": [{"back": back, "gradient": float(norm)} for back, norm in enumerate(memory.reach)],
    }


def walk_json(unit: Unit, steps: Sequence[WalkStep]) -> list[dict[str, Any]]:
    """A walk, ready for JSON."""
    entries = []
    for step in steps:
        entry = {"character": step.character, **unit._asdict(), **vars(step)}
        if step.attention is None:
            del entry["attention"]
        else:
            entry["attention"] = [each._asdict() for each in step.attention]
        entries.append(entry)
    return entries
