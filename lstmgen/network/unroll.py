"""The loop over time: one layer over a chunk, for NumPy and torch alike.

The projection of all inputs is one product, before the loop. Every kernel computes the same as this readable loop.

Knows: time. Does not know: torch, depth, or which cell it runs.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeAlias

from lstmgen.cells import Array, Cell, State
from lstmgen.cells.arrays import stack

LayerRunner: TypeAlias = Callable[[Cell, Any, Any, State], tuple[Any, State]]
"""Runs one layer over a chunk, given its parameters, or an object made from them: `unroll`, or a kernel."""


class Embedded(NamedTuple):
    """The first layer's inputs before the look-up: a runner may project each distinct symbol once."""

    embedding: Array  # (vocab, input)
    ids: Array  # (batch, time)

    def looked_up(self) -> Array:
        """The inputs themselves, (batch, time, input)."""
        return self.embedding[self.ids]  # type: ignore[no-any-return]


def unroll(cell: Cell, weights: Mapping[str, Any], inputs: Array | Embedded, state: State) -> tuple[Array, State]:
    """Run one layer over a chunk, step by step.

    Args:
        cell: the cell.
        weights: the layer's parameters by name.
        inputs: (batch, time, input), at least one step; perhaps still to be looked up.
        state: the state before the chunk.

    Returns:
        The hidden states, (batch, time, hidden), and the state after the last step.
    """
    inputs = inputs.looked_up() if isinstance(inputs, Embedded) else inputs
    projected = inputs @ weights["weight_ih"].T + weights["bias"]
    outputs = []
    for time in range(inputs.shape[1]):
        state, _ = cell.step(projected[:, time], state, weights)
        outputs.append(state.hidden)
    return stack(outputs, axis=1), state
