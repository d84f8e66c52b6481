"""The equations of every network once more, one unit and one number at a time, in plain Python.

Slow and obvious on purpose: no array library, no shared code with the package. Weights are nested lists.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Vector = list[float]
Matrix = Sequence[Sequence[float]]
Weights = Mapping[str, Any]
State = dict[str, Vector]


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def row_product(matrix: Matrix, row: int, vector: Vector) -> float:
    return sum(matrix[row][column] * vector[column] for column in range(len(vector)))


def preactivation(weights: Weights, block: int, unit: int, x: Vector, h: Vector) -> float:
    """(W x + R h + b) of one unit in one block."""
    row = block * len(h) + unit
    bias: float = weights["bias"][row]
    return row_product(weights["weight_ih"], row, x) + row_product(weights["weight_hh"], row, h) + bias


def rnn(weights: Weights, x: Vector, state: State) -> State:
    h = state["hidden"]
    return {"hidden": [math.tanh(preactivation(weights, 0, unit, x, h)) for unit in range(len(h))]}


def lstm(weights: Weights, x: Vector, state: State) -> State:
    """Also with peepholes, where there are any: i and f see the old cell, o the new one."""
    h, c = state["hidden"], state["cell"]
    hidden, cell = [], []
    for unit in range(len(h)):
        a_i = preactivation(weights, 0, unit, x, h)
        a_f = preactivation(weights, 1, unit, x, h)
        g = math.tanh(preactivation(weights, 2, unit, x, h))
        a_o = preactivation(weights, 3, unit, x, h)
        if "peephole_input" in weights:
            a_i += weights["peephole_input"][unit] * c[unit]
        if "peephole_forget" in weights:
            a_f += weights["peephole_forget"][unit] * c[unit]
        new = sigmoid(a_f) * c[unit] + sigmoid(a_i) * g
        if "peephole_output" in weights:
            a_o += weights["peephole_output"][unit] * new
        cell.append(new)
        hidden.append(sigmoid(a_o) * math.tanh(new))
    return {"hidden": hidden, "cell": cell}


def coupled(weights: Weights, x: Vector, state: State) -> State:
    h, c = state["hidden"], state["cell"]
    hidden, cell = [], []
    for unit in range(len(h)):
        f = sigmoid(preactivation(weights, 0, unit, x, h))
        g = math.tanh(preactivation(weights, 1, unit, x, h))
        o = sigmoid(preactivation(weights, 2, unit, x, h))
        cell.append(f * c[unit] + (1 - f) * g)
        hidden.append(o * math.tanh(cell[unit]))
    return {"hidden": hidden, "cell": cell}


def gru_after(weights: Weights, x: Vector, state: State) -> State:
    h, size = state["hidden"], len(state["hidden"])
    hidden = []
    for unit in range(size):
        r = sigmoid(preactivation(weights, 0, unit, x, h))
        z = sigmoid(preactivation(weights, 1, unit, x, h))
        row = 2 * size + unit
        recurrent = row_product(weights["weight_hh"], row, h) + weights["bias_candidate"][unit]
        n = math.tanh(row_product(weights["weight_ih"], row, x) + weights["bias"][row] + r * recurrent)
        hidden.append((1 - z) * n + z * h[unit])
    return {"hidden": hidden}


def gru_before(weights: Weights, x: Vector, state: State) -> State:
    h, size = state["hidden"], len(state["hidden"])
    reset = [sigmoid(preactivation(weights, 0, unit, x, h)) * h[unit] for unit in range(size)]
    hidden = []
    for unit in range(size):
        z = sigmoid(preactivation(weights, 1, unit, x, h))
        n = math.tanh(preactivation(weights, 2, unit, x, reset))
        hidden.append((1 - z) * n + z * h[unit])
    return {"hidden": hidden}


STEPS: dict[str, Callable[[Weights, Vector, State], State]] = {
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


def attend(weights: Weights, output: Vector, past: list[Vector]) -> Vector:
    """The output of a step that has looked at its past outputs."""
    size = len(output)
    query = [row_product(weights["query"], unit, output) for unit in range(size)]
    scores = [sum(query[unit] * old[unit] for unit in range(size)) / math.sqrt(size) for old in past]
    total = sum(math.exp(score) for score in scores)
    recalled = [
        sum(math.exp(score) / total * old[unit] for score, old in zip(scores, past, strict=True))
        for unit in range(size)
    ]
    return [output[unit] + row_product(weights["combine"], unit, recalled) for unit in range(size)]


def network(name: str, weights: Weights, ids: Sequence[int], num_layers: int, window: int) -> list[Vector]:
    """Logits after each symbol of one row, from the initial state."""
    tied = "head.projection" in weights
    size = len(weights["head.projection" if tied else "head.weight"][0])
    name = name.removesuffix("-tied")
    states = [{field: [0.0] * size for field in STATES[name]} for _ in range(num_layers)]
    past = [[0.0] * size for _ in range(window)]
    logits = []
    for symbol in ids:
        output = list(weights["embedding"][symbol])
        for layer in range(num_layers):
            prefix = f"layers.{layer}."
            own = {key.removeprefix(prefix): value for key, value in weights.items() if key.startswith(prefix)}
            states[layer] = STEPS[name](own, output, states[layer])
            hidden = states[layer]["hidden"]
            output = hidden if layer == 0 else [below + new for below, new in zip(output, hidden, strict=True)]
        if window:
            attention = {part: weights[f"attention.{part}"] for part in ("query", "combine")}
            before, output = output, attend(attention, output, past)
            past = [*past[1:], before]
        if tied:
            projection = weights["head.projection"]
            output = [row_product(projection, row, output) for row in range(len(projection))]
        matrix, bias = weights["embedding" if tied else "head.weight"], weights["head.bias"]
        logits.append([row_product(matrix, row, output) + bias[row] for row in range(len(bias))])
    return logits
