"""`lstmgen eval` and `info`: what they print about a model, and their errors for a file that is not one."""

import json
import math
import pickle
import shutil
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from lstmgen.checkpoint import load_checkpoint
from lstmgen.errors import CheckpointError
from lstmgen.language_model import load
from tests.command_line import done, evaluated, files_below, problem, untrained_run, usage_error
from tests.conftest import FABLE

FACTS = {"characters", "nats_per_character", "bits_per_character", "perplexity", "accuracy"}


@pytest.fixture
def own(trained_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a copy of the folder with the trained run, which a test may change."""
    shutil.copytree(trained_folder, tmp_path / "own")
    monkeypatch.chdir(tmp_path / "own")
    return tmp_path / "own"


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


# eval


def test_own_held_out_text_is_scored_exactly(in_trained_folder: Path) -> None:
    text = (in_trained_folder / "fable.txt").read_text(encoding="utf-8")
    held_out = text[int(len(text) * 0.9) :]
    score = load("fable").score(held_out)
    found = evaluated("fable")
    assert FACTS | {"checkpoint", "text", "protocol"} <= found.keys()
    assert found["characters"] == score.characters == len(held_out) - 1
    assert found["nats_per_character"] == score.nats_per_character
    assert found["bits_per_character"] == score.nats_per_character / math.log(2)
    assert found["perplexity"] == pytest.approx(math.exp(score.nats_per_character))
    assert found["accuracy"] == score.accuracy
    assert Path(found["checkpoint"]) == Path("checkpoints", "fable", "best.safetensors")


@pytest.mark.usefixtures("in_trained_folder")
def test_evaluation_writes_facts_to_stdout_and_changes_nothing() -> None:
    before = files_below(Path())
    ran = done("eval", "fable")
    assert ran.err == ""
    lines = [line.split() for line in ran.text.splitlines() if line]
    assert [line[0] for line in lines[:4]] == ["checkpoint", "text", "protocol", "characters"]
    assert lines[4] == ["nats", "per", "character", "95%", "interval", "bits", "perplexity", "accuracy"]
    assert lines[5][0] == "fable"
    assert files_below(Path()) == before


@pytest.mark.usefixtures("in_trained_folder")
def test_any_text_can_be_scored(tmp_path: Path) -> None:
    file = tmp_path / "other.txt"
    file.write_bytes(b"\xef\xbb\xbfThe fox saw\r\nthe grapes.")
    score = load("fable").score("The fox saw\nthe grapes.")
    for found in (evaluated("fable", file), evaluated("fable", "-", stdin=file.read_bytes())):
        assert (found["characters"], found["nats_per_character"]) == (22, score.nats_per_character)
    file.write_text("The fox", encoding="utf-16")
    assert evaluated("fable", file, "--encoding", "utf-16")["characters"] == 6


@pytest.mark.usefixtures("in_trained_folder")
def test_an_unknown_character_of_a_text_is_named_or_skipped_with_a_note(tmp_path: Path) -> None:
    file = tmp_path / "other.txt"
    file.write_text("The fox 🙂 sawé", encoding="utf-8")
    line = problem("eval", "fable", file)
    assert "'🙂'" in line
    assert "position 8" in line
    ran = done("eval", "fable", file, "--on-unknown", "skip", "--json")
    assert ran.json_lines[0]["characters"] == len("The fox  saw") - 1
    assert "2 characters skipped" in ran.err
    assert done("eval", "fable", file, "--on-unknown", "skip", "--quiet").err == ""
    file.write_text("é🙂A", encoding="utf-8")
    assert "at least 2" in problem("eval", "fable", file, "--on-unknown", "skip")


@pytest.mark.usefixtures("nowhere")
@pytest.mark.parametrize("content", [b"", b"a", b"\xff\xfe\xfd"])
def test_a_text_that_cannot_be_scored_is_a_problem(content: bytes) -> None:
    untrained_run("plain", "ab\n")
    Path("other.txt").write_bytes(content)
    assert "other.txt" in problem("eval", "plain", "other.txt")
    assert "none.txt" in problem("eval", "plain", "none.txt")


@pytest.mark.usefixtures("nowhere")
@pytest.mark.parametrize("content", [b"\n\n\n", b"\n"])
def test_a_model_of_lines_has_nothing_to_predict_in_empty_lines(content: bytes) -> None:
    untrained_run("names", "abc\n", lines=True)
    Path("empty.txt").write_bytes(content)
    assert "empty.txt" in problem("eval", "names", "empty.txt")


@pytest.mark.usefixtures("nowhere")
def test_a_model_of_lines_is_scored_line_by_line() -> None:
    untrained_run("names", "abc\n", lines=True)
    Path("names.txt").write_bytes(b"ab\nc\n\nab")
    found = evaluated("names", "names.txt")
    assert found["characters"] == 8
    assert found["nats_per_character"] == pytest.approx(load("names").score("ab\nc\n\nab").nats_per_character)


@pytest.mark.usefixtures("nowhere")
def test_a_model_of_bytes_scores_any_bytes() -> None:
    untrained_run("octets", None)
    Path("any.bin").write_bytes(bytes(range(256)) * 2)
    assert evaluated("octets", "any.bin")["characters"] == 511


@pytest.mark.usefixtures("in_trained_folder")
@pytest.mark.parametrize("window", [len(FABLE) - 1, 10**3, 10**15])
def test_a_window_as_long_as_the_text_is_the_exact_protocol(window: int) -> None:
    found = evaluated("fable", "-", "--window", window, stdin=FABLE.encode())
    assert found["window"]["characters"] == found["characters"] == len(FABLE) - 1
    assert found["window"]["nats_per_character"] == pytest.approx(found["nats_per_character"], rel=1e-5)


@pytest.mark.usefixtures("in_trained_folder")
def test_windows_are_scored_from_a_cold_start() -> None:
    text = "The fox saw grapes on"
    model = load("fable")
    cold = [model.score(text[start : start + 6]) for start in range(0, len(text) - 1, 5)]
    found = evaluated("fable", "-", "--window", 5, stdin=text.encode())
    assert found["window"]["characters"] == len(text) - 1
    assert found["window"]["nats_per_character"] == pytest.approx(sum(s.nats for s in cold) / (len(text) - 1), rel=1e-5)
    assert found["nats_per_character"] == model.score(text).nats_per_character
    shown = done("eval", "fable", "-", "--window", 5, stdin=text.encode()).text
    assert "cold start" in shown


def test_a_window_of_nothing_is_wrong_usage() -> None:
    assert "--window" in usage_error("eval", "--window", 0)


@pytest.mark.usefixtures("own")
@pytest.mark.parametrize("change", ["The grapes left. ", "New ones: QZé!", ""])
def test_a_text_that_changed_since_training_is_said(change: str) -> None:
    Path("fable.txt").write_text(change + FABLE * 19, encoding="utf-8")
    line = problem("eval", "fable")
    assert "changed since" in line
    assert "lstmgen eval CHECKPOINT TEXT" in line


@pytest.mark.usefixtures("own")
def test_a_text_that_is_gone_is_said() -> None:
    Path("fable.txt").unlink()
    line = problem("eval", "fable")
    assert "fable.txt" in line
    assert "lstmgen eval CHECKPOINT TEXT" in line


# info


@pytest.mark.usefixtures("in_trained_folder")
def test_info_says_what_a_checkpoint_is() -> None:
    ran = done("info", "fable")
    assert ran.err == ""
    for fact in ("lstm", "24 units", "fable.txt", "60 steps", "learning rate 0.012", "the last 10%"):
        assert fact in ran.text
    (found,) = done("info", "fable", "--json").json_lines
    checkpoint = load_checkpoint(Path("checkpoints", "fable", "best.safetensors"))
    assert found["model"]["hidden_size"] == 24
    assert found["vocabulary"]["characters"] == "".join(sorted(set(FABLE)))
    assert found["weights"] == {name: list(array.shape) for name, array in checkpoint.weights.items()}
    assert found["parameters"] == sum(array.size for array in checkpoint.weights.values())
    assert found["record"]["text_sha256"] == checkpoint.record.text_sha256


@pytest.mark.usefixtures("in_trained_folder")
def test_only_the_last_checkpoint_can_be_resumed() -> None:
    for file, resumable in (("best", False), ("last", True)):
        (found,) = done("info", f"checkpoints/fable/{file}.safetensors", "--json").json_lines
        assert found["resumable"] is resumable


# Damaged and hostile files: whatever reads them meets them in `load_checkpoint`


class _Bomb:
    """Makes a file if a pickle of it is ever loaded."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("exploded"),)


def taken_apart(path: Path) -> tuple[dict[str, Any], bytes]:
    content = path.read_bytes()
    (size,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + size])
    header["__metadata__"] = json.loads(header["__metadata__"]["lstmgen"])
    return header, content[8 + size :]


