"""`lstmgen eval` and `info`: scores and their context, a copy that keeps learning, and what a model copies."""

import math
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lstmgen
from lstmgen.checkpoint import BEST, load_checkpoint, save_checkpoint
from lstmgen.errors import ConfigError, TextError, UnknownCharacterError
from lstmgen.evaluation.baselines import baselines
from lstmgen.evaluation.config import DynamicConfig, NoveltyConfig
from lstmgen.evaluation.dynamic import AdaptingModel
from lstmgen.evaluation.evaluate import evaluate_model, evaluation_json
from lstmgen.evaluation.novelty import compare_copying
from lstmgen.evaluation.own_text import read_own_text
from lstmgen.evaluation.score import Predictions, add_up
from lstmgen.language_model import LanguageModel, load
from lstmgen.record import HELD_OUT
from lstmgen.text.corpus import SplitText, read_corpus
from lstmgen.text.vocabulary import Ids
from tests.command_line import done, evaluated, files_below, problem, run_of_text, untrained_run, usage_error
from tests.conftest import FABLE

LONG = FABLE * 30


@pytest.fixture(autouse=True)
def folder(own_folder: Path) -> Path:
    """Work in a copy of the folder with the trained run; a longer text lies there, in two encodings."""
    (own_folder / "long.txt").write_text(LONG, encoding="utf-8")
    (own_folder / "wide.txt").write_text(LONG, encoding="utf-16")
    return own_folder


def own_text(name: str) -> SplitText:
    model = load(name)
    return read_own_text(model.record, model.vocabulary, remedy="")


def flat(text: str) -> str:
    return " ".join(text.split())


# A score


def test_own_held_out_text_is_scored_exactly_and_nothing_is_changed(folder: Path) -> None:
    before = files_below(folder)
    validation = (FABLE * 20)[int(len(FABLE * 20) * 0.9) :]
    score = load("fable").score(validation)
    found = evaluated("fable", "--dynamic", "--novelty", "-n", 50)
    assert found["characters"] == score.characters == len(validation) - 1
    assert found["nats_per_character"] == score.nats_per_character
    assert found["bits_per_character"] == score.nats_per_character / math.log(2)
    assert found["perplexity"] == pytest.approx(math.exp(score.nats_per_character))
    assert found["accuracy"] == score.accuracy
    assert Path(found["checkpoint"]) == Path("checkpoints", "fable", "best.safetensors")
    assert done("eval", "fable").err == ""
    assert files_below(folder) == before


def test_any_text_can_be_scored(tmp_path: Path) -> None:
    file = tmp_path / "other.txt"
    file.write_bytes(b"\xef\xbb\xbfThe fox saw\r\nthe grapes.")
    score = load("fable").score("The fox saw\nthe grapes.")
    for found in (evaluated("fable", file), evaluated("fable", "-", stdin=file.read_bytes())):
        assert (found["characters"], found["nats_per_character"]) == (22, score.nats_per_character)
    file.write_text("The fox", encoding="utf-16")
    assert evaluated("fable", file, "--encoding", "utf-16")["characters"] == 6


def test_an_unknown_character_of_a_text_is_named_or_skipped_with_a_note(tmp_path: Path) -> None:
    file = tmp_path / "other.txt"
    file.write_text("The fox 🙂 sawé", encoding="utf-8")
    line = problem("eval", "fable", file)
    assert "'🙂'" in line and "character 9 " in line
    ran = done("eval", "fable", file, "--on-unknown", "skip", "--json")
    assert ran.json_lines[0]["characters"] == len("The fox  saw") - 1
    assert "skipped 2 " in ran.err
    assert done("eval", "fable", file, "--on-unknown", "skip", "--quiet").err == ""
    file.write_text("é🙂A", encoding="utf-8")
    problem("eval", "fable", file, "--on-unknown", "skip")


def test_a_text_that_cannot_be_scored_is_a_problem() -> None:
    untrained_run("plain", "ab\n")
    untrained_run("names", "abc\n", lines=True)
    unusable = {"plain": (b"", b"a", b"\xff\xfe\xfd"), "names": (b"\n\n\n", b"\n")}
    for model, content in ((model, content) for model, contents in unusable.items() for content in contents):
        Path("other.txt").write_bytes(content)
        assert "other.txt" in problem("eval", model, "other.txt")
    assert "none.txt" in problem("eval", "plain", "none.txt")


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


