"""A trace: everything that a network computes while it reads a text, token by token.

All numbers come from `network.forward.step`, the cells' own equations in NumPy. Nothing is computed a second time here.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lstmgen.cells import Cell
from lstmgen.cells.arrays import softmax, tanh
from lstmgen.network.architecture import Network, NetworkState
from lstmgen.network.forward import step
from lstmgen.text.vocabulary import Ids

FloatArray = NDArray[Any]
"""Of the same type as the weights: float32 for a checkpoint."""

_PIECE = 1024  # tokens


@dataclass(frozen=True)
class LayerTrace:
    """What one layer computed at each token of a text; every array is (time, hidden)."""

    cell: Cell
    gates: Mapping[str, FloatArray]
    """The activations by the gate's name, in the cell's order, such as input, forget, candidate, output."""
    before: Mapping[str, FloatArray]
    """The state before each token by the field's name: `hidden`, and for the LSTM family `cell`."""
    after: Mapping[str, FloatArray]
    """The state after each token, with the same names."""

    @property
    def memory_name(self) -> str:
        """The field of the state in which this cell remembers: `cell`, or `hidden` for GRU and RNN."""
        return "cell" if "cell" in self.after else "hidden"

    @property
    def activity(self) -> FloatArray:
        """What each unit remembers after each token, between -1 and 1: tanh(c'), or h' for GRU and RNN."""
        memory = self.after[self.memory_name]
        return np.asarray(tanh(memory) if self.memory_name == "cell" else memory)


@dataclass(frozen=True)
class Trace:
    """What a network computed at each token of a text.

    Entry t of every array belongs to the step that reads token t. Its logits predict token t + 1.
    """

    ids: Ids
    """The tokens that were read, (time,)."""
    layers: tuple[LayerTrace, ...]
    """The first layer first."""
    attention: FloatArray | None
    """The weight of each past output, (time, window): the last column is one token back. None without attention.

    A column that lies before the beginning of the text belongs to an output of zeros.
    """
    logits: FloatArray
    """(time, vocab)."""
    state: NetworkState
    """After the last token: to read on from here."""

    @cached_property
    def probabilities(self) -> FloatArray:
        """The probability of each token to be the next one, (time, vocab)."""
        return np.asarray(softmax(self.logits))


def trace(
    network: Network,
    weights: Mapping[str, FloatArray],
    ids: Ids,
    state: NetworkState | None = None,
    *,
    end_token: int | None = None,
) -> Trace:
    """Read a text, (time,), of at least one token, and record every step.

    Reading starts from `state`, of one row; None: the initial state. `end_token` is the id of the line feed for a model
    of lines (`checkpoint.end_token`): each line begins with it, from the initial state, as in training.

    The trace has about time * layers * hidden * 8 numbers; see `traces` for a long text.
    """
    arranged = network.arrange(weights)
    initial = network.initial_state(1, like=weights["embedding"])
    state = initial if state is None else state
    gates, before, after, attention, logits = [], [], [], [], []
    for number in np.asarray(ids, np.int64):
        if number == end_token:
            state = initial
        before.append(state.layers)
        with np.errstate(invalid="ignore", over="ignore"):  # BLAS also computes on unused lanes of vector registers
            done = step(network, arranged, number[None], state)
        state = done.state
        gates.append(done.gates)
        after.append(state.layers)
        attention.append(done.attention)
        logits.append(done.logits[0])
    layers = tuple(
        LayerTrace(
            cell,
            gates=_by_name(cell.gate_names, [each[layer] for each in gates]),
            before=_by_name(initial.layers[layer]._fields, [each[layer] for each in before]),
            after=_by_name(initial.layers[layer]._fields, [each[layer] for each in after]),
        )
        for layer, cell in enumerate(network.cells)
    )
    return Trace(
        ids=np.asarray(ids),
        layers=layers,
        attention=np.concatenate(attention) if network.attention else None,
        logits=np.stack(logits),
        state=state,
    )


def traces(
    network: Network, weights: Mapping[str, FloatArray], ids: Ids, *, end_token: int | None = None
) -> Iterator[Trace]:
    """The trace of a long text piece by piece, with carried state, so that memory does not grow with the text."""
    state = None
    for start in range(0, len(ids), _PIECE):
        piece = trace(network, weights, ids[start : start + _PIECE], state, end_token=end_token)
        state = piece.state
        yield piece


def _by_name(names: tuple[str, ...], steps: list[tuple[Any, ...]]) -> dict[str, FloatArray]:
    """Join the fields, each (1, hidden), of one named tuple per step to arrays, (time, hidden), by name."""
    return {name: np.concatenate(arrays) for name, arrays in zip(names, zip(*steps, strict=True), strict=True)}
