"""What a page about a reading network holds: one text, and what the units did at each token, as JSON.

Values are stored as fractions of their range. A gate has 8 bits for 0 to 1, a candidate 8 bits for -1 to 1: both differ
from the exact value by at most 1/510 of the range. The memory of a unit has 16 bits for its least to its largest value.
Of all units, the first 8 of these bits are stored. The other 8 bits and the gates take several times as much: they are
stored for as many units as `BYTES` allows. An output is not stored: it follows from the output gate and the memory.
For the first few of these units, each term of the sums inside the gates has 16 bits, in thousandths, at most 32.
"""

import base64
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lstmgen.checkpoint import Checkpoint
from lstmgen.generation.sampler import most_likely
from lstmgen.inspection.trace import FloatArray, line_starts, trace
from lstmgen.inspection.walk import PREDICTIONS, Unit, most_varied_units, terms
from lstmgen.text.vocabulary import Ids

BYTES = 3_200_000
"""How many values are stored: in base64 they take a third more.

The page then stays below 5 MB, unless what all units remember takes more."""

_MAX, _MAX_MEMORY = 2**8 - 1, 2**16 - 1  # the integers for the end of a range
_EXPLAINED = 8  # units whose sums are stored
_RECALLED, _MIN_RECALLED = 5, 0.01  # past tokens of each step's attention; the least weight of one


def page_data(checkpoint: Checkpoint, ids: Ids, first: Sequence[Unit] = ()) -> dict[str, Any]:
    """Read a text of at least one token, (time,), and return what a page of it holds, ready for JSON.

    `ids` is the text as `begun` returns it. The gates of the units in `first` are stored before those of others; then
    come the units that vary most.

    Returns:
        By name:

            tokens      the name of each id
            text         ids, (time,)
            begins       the steps that begin from the initial state
            memory       the name of the state that a unit remembers: `cell`, or `hidden` for GRU and RNN
            layers       of each: `values` of that state, the first 8 of their 16 bits, (units, time), and their range:
                         `lowest`, `highest`, (units,)
            unit         the unit to begin with, as a pair [layer, unit], from 1
            units        the units with all values, as such pairs
            ranges       the lowest and highest value of each of their gates, by its name
            activations  these gates, and in the last row the last 8 bits of the memory, (units, gates + 1, time)
            terms        of the first of these units, by their names and the names of their gates and terms: the values,
                         (time,), in thousandths, 2 bytes each; of b, its value
            predictions  of each step: pairs [id, probability], the likeliest first
            attention    of each step: pairs [tokens back, weight], the strongest first; null without attention

        `values`, `activations` and `terms` are bytes in base64.
    """
    read = trace(checkpoint.network, checkpoint.weights, ids, end_token=checkpoint.end_token)
    past = np.arange(len(ids)) - line_starts(ids, checkpoint.end_token)  # the tokens that each step has read before
    memories = [_in_16_bits(layer.after[layer.memory_name]) for layer in read.layers]
    gates = read.layers[0].gates if len(read.layers[0].gates) > 1 else ()  # the candidate of an RNN is its memory
    ranges = {gate: (-1 if gate == "candidate" else 0, 1) for gate in gates}
    room = max(1, (BYTES // len(ids) - sum(layer.activity.shape[1] for layer in read.layers)) // (len(ranges) + 1))
    ranked = list(dict.fromkeys([*first, *most_varied_units(read)]))
    activations = [
        row
        for layer, unit in ranked[:room]
        for row in (
            *(quantized(read.layers[layer - 1].gates[gate][:, unit - 1], *ends) for gate, ends in ranges.items()),
            memories[layer - 1][0][:, unit - 1] & 255,
        )
    ]
    likely, probabilities = most_likely(read.logits, PREDICTIONS)
    return {
        "tokens": checkpoint.vocabulary.token_names(),
        "text": np.asarray(ids).tolist(),
        "begins": np.flatnonzero(past == 0).tolist(),
        "memory": read.layers[0].memory_name,
        "layers": [stored for _, stored in memories],
        "unit": ranked[0],
        "units": ranked[:room],
        "ranges": ranges,
        "activations": _base64(np.stack(activations)),
        "terms": {
            f"{unit}": {
                gate: {
                    name: float(values[0]) if name == "b" else _in_thousandths(values) for name, values in parts.items()
                }
                for gate, parts in terms(checkpoint.network, checkpoint.weights, read, unit).items()
            }
            for unit in ranked[:_EXPLAINED]
        },
        "predictions": [
            [[number, round(probability, 4)] for number, probability in zip(*step, strict=True)]
            for step in zip(likely.tolist(), probabilities.tolist(), strict=True)
        ],
        "attention": None if read.attention is None else _recalled(read.attention, past),
    }


def quantized(values: FloatArray, lowest: Any, highest: Any, largest: int = _MAX) -> NDArray[np.int64]:
    """The nearest integer v with lowest + (highest - lowest) * v / largest for each value."""
    scale = np.where(highest > lowest, np.subtract(highest, lowest, dtype=np.float64), 1)
    return np.asarray((values - lowest) / scale * largest).round().clip(0, largest).astype(np.int64)


def _in_16_bits(memory: FloatArray) -> tuple[NDArray[np.int64], dict[str, Any]]:
    """The memory of a layer, (time, hidden), in 16 bits, and what is stored of it: the first 8 bits, and its range."""
    lowest, highest = memory.min(axis=0).astype(np.float64), memory.max(axis=0).astype(np.float64)
    bits = quantized(memory, lowest, highest, _MAX_MEMORY)
    stored = {"lowest": lowest.round(6).tolist(), "highest": highest.round(6).tolist(), "values": _base64(bits.T >> 8)}
    return bits, stored


def _in_thousandths(values: FloatArray) -> str:
    return _base64((values * 1000).round().clip(-(2**15), 2**15 - 1), "<i2")


def _base64(values: NDArray[Any], kind: str = "u1") -> str:
    """Integers, by default below 256, a byte each."""
    return base64.b64encode(values.astype(kind).tobytes()).decode("ascii")


def _recalled(attention: FloatArray, past: NDArray[np.int64]) -> list[list[list[float]]]:
    """The past tokens that each step, (time, window), looked at, of so many that it has read before, (time,)."""
    steps = []
    for weights, count in zip(attention[:, ::-1], past, strict=True):  # the nearest first
        strongest = np.argsort(-weights[:count], kind="stable")[:_RECALLED]
        picked = [[int(column) + 1, round(float(weights[column]), 3)] for column in strongest]
        steps.append([[back, weight] for back, weight in picked if weight >= _MIN_RECALLED])
    return steps
