"""`lstmgen sample`: what is written, what decides it, saved states, and conversations."""

import re
from pathlib import Path

import pytest

from lstmgen.language_model import load
from tests.command_line import done, problem, run, untrained_run, usage_error
from tests.conftest import FABLE


@pytest.fixture(autouse=True)
def folder(own_folder: Path) -> Path:
    """Work in a copy of the folder with the trained run."""
    return own_folder


@pytest.fixture
def names() -> None:
    """The newest run is a model of lines."""
    untrained_run("names", "abc\n", lines=True)


def test_text_goes_to_stdout_and_the_seed_and_the_model_to_stderr() -> None:
    ran = done("sample", "fable", "-n", 40)
    assert len(ran.text) == 40
    assert ran.err.startswith("seed ") and "fable" in ran.err
    options = ["-n", 40, "--seed", ran.err.split()[1]]
    for more in (["fable"], [], ["--threads", 1], ["-q"], ["--quiet"]):  # the newest run is used by default
        again = done("sample", *more, *options)
        assert (again.text, again.err) == (ran.text, "" if more and more != ["--threads", 1] else ran.err)
    assert done("sample", "-n", 40, "-q").err == ""
    assert len(done("sample", "fable", "--seed", 1).text) == 500
    assert done("sample", "fable", "--length", 0, "-p", "A fox").text == "A fox"


def test_a_typed_text_may_hold_line_feeds() -> None:
    assert done("sample", "-p", r"The\nfox", "-n", 5, "-q").text.startswith("The\nfox")
    stopped = done("sample", "-p", "A", "--stop", r"\n", "-n", 3000, "--seed", 1, "-q").text
    assert "\n" not in stopped.removesuffix("\n")


def test_a_text_in_place_of_a_model_is_told_from_a_run() -> None:
    message = problem("sample", "The sea")
    assert str(Path("checkpoints").absolute()) in message and "lstmgen sample -p 'The sea'" in message


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


def test_unknown_characters_are_named_or_skipped() -> None:
    line = problem("sample", "-p", "Thé fox")
    assert all(part in line for part in ("'é'", "'e'", "--on-unknown"))
    for prompt, known in ("ThéQ🙂 fox", "Th fox"), ("é", ""):
        skipped = done("sample", "-n", 30, "-p", prompt, "--on-unknown", "skip", "--seed", 1).text
        assert skipped == done("sample", "-n", 30, "-p", known, "--seed", 1).text


def test_the_first_of_many_samples_is_the_only_one_of_one() -> None:
    options = ["-n", 80, "--seed", 3, "-p", "A fox"]
    alone = done("sample", *options).text
    rows = done("sample", *options, "--samples", 5, "--json").json_lines
    assert [rows[0]["text"], len({row["text"] for row in rows})] == [alone, 5]
    for row in rows:
        assert {"text", "prompt", "seed", "nats", "finish"} <= row.keys()
        assert (row["prompt"], row["seed"], row["finish"]) == ("A fox", 3, "length")
    plain = done("sample", *options, "--samples", 5).text
    assert plain.startswith(alone)
    assert all(row["text"] in plain for row in rows)


