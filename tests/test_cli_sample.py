"""`lstmgen sample`: what is written, how much of it, and what decides it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.command_line import done, problem, untrained_run, usage_error

pytestmark = pytest.mark.usefixtures("in_trained_folder")


@pytest.fixture
def names(in_trained_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work elsewhere, where the only run is a model of lines."""
    assert in_trained_folder != tmp_path
    monkeypatch.chdir(tmp_path)
    untrained_run("names", "abc\n", lines=True)


def test_text_goes_to_stdout_and_the_seed_to_stderr() -> None:
    ran = done("sample", "fable", "-n", 40)
    assert len(ran.text) == 40
    assert ran.err.startswith("seed ")
    options = ["-n", 40, "--seed", ran.err.split()[1]]
    for more in (["fable"], [], ["--threads", 1], ["-q"], ["--quiet"]):  # the newest run is used by default
        again = done("sample", *more, *options)
        assert (again.text, again.err) == (ran.text, "")
    assert done("sample", "-n", 40, "-q").err == ""
    assert len(done("sample", "fable", "--seed", 1).text) == 500


@pytest.mark.parametrize("length", [0, 1, 7, 300])
@pytest.mark.parametrize("prompt", ["", "A fox"])
def test_length_counts_what_is_added(length: int, prompt: str) -> None:
    for option in ("-n", "--length"):
        text = done("sample", "fable", option, length, "-p", prompt, "--seed", 1).text
        assert text.startswith(prompt)
        assert len(text) == len(prompt) + length


def test_temperature_zero_ignores_the_seed_and_any_in_bounds_writes_text_without_a_warning() -> None:
    options = ["--temp", "--temperature", "--temp"]
    texts = {done("sample", "-n", 60, option, 0, "--seed", seed).text for seed, option in enumerate(options)}
    assert len(texts) == 1
    for temperature in ("1e-300", "1e-9", "1000"):
        ran = done("sample", "-n", 60, "--temp", temperature, "--seed", 1)
        assert (len(ran.text), ran.err) == (60, "")


def test_a_prompt_is_read_whether_it_is_echoed_or_not_from_a_file_or_from_stdin(tmp_path: Path) -> None:
    file = tmp_path / "prompt.txt"
    assert "prompt.txt" in problem("sample", "-f", file)
    wanted = done("sample", "-n", 30, "-p", "The fox", "--seed", 1).text
    assert wanted == "The fox" + done("sample", "-n", 30, "-p", "The fox", "--seed", 1, "--no-prompt-echo").text
    assert wanted.removeprefix("The fox") != done("sample", "-n", 30, "--seed", 1).text
    for content in (b"The fox", b"The fox\n", b"The fox\r\n", b"\xef\xbb\xbfThe fox\n"):
        file.write_bytes(content)
        assert done("sample", "-n", 30, "-f", file, "--seed", 1).text == wanted
        assert done("sample", "-n", 30, "--prompt-file", "-", "--seed", 1, stdin=content).text == wanted
    file.write_bytes(b"abc\xff")
    problem("sample", "-f", file)
    assert str(tmp_path) in problem("sample", "-f", tmp_path)
    assert "--prompt-file" in usage_error("sample", "-p", "A", "-f", "-")


def test_unknown_characters_are_named_or_skipped() -> None:
    line = problem("sample", "-p", "Thé fox")
    assert all(part in line for part in ("'é'", "'e'", "--on-unknown"))
    for prompt, known in ("ThéQ🙂 fox", "Th fox"), ("é", ""):
        skipped = done("sample", "-n", 30, "-p", prompt, "--on-unknown", "skip", "--seed", 1).text
        assert skipped == done("sample", "-n", 30, "-p", known, "--seed", 1).text


def test_json_holds_a_sample_a_line() -> None:
    samples = done("sample", "-n", 40, "-p", "A fox", "--samples", 4, "--seed", 9, "--json").json_lines
    assert len({sample["text"] for sample in samples}) == len(samples) == 4
    for sample in samples:
        assert {"text", "prompt", "seed", "nats", "finish"} <= sample.keys()
        assert (sample["prompt"], sample["seed"], sample["finish"]) == ("A fox", 9, "length")
        assert len(sample["text"]) == len("A fox") + 40


@pytest.mark.parametrize("samples", [1, 2, 5])
def test_the_first_of_many_samples_is_the_only_one_of_one(samples: int) -> None:
    alone = done("sample", "-n", 80, "--seed", 3).text
    rows = done("sample", "-n", 80, "--samples", samples, "--seed", 3, "--json").json_lines
    assert [rows[0]["text"], len(rows)] == [alone, samples]
    plain = done("sample", "-n", 80, "--samples", samples, "--seed", 3).text
    assert plain.startswith(alone)
    assert all(row["text"] in plain for row in rows)


@pytest.mark.parametrize(
    ("options", "refused"),
    [
        *((option, problem) for option in ("--length -2", "--temp -0.1", "--temp nan", "--temp inf", "--samples 0")),
        *((option, problem) for option in ("--length -1 --json", "--length -1 --samples 2")),  # it never ends
        *((option, usage_error) for option in ("--seed -1", "--threads 0", "--on-unknown maybe")),
    ],
)
def test_a_value_that_cannot_work_is_named(options: str, refused: Callable[..., str]) -> None:
    assert options.split()[0] in refused("sample", *options.split())


@pytest.mark.usefixtures("names")
def test_a_model_of_lines_writes_ten_items_each_in_a_line_of_its_own() -> None:
    text = done("sample", "-n", 10_000, "--seed", 1).text
    assert text.endswith("\n")
    assert text.count("\n") == 10
    assert done("sample", "-n", 10_000, "--seed", 1, "--samples", 3).text == "".join(text.splitlines(keepends=True)[:3])
    assert done("sample", "-n", -1, "--seed", 1).text == text  # each item ends by itself
    for prompt, length in (("cab", 10_000), ("ab", 0), ("ab", 1), ("ab", 2)):
        lines = done("sample", "-n", length, "-p", prompt, "--seed", 1).text.split("\n")
        assert len(lines) == 11
        assert all(line.startswith(prompt) and len(line) <= len(prompt) + length for line in lines[:10])
    assert "--prompt" in problem("sample", "-p", "a\nb")


@pytest.mark.usefixtures("names")
def test_an_item_in_json_says_how_it_ended() -> None:
    samples = done("sample", "-n", 3, "--seed", 1, "--samples", 30, "--json").json_lines
    assert {sample["finish"] for sample in samples} == {"line", "length"}
    for sample in samples:
        assert "\n" not in sample["text"]
        assert (len(sample["text"]) == 3) == (sample["finish"] == "length")
