"""The forward pass of the whole network, for one step or many, in NumPy or torch.

    embedding -> recurrent layers -> attention -> head

This is the only place that knows the order of the parts; for the equations see `architecture`.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

from lstmgen.cells import Array, Cell, Gates, Parameters, State
from lstmgen.cells.arrays import stack
from lstmgen.network.architecture import Network, NetworkState, Weights

LayerRunner: TypeAlias = Callable[[Any, Any, Any, Any], tuple[Array, State]]
"""Runs one layer: `(cell, weights, inputs, state) -> (hidden states, state after the last step)`.

The weights are the layer's parameters by name, or an object made from them. The inputs are (batch, time, input), or
(batch, input) for a runner of one step; the first layer's are a `LookUp`.
"""


class LookUp(NamedTuple):
    """The first layer's inputs before they are looked up: a runner may project each distinct token once."""

    embedding: Array  # (vocab, input)
    ids: Array  # (batch,) or (batch, time)


class Outputs(NamedTuple):
    """The network's results for some tokens, before the head."""

    head_inputs: Array  # (batch, hidden) or (batch, time, hidden); with a tied head, the embedding's size
    state: NetworkState  # after the last token
    attention: Any  # the weight of each past output: see `Attention`; None without attention


def forward(
    network: Network,
    weights: Weights,
    ids: Array,
    state: NetworkState,
    run_layer: LayerRunner,
    dropout: Callable[[Array], Array] | None = None,
) -> Outputs:
    """Read tokens, up to the head.

    The ids are (batch,) for one step, or (batch, time) for one or more; `run_layer` runs one layer over all of them.
    Dropout is applied to the inputs of the head and of every layer but the first.
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


def head(inputs: Array, weights: Weights) -> Array:
    """Turn the head's inputs, (..., hidden) or (..., embedding), into logits, (..., vocab)."""
    return inputs @ weights.head_weight.T + weights.head_bias


def project(inputs: Array | LookUp, weights: Parameters) -> Array:
    """Compute W x + b for all time steps in one product: (..., input) -> (..., gates * hidden)."""
    looked_up = inputs.embedding[inputs.ids] if isinstance(inputs, LookUp) else inputs
    return looked_up @ weights["weight_ih"].T + weights["bias"]


def unroll(cell: Cell, weights: Parameters, inputs: Array | LookUp, state: State) -> tuple[Array, State]:
    """Run one layer over a chunk: the loop over time. Every kernel computes the same as this readable loop.

    The inputs are (batch, time, input), with at least one step, or a `LookUp` of them.
    Returns the hidden states, (batch, time, hidden), and the state after the last step.
    """
    projected = project(inputs, weights)
    outputs = []
    for time in range(projected.shape[1]):
        state, _ = cell.step(projected[:, time], state, weights)
        outputs.append(state.hidden)
    return stack(outputs, axis=1), state


class Step(NamedTuple):
    """Everything that one step computes: the logits, the next state, and what the cells and attention did."""

    logits: Array  # (batch, vocab)
    state: NetworkState
    gates: tuple[Gates, ...]  # of each layer
    attention: Any  # (batch, window): the weight of each past output, the oldest first; None without attention


def step(network: Network, weights: Weights, ids: Array, state: NetworkState) -> Step:
    """Read one token per row, (batch,), by the cells' own equations, and predict the next one."""
    gates = []

    def run_layer(cell: Cell, layer: Any, inputs: Any, before: State) -> tuple[Array, State]:
        after, activated = cell.step(project(inputs, layer), before, layer)
        gates.append(activated)
        return after.hidden, after

    outputs = forward(network, weights, ids, state, run_layer)
    return Step(head(outputs.head_inputs, weights), outputs.state, tuple(gates), outputs.attention)