@pytest.mark.parametrize("change", ["The grapes left. ", "New ones: QZé!", "", None])
def test_a_text_that_changed_or_is_gone_since_training_is_said(change: str | None) -> None:
    if change is None:
        Path("fable.txt").unlink()
    else:
        Path("fable.txt").write_text(change + FABLE * 19, encoding="utf-8")
    line = problem("eval", "fable")
    assert "fable.txt" in line and "lstmgen eval CHECKPOINT TEXT" in line


def test_numbers_that_are_none_never_reach_json() -> None:
    """The reader of these lines refuses NaN and Infinity."""
    path = untrained_run("loud", load("fable").vocabulary.characters)
    checkpoint = load_checkpoint(path)
    loud = {name: np.full_like(weight, 9e5) for name, weight in checkpoint.weights.items()}
    loud["head.weight"][0] *= -1
    save_checkpoint(replace(checkpoint, weights=loud), path)
    found = evaluated("loud", "long.txt", "--window", 3)
    assert found["nats_per_character"] > 700
    assert found["window"]["perplexity"] > 1e300


@pytest.mark.parametrize(
    ("choices", "said", "refused"),
    [
        *((f"--novelty {choice}", choice.split()[0], usage_error) for choice in ("-n 0", "-n -1", "--seed -1")),
        *((f"--novelty --temp {value}", "--temp", problem) for value in ("-1", "nan", "inf")),
        *((choice, "--novelty", usage_error) for choice in ("--temp=0.5", "--length=100", "--seed=1")),
        *((f"{words} --save-adapted new", "--save-adapted", usage_error) for words in ("", "fable.txt")),
        ("fable --dynamic --save-adapted new", "--save-adapted", usage_error),
        *((f"{text} --dynamic --save-adapted new", text, problem) for text in ("gone.txt", "empty.txt")),
        ("--window 0", "--window", usage_error),
    ],
)
def test_choices_that_cannot_work_are_refused(choices: str, said: str, refused: Callable[..., str]) -> None:
    Path("empty.txt").touch()
    assert said in refused("eval", "fable", *choices.split())
    assert not Path("checkpoints", "new").exists()
    untrained_run("names", "abc\n", lines=True)
    assert "--window" in problem("eval", "names", "-", "--window", 5, stdin=b"ab\nc\n")


def test_threads_are_limited_before_anything_counts_them() -> None:
    script = """
import os, sys
from lstmgen.cli.app import main
try:
    main(["score", "fable", "fable.txt", "--threads", "3"])
except SystemExit as ended:
    assert not ended.code, ended.code
sys.exit(os.environ["OPENBLAS_NUM_THREADS"] != "3")
"""
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    subprocess.run([sys.executable, "-c", script], env=environment, check=True, capture_output=True)


# Baselines and intervals


@pytest.mark.parametrize("arguments", [("fable",), ("fable", "long.txt")])
def test_the_baselines_know_the_training_text_and_predict_the_same(arguments: tuple[str, ...]) -> None:
    model, own = load("fable"), own_text("fable")
    ids = own.validation if arguments == ("fable",) else model.vocabulary.encode(LONG)
    expected = list(baselines(own.training, ids, model.vocabulary, lines=False))
    found = evaluated(*arguments)["baselines"]
    for field in ("name", "nats_per_character", "bits_per_character"):
        assert [each[field] for each in found] == [getattr(each, field) for each in expected]
    shown = flat(done("eval", *arguments).text)
    for baseline in expected:
        assert f" {baseline.name} {baseline.nats_per_character:.4f} " in shown
        assert f" {baseline.bits_per_character:.3f} " in shown
    assert evaluated(*arguments, "--no-baselines")["baselines"] == []
    shown = done("eval", *arguments, "--no-baselines").text
    assert not any(baseline.name in shown for baseline in expected)