def put_together(path: Path, header: dict[str, Any], data: bytes) -> None:
    about = {"__metadata__": {"lstmgen": json.dumps(header["__metadata__"])}}
    text = json.dumps(header | about).encode("utf-8")
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


@pytest.fixture
def checkpoint(nowhere: None) -> Path:  # noqa: ARG001  # the folder to be in
    return untrained_run("victim", "ab\n")


@pytest.mark.usefixtures("nowhere")
@pytest.mark.parametrize("command", ["info", "sample", "eval"])
@pytest.mark.parametrize("content", [b"", b"\0" * 100, b"PK\x03\x04", b"\xff" * 8, pickle.dumps(_Bomb())])
def test_a_file_that_is_no_checkpoint_is_a_problem(command: str, content: bytes) -> None:
    Path("model.safetensors").write_bytes(content)
    line = problem(command, "model.safetensors")
    assert "model.safetensors" in line
    assert not Path("exploded").exists()


@pytest.mark.usefixtures("nowhere")
def test_a_safetensors_file_of_another_program_is_a_problem() -> None:
    save_file({"weight": np.zeros(3, np.float32)}, "model.safetensors", {"format": "pt"})
    assert "not one of lstmgen's" in problem("info", "model.safetensors")


def test_a_checkpoint_cut_short_anywhere_is_a_problem(checkpoint: Path) -> None:
    content = checkpoint.read_bytes()
    for length in {*range(0, len(content), len(content) // 40), 7, 8, 9, len(content) - 1}:
        checkpoint.write_bytes(content[:length])
        with pytest.raises(CheckpointError, match="victim"):
            load_checkpoint(checkpoint)
    assert "incomplete" in problem("sample", "victim")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0, 10**6), bit=st.integers(0, 7))
