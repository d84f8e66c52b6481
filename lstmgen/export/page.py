"""A model as one self-contained web page that writes: the network, its weights and its vocabulary.

The template, the style sheet and the scripts lie beside this file. The page loads nothing, and the browser runs no
script but these: the page names their hash. Everything that comes from the checkpoint goes in as JSON.

Knows: what fills the template. Does not know: how the page computes or looks; files to write.
"""

import base64
from collections.abc import Mapping
from html import escape
from typing import Any

import numpy as np

from lstmgen.checkpoint import AnyArray, Checkpoint
from lstmgen.config import CellKind
from lstmgen.export.rounding import Rounding, rounded_weights
from lstmgen.web_page import fill_page

_SCRIPTS = ("engine.js", "sampling.js", "writing.js", "page.js")


def page_data(checkpoint: Checkpoint, name: str, rounding: Rounding) -> dict[str, Any]:
    """Return what a page holds of a model, ready for JSON.

    Args:
        checkpoint: the model.
        name: what the model is called.
        rounding: how its weights are stored.

    Returns:
        By name:

            name          of the model
            about         its network and how its weights are stored, in words
            code_points   of each id; empty for a model of bytes
            start         the id that a text without a beginning begins with
            item_end      the id that ends each line; null for a model of running text
            cell, reset   which equations; `reset` is null but for the GRU
            attention     how many past outputs attention looks at; 0: none
            layers        how many
            weights       each parameter by the name that it has in a checkpoint: `shape`, `type` (int8, float16 or
                          float32), `values`, and for a matrix `scales`, float32; both little-endian in base64
    """
    model, network, vocabulary = checkpoint.model, checkpoint.network, checkpoint.vocabulary
    weights = {}
    for parameter, array in rounded_weights(checkpoint.weights, rounding).items():
        weights[parameter] = {
            "shape": list(array.stored.shape),
            "type": array.stored.dtype.name,
            "values": _base64(array.stored),
        } | ({} if array.scales is None else {"scales": _base64(array.scales)})
    return {
        "name": name,
        "about": f"{network}, {network.parameter_count():,} weights in {rounding}",
        "code_points": [ord(character) for character in vocabulary.characters],
        "start": vocabulary.start,
        "item_end": checkpoint.item_end,
        "cell": str(model.cell),
        "reset": str(model.reset) if model.cell is CellKind.GRU else None,
        "attention": model.attention,
        "layers": model.num_layers,
        "weights": weights,
    }


def page(data: Mapping[str, Any]) -> str:
    """Return the page that holds what `page_data` returned."""
    title = escape("".join(letter if letter.isprintable() else "\ufffd" for letter in data["name"]))
    return fill_page("lstmgen.export", "page", _SCRIPTS, data, title=title)


def _base64(array: AnyArray) -> str:
    little_endian = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    return base64.b64encode(little_endian.tobytes()).decode("ascii")
