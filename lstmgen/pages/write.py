"""A page to write with: the network, its weights and its vocabulary."""

import base64
from typing import Any

import numpy as np

from lstmgen.checkpoint import AnyArray, Checkpoint
from lstmgen.config import CellKind
from lstmgen.network.rounding import Rounding, rounded
from lstmgen.pages.page import fill_page

_SCRIPTS = ("engine.js", "sampling.js", "writing.js", "write.js")


def writing_page(checkpoint: Checkpoint, name: str, rounding: Rounding) -> str:
    """Return the page of a model under this name, with its weights rounded as given."""
    title = "".join(letter if letter.isprintable() else "\ufffd" for letter in name)
    return fill_page("write", title, _data(checkpoint, name, rounding), _SCRIPTS)


def _data(checkpoint: Checkpoint, name: str, rounding: Rounding) -> dict[str, Any]:
    """Return what the page holds, ready for JSON.

    Returns:
        By name:

            name          of the model
            about         its network and how its weights are stored, in words
            code_points   of each id; empty for a model of bytes
            start         the id to read first if a text is empty
            end_token     the id that ends each line; null for a model of running text
            cell, reset   the equations; `reset` is null except for the GRU
            attention     how many past outputs attention looks at; 0: none
            layers        how many
            weights       each parameter by its name in a checkpoint: `shape`, `type` (int8, float16 or float32),
                          `values`, and for a matrix `scales`, float32; both little-endian in base64
    """
    model, network, vocabulary = checkpoint.model, checkpoint.network, checkpoint.vocabulary
    weights = {}
    for parameter, array in checkpoint.weights.items():
        stored, scales = rounded(array, rounding)
        weights[parameter] = {
            "shape": list(stored.shape),
            "type": stored.dtype.name,
            "values": _base64(stored),
        } | ({} if scales is None else {"scales": _base64(scales)})
    return {
        "name": name,
        "about": f"{network}, {network.parameter_count():,} weights in {rounding}",
        "code_points": [ord(character) for character in vocabulary.characters],
        "start": vocabulary.start,
        "end_token": checkpoint.end_token,
        "cell": str(model.cell),
        "reset": str(model.reset) if model.cell is CellKind.GRU else None,
        "attention": model.attention,
        "layers": model.num_layers,
        "weights": weights,
    }


def _base64(array: AnyArray) -> str:
    little_endian = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    return base64.b64encode(little_endian.tobytes()).decode("ascii")
