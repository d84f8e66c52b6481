"""`lstmgen score`: a text as a whole, by line and by character; from files and standard input."""

import math
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from lstmgen.language_model import load
from tests.command_line import done, files_below, problem, run, untrained_run, usage_error

TEXT = "The fox saw a vine.\n\nThe grapes left.\nThe fox.\n"


def scores(*arguments: object, text: str = TEXT) -> list[dict[str, Any]]:
    return done("score", *arguments, "--json", stdin=text.encode()).json_lines


@pytest.mark.usefixtures("in_trained_folder")
def test_the_total_is_the_score() -> None:
    score = load("fable").score(TEXT)
    (found,) = scores("fable")
    expected = {"nats": score.nats, "bits": score.nats / math.log(2), "perplexity": score.perplexity}
    expected |= {"bits_per_character": score.bits_per_character, "characters": len(TEXT) - 1}
    assert {name: found[name] for name in expected} == pytest.approx(expected)
    assert (found["text"], found["accuracy"]) == ("standard input", score.accuracy)


@pytest.mark.usefixtures("in_trained_folder")
def test_a_text_comes_from_a_file_or_standard_input_and_no_file_changes(tmp_path: Path) -> None:
    before = files_below(Path())
    file = tmp_path / "some.txt"
    file.write_text(TEXT, encoding="utf-8")
    shown = done("score", "fable", file)
    assert shown.err == ""
    for arguments, stdin in ((["-"], TEXT.encode()), ([], TEXT.encode()), ([str(file)], None)):
        ran = done("score", "fable", *arguments, stdin=stdin)
        assert ran.text.splitlines()[2:] == shown.text.splitlines()[2:]
    assert done("score", file).text == shown.text  # a file that is no checkpoint is a text; the newest run reads it
    for choice in (["--lines"], ["--characters"], ["--heatmap"], ["--html", tmp_path / "page.html"]):
        done("score", "fable", file, *choice)
    assert files_below(Path()) == before


@pytest.mark.usefixtures("nowhere")
@pytest.mark.parametrize("choice", [[], ["--lines"], ["--characters"], ["--heatmap"]])
def test_an_unknown_character_and_nothing_to_predict_are_problems(choice: list[str]) -> None:
    untrained_run("plain", "abc\n")
    assert "'é'" in run("score", "plain", *choice, stdin="abcé".encode()).err
    ran = done("score", "plain", *choice, "--on-unknown", "skip", stdin="abcé".encode())
    assert "skipped 1 character " in ran.err
    for text in (b"", b"a") if choice in ([], ["--lines"]) else ():
        problem("score", "plain", *choice, stdin=text)
    untrained_run("no-lines", "abc")
    assert "--separate" in problem("score", "no-lines", "--lines", "--separate", stdin=b"abc")
    assert len(scores("no-lines", "--lines", text="abc")) == 1


@pytest.mark.usefixtures("in_trained_folder")
def test_wrong_usage_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    usage_error("score", "fable", "fable", "fable.txt")
    for command in ("score", "eval", "inspect"):
        assert f"lstmgen {command} fable fable.txt" in usage_error(command, "fable.txt", "fable")
    assert "lstmgen score fable -" in usage_error("score", "-", "fable")
    usage_error("score", "fable", "-", "--lines", "--characters")
    assert "--lines" in usage_error("score", "fable", "-", "--separate")
    for choice in ([], ["--lines"]):
        assert "--length" in usage_error("score", "fable", "-", "--length", "5", *choice)
    assert "--length" in usage_error("score", "fable", "-", "--characters", "--length", "0")
    assert "--json" in usage_error("score", "fable", "-", "--heatmap", "--json")
    problem("score", "grapes", stdin=b"")
    problem("score", "fable", "grapes.txt")
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    usage_error("score", "fable")


