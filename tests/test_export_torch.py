"""`lstmgen export --torch`: torch's own modules compute the same, with a few lines and without lstmgen."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lstmgen.checkpoint import Checkpoint, load_checkpoint
from lstmgen.config import CellKind, Reset, VocabularyKind
from lstmgen.export.torch_weights import torch_file
from lstmgen.generation.engine import NumpyEngine
from lstmgen.text.vocabulary import Vocabulary
from tests.command_line import done, problem, untrained_checkpoint, untrained_run, usage_error

CHARACTERS = "\n abcdefgé中"


def checkpoint_of(**model: Any) -> Checkpoint:
    return untrained_checkpoint(Vocabulary(VocabularyKind.CHARACTERS, CHARACTERS), num_layers=3, **model)


def loaded(content: bytes) -> dict[str, Any]:
    return dict(torch.load(io.BytesIO(content), weights_only=True))


def logits_of(saved: dict[str, Any], ids: Tensor) -> Tensor:
    """What torch's modules make of some ids, (batch, time) -> (batch, time, vocab)."""
    sizes = [saved["embedding_size"]] + [saved["hidden_size"]] * (saved["num_layers"] - 1)
    model = nn.ModuleDict(
        {
            "embedding": nn.Embedding(saved["vocab_size"], saved["embedding_size"]),
            "layers": nn.ModuleList(
                getattr(nn, saved["cell"])(size, saved["hidden_size"], batch_first=True) for size in sizes
            ),
            "head": nn.Linear(saved["hidden_size"], saved["vocab_size"]),
        }
    )
    model.load_state_dict(saved["state_dict"])
    outputs = model["embedding"](ids)
    layers = model["layers"]
    assert isinstance(layers, nn.ModuleList)
    for number, layer in enumerate(layers):
        hidden, _ = layer(outputs)
        outputs = outputs + hidden if number else hidden
    return torch.as_tensor(model["head"](outputs))


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("cell", ["rnn", "lstm", "coupled", "gru"])
def test_the_modules_of_torch_compute_the_same_logits(cell: str, tied: bool) -> None:
    checkpoint = checkpoint_of(cell=CellKind(cell), tied=tied)
    ids = np.random.default_rng(0).integers(0, len(CHARACTERS), (2, 20))
    engine = NumpyEngine(checkpoint.network, checkpoint.weights)
    expected, _ = engine.read(ids, engine.initial_state(2))
    with torch.no_grad():
        logits = logits_of(loaded(torch_file(checkpoint)), torch.from_numpy(ids))
    assert logits.numpy() == pytest.approx(expected, abs=1e-5)


def test_the_file_says_what_a_program_needs_to_know() -> None:
    saved = loaded(torch_file(checkpoint_of()))
    assert saved["characters"] == CHARACTERS
    assert not saved["lines"]
    assert saved.keys() == {
        *("cell", "vocab_size", "embedding_size", "hidden_size", "num_layers", "characters", "lines", "state_dict")
    }
    octets = untrained_checkpoint(Vocabulary(VocabularyKind.BYTES), lines=True)
    saved = loaded(torch_file(octets))
    assert (saved["characters"], saved["vocab_size"], saved["lines"]) == ("", 256, True)


@pytest.mark.usefixtures("nowhere")
def test_the_command_writes_a_new_file() -> None:
    path = untrained_run("any", CHARACTERS)
    ran = done("export", "any", "--torch", "any.pt")
    assert ran.out == b""
    assert "any.pt" in ran.err
    assert Path("any.pt").read_bytes() == torch_file(load_checkpoint(path))
    assert "--torch" in usage_error("export", "any", "--torch", "a.pt", "--html", "a.html")


@pytest.mark.usefixtures("nowhere")
@pytest.mark.parametrize(
    "model", [{"cell": CellKind.PEEPHOLE}, {"cell": CellKind.GRU, "reset": Reset.BEFORE}, {"attention": 3}]
)
def test_a_network_that_torch_has_no_modules_for_is_a_problem(model: dict[str, Any]) -> None:
    untrained_run("any", CHARACTERS, **model)
    line = problem("export", "any", "--torch", "any.pt")
    assert "--torch" in line and "--onnx" in line
    assert not Path("any.pt").exists()