def test_a_flipped_bit_in_the_header_is_a_problem_or_no_harm(place: int, bit: int, checkpoint: Path) -> None:
    content = bytearray(checkpoint.read_bytes())
    (size,) = struct.unpack("<Q", content[:8])
    content[place % (8 + size)] ^= 1 << bit
    damaged = checkpoint.with_name("damaged.safetensors")
    damaged.write_bytes(content)
    try:
        loaded = load_checkpoint(damaged)
    except CheckpointError as error:
        assert "damaged" in str(error)
    else:
        assert loaded.weights.keys() == load_checkpoint(checkpoint).weights.keys()
        done("info", damaged)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite_are_a_problem(checkpoint: Path, value: float) -> None:
    content = bytearray(checkpoint.read_bytes())
    content[-4:] = np.float32(value).tobytes()
    checkpoint.write_bytes(content)
    assert "not finite" in problem("sample", "victim")


def test_weights_that_do_not_fit_are_a_problem(checkpoint: Path) -> None:
    header, data = taken_apart(checkpoint)
    name = "layers.0.bias"
    others = {other: about for other, about in header.items() if other != name}
    for changed, said in (
        (others | {"layers.0.other": header[name]}, f"{name} is missing"),
        (
            header | {"layers.0.other": {"dtype": "F32", "shape": [0], "data_offsets": [len(data)] * 2}},
            "does not belong",
        ),
        (header | {name: header[name] | {"shape": [1, 32]}}, "has shape"),
    ):
        put_together(checkpoint, changed, data)
        assert said in problem("info", "victim")


