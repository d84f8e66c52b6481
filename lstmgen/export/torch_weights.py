"""A model as weights for torch's own modules: nn.Embedding, one nn.LSTM, nn.GRU or nn.RNN per layer, and nn.Linear.

`torch.load(FILE, weights_only=True)` reads the file and returns a mapping:

    cell                          LSTM, GRU or RNN: the name of the module in torch.nn
    vocab_size, embedding_size, hidden_size, num_layers
    characters                    the character of each id; empty for a model of bytes, whose ids are the bytes
    lines                         whether each line is a separate item that starts from a state of zeros
    state_dict                    embedding.weight, layers.0.weight_ih_l0, ..., head.weight, head.bias

From the second layer on, each layer's output is added to its input, which torch's multi-layer modules do not do.
"""

import io
from collections.abc import Mapping

import torch
from torch import Tensor

from lstmgen.checkpoint import Checkpoint
from lstmgen.config import CellKind, ModelConfig, Reset
from lstmgen.errors import ConfigError

_MODULES = {CellKind.LSTM: "LSTM", CellKind.COUPLED: "LSTM", CellKind.GRU: "GRU", CellKind.RNN: "RNN"}


def torch_file(checkpoint: Checkpoint) -> bytes:
    """The content of the file; raises ConfigError for a network that torch's modules cannot compute."""
    model, network = checkpoint.model, checkpoint.network
    if problem := _problem(model):
        raise ConfigError("torch", True, f"{problem}; export it with `onnx`")
    named: dict[str, Tensor] = {name: torch.from_numpy(array) for name, array in checkpoint.weights.items()}
    state = {"embedding.weight": named["embedding"]}
    for number, layer in enumerate(network.arrange(named).layers):
        state |= {f"layers.{number}.{name}": tensor for name, tensor in _layer(model.cell, layer).items()}
    if model.tied:  # the exported head is a separate matrix: E (P a) = (E P) a
        named["head.weight"] = named["embedding"] @ named["head.projection"]
    state |= {"head.weight": named["head.weight"], "head.bias": named["head.bias"]}
    content = {
        "cell": _MODULES[model.cell],
        "vocab_size": network.vocab_size,
        "embedding_size": model.embedding_size,
        "hidden_size": model.hidden_size,
        "num_layers": model.num_layers,
        "characters": checkpoint.vocabulary.characters,
        "lines": checkpoint.record.text.lines,
        "state_dict": state,
    }
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


def _problem(model: ModelConfig) -> str | None:
    """Say why torch's modules cannot compute this network; None: they can."""
    if model.cell not in _MODULES:
        return "torch has no LSTM with peepholes"
    if model.cell is CellKind.GRU and model.reset is Reset.BEFORE:
        return "torch's GRU resets after the recurrent product, and this one before it"
    return "torch has no module for this attention" if model.attention else None


def _layer(cell: CellKind, layer: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The parameters of a layer by torch's names. Of torch's two biases, the second is zero except for the GRU's b_n.

    A coupled LSTM is an LSTM whose input gate has the rows of the forget gate, negated: 1 - σ(a) = σ(-a).
    """
    w, r, bias = layer["weight_ih"], layer["weight_hh"], layer["bias"]
    if cell is CellKind.COUPLED:
        rows = r.shape[1]
        w, r, bias = (torch.cat([-tensor[:rows], tensor]) for tensor in (w, r, bias))
    second = torch.zeros_like(bias)
    if "bias_candidate" in layer:
        second[-len(layer["bias_candidate"]) :] = layer["bias_candidate"]
    return {"weight_ih_l0": w, "weight_hh_l0": r, "bias_ih_l0": bias, "bias_hh_l0": second}
