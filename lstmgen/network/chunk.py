"""The whole network over a chunk of text, layer by layer, for NumPy and torch alike.

Knows: the same order of parts as `step`, with a time axis. Does not know: torch, or how a layer is run.
"""

from collections.abc import Callable
from typing import Any

from lstmgen.cells import Array
from lstmgen.network.architecture import Network, NetworkState, Weights
from lstmgen.network.head import head_inputs, head_logits
from lstmgen.network.unroll import Embedded, LayerRunner, unroll


def _keep(outputs: Any) -> Any:
    return outputs


def read_outputs(
    network: Network,
    weights: Weights,
    ids: Array,
    state: NetworkState,
    *,
    run_layer: LayerRunner = unroll,
    dropout: Callable[[Any], Any] = _keep,
) -> tuple[Any, NetworkState]:
    """Read a chunk up to the head.

    Args:
        network: the architecture.
        weights: its parameters.
        ids: symbols, (batch, time) integers, at least one step.
        state: the state before the chunk.
        run_layer: runs one layer over time.
        dropout: applied to the inputs of every layer but the first, and to those of the head.

    Returns:
        What the head turns into logits, (batch, time, hidden), or (batch, time, embedding) where it is tied; and the
        state after the chunk.
    """
    outputs: Any = Embedded(weights.embedding, ids)
    states = []
    for number, (cell, layer) in enumerate(zip(network.cells, weights.layers, strict=True)):
        inputs = dropout(outputs) if number else outputs
        hidden, after = run_layer(cell, layer, inputs, state.layers[number])
        outputs = outputs + hidden if number else hidden
        states.append(after)
    memory = state.memory
    if network.attention and memory is not None:
        outputs, memory = network.attention.chunk(outputs, memory, weights.attention)
    return head_inputs(dropout(outputs), weights), NetworkState(tuple(states), memory)


def read_chunk(
    network: Network, weights: Weights, ids: Array, state: NetworkState, *, run_layer: LayerRunner = unroll
) -> tuple[Array, NetworkState]:
    """Read a chunk, and predict the next symbol after each of its symbols; see `read_outputs`.

    Returns:
        Logits, (batch, time, vocab), and the state after the chunk.
    """
    outputs, after = read_outputs(network, weights, ids, state, run_layer=run_layer)
    return head_logits(outputs, weights), after