@pytest.mark.parametrize("dtype", ["I32", "BF16", "U8"])
def test_weights_of_another_type_are_a_problem(checkpoint: Path, dtype: str) -> None:
    header, data = taken_apart(checkpoint)
    header = {name: about if name == "__metadata__" else about | {"dtype": dtype} for name, about in header.items()}
    if dtype != "I32":  # fewer bytes a number
        size = {"BF16": 2, "U8": 1}[dtype]
        for name, about in header.items():
            if name != "__metadata__":
                about["data_offsets"] = [offset * size // 4 for offset in about["data_offsets"]]
        data = data[: len(data) * size // 4]
    put_together(checkpoint, header, data)
    assert "victim" in problem("sample", "victim")


@pytest.mark.parametrize(
    ("part", "name", "value"),
    [
        *(("model", size, 10**12) for size in ("hidden_size", "embedding_size", "num_layers", "attention")),
        *(("model", size, value) for size in ("hidden_size", "embedding_size") for value in (8.0, "8", -1, None, [8])),
        ("model", "num_layers", 1.0),
        ("model", "attention", 0.5),
        ("model", "cell", "transformer"),
        ("model", "cell", None),
        ("model", "peepholes", 5),
        ("model", "peepholes", [[]]),
        ("model", "no_such_setting", 1),
        ("vocabulary", "kind", "words"),
        ("vocabulary", "kind", []),
        ("vocabulary", "characters", ""),
        ("vocabulary", "characters", "aab"),
        ("vocabulary", "characters", 3),
        ("record", "text", "a text"),
        ("record", "text", {"sources": [5]}),
        ("record", "text", {"sources": 5}),
        ("record", "text", {"encoding": 5}),
        ("record", "text", {"validation": "some"}),
        ("record", "training", None),
        ("record", "training", {"budget": "all"}),
        ("record", "training", {"batch_size": "many"}),
        ("record", "text_sha256", 5),
        ("record", "text_symbols", "many"),
        ("record", "step", "sixty"),
        ("record", "seconds", None),
        ("record", "best_nats", "low"),
        ("record", "versions", 3),
        ("record", "versions", {"lstmgen": 3}),
        ("record", "no_such_fact", 1),
    ],
)
def test_a_description_that_cannot_be_true_is_a_problem(checkpoint: Path, part: str, name: str, value: Any) -> None:
    header, data = taken_apart(checkpoint)
    header["__metadata__"][part][name] = value
    put_together(checkpoint, header, data)
    assert "victim" in problem("info", "victim")


@pytest.mark.usefixtures("nowhere")
def test_an_attention_that_no_memory_can_hold_is_a_problem() -> None:
    """No weight's shape depends on the window: nothing but its size can tell."""
    path = untrained_run("attentive", "ab\n", attention=2)
    header, data = taken_apart(path)
    header["__metadata__"]["model"]["attention"] = 10**15
    put_together(path, header, data)
    assert "attentive" in problem("sample", "attentive")


@pytest.mark.parametrize("description", [[], "text", {}, {"format": 1}, {"format": 99}])
def test_a_description_of_another_form_is_a_problem(checkpoint: Path, description: Any) -> None:
    header, data = taken_apart(checkpoint)
    changed = header["__metadata__"] | description if description == {"format": 99} else description
    put_together(checkpoint, header | {"__metadata__": changed}, data)
    assert "victim" in problem("info", "victim")


def test_weights_that_are_finite_but_huge_are_refused(checkpoint: Path) -> None:
    header, data = taken_apart(checkpoint)
    put_together(checkpoint, header, np.full(len(data) // 4, 3e38, np.float32).tobytes())
    assert "not finite, or too large" in problem("sample", "victim", "-n", 20, "--seed", 1)
