"""Describe a network to the scripts of a page: its equations, its weights and its vocabulary."""

import base64
from typing import Any

import numpy as np

from lstmgen.checkpoint import AnyArray, Checkpoint
from lstmgen.network.rounding import Rounding, rounded


def network_data(checkpoint: Checkpoint, rounding: Rounding) -> dict[str, Any]:
    """Return a network with its weights rounded, ready for JSON.

    Returns:
        By name:

            code_points   the code point of each id; empty for a model of bytes
            start         the id that a text written from nothing begins with
            end_token     the id that ends each line; null for a model of running text
            cell          the kind of cell
            attention     how many past outputs attention looks at; 0 for none
            layers        the number of layers
            weights       each parameter by its name in a checkpoint: `shape`, `type` (int8, float16 or float32),
                          `values`, and for a matrix `scales`, float32; both are little-endian, in base64
    """
    model, vocabulary, weights = checkpoint.model, checkpoint.vocabulary, {}
    for parameter, array in checkpoint.weights.items():
        stored, scales = rounded(array, rounding)
        weights[parameter] = {
            "shape": list(stored.shape),
            "type": stored.dtype.name,
            "values": _base64(stored),
        } | ({} if scales is None else {"scales": _base64(scales)})
    return {
        "code_points": [ord(character) for character in vocabulary.characters],
        "start": vocabulary.start,
        "end_token": checkpoint.end_token,
        "cell": str(model.cell),
        "attention": model.attention,
        "layers": model.num_layers,
        "weights": weights,
    }


def _base64(array: AnyArray) -> str:
    little_endian = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    return base64.b64encode(little_endian.tobytes()).decode("ascii")
