"""`lstmgen export --onnx`: onnxruntime computes the same as our engine, step by step and chunk by chunk."""

import builtins
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lstmgen.checkpoint import Checkpoint
from lstmgen.config import ModelConfig, VocabularyKind
from lstmgen.export.onnx_models import onnx_files, state_names
from lstmgen.generation.engine import NumpyEngine
from lstmgen.network.architecture import NetworkState, map_state
from lstmgen.text.vocabulary import Vocabulary
from tests.command_line import done, files_below, problem, untrained_checkpoint, untrained_run
from tests.conftest import NETWORKS, form

onnxruntime = pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")

CHARACTERS = "\n abcdefgé中"
ATTENTION = {"lstm-tied": 3, "gru-before": 2}
COVERED = ("lstm", "peephole", "peephole-input")
KINDS = [
    pytest.param(config, ATTENTION.get(name, 0), id=name, marks=[pytest.mark.long] if name in COVERED else [])
    for name, config in NETWORKS.items()
]


def checkpoint_of(config: ModelConfig, attention: int, *, lines: bool = False) -> Checkpoint:
    vocabulary = Vocabulary(VocabularyKind.CHARACTERS, CHARACTERS)
    sizes = {"hidden_size": 6, "num_layers": 2, "embedding_size": 4}
    return untrained_checkpoint(vocabulary, lines=lines, attention=attention, **sizes, **form(config))


def flat(state: NetworkState) -> list[Any]:
    fields: list[Any] = []
    map_state(fields.append, state)
    return fields


def session(content: bytes) -> Any:
    return onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])


@pytest.mark.parametrize(("config", "attention"), KINDS)
def test_both_files_compute_the_same_as_the_engine(config: ModelConfig, attention: int) -> None:
    checkpoint = checkpoint_of(config, attention)
    (step, chunk), names = map(session, onnx_files(checkpoint, "any")), state_names(checkpoint.network)
    engine = NumpyEngine(checkpoint.network, checkpoint.weights)
    ids = np.random.default_rng(0).integers(0, len(CHARACTERS), (3, 7))
    state = engine.initial_state(3)
    expected, after = engine.read(ids, state)
    states = dict(zip(names, flat(state), strict=True))

    logits, *ends = chunk.run(["logits", *(f"next.{name}" for name in names)], {"ids": ids, **states})
    assert logits == pytest.approx(expected, abs=1e-4)
    for ours, theirs in zip(flat(after), ends, strict=True):
        assert theirs == pytest.approx(ours, abs=1e-4)

    assert [value.name for value in step.get_inputs()] == ["ids", *names]
    assert [value.name for value in step.get_outputs()] == ["logits", *(f"next.{name}" for name in names)]
    for time in range(ids.shape[1]):
        logits, *ends = step.run(None, {"ids": ids[:, time], **states})
        assert logits == pytest.approx(expected[:, time], abs=1e-4)
        states = dict(zip(names, ends, strict=True))


@pytest.fixture(scope="module")
def files() -> tuple[bytes, bytes]:
    return onnx_files(checkpoint_of(ModelConfig(), 0, lines=True), "small")


def test_a_chunk_of_any_length_and_batch_continues_the_one_before(files: tuple[bytes, bytes]) -> None:
    chunk, names = session(files[1]), state_names(checkpoint_of(ModelConfig(), 0).network)
    ids = np.random.default_rng(1).integers(0, len(CHARACTERS), (1, 9))
    zeros = {name: np.zeros((1, 6), np.float32) for name in names}
    whole, *_ = chunk.run(None, {"ids": ids, **zeros})
    states, parts = zeros, []
    for part in np.split(ids, [1, 4], axis=1):
        logits, *ends = chunk.run(["logits", *(f"next.{name}" for name in names)], {"ids": part, **states})
        states = dict(zip(names, ends, strict=True))
        parts.append(logits)
    assert np.concatenate(parts, axis=1) == pytest.approx(whole, abs=1e-6)


def test_a_checkpoint_gives_the_same_bytes_with_what_a_program_needs_to_know(files: tuple[bytes, bytes]) -> None:
    for content in files:
        metadata = session(content).get_modelmeta().custom_metadata_map
        about = json.loads(metadata["lstmgen"])
        assert (about["name"], about["characters"], about["lines"]) == ("small", CHARACTERS, True)
        assert about["model"]["hidden_size"] == 6
        assert b"lstmgen/" not in content and b".py" not in content  # nothing about the machine that made it
    assert onnx_files(checkpoint_of(ModelConfig(), 0, lines=True), "small") == files


def test_the_command_writes_two_new_files(nowhere: Path) -> None:
    untrained_run("any", CHARACTERS)
    ran = done("export", nowhere / "checkpoints" / "any", "--onnx", "any.onnx")
    assert ran.out == b""
    assert "any.onnx" in ran.err and "any-chunk.onnx" in ran.err
    inputs = [session(Path(name).read_bytes()).get_inputs()[0].shape for name in ("any.onnx", "any-chunk.onnx")]
    assert inputs == [["batch"], ["batch", "time"]]
    for name in ("any.onnx", "any-chunk.onnx"):
        content = Path(name).read_bytes()
        assert b'"name": "any"' in content and str(nowhere).encode() not in content
    for nameless in ("", "/"):
        assert "--onnx" in problem("export", "any", "--onnx", nameless)


def test_an_error_in_the_middle_leaves_no_file(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    untrained_run("any", CHARACTERS)
    before = files_below(nowhere)

    def fail(*_arguments: object) -> None:
        raise MemoryError

    monkeypatch.setattr("lstmgen.export.onnx_models._chunk_model", fail)
    problem("export", "any", "--onnx", "any.onnx")
    assert files_below(nowhere) == before


@pytest.mark.usefixtures("nowhere")
@pytest.mark.parametrize("package", ["onnx", "onnxscript"])
def test_a_package_that_is_missing_is_named_with_its_remedy(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    untrained_run("any", CHARACTERS)
    original = builtins.__import__

    def without(name: str, *more: Any) -> Any:
        if name == package:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return original(name, *more)

    monkeypatch.setattr(builtins, "__import__", without)
    line = problem("export", "any", "--onnx", "any.onnx")
    assert f"--onnx: {package} is not installed; pip install 'lstmgen[onnx]'" in line
    assert not list(Path().glob("*.onnx"))
