"""What a checkpoint of a stranger names is only read if it is a regular file; nothing is searched for it."""

import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from lstmgen.checkpoint import load_checkpoint, save_checkpoint
from lstmgen.config import MAX_SOURCES
from lstmgen.errors import TextError
from lstmgen.text.sources import Source, recorded_sources
from tests.command_line import done, problem, run_of_text, start

TEXT = "The fox leapt; the grapes hung high.\n" * 9

posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pipes and devices among its files")


@pytest.fixture(autouse=True)
def folder(nowhere: Path) -> Path:
    """Work in a folder with a run of `fable.txt`."""
    run_of_text("fable", TEXT)
    return nowhere


def record(**changes: object) -> None:
    """Let the record of the run say something else."""
    path = Path("checkpoints", "fable", "best.safetensors")
    checkpoint = load_checkpoint(path)
    save_checkpoint(replace(checkpoint, record=replace(checkpoint.record, **changes)), path)  # type: ignore[arg-type]


def name_sources(*names: str) -> None:
    """Let the run name other sources."""
    text = load_checkpoint(Path("checkpoints", "fable", "best.safetensors")).record.text
    record(text=replace(text, sources=names))


@posix
@pytest.mark.parametrize("name", ["fifo", "link-to-fifo", "fifo.gz", "loop", "/dev/zero", "/dev/stdin", "/dev/tty"])
@pytest.mark.parametrize(
    "command", [["eval", "fable"], ["inspect", "fable", "--gates"], ["sample", "fable", "--max-copy=9"]]
)
def test_what_is_no_regular_file_is_not_opened(name: str, command: list[str]) -> None:
    os.mkfifo("fifo")
    os.mkfifo("fifo.gz")
    Path("link-to-fifo").symlink_to("fifo")
    Path("loop").symlink_to("loop")
    name_sources(name)
    assert problem(*command).startswith("lstmgen: the model's training text cannot be read (")


@posix
def test_a_file_that_becomes_a_pipe_is_not_waited_for() -> None:
    (source,) = recorded_sources(["fable.txt"]).sources
    Path("fable.txt").unlink()
    os.mkfifo("fable.txt")
    with pytest.raises(TextError, match="not a regular file"):
        list(source.blocks())


@pytest.mark.parametrize(
    "name",
    ["texts", "texts/", "/", "", "texts/*", "**/*.txt", "**/" * 1000, "/**/" * 400 + "x", "nowhere", "a/b", "x" * 9000],
)
def test_nothing_is_searched_for_a_checkpoint(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("texts").mkdir()
    Path("texts", "fable.txt").write_text(TEXT, encoding="utf-8")
    name_sources(name)
    for search in ("os.walk", "glob.glob"):
        monkeypatch.setattr(search, lambda *_, **__: pytest.fail("a search"))
    line = problem("eval", Path("checkpoints", "fable", "best.safetensors"))
    assert "lstmgen eval CHECKPOINT TEXT" in line


@pytest.mark.parametrize(
    "name",
    ["//host/share/a.txt", r"\\host\share\a.txt", r"\/host/a", r"/\host/a", "\\\\.\\COM1", r"\??\UNC\host\a"],
)
def test_no_other_machine_is_asked(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows would tell it who the user is as soon as it looks for the file."""
    for look in ("os.stat", "pathlib.Path.stat", "pathlib.Path.open", "pathlib.Path.exists"):
        monkeypatch.setattr(look, lambda *_, **__: pytest.fail("a look"))
    with pytest.raises(TextError, match="another machine"):
        recorded_sources([name])


def test_a_file_whose_name_looks_like_a_pattern_is_read() -> None:
    Path("fable.txt").rename("[f]able.txt")
    name_sources("[f]able.txt")
    assert "nats per character" in done("eval", "fable").text


@pytest.mark.parametrize("names", [["fable.txt"] * 101, ["a.txt", "fable.txt"] * 200])
def test_the_same_file_is_not_read_without_end(names: Sequence[str]) -> None:
    Path("a.txt").write_text(TEXT, encoding="utf-8")
    assert len(recorded_sources(names[:100]).sources) == 100
    with pytest.raises(TextError, match="more than 100 times"):
        recorded_sources(names)


def test_a_text_without_end_is_not_read_further_than_the_text_went(monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = iter(range(10**9))
    monkeypatch.setattr(Source, "blocks", lambda _: (TEXT.encode() for _ in blocks))
    assert "fable.txt" in problem("eval", "fable")
    assert next(blocks) < 10


@posix
def test_a_file_that_may_not_be_read_has_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, *_: object) -> int:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(TextError, match="Permission denied; check the file and its permissions"):
        list(recorded_sources(["fable.txt"]).sources[0].blocks())


def test_nothing_is_downloaded_for_a_checkpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pooch.retrieve", lambda *_, **__: pytest.fail("a download"))
    name_sources("shakespeare")
    assert "lstmgen train shakespeare --dry-run" in problem("eval", "fable")


@pytest.mark.parametrize("command", ["eval", "eval --dynamic", "sample", "inspect --gates", "info", "export --torch=x"])
def test_a_string_that_no_training_writes_is_one_line(command: str) -> None:
    text = load_checkpoint(Path("checkpoints", "fable", "best.safetensors")).record.text
    names = ("a\0b", "\0", "\ud800", "fable\udfff.txt", "x" * 100_001)
    unwritten: list[dict[str, object]] = [{"text": replace(text, sources=(name,))} for name in names]
    unwritten += [{"device": "cpu\0"}, {"started_from": "\ud8ff"}, {"text_sha256": "\0" * 64}]
    unwritten += [{"adapted_to": ("fine", "\udfff")}, {"versions": {"torch": "2\0"}}, {"versions": {"\udbff": "2"}}]
    name, *options = command.split()
    original = Path("checkpoints", "fable", "best.safetensors").read_bytes()
    for changes in unwritten:
        Path("checkpoints", "fable", "best.safetensors").write_bytes(original)
        record(**changes)
        assert "best.safetensors: " in problem(name, "fable", *options)


def test_too_many_names_are_refused() -> None:
    text = load_checkpoint(Path("checkpoints", "fable", "best.safetensors")).record.text
    with pytest.raises(Exception, match="training record"):
        record(text=replace(text, sources=("a",) * (MAX_SOURCES + 1)))


@pytest.mark.skipif(sys.platform != "linux", reason="names of files are bytes")
def test_a_name_that_is_not_utf_8_is_found_again() -> None:
    name = "caf\udce9.txt"
    Path("fable.txt").rename(name)
    name_sources(name)
    assert "nats per character" in done("eval", "fable").text
    assert "<U+DCE9>" in done("info", "fable").text


@posix
def test_the_user_may_name_a_pipe() -> None:
    reading, writing = os.pipe()
    os.write(writing, TEXT.encode())
    os.close(writing)
    process = start("eval", "fable", f"/dev/fd/{reading}", "--no-baselines", "--json", pass_fds=[reading])
    os.close(reading)
    out, complaints = process.communicate()
    assert process.returncode == 0, complaints
    assert b'"characters": 332' in out