@pytest.mark.usefixtures("in_trained_folder")
def test_lines_are_ranked_the_likeliest_first_and_add_up() -> None:
    lines = scores("fable", "--lines")
    texts = {line["line"]: line["text"] for line in lines}
    assert texts == {1: "The fox saw a vine.", 3: "The grapes left.", 4: "The fox."}
    bits = [line["bits_per_character"] for line in lines]
    assert bits == sorted(bits)
    assert sum(line["characters"] for line in lines) == len(TEXT) - 2  # the first is given, one line is empty
    unranked = scores("fable", "--lines", "--unranked")
    assert [line["line"] for line in unranked] == [1, 3, 4]
    assert sorted(unranked, key=str) == sorted(lines, key=str)


@pytest.mark.usefixtures("nowhere")
def test_a_model_of_lines_reads_each_alone() -> None:
    untrained_run("names", "abc\n", lines=True)
    lines = scores("names", "--lines", "--unranked", text="ab\n\nca\nab")
    assert [(line["line"], line["text"]) for line in lines] == [(1, "ab"), (3, "ca"), (4, "ab")]
    assert lines[0]["nats"] == pytest.approx(lines[2]["nats"], rel=1e-5)
    (total,) = scores("names", text="ab\n\nca\nab")
    assert total["nats"] == pytest.approx(sum(line["nats"] for line in lines), rel=1e-5)
    assert total["characters"] == 9


@pytest.mark.usefixtures("in_trained_folder")
def test_characters_come_with_what_was_expected() -> None:
    model = load("fable")
    scored = model.score_characters([model.vocabulary.encode(TEXT)])
    for found, each in zip(scores("fable", "--characters"), scored, strict=True):
        assert (found["character"], found["position"]) == (each.text, each.position)
        assert (found["nats"], found["bits"]) == pytest.approx((each.nats, each.bits))
        expected = [(other["character"], other["probability"]) for other in found["expected"]]
        assert expected == [(other.token, pytest.approx(other.probability)) for other in each.expected]


@pytest.mark.usefixtures("nowhere")
def test_a_model_of_bytes_is_scored_per_byte() -> None:
    untrained_run("octets", None)
    for choices in (["--lines"], []):
        shown = done("score", "octets", *choices, stdin="é\nab\n".encode()).text
        assert "bits per byte" in shown and "character" not in shown
    assert "nats per byte" in shown
    assert re.search(r"^bytes +5 predicted$", shown, re.MULTILINE)


@pytest.mark.usefixtures("in_trained_folder")
def test_the_table_of_characters_shows_what_cannot_be_seen_and_a_length_cuts_it() -> None:
    lines = done("score", "fable", "--characters", stdin=b"A fox\n").text.splitlines()
    assert lines[1].split() == ["given", "A"]
    assert [line.split()[1] for line in lines[1:]] == ["A", "␣", "f", "o", "x", "↵"]
    assert all("%" in line for line in lines[2:])
    assert scores("fable", "--characters", "--length", 7) == scores("fable", "--characters")[:7]
    assert scores("fable", "--characters", "-n", 1000) == scores("fable", "--characters")
    shown = done("score", "fable", "--heatmap", "--length", 7, stdin=TEXT.encode()).text.splitlines()
    assert shown[0] == TEXT[:7]


@pytest.mark.usefixtures("in_trained_folder")
@pytest.mark.parametrize("command", ["eval", "score"])
def test_a_missing_device_is_a_problem_and_torch_scores_alike(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = done(command, "fable", "fable.txt", "--json").json_lines[0]["nats_per_character"]
    if not torch.cuda.is_available():
        assert "--device" in problem(command, "fable", "fable.txt", "--device", "cuda")
    monkeypatch.setattr("lstmgen.training.machine.choose_device", lambda _: torch.device("cpu"))
    found = done(command, "fable", "fable.txt", "--json", "--device", "cuda").json_lines[0]["nats_per_character"]
    assert found == pytest.approx(expected, rel=1e-5)