def test_a_model_of_lines_and_one_of_bytes_have_baselines() -> None:
    path = run_of_text("names", "".join(f"{a}{b}{c}\n" for a in "abc" for b in "abc" for c in "abc"), lines=True)
    found = evaluated("names", "-", stdin=b"abc\n\ncab")
    assert (found["characters"], len(found["baselines"])) == (8, 3)  # too few for compressors
    assert "names.txt: the last 10%, held out" in done("eval", "names").text  # as in old checkpoints
    checkpoint = load_checkpoint(path)
    text = replace(checkpoint.record.text, held_out_seed=1, validation=0.2)
    save_checkpoint(replace(checkpoint, record=replace(checkpoint.record, text=text)), path)
    assert "names.txt: a random 20% of the lines (seed 1), held out" in done("eval", "names").text
    assert evaluated("names")["characters"] == 5 * 4  # whole lines
    assert "a random 20% of the lines" in done("info", "names").text

    path = untrained_run("octets", None)
    checkpoint = load_checkpoint(path)
    text = replace(checkpoint.record.text, sources=("fable.txt",))
    corpus = read_corpus(text)
    known = replace(checkpoint.record, text=text, text_sha256=corpus.sha256, text_symbols=len(corpus.ids))
    save_checkpoint(replace(checkpoint, record=known), path)
    assert [each["name"] for each in evaluated("octets")["baselines"]][-1] == "uniform, 256 bytes"
    shown = done("eval", "octets", "--novelty", "-n", 40).text
    assert "character" not in shown
    assert all(part in shown for part in ("nats per byte", "bits per byte", "octets wrote 40 bytes"))


def test_where_the_training_text_is_gone_another_text_is_scored_without_baselines() -> None:
    Path("fable.txt").unlink()
    ran = done("eval", "fable", "long.txt", "--json")
    assert ran.json_lines[0]["baselines"] == []
    assert ran.err.startswith("note: no baselines: ")
    assert "fable.txt" in ran.err
    assert done("eval", "fable", "long.txt", "--quiet").err == ""
    assert done("eval", "fable", "long.txt", "--no-baselines").err == ""
    for option in ("--novelty", "--dynamic"):
        line = problem("eval", "fable", "long.txt", option)
        assert "fable.txt" in line
    assert "lstmgen eval CHECKPOINT TEXT" in problem("eval", "fable", "--no-baselines")


def test_one_model_does_not_get_the_baselines_of_another() -> None:
    run_of_text("stranger", FABLE.upper() * 9)
    Path("both.txt").write_text("T. .T", encoding="utf-8")
    first, second = done("eval", "fable", "stranger", "both.txt", "--json").json_lines
    assert first["baselines"][-1]["name"] != second["baselines"][-1]["name"]
    for name, found in (("fable", first), ("stranger", second)):
        assert evaluated(name, "both.txt")["baselines"] == found["baselines"]
    shown = flat(done("eval", "fable", "stranger", "both.txt").text)
    best = min((first, second), key=lambda found: found["nats_per_character"])
    assert f"given the training text of {Path(best['checkpoint']).parent.name}" in shown


def test_a_score_has_an_interval_where_the_text_is_long_enough() -> None:
    found = evaluated("fable", "long.txt", "--window", 50)
    for each in (found, found["window"]):
        low, high = each["confidence"]["nats_per_character"]
        assert low < each["nats_per_character"] < high
    assert found["confidence"]["level"] == 0.95
    low, high = found["confidence"]["nats_per_character"]
    assert f"{low:.3f} to {high:.3f}" in flat(done("eval", "fable", "long.txt").text)
    assert evaluated("fable")["confidence"] is None
    assert "too short" in done("eval", "fable").text


# Several models


def test_models_that_predict_the_same_text_share_a_table_and_a_sentence() -> None:
    untrained_run("noise", load("fable").vocabulary.characters)
    ran = done("eval", "noise", "fable", "long.txt", "--json")
    assert "no baselines" in ran.err
    noise, fable = ran.json_lines
    for name, found in (("noise", noise), ("fable", fable)):
        assert Path(found["checkpoint"]) == Path("checkpoints", name, BEST)
    shown = done("eval", "noise", "fable", "long.txt").text
    assert shown.count("protocol ") == 1
    assert "checkpoint " not in shown
    assert shown.index("\nprotocol") < shown.index("noise") < shown.index("fable ")
    more = noise["nats_per_character"] - fable["nats_per_character"]
    assert f"{more:.4f}" in shown and "No clear difference" not in shown


