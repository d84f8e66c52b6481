"""The forward pass of the whole network, for one step or for many, for NumPy and torch alike.

    embedding -> recurrent layers -> attention -> head

Nothing else repeats the order of the parts; see the equations in `architecture`.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from lstmgen.cells import Array, Cell, State
from lstmgen.cells.base import Gates
from lstmgen.network.architecture import Network, NetworkState, Weights
from lstmgen.network.unroll import LayerRunner, LookUp, project


class Outputs(NamedTuple):
    """What the network makes of some tokens, before the head."""

    head_inputs: Any  # (batch, hidden) or (batch, time, hidden); the embedding's size where the head is tied
    state: NetworkState  # after the last token
    attention: Any  # the weight of each past output: see `Attention`; None without attention


def forward(
    network: Network,
    weights: Weights,
    ids: Array,
    state: NetworkState,
    run_layer: LayerRunner,
    dropout: Callable[[Any], Any] | None = None,
) -> Outputs:
    """Read tokens, up to the head.

    The ids are (batch,) for one step, or (batch, time) for many, at least one; `run_layer` runs one layer over as many
    steps. Dropout is applied to the inputs of every layer but the first, and to those of the head.
    """
    outputs: Any = LookUp(weights.embedding, ids)
    states = []
    for number, (cell, layer, before) in enumerate(zip(network.cells, weights.layers, state.layers, strict=True)):
        inputs = dropout(outputs) if dropout and number else outputs
        hidden, after = run_layer(cell, layer, inputs, before)
        outputs = outputs + hidden if number else hidden
        states.append(after)
    memory, attention = state.memory, None
    if network.attention and memory is not None:
        attend = network.attention.step if len(ids.shape) == 1 else network.attention.chunk
        outputs, memory, attention = attend(outputs, memory, weights.attention)
    if dropout:
        outputs = dropout(outputs)
    if weights.head_projection is not None:
        outputs = outputs @ weights.head_projection.T
    return Outputs(outputs, NetworkState(tuple(states), memory), attention)


def head(inputs: Any, weights: Weights) -> Any:
    """Turn the head's inputs, (..., hidden) or (..., embedding), into logits, (..., vocab)."""
    return inputs @ weights.head_weight.T + weights.head_bias


class Step(NamedTuple):
    """All that one step computes: the logits, the state after it, and what the cells and attention did."""

    logits: Any  # (batch, vocab)
    state: NetworkState
    gates: tuple[Gates, ...]  # of each layer
    attention: Any  # (batch, window): the weight of each past output, the oldest first; None without attention


def step(network: Network, weights: Weights, ids: Array, state: NetworkState) -> Step:
    """Read one token per row, (batch,), by the cells' own equations, and predict the next one."""
    gates = []

    def run_layer(cell: Cell, layer: Any, inputs: Any, before: State) -> tuple[Any, State]:
        after, activated = cell.step(project(inputs, layer), before, layer)
        gates.append(activated)
        return after.hidden, after

    outputs = forward(network, weights, ids, state, run_layer)
    return Step(head(outputs.head_inputs, weights), outputs.state, tuple(gates), outputs.attention)
