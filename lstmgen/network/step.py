"""One time step of the whole network, for NumPy and torch alike.

Knows: the order of the parts; that the first layer's projection of an embedding can be read from a table.
Does not know: torch, chunks, or what the ids stand for.
"""

from typing import NamedTuple

from lstmgen.cells import Array
from lstmgen.cells.base import Gates
from lstmgen.network.architecture import Network, NetworkState, Weights


class Step(NamedTuple):
    """What one step says, where it leaves the network, and what went on inside."""

    logits: Array  # (batch, vocab)
    state: NetworkState
    gates: tuple[Gates, ...]  # of each layer
    attention: Array | None  # (batch, window): where it looked, the oldest output first


def projection_table(weights: Weights) -> Array:
    """The first layer's W x + b for every symbol, (vocab, gates * hidden): a step then looks it up."""
    first = weights.layers[0]
    return weights.embedding @ first["weight_ih"].T + first["bias"]  # type: ignore[no-any-return]


def step(network: Network, weights: Weights, table: Array, ids: Array, state: NetworkState) -> Step:
    """Read one symbol a row and say what may come next.

    Args:
        network: the architecture.
        weights: its parameters.
        table: `projection_table` of the same weights.
        ids: symbols, (batch,) integers.
        state: the state before the step.
    """
    projected = table[ids]
    states, gates = [], []
    said: Array | None = None
    for cell, layer, before in zip(network.cells, weights.layers, state.layers, strict=True):
        if said is not None:
            projected = said @ layer["weight_ih"].T + layer["bias"]
        after, activated = cell.step(projected, before, layer)
        said = after.hidden if said is None else said + after.hidden
        states.append(after)
        gates.append(activated)
    assert said is not None  # noqa: S101  # a network has a layer
    memory, attention = state.memory, None
    if network.attention and memory is not None:
        said, memory, attention = network.attention.step(said, memory, weights.attention)
    logits = said @ weights.head_weight.T + weights.head_bias
    return Step(logits, NetworkState(tuple(states), memory), tuple(gates), attention)