@pytest.mark.parametrize(
    "options",
    [
        *("--length -2", "--temp -0.1", "--temp nan", "--temp inf", "--samples 0", "--top-k 0", "--top-p 1.5"),
        *("--min-p -0.1", "--word-temp -1", "--word-temp nan", "--no-repeat 0", "--max-copy 0", "--best-of 0"),
        *("--stop=", "--stop=Ω", "--device cuda"),
        *("--length -1 --json", "--length -1 --samples 2"),  # it never ends
        *("--seed -1", "--threads 0", "--on-unknown maybe", "--prompt-file - -p A"),
        *(f"--interactive {more}" for more in ("--json", "--samples 2", "--best-of 2", "-f -")),
    ],
)
def test_a_value_that_cannot_work_is_named(options: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    name = re.split("[ =]", options)[0]
    is_usage = name in ("--seed", "--threads", "--on-unknown", "--prompt-file", "--interactive")
    said = (usage_error if is_usage else problem)("sample", *options.split())
    assert name in said or "Ω" in said


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
    samples = done("sample", "-n", 3, "--seed", 1, "--samples", 30, "--json").json_lines
    assert {sample["finish"] for sample in samples} == {"line", "length"}
    assert all("\n" not in each["text"] for each in samples)
    assert all((len(each["text"]) == 3) == (each["finish"] == "length") for each in samples)


# Filters and states


def test_every_sample_matches_the_expression() -> None:
    expression = "[A-Z][a-z]+( [a-z]+){2,4}[.;]"
    options = ["--match", expression, "--samples", 10, "-n", 90, "--seed", 1]
    samples = done("sample", *options).text.splitlines()
    assert len(samples) == 10 and all(re.fullmatch(expression, sample) for sample in samples)
    text = done("sample", "-p", "The fox ", "--match", "[a-z]+;", "-n", 90, "--seed", 1).text
    assert re.fullmatch("The fox [a-z]+;", text)


@pytest.mark.parametrize("expression", ["(", "Ω+", r"(a)\1"])
def test_an_expression_that_cannot_be_used_leaves_nothing_behind(expression: str, folder: Path) -> None:
    assert "--match" in problem("sample", "--match", expression, "-o", "out.txt", "--save-state", "state")
    assert not (folder / "out.txt").exists()
    assert not (folder / "state").exists()


def test_a_stop_text_ends_the_sample_and_is_not_part_of_it() -> None:
    whole = done("sample", "-n", 300, "--seed", 1, "--temp", 0).text
    piece = whole[50:53]
    for stop in (["--stop", piece], ["--stop", "xxx", "--stop", " "], ["--stop", "xg"]):
        wanted = min((whole.find(text) for text in stop[1::2] if text in whole), default=300)
        assert done("sample", "-n", 300, "--seed", 1, "--temp", 0, *stop).text == whole[:wanted]
    (sample,) = done("sample", "-n", 300, "--seed", 1, "--temp", 0, "--stop", piece, "--json").json_lines
    assert sample["finish"] == "stop"


def test_nothing_long_is_copied_from_the_training_text(folder: Path) -> None:
    training = (FABLE * 20)[: int(len(FABLE * 20) * 0.9) + 1]

    def copies(text: str) -> bool:
        return any(text[at : at + 5] in training for at in range(len(text) - 4))

    options = ["-n", 300, "--seed", 1, "--temp", 0.2]
    ran = done("sample", *options, "--max-copy", 4)
    assert not copies(ran.text)
    assert copies(done("sample", *options).text)
    assert "training-text.index" in ran.err
    index = folder / "checkpoints" / "fable" / "training-text.index"
    (folder / "fable.txt").unlink()  # from now on the index is all that is needed
    again = done("sample", "-q", *options, "--max-copy", 4)
    assert (again.text, again.err) == (ran.text, "")
    index.unlink()
    (folder / "fable.txt").write_text("another text\n", encoding="utf-8")
    assert "--max-copy" in problem("sample", "--max-copy", 10)


def test_a_sample_that_cannot_continue_says_so() -> None:
    untrained_run("tiny", "ab")
    ran = done("sample", "tiny", "-n", 100, "--no-repeat", 2, "--seed", 1)
    assert len(ran.text) <= 5  # aabba has all pairs of two tokens
    assert "--no-repeat" in ran.err
    (sample,) = done("sample", "tiny", "-n", 100, "--no-repeat", 2, "--seed", 1, "--json", "-q").json_lines
    assert sample["finish"] == "stuck"


@pytest.mark.parametrize("terminal", [False, True])
@pytest.mark.parametrize("other", [["--no-repeat", 1], ["--stop", "aa"]])
def test_a_sample_that_does_not_match_is_a_problem_that_names_the_filters(other: list[object], terminal: bool) -> None:
    options = ["-n", 40, "--seed", 1, "--match", "a{6}", *other]
    ran = run("sample", *options, terminal=terminal)
    assert ran.code == 1
    assert ran.text == ("a\n" if terminal and other[0] == "--no-repeat" else "")  # what a terminal has shown, stays
    assert "--match" in ran.err and str(other[0]) in ran.err
    ran = run("sample", *options, "--samples", 2, "--json", "-q")
    assert ran.code == 1
    assert [sample["finish"] for sample in ran.json_lines] == ["unmatched"] * 2
    assert (run("sample", *options, "-o", "out.txt").code, Path("out.txt").exists()) == (1, False)


def test_samples_that_match_are_written_although_others_do_not() -> None:
    options = ["-n", 30, "--seed", 1, "--temp", 3, "--match", "[a-z ]*[.;]", "--stop", " ", "--samples", 40]
    samples = run("sample", *options, "--json").json_lines
    matching = [sample["text"] for sample in samples if sample["finish"] != "unmatched"]
    assert 0 < len(matching) < 40
    assert all(bool(re.fullmatch("[a-z ]*[.;]", s["text"])) == (s["finish"] != "unmatched") for s in samples)
    ran = run("sample", *options)
    assert (ran.code, ran.text.splitlines()) == (1, matching)
    assert run("sample", *options, "-o", "out.txt").code == 1
    assert Path("out.txt").read_text(encoding="utf-8") == ran.text
    best = run("sample", *options, "--samples", 1, "--best-of", 40)
    assert best.code == 0 and best.text.strip() in matching  # those that match come first


def test_of_several_candidates_the_likeliest_is_kept() -> None:
    options = ["-n", 60, "--seed", 3, "--temp", 1.2, "--json"]
    candidates = done("sample", *options, "--samples", 8).json_lines
    best = min(candidates, key=lambda sample: sample["nats"])
    assert done("sample", "-n", 60, "--seed", 3, "--temp", 1.2, "--best-of", 8).text == best["text"] + "\n"
    two = done("sample", *options, "--samples", 2, "--best-of", 4).json_lines
    halves = [min(half, key=lambda sample: sample["nats"])["text"] for half in (candidates[:4], candidates[4:])]
    assert [sample["text"] for sample in two] == halves


def test_likeliest_alone_is_temperature_zero_and_none_in_bounds_leads_to_a_warning() -> None:
    greedy = done("sample", "-n", 80, "--seed", 1, "--temperature", 0).text
    for only in (["--top-k", 1], ["--top-p", 0], ["--min-p", 1], ["--temp", 0, "--word-temp", 0]):
        assert done("sample", "-n", 80, "--seed", 2, "--temp", 1, *only).text == greedy
    for temperature in ("1e-300", "1e-9", "1000"):
        ran = done("sample", "-q", "-n", 60, "--temp", temperature, "--seed", 1)
        assert (len(ran.text), ran.err) == (60, "")


def test_a_prompt_is_read_once_and_gone_on_from() -> None:
    wanted = done("sample", "-p", "The fox leapt", "-n", 60, "--seed", 1, "--no-prompt-echo").text
    assert done("sample", "-p", "The fox", "-n", 0, "--save-state", "fox.state", "--seed", 1).text == "The fox"
    text = done("sample", "--load-state", "fox.state", "-p", " leapt", "-n", 60, "--seed", 1).text
    assert text == " leapt" + wanted
    problem("sample", "--save-state", "fox.state")
    untrained_run("other", "\n .;:,ATaefghilnoprstuvxd")
    problem("sample", "other", "--load-state", "fox.state")  # it belongs to another model
    assert "--load-state" in problem("sample", "fable", "--load-state", "nowhere")
    problem("sample", "fable", "--load-state", "fable.txt")


# Conversations


def talk(*lines: str, options: str = "") -> tuple[str, str]:
    """What a conversation leaves on stdout and stderr."""
    typed = "".join(line + "\n" for line in lines).encode()
    ran = run("sample", "-i", "-p", "The fox", "--seed", 1, "-n", 20, *options.split(), stdin=typed)
    assert ran.code == 0, ran.err
    return ran.text, ran.err


def test_a_conversation_leaves_the_text_on_stdout() -> None:
    text, err = talk("", " saw", "/quit")
    assert text.startswith("The fox") and " saw" in text
    assert len(text) >= len("The fox") + 20 + len(" saw") + 20
    assert "/undo" in err
    assert talk() == talk("/quit")  # the end of the input is the end of the conversation
    assert talk()[0] == "The fox"
    kept, _ = talk("", "/keep 1")
    assert talk("")[0].startswith(kept)
    assert re.fullmatch(r"The fox\s*\S+", kept)
    assert len(re.findall(r"\d+\.\d%", talk("/top 4")[1])) == 4


def test_a_conversation_skips_what_it_is_asked_to() -> None:
    assert talk(" Ωsaw", options="--on-unknown skip")[0] == talk(" saw")[0]
    assert talk(" saw", options="--no-prompt-echo")[0] == talk(" saw")[0].removeprefix("The fox")
    text, err = talk(r"\nA", "Ω")
    assert text.startswith("The fox\nA")
    assert "U+03A9" in err
    text, err = talk("", "", options="--match a{6} --no-repeat 1")  # a piece that does not match is not added
    assert text == "The fox"
    assert err.count("--no-repeat") == 2 and "--seed" not in err


def test_undo_and_retry_in_a_conversation() -> None:
    once, _ = talk("")
    assert talk("", "", "/undo")[0] == once
    retried, _ = talk("", "/retry")
    assert len(retried) >= len("The fox") + 20 and retried != once
    assert "nothing to undo" in talk("/undo")[1]


def test_a_conversation_can_change_how_the_model_writes() -> None:
    greedy = load("fable").sample("The fox", length=70, temperature=0.0)
    text, err = talk("/temp 0", "/length 33", "", "/temp", "/length")
    assert len(text) >= len("The fox") + 33 and greedy.startswith(text)
    assert {"0.0", "33"} <= set(err.splitlines())


def test_words_typed_in_a_conversation_do_not_run_into_the_text() -> None:
    for typed, added in (("saw", " saw"), (" saw", " saw"), (", saw", ", saw"), (r"\nsaw", "\nsaw")):
        assert talk(typed)[0].startswith(f"The fox{added}")


def test_a_conversation_saves_to_a_new_file_only(folder: Path) -> None:
    text, err = talk("", "/save story.txt", "", "/save story.txt", "/save fable.txt")
    assert (folder / "story.txt").read_text(encoding="utf-8") == text
    assert "fable.txt exists" in err
    assert (folder / "fable.txt").read_text(encoding="utf-8") == FABLE * 20


def test_what_a_conversation_cannot_do_is_said_with_what_can_be_typed_there(folder: Path) -> None:
    before = set(folder.rglob("*"))
    for line in ("/save", "/temp x", "/length 0", "/length -3", "/keep", "/keep -1", "/top 0"):
        text, err = talk(line)
        assert text == "The fox"
        assert re.search(rf"{line.split()[0]} needs .*such as {line.split()[0]} \S+", err)
    assert set(folder.rglob("*")) == before
    _, err = talk("/length 3", "", "Ω", "/temp nan", "/fly", options="--match [a-z]{9}")
    assert "give a larger /length" in err and "/temp nan" in err and "/fly" in err
    assert not re.search("--(length|temp|on-unknown)", err)
