"""`lstmgen eval` and `info`: what they print about a model, and their errors for a file that is not one."""

import math
import shutil
from pathlib import Path

import pytest

from lstmgen.checkpoint import load_checkpoint
from lstmgen.language_model import load
from tests.command_line import done, evaluated, files_below, problem, untrained_run, usage_error
from tests.conftest import FABLE

FACTS = {"characters", "nats_per_character", "bits_per_character", "perplexity", "accuracy"}


# eval


def test_own_held_out_text_is_scored_exactly_and_nothing_is_changed(in_trained_folder: Path) -> None:
    before = files_below(in_trained_folder)
    text = (in_trained_folder / "fable.txt").read_text(encoding="utf-8")
    validation = text[int(len(text) * 0.9) :]
    score = load("fable").score(validation)
    found = evaluated("fable")
    assert FACTS | {"checkpoint", "text", "protocol"} <= found.keys()
    assert found["characters"] == score.characters == len(validation) - 1
    assert found["nats_per_character"] == score.nats_per_character
    assert found["bits_per_character"] == score.nats_per_character / math.log(2)
    assert found["perplexity"] == pytest.approx(math.exp(score.nats_per_character))
    assert found["accuracy"] == score.accuracy
    assert Path(found["checkpoint"]) == Path("checkpoints", "fable", "best.safetensors")
    ran = done("eval", "fable")
    assert ran.err == ""
    lines = [line.split() for line in ran.text.splitlines() if line]
    assert [line[0] for line in lines[:4]] == ["checkpoint", "text", "protocol", "characters"]
    assert lines[4] == ["nats", "per", "character", "95%", "interval", "bits", "perplexity", "accuracy"]
    assert lines[5][0] == "fable"
    assert files_below(in_trained_folder) == before


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
    assert "'🙂'" in line and "8" in line
    ran = done("eval", "fable", file, "--on-unknown", "skip", "--json")
    assert ran.json_lines[0]["characters"] == len("The fox  saw") - 1
    assert "2 characters skipped" in ran.err
    assert done("eval", "fable", file, "--on-unknown", "skip", "--quiet").err == ""
    file.write_text("é🙂A", encoding="utf-8")
    problem("eval", "fable", file, "--on-unknown", "skip")


@pytest.mark.usefixtures("nowhere")
def test_a_text_that_cannot_be_scored_is_a_problem() -> None:
    untrained_run("plain", "ab\n")
    untrained_run("names", "abc\n", lines=True)
    unusable = {"plain": (b"", b"a", b"\xff\xfe\xfd"), "names": (b"\n\n\n", b"\n")}
    for model, content in ((model, content) for model, contents in unusable.items() for content in contents):
        Path("other.txt").write_bytes(content)
        assert "other.txt" in problem("eval", model, "other.txt")
    assert "none.txt" in problem("eval", "plain", "none.txt")


@pytest.mark.usefixtures("in_trained_folder")
def test_windows_are_scored_from_a_cold_start_and_one_as_long_as_the_text_is_the_exact_protocol() -> None:
    for window in (len(FABLE) - 1, 10**3, 10**15):
        found = evaluated("fable", "-", "--window", window, stdin=FABLE.encode())
        assert found["window"]["characters"] == found["characters"] == len(FABLE) - 1
        assert found["window"]["nats_per_character"] == pytest.approx(found["nats_per_character"], rel=1e-5)
    text = "The fox saw grapes on"
    model = load("fable")
    cold = [model.score(text[start : start + 6]) for start in range(0, len(text) - 1, 5)]
    found = evaluated("fable", "-", "--window", 5, stdin=text.encode())
    assert found["window"]["characters"] == len(text) - 1
    assert found["window"]["nats_per_character"] == pytest.approx(sum(s.nats for s in cold) / (len(text) - 1), rel=1e-5)
    assert found["nats_per_character"] == model.score(text).nats_per_character
    assert "cold start" in done("eval", "fable", "-", "--window", 5, stdin=text.encode()).text
    assert "--window" in usage_error("eval", "--window", 0)


@pytest.mark.parametrize("change", ["The grapes left. ", "New ones: QZé!", "", None])
def test_a_text_that_changed_or_is_gone_since_training_is_said(
    change: str | None, trained_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(trained_folder, tmp_path / "own")
    monkeypatch.chdir(tmp_path / "own")
    if change is None:
        Path("fable.txt").unlink()
    else:
        Path("fable.txt").write_text(change + FABLE * 19, encoding="utf-8")
    line = problem("eval", "fable")
    assert "fable.txt" in line and "lstmgen eval CHECKPOINT TEXT" in line


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
    for file, resumable in (("best", False), ("last", True)):
        (found,) = done("info", f"checkpoints/fable/{file}.safetensors", "--json").json_lines
        assert found["resumable"] is resumable
