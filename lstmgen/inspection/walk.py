"""A walk: one unit, token by token, with every number behind its gates, its memory and its output."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lstmgen.cells import Cell
from lstmgen.checkpoint import Checkpoint
from lstmgen.errors import ConfigError
from lstmgen.generation.sampler import most_likely
from lstmgen.inspection.trace import FloatArray, Trace, begun, line_starts, trace
from lstmgen.network.architecture import Network
from lstmgen.text.vocabulary import Ids

PREDICTIONS = 5
"""How many of the likeliest next tokens each step lists."""


class Unit(NamedTuple):
    """One unit of a layer; both are counted from 1."""

    layer: int
    unit: int

    def __str__(self) -> str:
        return f"{self.layer}.{self.unit}"


class Recalled(NamedTuple):
    """A past token that attention looked at."""

    back: int  # how many tokens before this one
    character: str
    weight: float  # the fraction of the attention that its output got


@dataclass(frozen=True)
class WalkStep:
    """What one unit did at one token."""

    character: str
    gates: Mapping[str, float]  # the activation by the gate's name, in the cell's order
    terms: Mapping[str, Mapping[str, float]]  # by the gate's name: the terms of the sum inside its σ or tanh
    cell_before: float  # what the unit remembered before: its cell state, or for GRU and RNN its hidden state
    cell: float  # what it remembers now
    hidden: float  # its output
    attention: tuple[Recalled, ...] | None  # the past tokens in the window, nearest first; None without attention
    predictions: Mapping[str, float]  # the likeliest next tokens with their probabilities, likeliest first


class Line(NamedTuple):
    """One line of the explanation and of each step."""

    value: str  # a gate's name, or `cell` or `hidden`
    name: str
    letter: str
    equation: str  # for a gate: only the function of its sum
    meaning: str
    part: str  # the part of the step that it belongs to in a picture of the cell


_MEMORY_IS_OUTPUT = "what it remembers, which is also its output"
_FORGET = Line(
    "forget", "forget gate", "f", "σ", "the fraction of the old cell state c that it keeps; at 0 it forgets", "forget"
)
_CANDIDATE = Line("candidate", "candidate", "g", "tanh", "what it could write", "candidate")
_BOTH = "input and candidate"
_OUTPUT = Line("output", "output gate", "o", "σ", "the fraction of tanh(c') that it outputs", "output")
_HIDDEN = Line(
    "hidden", "output", "h'", "o tanh(c')", "to the next layer, and to its own layer at the next character", "output"
)
EQUATIONS: Mapping[tuple[str, ...], tuple[Line, ...]] = {
    ("input", "forget", "candidate", "output"): (
        _FORGET,
        Line("input", "input gate", "i", "σ", "the fraction of the candidate that it writes", _BOTH),
        _CANDIDATE._replace(part=_BOTH),
        Line("cell", "cell state", "c'", "f c + i g", "what it remembers: what it kept plus what it wrote", "update"),
        _OUTPUT,
        _HIDDEN,
    ),
    ("forget", "candidate", "output"): (
        _FORGET,
        _CANDIDATE,
        Line(
            "cell",
            "cell state",
            "c'",
            "f c + (1 - f) g",
            "what it remembers; one gate does both, so it writes as much as it forgets",
            "update",
        ),
        _OUTPUT,
        _HIDDEN,
    ),
    ("reset", "update", "candidate"): (
        Line("reset", "reset gate", "r", "σ", "the fraction of the past that the candidate sees", "reset"),
        _CANDIDATE._replace(letter="n"),
        Line(
            "update",
            "update gate",
            "z",
            "σ",
            "the fraction of the old state h that it keeps; at 0 it forgets",
            "update",
        ),
        Line("hidden", "output", "h'", "z h + (1 - z) n", _MEMORY_IS_OUTPUT, "update"),
    ),
    ("candidate",): (
        Line("candidate", "output", "h'", "tanh", f"{_MEMORY_IS_OUTPUT}; no gate keeps the old h", "replace"),
    ),
}
"""The lines of each cell, by the names of its gates, in the order in which they are explained."""


def lines_of(gates: Iterable[str]) -> tuple[Line, ...]:
    """The lines of the cell with these gates; raise ConfigError if `EQUATIONS` has none."""
    if (lines := EQUATIONS.get(tuple(gates))) is None:
        raise ConfigError("cell", ", ".join(gates), "there are no equations for these gates; add them to EQUATIONS")
    return lines


def sums(cell: Cell) -> dict[str, tuple[str, ...]]:
    """The terms of the sum inside the σ or tanh of each gate, by the gate's name.

    W x     what the token adds
    R h     what the outputs of the layer's last step add; R (r h) or r (R h + b) for the candidate of a GRU
    p c     what the peephole adds: p c' for the output gate
    b       the bias
    """
    found = {}
    for gate in cell.gate_names:
        recurrent = "R h"
        if gate == "candidate" and "reset" in cell.gate_names:
            recurrent = "r (R h + b)" if "bias_candidate" in cell.shapes() else "R (r h)"
        peephole = ("p c'" if gate == "output" else "p c",) if f"peephole_{gate}" in cell.shapes() else ()
        found[gate] = ("W x", recurrent, *peephole, "b")
    return found


def walk(checkpoint: Checkpoint, ids: Ids, unit: Unit | None = None) -> tuple[Unit, list[WalkStep]]:
    """Walk through a text of at least one token, (time,), with one unit, by default the one that varies most."""
    network, names = checkpoint.network, checkpoint.vocabulary.token_names()
    ids = begun(ids, checkpoint.end_token)
    read = trace(network, checkpoint.weights, ids, end_token=checkpoint.end_token)
    unit = unit or most_varied_units(read)[0]
    layer, number = read.layers[unit.layer - 1], unit.unit - 1
    own = terms(network, checkpoint.weights, read, unit)
    likely, probabilities = most_likely(read.logits, PREDICTIONS)
    starts = line_starts(ids, checkpoint.end_token)
    steps = []
    for time in range(len(ids)):
        recalled = None
        if read.attention is not None:
            backs = range(1, min(read.attention.shape[1], time - starts[time]) + 1)
            recalled = tuple(Recalled(n, names[ids[time - n]], float(read.attention[time, -n])) for n in backs)
        predicted = zip(likely[time].tolist(), probabilities[time].tolist(), strict=True)
        steps.append(
            WalkStep(
                character=names[ids[time]],
                gates={name: float(gate[time, number]) for name, gate in layer.gates.items()},
                terms={gate: {name: float(term[time]) for name, term in parts.items()} for gate, parts in own.items()},
                cell_before=float(layer.before[layer.memory_name][time, number]),
                cell=float(layer.after[layer.memory_name][time, number]),
                hidden=float(layer.after["hidden"][time, number]),
                attention=recalled,
                predictions={names[id_]: probability for id_, probability in predicted},
            )
        )
    return unit, steps


def formula(line: Line, terms: Mapping[str, Iterable[str]]) -> str:
    """Return the equation of a line in letters, given the names of each gate's terms."""
    return f"{line.equation}({' + '.join(terms[line.value])})" if line.value in terms else line.equation


