"""The equations of every network again in plain Python, one unit and one number at a time.

Slow and obvious on purpose: no array library, no shared code with the package. Weights are nested lists.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

Vector = list[float]
Matrix = Sequence[Sequence[float]]
Weights = Mapping[str, Any]
State = dict[str, Vector]
"""The fields of a layer's state by name; after a step, also the gates that made it."""
Held = Callable[[str, int, float], float]
"""What becomes of a value of a gate, given the gate's name, the unit and the value."""


class Lesion(NamedTuple):
    """Gates that are held at a value from a step on; None holds them at the unit's old output."""

    gates: Mapping[str, float | None]
    start: int
    layer: int | None = None  # the only one, from 0
    unit: int | None = None


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def row_product(matrix: Matrix, row: int, vector: Vector) -> float:
    return sum(matrix[row][column] * vector[column] for column in range(len(vector)))


def preactivation(weights: Weights, block: int, unit: int, x: Vector, h: Vector) -> float:
    """(W x + R h + b) of one unit in one block."""
    row = block * len(h) + unit
    bias: float = weights["bias"][row]
    return row_product(weights["weight_ih"], row, x) + row_product(weights["weight_hh"], row, h) + bias


def rnn(weights: Weights, x: Vector, state: State, held: Held) -> State:
    h = state["hidden"]
    hidden = [held("candidate", unit, math.tanh(preactivation(weights, 0, unit, x, h))) for unit in range(len(h))]
    return {"hidden": hidden, "candidate": hidden}


def lstm(weights: Weights, x: Vector, state: State, held: Held) -> State:
    """With peepholes if there are any: i and f see the old cell, o the new one."""
    h, c = state["hidden"], state["cell"]
    after: State = {name: [] for name in ("hidden", "cell", "input", "forget", "candidate", "output")}
    for unit in range(len(h)):
        a_i = preactivation(weights, 0, unit, x, h)
        a_f = preactivation(weights, 1, unit, x, h)
        g = math.tanh(preactivation(weights, 2, unit, x, h))
        a_o = preactivation(weights, 3, unit, x, h)
        if "peephole_input" in weights:
            a_i += weights["peephole_input"][unit] * c[unit]
        if "peephole_forget" in weights:
            a_f += weights["peephole_forget"][unit] * c[unit]
        i, f = held("input", unit, sigmoid(a_i)), held("forget", unit, sigmoid(a_f))
        new = f * c[unit] + i * g
        if "peephole_output" in weights:
            a_o += weights["peephole_output"][unit] * new
        o = held("output", unit, sigmoid(a_o))
        append(after, (o * math.tanh(new), new, i, f, g, o))
    return after


def coupled(weights: Weights, x: Vector, state: State, held: Held) -> State:
    h, c = state["hidden"], state["cell"]
    after: State = {name: [] for name in ("hidden", "cell", "forget", "candidate", "output")}
    for unit in range(len(h)):
        f = held("forget", unit, sigmoid(preactivation(weights, 0, unit, x, h)))
        g = math.tanh(preactivation(weights, 1, unit, x, h))
        o = held("output", unit, sigmoid(preactivation(weights, 2, unit, x, h)))
        new = f * c[unit] + (1 - f) * g
        append(after, (o * math.tanh(new), new, f, g, o))
    return after


def gru_after(weights: Weights, x: Vector, state: State, held: Held) -> State:
    h, size = state["hidden"], len(state["hidden"])
    after: State = {name: [] for name in ("hidden", "reset", "update", "candidate")}
    for unit in range(size):
        r = sigmoid(preactivation(weights, 0, unit, x, h))
        z = held("update", unit, sigmoid(preactivation(weights, 1, unit, x, h)))
        row = 2 * size + unit
        recurrent = row_product(weights["weight_hh"], row, h) + weights["bias_candidate"][unit]
        n = math.tanh(row_product(weights["weight_ih"], row, x) + weights["bias"][row] + r * recurrent)
        append(after, ((1 - z) * n + z * h[unit], r, z, n))
    return after


