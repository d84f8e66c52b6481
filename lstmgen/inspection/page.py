"""What a page about a reading network holds: one text, and what every unit did at each symbol, as JSON.

Values are stored in 8 bits each, as a fraction of their range: 0 to 1 for a gate, -1 to 1 for a candidate and an
output, from its least to its largest value for the memory of each unit. So each differs by at most 1/510 of its range.
The memory of all units is stored. Gates and outputs take several times as much: they are stored for as many units as
`BYTES` allows.

Knows: traces. Does not know: HTML, or how the values are drawn.
"""

import base64
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lstmgen.checkpoint import Checkpoint
from lstmgen.generation.sampler import most_likely
from lstmgen.inspection.trace import FloatArray, Trace, trace
from lstmgen.inspection.walk import PREDICTIONS, Unit
from lstmgen.text.vocabulary import Ids

BYTES = 3_500_000
"""How many values are stored: in base64 they take a third more, and the page stays below 5 MB."""

LEVELS = 255
"""An 8-bit value v stands for lowest + (highest - lowest) * v / 255."""

_RECALLED, _LEAST_RECALLED = 5, 0.01  # past symbols of each step's attention; the least weight of one


def page_data(checkpoint: Checkpoint, ids: Ids, first: Sequence[Unit] = ()) -> dict[str, Any]:
    """Read a text of at least one symbol, (time,), and return what a page of it holds, ready for JSON.

    Args:
        checkpoint: the network.
        ids: the text, as `begun` returns it.
        first: units whose gates are stored before those of others; then come the units that vary most.

    Returns:
        By name:

            symbols      the name of each id
            text         ids, (time,)
            begins       the steps that begin from the initial state
            memory       the name of the state that a unit remembers: `cell`, or `hidden` for GRU and RNN
            layers       of each: `values` of that state, (units, time), and their range: `lowest`, `highest`, (units,)
            unit         the unit to begin with, as a pair [layer, unit], from 1
            units        the units with gates, as such pairs
            ranges       the lowest and highest value of each of their series, by its name
            activations  these series, (units, series, time)
            predictions  of each step: pairs [id, probability], the likeliest first
            attention    of each step: pairs [symbols back, weight], the strongest first; null without attention

        `values` and `activations` are bytes in base64.
    """
    read = trace(checkpoint.network, checkpoint.weights, ids, item_end=checkpoint.item_end)
    begins = np.arange(len(ids)) == 0 if checkpoint.item_end is None else np.asarray(ids) == checkpoint.item_end
    series = _series(read)
    memory = sum(layer.activity.size for layer in read.layers)
    room = max(1, (BYTES - memory) // max(1, len(ids) * len(series[0])))
    ranked = _ranked(read, first)
    units = ranked[:room] if series[0] else []
    ranges = {name: (-1 if name in ("candidate", "hidden") else 0, 1) for name in series[0]}
    activations = [
        quantized(series[layer - 1][name][:, unit - 1], *limits)
        for layer, unit in units
        for name, limits in ranges.items()
    ]
    likely, probabilities = most_likely(read.logits, PREDICTIONS)
    return {
        "symbols": checkpoint.vocabulary.symbol_names(),
        "text": np.asarray(ids).tolist(),
        "begins": np.flatnonzero(begins).tolist(),
        "memory": read.layers[0].memory_name,
        "layers": [_memory(layer.after[layer.memory_name]) for layer in read.layers],
        "unit": ranked[0],
        "units": units,
        "ranges": ranges,
        "activations": _base64(np.concatenate(activations) if activations else np.zeros(0, np.uint8)),
        "predictions": [
            [[number, round(probability, 4)] for number, probability in zip(*step, strict=True)]
            for step in zip(likely.tolist(), probabilities.tolist(), strict=True)
        ],
        "attention": None if read.attention is None else _recalled(read.attention, begins),
    }


def quantized(values: FloatArray, lowest: Any, highest: Any) -> NDArray[np.uint8]:
    """The nearest 8-bit values; see `LEVELS`."""
    scale = np.where(highest > lowest, np.subtract(highest, lowest, dtype=np.float64), 1)
    return np.asarray((values - lowest) / scale * LEVELS).round().clip(0, LEVELS).astype(np.uint8)


def _series(read: Trace) -> list[dict[str, FloatArray]]:
    """By layer: what is stored beside the memory, each (time, hidden); the candidate of an RNN is its memory."""
    return [
        {
            **(dict(layer.gates) if len(layer.gates) > 1 else {}),
            **({"hidden": layer.after["hidden"]} if layer.memory_name == "cell" else {}),
        }
        for layer in read.layers
    ]


def _ranked(read: Trace, first: Sequence[Unit]) -> list[Unit]:
    """All units: those in `first`, then the others, the one whose activity varies most first."""
    deviations = np.concatenate([layer.activity.std(axis=0) for layer in read.layers])
    hidden_size = read.layers[0].activity.shape[1]
    places = (divmod(int(number), hidden_size) for number in np.argsort(-deviations, kind="stable"))
    return list(dict.fromkeys([*first, *(Unit(layer + 1, unit + 1) for layer, unit in places)]))


def _memory(values: FloatArray) -> dict[str, Any]:
    """The memory of a layer, (time, hidden), in 8 bits."""
    lowest, highest = values.min(axis=0).astype(np.float64), values.max(axis=0).astype(np.float64)
    return {
        "lowest": lowest.round(6).tolist(),
        "highest": highest.round(6).tolist(),
        "values": _base64(quantized(values, lowest, highest).T),
    }


def _base64(values: NDArray[np.uint8]) -> str:
    return base64.b64encode(values.tobytes()).decode("ascii")


def _recalled(attention: FloatArray, begins: NDArray[np.bool_]) -> list[list[list[float]]]:
    """The past symbols that each step, (time, window), looked at, no further back than where its reading begins."""
    since = np.arange(len(begins)) - np.maximum.accumulate(np.where(begins, np.arange(len(begins)), 0))
    steps = []
    for weights, most in zip(attention[:, ::-1], since, strict=True):  # the nearest first
        strongest = np.argsort(-weights[:most], kind="stable")[:_RECALLED]
        picked = [[int(column) + 1, round(float(weights[column]), 3)] for column in strongest]
        steps.append([[back, weight] for back, weight in picked if weight >= _LEAST_RECALLED])
    return steps
