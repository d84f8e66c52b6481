"""The README is true: its commands run, its tree is the package."""

import re
import shlex
from dataclasses import replace
from pathlib import Path

import pytest

import lstmgen
from lstmgen.checkpoint import load_checkpoint, save_checkpoint
from lstmgen.config import TextConfig
from lstmgen.text.corpus import read_corpus
from tests.command_line import done, evaluation_event, untrained_run, write_log

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
CHARACTERS = "\n !',.:;?ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


COMMANDS = [line for block in blocks("sh") for line in block.splitlines() if line.startswith("lstmgen ")]


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the texts and runs that the README speaks of."""
    monkeypatch.chdir(tmp_path)
    for name in ("poems.txt", "names.txt"):
        Path(name).write_text("The sea is calm.\nMary, Martha and Marcus sail on it.\n" * 40, encoding="utf-8")
    untrained_run("names", CHARACTERS, lines=True)
    corpus = read_corpus(TextConfig(sources=("poems.txt",)))
    for name in ("poems-gru", "poems-lstm"):
        path = untrained_run(name, CHARACTERS)
        checkpoint = load_checkpoint(path)
        text = TextConfig(sources=("poems.txt",))
        record = replace(checkpoint.record, text=text, text_sha256=corpus.sha256, text_symbols=len(corpus.ids))
        save_checkpoint(replace(checkpoint, record=record), path)
        write_log(path.parent, evaluation_event(60, 1.5, 1.6))
    return tmp_path


@pytest.mark.usefixtures("workplace")
@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_runs(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    command, *arguments = shlex.split(line, comments=True)[1:]
    if command == "train":
        arguments = [*arguments, "--dry-run", "--run", "readme", "--threads", "1", "--precision", "float32"]
    if command == "bench":
        arguments = ["--cell", "rnn", "--hidden-size", "8", "--threads", "1", "--precision", "float32"]
        monkeypatch.setattr("lstmgen.benchmark._ROUNDS", 1)
        monkeypatch.setattr("lstmgen.benchmark._ROUND_SECONDS", 0.0)
    stdin = b"\n/quit\n"
    if "<" in arguments:
        *arguments, _, source = arguments
        stdin = Path(source).read_bytes()
    if "--load-state" in arguments:
        done("sample", "-p", "The sea", "-n", "0", "--save-state", "sea.state", "--seed", "1")
    ran = done(command, *arguments, stdin=stdin)
    assert ran.out or "readme" in ran.err or Path("poems.html").exists()


@pytest.mark.usefixtures("workplace")
def test_the_python_example_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (example,) = blocks("python")
    exec(compile(example, "README.md", "exec"), {})
    assert capsys.readouterr().out.startswith("The sea")


def test_it_opens_with_the_two_commands() -> None:
    first, second = (block.strip() for block in blocks("sh")[:2])
    for command in (first, second):
        assert "\n" not in command
        assert command.startswith("python3 -m venv .venv && .venv/bin/pip install -c constraints.txt ")
    assert "lstmgen train" in first and "lstmgen sample" in first
    assert second.endswith(".venv/bin/pytest")


def test_its_tree_is_the_package() -> None:
    tree = README[README.index("```\nlstmgen/\n") :]
    named = set(re.findall(r"[\w.]+\.(?:py|typed)\b", tree))
    assert named == {path.name for path in Path(lstmgen.__file__).parent.rglob("*.py")} | {"py.typed"}
