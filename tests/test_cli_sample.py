"""`lstmgen sample`: what is written, how much of it, and what decides it."""

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
    again = done("sample", "fable", "-n", 40, "--seed", ran.err.split()[1])
    assert (again.text, again.err) == (ran.text, "")


def test_quiet_writes_nothing_but_the_text() -> None:
    for quiet in ("-q", "--quiet"):
        ran = done("sample", "fable", "-n", 40, quiet)
        assert (len(ran.text), ran.err) == (40, "")


@pytest.mark.parametrize("length", [0, 1, 7, 300])
@pytest.mark.parametrize("prompt", ["", "A fox"])
def test_length_counts_what_is_added(length: int, prompt: str) -> None:
    for option in ("-n", "--length"):
        text = done("sample", "fable", option, length, "-p", prompt, "--seed", 1).text
        assert text.startswith(prompt)
        assert len(text) == len(prompt) + length


def test_five_hundred_characters_are_written_by_default() -> None:
    assert len(done("sample", "fable", "--seed", 1).text) == 500


def test_the_newest_run_is_used_by_default() -> None:
    assert done("sample", "-n", 30, "--seed", 1).text == done("sample", "fable", "-n", 30, "--seed", 1).text


def test_temperature_zero_ignores_the_seed() -> None:
    options = ["--temp", "--temperature", "--temp"]
    texts = {done("sample", "-n", 60, option, 0, "--seed", seed).text for seed, option in enumerate(options)}
    assert len(texts) == 1


@pytest.mark.parametrize("temperature", ["1e-300", "1e-9", "1000"])
def test_any_temperature_in_bounds_writes_text_and_no_warning(temperature: str) -> None:
    ran = done("sample", "-n", 60, "--temp", temperature, "--seed", 1)
    assert (len(ran.text), ran.err) == (60, "")


def test_the_prompt_is_read_whether_it_is_echoed_or_not() -> None:
    options = ["-n", 50, "-p", "The fox", "--seed", 1]
    echoed = done("sample", *options).text
    assert echoed == "The fox" + done("sample", *options, "--no-prompt-echo").text
    assert echoed.removeprefix("The fox") != done("sample", "-n", 50, "--seed", 1).text


@pytest.mark.parametrize("content", [b"The fox", b"The fox\n", b"The fox\r\n", b"\xef\xbb\xbfThe fox\n"])
def test_a_prompt_can_come_from_a_file_or_from_stdin(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "prompt.txt"
    file.write_bytes(content)
    wanted = done("sample", "-n", 30, "-p", "The fox", "--seed", 1).text
    assert done("sample", "-n", 30, "-f", file, "--seed", 1).text == wanted
    assert done("sample", "-n", 30, "--prompt-file", "-", "--seed", 1, stdin=content).text == wanted


def test_a_prompt_file_that_cannot_be_read_is_a_problem(tmp_path: Path) -> None:
    file = tmp_path / "prompt.txt"
    assert "prompt.txt" in problem("sample", "-f", file)
    file.write_bytes(b"abc\xff")
    problem("sample", "-f", file)
    assert str(tmp_path) in problem("sample", "-f", tmp_path)


def test_two_prompts_are_wrong_usage() -> None:
    assert "--prompt-file" in usage_error("sample", "-p", "A", "-f", "-")


def test_an_unknown_character_is_named_with_its_relatives_and_the_remedy() -> None:
    line = problem("sample", "-p", "Thé fox")
    assert "'é'" in line
    assert "'e'" in line
    assert "--on-unknown" in line


@pytest.mark.parametrize("prompt", ["ThéQ🙂 fox", "é"])
def test_unknown_characters_can_be_skipped(prompt: str) -> None:
    known = "".join(character for character in prompt if character not in "éQ🙂")
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


@pytest.mark.parametrize("choice", [["--json"], ["--samples", "2"]])
def test_what_never_ends_cannot_be_collected(choice: list[str]) -> None:
    assert "--length" in problem("sample", "-n", -1, *choice)


@pytest.mark.parametrize(
    ("option", "value"), [("--length", -2), ("--temp", -0.1), ("--temp", "nan"), ("--temp", "inf"), ("--samples", 0)]
)
def test_a_value_that_cannot_work_is_a_problem_that_names_it(option: str, value: object) -> None:
    assert option in problem("sample", option, value, "--seed", 1)


@pytest.mark.parametrize(("option", "value"), [("--seed", -1), ("--threads", 0), ("--on-unknown", "maybe")])
def test_a_value_out_of_its_range_is_wrong_usage(option: str, value: object) -> None:
    assert option in usage_error("sample", option, value)


def test_threads_change_nothing_but_speed() -> None:
    assert done("sample", "-n", 40, "--threads", 1, "--seed", 1).text == done("sample", "-n", 40, "--seed", 1).text


@pytest.mark.usefixtures("names")
def test_a_model_of_lines_writes_ten_whole_items() -> None:
    text = done("sample", "-n", 10_000, "--seed", 1).text
    assert text.endswith("\n")
    assert text.count("\n") == 10
    assert done("sample", "-n", 10_000, "--seed", 1, "--samples", 3).text == "".join(text.splitlines(keepends=True)[:3])
    assert done("sample", "-n", -1, "--seed", 1).text == text  # each item ends by itself


@pytest.mark.usefixtures("names")
@pytest.mark.parametrize("length", [0, 1, 2])
def test_an_item_that_is_cut_short_still_has_a_line_of_its_own(length: int) -> None:
    lines = done("sample", "-n", length, "-p", "ab", "--seed", 1).text.split("\n")
    assert len(lines) == 11
    assert all(line.startswith("ab") and len(line) <= 2 + length for line in lines[:10])


@pytest.mark.usefixtures("names")
def test_an_item_in_json_says_how_it_ended() -> None:
    samples = done("sample", "-n", 3, "--seed", 1, "--samples", 30, "--json").json_lines
    assert {sample["finish"] for sample in samples} == {"line", "length"}
    for sample in samples:
        assert "\n" not in sample["text"]
        assert (len(sample["text"]) == 3) == (sample["finish"] == "length")


@pytest.mark.usefixtures("names")
def test_items_begin_with_the_prompt_which_is_part_of_a_line() -> None:
    lines = done("sample", "-p", "cab", "-n", 10_000, "--seed", 1).text.splitlines()
    assert len(lines) == 10
    assert all(line.startswith("cab") for line in lines)
    assert "--prompt" in problem("sample", "-p", "a\nb")
