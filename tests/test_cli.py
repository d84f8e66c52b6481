"""What holds for every command: help, usage, problems in one line, pipes."""

import os
import re
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

import lstmgen
from lstmgen.cli.app import app, main
from tests.command_line import done, problem, serve_shortly, start, untrained_run, usage_error
from tests.conftest import FABLE

COMMANDS: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]  # a group


def help_of(command: str) -> list[str]:
    """The lines of a help text, its frames and margins left out."""
    return [line.strip(" │╭╮╰╯─") for line in done(command, "--help").text.splitlines()]


def examples_of(command: str) -> list[str]:
    lines = help_of(command)
    return [line for line in lines[lines.index("Examples:") + 1 :] if line]


COSTLY = ("bench --json", "--onnx", "compare poems.txt --cells")  # the README's are tried too


def arguments_of(example: str) -> list[str]:
    """What the shell would give to `lstmgen`, without what is piped into it or out of it."""
    words = shlex.split(example)
    begin = words.index("lstmgen") + 1
    return words[begin : words.index("|", begin) if "|" in words[begin:] else None]


@pytest.fixture
def folder_of_the_examples(trained_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with every text and run that the examples name."""
    monkeypatch.chdir(tmp_path)
    fable = trained_folder / "fable.txt"
    for name in ("poems-gru", "poems-lstm"):
        shutil.copytree(trained_folder / "checkpoints" / "fable", f"checkpoints/{name}")
    Path("src").mkdir()
    for name in ("poems.txt", "other-poems.txt", "names.txt", "log.txt", "src/a.py", "notes.md", "fable.txt"):
        shutil.copy(fable, name)
    os.utime(untrained_run("names", "\nabc", lines=True), (0, 0))  # older than the others


def test_help_and_version_are_products() -> None:
    assert done("-h").out == done("--help").out
    assert done("--help").err == done("train", "--help").err == ""
    assert done("--version").text == f"lstmgen {lstmgen.__version__}\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_and_option_has_help_and_a_default(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "400")  # room for an option in a line
    assert command in done("--help").text
    lines = [line for line in help_of(command) if line.startswith("--")]
    for parameter in COMMANDS[command].params:
        assert parameter.help
        if parameter.param_type_name == "option" and not parameter.is_flag and parameter.name != "help":
            (line,) = [line for line in lines if parameter.opts[0] in line.split()[0].split(",")]
            assert "[default: " in line, line


@pytest.mark.parametrize("columns", [30, 50, 80, 120])
@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_breaks_no_name_and_fits(command: str, columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    text = done(*command.split(), "--help").text
    words = {word.rstrip(",") for line in text.splitlines() for part in line.split() for word in part.split(",")}
    parameters = COMMANDS[command].params if command else []
    assert {name for each in parameters for name in (*each.opts, *each.secondary_opts) if name[0] == "-"} <= words
    assert command or COMMANDS.keys() <= words
    assert "…" not in text
    assert all(
        len(line.rstrip()) <= columns
        for line in text.splitlines()
        if not re.fullmatch(r".*lstmgen .*|\S+", line.strip())
    )


@pytest.mark.usefixtures("folder_of_the_examples", "short_benchmark")
@pytest.mark.parametrize(
    ("command", "example"),
    [
        pytest.param(name, example, marks=[pytest.mark.long] if any(part in example for part in COSTLY) else [])
        for name in COMMANDS
        for example in examples_of(name)
    ],
)
def test_every_example_is_one_line_that_works(command: str, example: str) -> None:
    """The endless one is parsed only, and ends in the tests of closed pipes; nothing is trained, little is measured."""
    arguments = arguments_of(example)
    assert arguments[0] == command
    if "-n -1" in example:
        assert COMMANDS[command].make_context(command, arguments[1:]).params
        return
    if arguments[0] == "bench":
        arguments = [argument.replace("512", "8") for argument in arguments]
        arguments += [] if "8" in arguments else ["--cell", "rnn", "--hidden-size", "8"]
        arguments += ["--layers", "1", "--batch-size", "2", "--chunk-length", "4"]
    if arguments[0] == "compare":
        arguments = [argument for argument in arguments if argument not in ("--time", "3m")]
        arguments += ["--steps", "1", "--seeds", "1", *(["--lags", "2"] if "recall" in arguments else [])]
    if arguments[0] == "train":
        arguments += ["--dry-run"]
        shutil.rmtree("checkpoints/names")
    if "--resume" in arguments:
        arguments += ["--steps", "100"]
    if arguments[0] == "serve":
        serve_shortly(*arguments[1:])
        return
    done(*arguments, stdin=Path("log.txt").read_bytes())


@pytest.mark.parametrize("arguments", ["no-such-command", "sample --no-such-option", "info a b", "sample -n many"])
def test_wrong_usage_exits_with_2(arguments: str) -> None:
    usage_error(*arguments.split())


@pytest.mark.usefixtures("in_trained_folder")
@pytest.mark.parametrize("command", ["sample", "eval", "info"])
def test_a_missing_checkpoint_is_a_problem(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("nothing", "", "checkpoints", "x" * 5000, "fable.txt/run"):
        problem(command, name)
    monkeypatch.chdir(tmp_path)
    assert "lstmgen train" in problem(command)


@pytest.mark.usefixtures("in_trained_folder")
@pytest.mark.parametrize(
    "command", ["sample fable -n -1 --seed 1", "score fable {} --characters", "score fable {} --lines --json"]
)
def test_what_is_long_or_endless_ends_quietly_with_its_reader(command: str, tmp_path: Path) -> None:
    text = tmp_path / "long.txt"
    text.write_text(FABLE * 100, encoding="utf-8")
    process = start(*command.format(text).split())
    assert process.stdout is not None and process.stderr is not None
    assert len(process.stdout.read(100)) == 100
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(60) == 0


@pytest.mark.usefixtures("in_trained_folder")
@pytest.mark.parametrize("command", [["sample", "-n", "5"], ["info"], ["sample", "-f", "-"]])
def test_closed_standard_streams_are_no_traceback(command: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("stdin", "stdout", "stderr"):
        monkeypatch.setattr(sys, name, None)
    with pytest.raises(SystemExit) as ended:
        main(command)
    assert ended.value.code == (1 if "-f" in command else 0)
    sys.stdout.close()
    sys.stderr.close()
