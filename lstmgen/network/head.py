"""The head: from the last layer's outputs to a logit for every symbol.

Knows: the two products of `architecture`, for NumPy and torch alike. Does not know: torch, time, or losses.
"""

from typing import Any

from lstmgen.network.architecture import Weights


def head_inputs(outputs: Any, weights: Weights) -> Any:
    """Project outputs, (..., hidden), to the embedding's size, (..., embedding), where the head is tied."""
    return outputs if weights.head_projection is None else outputs @ weights.head_projection.T


def head_logits(inputs: Any, weights: Weights) -> Any:
    """Turn what `head_inputs` returned into logits, (..., vocab)."""
    return inputs @ weights.head_weight.T + weights.head_bias
