"""One time step of the whole network, for NumPy and torch alike.

Knows: the order of the parts; that the first layer's projection of an embedding can be read from a table.
Does not know: torch, chunks, or what the ids stand for.
"""

from typing import Any, NamedTuple

from lstmgen.cells import Array
from lstmgen.cells.base import Gates
from lstmgen.network.architecture import Network, NetworkState, Weights
from lstmgen.network.head import head_inputs, head_logits


class Step(NamedTuple):
    """What one step computes: the logits, the state after it, and what went on inside."""

    logits: Array  # (batch, vocab)
    state: NetworkState
    gates: tuple[Gates, ...]  # of each layer
    attention: Array | None  # (batch, window): the weight of each past output, the oldest first


def projection_table(weights: Weights) -> Array:
    """The first layer's W x + b for every symbol, (vocab, gates * hidden): a step looks it up there."""
    first = weights.layers[0]
    return weights.embedding @ first["weight_ih"].T + first["bias"]  # type: ignore[no-any-return]


def step(network: Network, weights: Weights, table: Array, ids: Array, state: NetworkState) -> Step:
    """Read one symbol per row, and predict the next one.

    Args:
        network: the architecture.
        weights: its parameters.
        table: `projection_table` of the same weights.
        ids: symbols, (batch,) integers.
        state: the state before the step.
    """
    states, gates = [], []
    outputs: Any = None
    for number, (cell, layer, before) in enumerate(zip(network.cells, weights.layers, state.layers, strict=True)):
        projected = outputs @ layer["weight_ih"].T + layer["bias"] if number else table[ids]
        after, activated = cell.step(projected, before, layer)
        outputs = outputs + after.hidden if number else after.hidden
        states.append(after)
        gates.append(activated)
    memory, attention = state.memory, None
    if network.attention and memory is not None:
        outputs, memory, attention = network.attention.step(outputs, memory, weights.attention)
    logits = head_logits(head_inputs(outputs, weights), weights)
    return Step(logits, NetworkState(tuple(states), memory), tuple(gates), attention)
