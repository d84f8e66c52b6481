"""The whole network over a chunk of text, layer by layer, for NumPy and torch alike.

Knows: the same order of parts as `step`, with a time axis. Does not know: torch, or how a layer is run.
"""

from collections.abc import Callable
from typing import Any

from lstmgen.cells import Array
from lstmgen.network.architecture import Network, NetworkState, Weights
from lstmgen.network.unroll import Embedded, LayerRunner, unroll


def _keep(outputs: Any) -> Any:
    return outputs


def read_chunk(
    network: Network,
    weights: Weights,
    ids: Array,
    state: NetworkState,
    *,
    run_layer: LayerRunner = unroll,
    dropout: Callable[[Any], Any] = _keep,
) -> tuple[Array, NetworkState]:
    """Read a chunk and say, after each symbol, what may come next.

    Args:
        network: the architecture.
        weights: its parameters.
        ids: symbols, (batch, time) integers, at least one step.
        state: the state before the chunk.
        run_layer: runs one layer over time.
        dropout: applied to what goes from layer to layer, and to what goes to the head.

    Returns:
        Logits, (batch, time, vocab), and the state after the chunk.
    """
    said: Any = Embedded(weights.embedding, ids)
    states = []
    for number, (cell, layer) in enumerate(zip(network.cells, weights.layers, strict=True)):
        given = dropout(said) if number else said
        outputs, after = run_layer(cell, layer, given, state.layers[number])
        said = said + outputs if number else outputs
        states.append(after)
    memory = state.memory
    if network.attention and memory is not None:
        said, memory = network.attention.chunk(said, memory, weights.attention)
    logits = dropout(said) @ weights.head_weight.T + weights.head_bias
    return logits, NetworkState(tuple(states), memory)
