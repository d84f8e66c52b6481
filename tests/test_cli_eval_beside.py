"""`lstmgen eval`: what stands beside a model's score: baselines, intervals, other models; and which word is which."""

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lstmgen.checkpoint import BEST, load_checkpoint, save_checkpoint
from lstmgen.evaluation.baselines import baselines
from lstmgen.evaluation.confidence import Blocks
from lstmgen.evaluation.own_text import read_own_text
from lstmgen.evaluation.score import add_up, exact_protocol, predict
from lstmgen.language_model import load
from lstmgen.text.corpus import read_corpus
from lstmgen.text.sources import Source
from tests.command_line import done, evaluated, problem, run_of_text, untrained_run, usage_error
from tests.conftest import FABLE

LONG = FABLE * 30


@pytest.fixture(autouse=True)
def folder(trained_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a copy of the folder with the trained run, which a test may change; a longer text lies there."""
    shutil.copytree(trained_folder, tmp_path / "own")
    monkeypatch.chdir(tmp_path / "own")
    Path("long.txt").write_text(LONG, encoding="utf-8")
    return tmp_path / "own"


def flat(text: str) -> str:
    return " ".join(text.split())


# Baselines


@pytest.mark.parametrize("arguments", [("fable",), ("fable", "long.txt")])
def test_the_baselines_know_the_training_text_and_predict_the_same(arguments: tuple[str, ...]) -> None:
    model = load("fable")
    own = read_own_text(model.record, model.vocabulary, remedy="")
    ids = own.validation if arguments == ("fable",) else model.vocabulary.encode(LONG)
    expected = list(baselines(own.training, ids, model.vocabulary, lines=False))
    found = evaluated(*arguments)["baselines"]
    for field in ("name", "nats_per_character", "bits_per_character"):
        assert [each[field] for each in found] == [getattr(each, field) for each in expected]
    shown = flat(done("eval", *arguments).text)
    for baseline in expected:
        assert f" {baseline.name} {baseline.nats_per_character:.4f} " in shown
        assert f" {baseline.bits_per_character:.3f} " in shown
    assert f"a {expected[0].name} {expected[0].bits_per_character:.2f}" in shown
    assert evaluated(*arguments, "--no-baselines")["baselines"] == []
    shown = done("eval", *arguments, "--no-baselines").text
    assert not any(name in shown for name in ["gram", "uniform", "frequencies", " bits per ", "bz2", "xz", "gzip"])


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


# Intervals


def test_a_score_has_an_interval_where_the_text_is_long_enough() -> None:
    model = load("fable")
    ids = model.vocabulary.encode(LONG)
    blocks = Blocks(len(ids))
    add_up(predict(model.engine, exact_protocol(ids, model.end_token)), blocks)
    interval = blocks.interval()
    assert interval is not None
    found = evaluated("fable", "long.txt", "--window", 50)
    assert found["confidence"]["nats_per_character"] == pytest.approx(list(interval))
    assert found["confidence"]["level"] == 0.95
    assert interval.low < found["nats_per_character"] < interval.high
    assert found["window"]["confidence"]["nats_per_character"][0] < found["window"]["nats_per_character"]
    shown = flat(done("eval", "fable", "long.txt").text)
    assert f"{interval.low:.3f} to {interval.high:.3f}" in shown
    assert evaluated("fable")["confidence"] is None
    assert "too short" in done("eval", "fable").text


# Several models


def in_order(text: str, *parts: str) -> bool:
    places = [text.find(part) for part in parts]
    return -1 not in places and places == sorted(places)


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
    assert in_order(shown, "\nprotocol", "noise", "fable")
    more = noise["nats_per_character"] - fable["nats_per_character"]
    assert f"noise needs {more:.4f} nats per character more than fable (95% interval " in shown
    assert "No clear difference" not in shown


def test_models_that_are_alike_have_no_clear_difference() -> None:
    shutil.copytree("checkpoints/fable", "checkpoints/twin")
    one, other = done("eval", "fable", "twin", "long.txt", "--json").json_lines
    assert one.pop("checkpoint") != other.pop("checkpoint")
    assert one == other
    shown = done("eval", "fable", "twin", "long.txt").text
    assert "0.0000 nats per character more than fable (95% interval 0.000 to 0.000). No clear difference." in shown
    assert shown.count("uniform") == 1
    own = done("eval", "fable", "twin").text  # a text too short for an interval
    assert "needs 0.0000 nats per character more than fable.\n" in own
    problem("eval", "fable", "twin", "-", stdin=FABLE.encode())  # standard input is read only once


def test_models_that_predict_different_texts_are_told_apart() -> None:
    run_of_text("other", "abc\nbca\n" * 50)
    shown = done("eval", "fable", "other").text
    first, second = shown.split("\n\ncheckpoint ")
    second = "checkpoint " + second
    assert in_order(first, "checkpoint ", "fable", "fable.txt: the last 10%", "uniform")
    assert in_order(second, "checkpoint ", "other", "other.txt: the last 10%", "uniform")
    assert "more than" not in shown
    assert len(done("eval", "fable", "other", "--json").json_lines) == 2


# Which word is which


def test_a_word_names_a_checkpoint_wherever_it_stands_or_a_text() -> None:
    assert evaluated("long.txt") == evaluated("fable", "long.txt")  # by the newest run
    assert evaluated("-", stdin=LONG.encode())["nats_per_character"] == evaluated("long.txt")["nats_per_character"]
    problem("eval", "fabel")
    assert "fabel.txt" in problem("eval", "fable", "fabel.txt")  # the second is a text that is not there
    shutil.copytree("checkpoints/fable", "checkpoints/long.txt")
    for last in ("long.txt", "checkpoints/fable", "checkpoints/fable/best.safetensors"):
        assert len(done("eval", "fable", last, "--json").json_lines) == 2
    assert evaluated("fable", Path("long.txt").absolute())["characters"] == len(LONG) - 1
    assert evaluated("checkpoints/fable")["characters"] == evaluated("fable")["characters"]


# What a terminal gets


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


def test_options_that_would_be_ignored_are_refused() -> None:
    untrained_run("names", "abc\n", lines=True)
    assert "--window" in problem("eval", "names", "-", "--window", 5, stdin=b"ab\nc\n")
    for choice in ("--temp=0.5", "--length=100", "--seed=1"):
        assert "--novelty" in usage_error("eval", "fable", choice)


def test_a_text_without_end_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stranger's checkpoint may name any file as its text."""
    run_of_text("stranger", FABLE * 3)
    blocks = iter(range(10**9))
    monkeypatch.setattr(Source, "blocks", lambda _: (FABLE.encode() for _ in blocks))
    problem("eval", "stranger")
    assert next(blocks) < 10


# What goes wrong


@pytest.mark.parametrize("command", [pytest.param("eval", marks=pytest.mark.long), "score"])
def test_threads_are_limited_before_anything_counts_them(command: str) -> None:
    script = f"""
import os, sys
from lstmgen.cli.app import main
try:
    main(["{command}", "fable", "fable.txt", "--threads", "3"])
except SystemExit as ended:
    assert not ended.code, ended.code
sys.exit(os.environ["OPENBLAS_NUM_THREADS"] != "3")
"""
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    subprocess.run([sys.executable, "-c", script], env=environment, check=True, capture_output=True)


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