def test_models_that_are_alike_have_no_clear_difference() -> None:
    shutil.copytree("checkpoints/fable", "checkpoints/twin")
    one, other = done("eval", "fable", "twin", "long.txt", "--json").json_lines
    assert one.pop("checkpoint") != other.pop("checkpoint")
    assert one == other
    shown = done("eval", "fable", "twin", "long.txt").text
    assert " 0.0000 " in shown and "No clear difference" in shown
    assert shown.count("uniform") == 1
    assert "No clear difference" not in done("eval", "fable", "twin").text  # the text is too short for an interval
    problem("eval", "fable", "twin", "-", stdin=FABLE.encode())  # standard input is read only once


def test_models_that_predict_different_texts_are_told_apart() -> None:
    run_of_text("other", "abc\nbca\n" * 50)
    shown = done("eval", "fable", "other").text
    first, second = shown.split("\n\ncheckpoint ")
    assert "fable.txt" in first and "other.txt" in second and "uniform" in first and "uniform" in second
    assert "more than" not in shown
    assert len(done("eval", "fable", "other", "--json").json_lines) == 2


def test_a_word_names_a_checkpoint_wherever_it_is_or_a_text() -> None:
    assert evaluated("long.txt") == evaluated("fable", "long.txt")  # by the newest run
    assert evaluated("-", stdin=LONG.encode())["nats_per_character"] == evaluated("long.txt")["nats_per_character"]
    problem("eval", "fabel")
    assert "fabel.txt" in problem("eval", "fable", "fabel.txt")  # the second is a text that is not there
    shutil.copytree("checkpoints/fable", "checkpoints/long.txt")
    for last in ("long.txt", "checkpoints/fable", "checkpoints/fable/best.safetensors"):
        assert len(done("eval", "fable", last, "--json").json_lines) == 2
    assert evaluated("fable", Path("long.txt").absolute())["characters"] == len(LONG) - 1
    assert evaluated("checkpoints/fable")["characters"] == evaluated("fable")["characters"]


# A copy that keeps learning


def test_what_the_copy_has_become_is_saved_as_a_run(folder: Path) -> None:
    before = files_below(folder)
    ran = done("eval", "fable", "--dynamic", "--save-adapted", "adapted")
    assert "lstmgen sample adapted" in ran.err
    checkpoint = load_checkpoint(Path("checkpoints", "fable", BEST))
    expected = AdaptingModel(checkpoint, own_text("fable").training, DynamicConfig())
    add_up(expected.predict(own_text("fable").validation))
    saved = load_checkpoint(Path("checkpoints", "adapted", BEST))
    for name, weight in expected.adapted(HELD_OUT).weights.items():
        np.testing.assert_allclose(saved.weights[name], weight, rtol=1e-5, atol=1e-7)
    assert saved.record.adapted_to == (HELD_OUT,)
    new = str(Path("checkpoints", "adapted", BEST))
    assert files_below(folder) == before | {new: Path(new).read_bytes()}

    assert len(done("sample", "adapted", "-n", 30, "--seed", 1).text) == 30
    (about,) = done("info", "adapted", "--json").json_lines
    assert about["record"]["adapted_to"] == [HELD_OUT]
    assert evaluated("adapted", "long.txt")["characters"] == len(LONG) - 1


def test_a_model_that_has_read_the_held_out_text_is_not_evaluated_on_it() -> None:
    done("eval", "fable", "--dynamic", "--save-adapted", "adapted")
    for choices in ([], ["--dynamic"], ["--novelty"], ["--json"], ["--no-baselines"]):
        line = problem("eval", "adapted", *choices)
        assert "name another run, or a TEXT" in line
    done("eval", "adapted", "long.txt", "--dynamic", "--save-adapted", "twice")
    assert load_checkpoint(Path("checkpoints", "twice", BEST)).record.adapted_to == (HELD_OUT, "long.txt")
    assert "has learned from" in problem("eval", "twice")