def gru_before(weights: Weights, x: Vector, state: State, held: Held) -> State:
    h, size = state["hidden"], len(state["hidden"])
    r = [sigmoid(preactivation(weights, 0, unit, x, h)) for unit in range(size)]
    reset = [r[unit] * h[unit] for unit in range(size)]
    after: State = {name: [] for name in ("hidden", "reset", "update", "candidate")}
    for unit in range(size):
        z = held("update", unit, sigmoid(preactivation(weights, 1, unit, x, h)))
        n = math.tanh(preactivation(weights, 2, unit, x, reset))
        append(after, ((1 - z) * n + z * h[unit], r[unit], z, n))
    return after


def append(vectors: State, values: Sequence[float]) -> None:
    """Append one unit's value to each vector."""
    for vector, value in zip(vectors.values(), values, strict=True):
        vector.append(value)


STEPS: dict[str, Callable[[Weights, Vector, State, Held], State]] = {
    "rnn": rnn,
    "lstm": lstm,
    "peephole": lstm,
    "peephole-input": lstm,
    "peephole-forget-output": lstm,
    "coupled": coupled,
    "gru-after": gru_after,
    "gru-before": gru_before,
}
STATES = {name: ("hidden",) if name.startswith(("rnn", "gru")) else ("hidden", "cell") for name in STEPS}


def attend(weights: Weights, output: Vector, past: list[Vector]) -> tuple[Vector, Vector]:
    """The output of a step that looks at its past outputs, and the weight of each of them."""
    size = len(output)
    query = [row_product(weights["query"], unit, output) for unit in range(size)]
    scores = [sum(query[unit] * old[unit] for unit in range(size)) / math.sqrt(size) for old in past]
    total = sum(math.exp(score) for score in scores)
    attention = [math.exp(score) / total for score in scores]
    recalled = [sum(weight * old[unit] for weight, old in zip(attention, past, strict=True)) for unit in range(size)]
    return [output[unit] + row_product(weights["combine"], unit, recalled) for unit in range(size)], attention


class Step(NamedTuple):
    """Everything that one step computes."""

    logits: Vector
    layers: list[State]  # after the step, with the gates
    attention: Vector  # empty without attention


def holding(lesion: Lesion | None, step: int, layer: int, hidden: Vector) -> Held:
    """Apply a lesion to the gates of a layer at a step; `hidden` is the old output."""

    def held(gate: str, unit: int, value: float) -> float:
        if lesion is None or step < lesion.start or gate not in lesion.gates:
            return value
        if lesion.layer not in (None, layer) or lesion.unit not in (None, unit):
            return value
        to = lesion.gates[gate]
        return hidden[unit] if to is None else to

    return held


def read(
    name: str, weights: Weights, ids: Sequence[int], num_layers: int, window: int, lesion: Lesion | None = None
) -> list[Step]:
    """Every step of one row, from the initial state."""
    tied = "head.projection" in weights
    size = len(weights["head.projection" if tied else "head.weight"][0])
    name = name.removesuffix("-tied")
    states = [{field: [0.0] * size for field in STATES[name]} for _ in range(num_layers)]
    past = [[0.0] * size for _ in range(window)]
    steps = []
    for time, token in enumerate(ids):
        output = list(weights["embedding"][token])
        for layer in range(num_layers):
            prefix = f"layers.{layer}."
            own = {key.removeprefix(prefix): value for key, value in weights.items() if key.startswith(prefix)}
            held = holding(lesion, time, layer, states[layer]["hidden"])
            states[layer] = STEPS[name](own, output, states[layer], held)
            hidden = states[layer]["hidden"]
            output = hidden if layer == 0 else [below + new for below, new in zip(output, hidden, strict=True)]
        attention: Vector = []
        if window:
            parts = {part: weights[f"attention.{part}"] for part in ("query", "combine")}
            before = output
            output, attention = attend(parts, output, past)
            past = [*past[1:], before]
        if tied:
            projection = weights["head.projection"]
            output = [row_product(projection, row, output) for row in range(len(projection))]
        matrix, bias = weights["embedding" if tied else "head.weight"], weights["head.bias"]
        logits = [row_product(matrix, row, output) + bias[row] for row in range(len(bias))]
        steps.append(Step(logits, list(states), attention))
    return steps


def network(name: str, weights: Weights, ids: Sequence[int], num_layers: int, window: int) -> list[Vector]:
    """Logits after each token of one row, from the initial state."""
    return [step.logits for step in read(name, weights, ids, num_layers, window)]
