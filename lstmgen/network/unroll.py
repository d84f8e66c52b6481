"""The loop over time: one layer over a chunk, for NumPy and torch alike.

The projection of all inputs is one product, before the loop. Every kernel computes the same as this readable loop.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeAlias

from lstmgen.cells import Array, Cell, State
from lstmgen.cells.arrays import stack

LayerRunner: TypeAlias = Callable[[Any, Any, Any, Any], tuple[Any, Any]]
"""Runs one layer: `(cell, weights, inputs, state) -> (hidden states, state after the last step)`.

The weights are the layer's parameters by name, or an object made from them. The inputs are (batch, time, input), or
(batch, input) for a runner of one step; those of the first layer are a `LookUp`.
"""


class LookUp(NamedTuple):
    """The first layer's inputs before they are looked up: a runner may project each distinct token once."""

    embedding: Array  # (vocab, input)
    ids: Array  # (batch,) or (batch, time)


def project(inputs: Any, weights: Mapping[str, Any]) -> Any:
    """Compute W x + b: (..., input) -> (..., gates * hidden)."""
    looked_up = inputs.embedding[inputs.ids] if isinstance(inputs, LookUp) else inputs
    return looked_up @ weights["weight_ih"].T + weights["bias"]


def unroll(cell: Cell, weights: Mapping[str, Any], inputs: Array | LookUp, state: State) -> tuple[Array, State]:
    """Run one layer over a chunk of at least one step, (batch, time, input), perhaps still to be looked up.

    Returns the hidden states, (batch, time, hidden), and the state after the last step.
    """
    projected = project(inputs, weights)
    outputs = []
    for time in range(projected.shape[1]):
        state, _ = cell.step(projected[:, time], state, weights)
        outputs.append(state.hidden)
    return stack(outputs, axis=1), state