def test_a_model_that_has_read_another_text_is_evaluated_on_its_own() -> None:
    done("eval", "fable", "long.txt", "--dynamic", "--save-adapted", "adapted", "--quiet")
    assert load_checkpoint(Path("checkpoints", "adapted", BEST)).record.adapted_to == ("long.txt",)
    assert evaluated("adapted")["characters"] == evaluated("fable")["characters"]
    adapted, before = (evaluated(name, "long.txt")["nats_per_character"] for name in ("adapted", "fable"))
    assert adapted < before


# What is copied


def random_text(letters: str, count: int, seed: int = 0) -> str:
    return "".join(np.random.default_rng(seed).choice(list(letters), count))


def writing(monkeypatch: pytest.MonkeyPatch, write: Callable[[SplitText, int], Ids]) -> None:
    """Let every model write what is made of its own text."""

    def written(model: LanguageModel, tokens: int, temperature: float, seed: int) -> Ids:  # noqa: ARG001  # as `write`
        return write(read_own_text(model.record, model.vocabulary, remedy=""), tokens).astype(np.int64)

    monkeypatch.setattr(LanguageModel, "write", written)


def test_what_a_model_writes_is_compared_with_its_training_text() -> None:
    model, own = load("fable"), own_text("fable")
    expected = compare_copying(own.training, model.write(150, 0.5, 3), own.validation, model.vocabulary, lines=False)
    choices = ("eval", "fable", "--novelty", "-n", 150, "--temp", 0.5, "--seed", 3)
    found = done(*choices, "--json").json_lines[0]["novelty"]
    assert found["how"] == "temperature 0.5, seed 3"
    assert found["longest_run"] == {"text": expected.longest_run, "line": expected.line}
    assert expected.real is not None
    for name, copying in (("written", expected.written), ("held_out", expected.real)):
        assert found[name]["longest_run"] == copying.longest
        assert found[name]["found_in_training"] == {str(n): share for n, share in copying.fractions.items()}
    assert f"line {expected.line:,} of the training text" in done(*choices).text


def test_a_memorised_text_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    run_of_text("noise", random_text("abcdef \n", 5000))
    writing(monkeypatch, lambda own, tokens: own.training[700 : 700 + tokens])
    assert "--max-copy" in done("eval", "noise", "--novelty", "-n", 400).text
    found = evaluated("noise", "--novelty", "-n", 400)["novelty"]
    assert found["written"]["longest_run"] == 400
    assert set(found["written"]["found_in_training"].values()) == {1.0}
    text = Path("noise.txt").read_text(encoding="utf-8")
    assert found["longest_run"] == {"text": text[700:1100], "line": 1 + text[:700].count("\n")}

    writing(monkeypatch, lambda _, tokens: np.random.default_rng(5).integers(0, 8, tokens))
    assert "--max-copy" not in done("eval", "noise", "--novelty", "-n", 400).text


def test_a_memorised_list_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    names = sorted({random_text("abcdefgh", 6, seed) for seed in range(300)})
    run_of_text("names", "".join(f"{name}\n" for name in names), lines=True)
    writing(monkeypatch, lambda own, tokens: own.training[:tokens])
    assert evaluated("names", "--novelty", "-n", 350)["novelty"]["written"]["lines_found_in_training"] == 1
    assert "100% of the lines" in done("eval", "names", "--novelty", "-n", 350).text


def test_where_nothing_was_held_out_what_was_written_is_shown_alone() -> None:
    done("train", "fable.txt", "--run", "all", "--steps", 1, "--validation", 0, "--hidden-size", 4, "--quiet")
    found = evaluated("all", "long.txt", "--novelty", "-n", 50)["novelty"]
    assert found["held_out"] is None
    assert found["written"]["characters"] == 50
    assert "held out" not in done("eval", "all", "long.txt", "--novelty", "-n", 50).text


# info


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


# From Python: `model.evaluate()` is what `lstmgen eval` says, and it leaves everything as it was