def check_unit(network: Network, unit: Unit) -> None:
    """Raise ConfigError unless the network has this unit."""
    layers, units = len(network.cells), network.hidden_size
    if not (1 <= unit.layer <= layers and 1 <= unit.unit <= units):
        raise ConfigError(
            "unit", unit, f"give LAYER.UNIT, with a layer from 1 to {layers} and a unit from 1 to {units}"
        )


def most_varied_units(read: Trace) -> list[Unit]:
    """All units, ordered by how much their activity, tanh(c) or h, varies over the text (standard deviation)."""
    deviations = np.stack([layer.activity.std(axis=0) for layer in read.layers])
    ranked = np.argsort(-deviations, axis=None, kind="stable").tolist()
    return [Unit(number // deviations.shape[1] + 1, number % deviations.shape[1] + 1) for number in ranked]


def terms(
    network: Network, weights: Mapping[str, FloatArray], read: Trace, unit: Unit
) -> dict[str, dict[str, NDArray[Any]]]:
    """The values of the terms of one unit, each (time,), by the gate's name and the term's name in `sums`."""
    layer, number = read.layers[unit.layer - 1], unit.unit - 1
    own = network.arrange(weights).layers[unit.layer - 1]
    inputs = (
        weights["embedding"][read.ids]
        if unit.layer == 1
        else np.sum([below.after["hidden"] for below in read.layers[: unit.layer - 1]], axis=0)
    )
    hidden = layer.before["hidden"]

    def values(term: str, gate: str, row: int) -> NDArray[Any]:
        match term:
            case "W x":
                return np.asarray(inputs @ own["weight_ih"][row])
            case "R h":
                return np.asarray(hidden @ own["weight_hh"][row])
            case "R (r h)":
                return np.asarray((layer.gates["reset"] * hidden) @ own["weight_hh"][row])
            case "r (R h + b)":
                recurrent = hidden @ own["weight_hh"][row] + own["bias_candidate"][number]
                return np.asarray(layer.gates["reset"][:, number] * recurrent)
            case "p c" | "p c'":
                seen = layer.after if term == "p c'" else layer.before
                return np.asarray(own[f"peephole_{gate}"][number] * seen["cell"][:, number])
            case _:
                return np.full(len(read.ids), own["bias"][row])

    return {
        gate: {term: values(term, gate, block * network.hidden_size + number) for term in parts}
        for block, (gate, parts) in enumerate(sums(network.cells[unit.layer - 1]).items())
    }
