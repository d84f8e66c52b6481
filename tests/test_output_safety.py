"""What every command writes: no control character reaches a terminal, and no file or run is ever overwritten."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from lstmgen.checkpoint import load_checkpoint, save_checkpoint
from tests.command_line import (
    controls,
    done,
    evaluation_event,
    files_below,
    problem,
    run_of_text,
    untrained_run,
    write_log,
)

HOSTILE = "\x1b[\x07\x9b\r\u202e\nab"


@pytest.fixture(autouse=True)
def folder(nowhere: Path) -> Path:
    """Work in a folder with a model that writes escape sequences, and one that writes any bytes."""
    untrained_run("hostile", HOSTILE)
    untrained_run("octets", None)
    return nowhere


@pytest.mark.parametrize(
    "choices", [[], ["--json"], ["--samples", "3"], ["-p", "\x1b[a"], ["--temp", "0", "-p", "\x9b"]]
)
@pytest.mark.parametrize("name", ["hostile", "octets"])
def test_a_terminal_gets_no_control_characters(name: str, choices: list[str]) -> None:
    ran = done("sample", name, "-n", 300, "--seed", 1, *choices, terminal=True)
    assert controls(ran.text + ran.err) == set()
    assert "\u202e" not in ran.text
    assert ran.text.endswith("\n")  # the prompt of the shell begins on a line of its own


def test_a_pipe_and_a_file_get_the_exact_bytes() -> None:
    text = done("sample", "hostile", "-n", 500, "--seed", 1).out.decode("utf-8")
    assert (len(text), set(text)) == (500, set(HOSTILE))
    written = done("sample", "octets", "-n", 4000, "--seed", 1).out
    assert (len(written), len(set(written)) > 100) == (4000, True)
    ran = done("sample", "octets", "-n", 4000, "--seed", 1, "-o", "text.out", terminal=True)
    assert (ran.out, ran.err, Path("text.out").read_bytes()) == (b"", "", written)
    assert done("sample", "octets", "-p", "\udcff", "-n", 0, "--seed", 1).out == b"\xff"
    (sample,) = done("sample", "octets", "-p", "\udcff", "-n", 3, "--seed", 1, "--json").json_lines
    assert sample["text"].startswith("\ufffd")


@pytest.mark.parametrize(
    "arguments",
    [["-o", "no/such/folder.txt"], ["-o", "checkpoints"], ["-p", "unknown", "-o", "new.txt"], ["-o", "x" * 5000]],
)
def test_a_problem_leaves_no_file_behind(arguments: list[str], folder: Path) -> None:
    before = set(folder.iterdir())
    problem("sample", "hostile", "--seed", 1, *arguments)
    assert set(folder.iterdir()) == before


NAME = "a\x1b[31m\x9bb"
TEXT = f"{NAME}.txt"
TINY = ["--hidden-size", 4, "--layers", 1, "--precision", "float32", "--threads", 1, "--steps", 1]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no file names with control characters")
@pytest.mark.parametrize(
    "command",
    [
        ["info", NAME],
        ["runs", NAME, "--plot"],
        ["info", NAME, "--json"],
        ["runs"],
        ["runs", "--json"],
        ["eval", NAME],
        ["eval", NAME, TEXT, "--json"],
        ["eval", NAME, "octets", TEXT],
        ["eval", NAME, "--novelty", "-n", 60],
        ["score", NAME, TEXT],
        ["score", NAME, TEXT, "--lines"],
        ["score", NAME, TEXT, "--characters"],
        ["inspect", NAME, "--walk", HOSTILE.replace("\r", "")],
        ["inspect", NAME, TEXT, "--units"],
        ["train", TEXT, "--run", "new", "--preview", HOSTILE.replace("\r", ""), *TINY],
        ["compare", TEXT, "--cells", "rnn", *TINY],
    ],
    ids=lambda command: " ".join(map(str, command)).encode("unicode_escape").decode(),
)
def test_a_terminal_gets_no_hostile_names(command: list[object], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")  # so that what is left of control characters is not our own colour
    monkeypatch.setenv("NO_COLOR", "1")
    path = run_of_text(NAME, f"{HOSTILE}\nba\n" * 40)
    checkpoint, hostile = load_checkpoint(path), ("\x1b]0;\x07\u202e",)
    record = replace(checkpoint.record, versions={"\x1b[31m": "\u202e\n"}, adapted_to=hostile, device="\x1b[0m\n")
    save_checkpoint(replace(checkpoint, record=record), path)
    write_log(path.parent, evaluation_event(1, 3.0, 3.0))
    ran = done(*command, terminal=True)
    shown = ran.text + ran.err.replace("\r", "")  # the bar returns to the beginning of its line
    assert shown
    assert controls(shown) == set()
    assert "\u202e" not in shown


@pytest.mark.parametrize(
    ("target", "command"),
    [
        ("out", ["sample", "fable", "-n", 5, "--seed", 1, "-o", "out"]),
        ("out", ["sample", "fable", "-n", 0, "--seed", 1, "--save-state", "out"]),
        ("out", ["score", "fable", "fable.txt", "--html", "out"]),
        ("out", ["inspect", "fable", "fable.txt", "--html", "out", "-q"]),
        ("out", ["export", "fable", "--html", "out"]),
        ("out", ["export", "fable", "--torch", "out"]),
        ("out.onnx", ["export", "fable", "--onnx", "out.onnx"]),
        ("out-chunk.onnx", ["export", "fable", "--onnx", "out.onnx"]),
        ("out.svg", ["runs", "fable", "--plot", "-o", "out.svg"]),
        ("checkpoints/out/mine", ["train", "fable.txt", "--run", "out", *TINY]),
        ("checkpoints/out/mine", ["eval", "fable", "--dynamic", "--save-adapted", "out"]),
    ],
)
def test_what_exists_is_never_overwritten(target: str, command: list[object], folder: Path) -> None:
    write_log(run_of_text("fable", "The fox leapt; the grapes hung high.\n" * 20).parent, evaluation_event(1, 3.0, 3.0))
    Path(target).parent.mkdir(exist_ok=True)
    Path(target).write_bytes(b"mine")
    before = files_below(folder)
    assert "out" in problem(*command)
    assert files_below(folder) == before