@pytest.mark.parametrize(
    ("choices", "options"),
    [
        ({}, ()),
        ({"baselines": False}, ("--no-baselines",)),
        ({"window": 7, "dynamic": True}, ("--window", 7, "--dynamic")),
        (
            {"novelty": True, "length": 90, "temperature": 0.5, "seed": 3},
            ("--novelty", "-n", 90, "--temp", 0.5, "--seed", 3),
        ),
    ],
)
def test_it_is_what_the_command_says_of_the_held_out_text(choices: dict[str, Any], options: tuple[object, ...]) -> None:
    assert evaluation_json(lstmgen.load("fable").evaluate(**choices)) == evaluated("fable", *options)


def test_it_is_what_the_command_says_of_another_file() -> None:
    found = lstmgen.load("fable").evaluate(Path("wide.txt"), encoding="utf-16")
    assert evaluation_json(found) == evaluated("fable", "wide.txt", "--encoding", "utf-16")


def test_a_string_is_the_text_itself() -> None:
    model = lstmgen.load("fable")
    found = model.evaluate(FABLE)
    assert found.score == found.exact.score == model.score(FABLE)
    assert [each.name for each in found.baselines][-1] == f"uniform, {len(model.vocabulary)} characters"
    assert model.evaluate("A Qfox", on_unknown="skip").score == model.score("A fox")
    assert model.evaluate(Path("fable.txt"), baselines=False).text == "fable.txt"
    for text in ("", "A"):
        with pytest.raises(TextError):
            model.evaluate(text)
    with pytest.raises(UnknownCharacterError, match="'Q'"):
        model.evaluate("A Qfox")


def test_what_is_not_asked_for_is_not_measured() -> None:
    found = lstmgen.load("fable").evaluate(FABLE, baselines=False)
    assert len(repr(found)) < 500  # fits a screen
    assert (found.window, found.dynamic, found.adapted, found.novelty, found.writing) == (None,) * 5
    assert (found.others, list(found.baselines), found.notes) == ({}, [], ())


def test_a_copy_keeps_learning_and_the_model_and_torch_stay_as_they_were() -> None:
    import torch

    model, text = lstmgen.load("fable"), "The grapes saw the fox. " * 9
    before, threads = model.score(FABLE), torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        found = model.evaluate(text, dynamic=True)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    assert model.score(FABLE) == before
    assert found.dynamic is not None
    assert found.dynamic.score.nats < found.score.nats  # the text repeats itself
    assert found.adapted is not None
    assert found.adapted.record.adapted_to == ("the given text",)
    assert LanguageModel(found.adapted).score(text).nats < found.score.nats
    own = model.evaluate(dynamic=True).adapted
    assert own is not None
    assert own.record.adapted_to == (HELD_OUT,)
    with pytest.raises(TextError):
        LanguageModel(own).evaluate()
    (note,) = LanguageModel(found.adapted).evaluate(text).notes
    assert "learned from the given text" in note


def test_a_model_without_a_file_is_evaluated() -> None:
    path = Path("checkpoints", "fable", "best.safetensors")
    found, named = LanguageModel(load_checkpoint(path)).evaluate(), lstmgen.load("fable").evaluate()
    assert (found.checkpoint, found.name) == (None, "the model")
    assert (named.checkpoint, named.name) == (path, "fable")
    assert found.score == named.score


@pytest.mark.parametrize(("name", "value"), [("window", 0), ("length", 0), ("temperature", -1), ("seed", -1)])
def test_a_choice_that_cannot_work_is_a_problem(name: str, value: int) -> None:
    choices: dict[str, Any] = {name: value, "novelty": True}
    with pytest.raises(ConfigError, match=f"`{name}`"):
        lstmgen.load("fable").evaluate(**choices)


def test_each_measurement_can_be_watched() -> None:
    watched: dict[str, tuple[int, int]] = {}

    def watch(protocol: str, tokens: int, predictions: Iterator[Predictions]) -> Iterator[Predictions]:
        parts = list(predictions)
        watched[protocol] = tokens, add_up(parts).characters
        return iter(parts)

    model = lstmgen.load("fable")
    found = evaluate_model(model, window=9, novelty=NoveltyConfig(length=20), watch=watch)
    count = found.score.characters
    assert watched == {result.protocol: (count + 1, count) for result in (found.exact, *found.others.values())}
    assert len(watched) == 2
