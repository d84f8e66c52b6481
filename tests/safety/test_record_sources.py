"""What a checkpoint of a stranger names is only read if it is a regular file, and only searched for a bounded time."""

import glob
import os
import random
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from lstmgen.checkpoint import load_checkpoint, save_checkpoint
from lstmgen.text import caution
from lstmgen.text.sources import find_sources
from tests.command_line import done, problem, run_of_text, start

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pipes and devices among its files")

TEXT = "The fox leapt; the grapes hung high.\n" * 9


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder with a run of `fable.txt`."""
    monkeypatch.chdir(tmp_path)
    run_of_text("fable", TEXT)
    return tmp_path


def name_source(name: str) -> None:
    """Let the run name another source."""
    path = Path("checkpoints", "fable", "best.safetensors")
    checkpoint = load_checkpoint(path)
    text = replace(checkpoint.record.text, sources=(name,))
    save_checkpoint(replace(checkpoint, record=replace(checkpoint.record, text=text)), path)


@pytest.mark.parametrize(
    "name",
    ["fifo", "link-to-fifo", "fifo.gz", "loop", "/dev/zero", "/dev/stdin", "/dev/tty"],
)
@pytest.mark.parametrize(
    "command", [["eval", "fable"], ["inspect", "fable", "--gates"], ["sample", "fable", "--max-copy=9"]]
)
def test_what_is_no_regular_file_is_not_opened(name: str, command: list[str]) -> None:
    os.mkfifo("fifo")
    os.mkfifo("fifo.gz")
    Path("link-to-fifo").symlink_to("fifo")
    Path("loop").symlink_to("loop")
    name_source(name)
    assert problem(*command).startswith("lstmgen: the model's training text cannot be read (")


def test_a_file_that_becomes_a_pipe_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    regular = Path("fable.txt").stat()
    Path("fable.txt").unlink()
    os.mkfifo("fable.txt")
    monkeypatch.setattr(Path, "stat", lambda *_, **__: regular)
    with pytest.raises(OSError):
        caution.open_regular(Path("fable.txt"))


def test_pipes_in_a_folder_are_left_out() -> None:
    Path("texts").mkdir()
    Path("fable.txt").rename("texts/fable.txt")
    os.mkfifo("texts/a-fifo")
    Path("texts/loop").symlink_to(".")
    name_source("texts")
    assert "nats per character" in done("eval", "fable").text


@pytest.mark.parametrize("name", ["texts", "texts/**", "*/*", "**/fable.txt", "/**/*.none"])
def test_a_long_search_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("texts").mkdir()
    for number in range(60):
        Path("texts", f"{number}.txt").write_text("a", encoding="utf-8")
    monkeypatch.setattr(caution, "MOST_FILES", 50)
    name_source(name)
    problem("eval", "fable")
    assert len(find_sources(["texts"]).sources) == 60  # the user may name any folder


def test_nothing_is_downloaded_for_a_checkpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pooch.retrieve", lambda *_, **__: pytest.fail("a download"))
    name_source("shakespeare")
    assert "lstmgen train shakespeare --dry-run" in problem("eval", "fable")


def test_the_user_may_name_a_pipe() -> None:
    reading, writing = os.pipe()
    os.write(writing, TEXT.encode())
    os.close(writing)
    process = start("eval", "fable", f"/dev/fd/{reading}", "--no-baselines", "--json", pass_fds=[reading])
    os.close(reading)
    out, complaints = process.communicate()
    assert process.returncode == 0, complaints
    assert b'"characters": 332' in out


def test_a_bounded_search_finds_what_glob_finds(trials: Callable[[int, int], int]) -> None:
    for name in ("a.txt", ".b.txt", "x/a.txt", "x/y/b.md", "x/.h/a.txt", "x/y/z/a.txt", "w/a.txt", "[a].txt"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text("text", encoding="utf-8")
    Path("w/link").symlink_to("../x")
    parts = ["*", "**", "?", "x", "w", "y", "*.txt", ".*", "[xw]", "a.txt", "link", "[[]a].txt"]
    for seed in range(trials(300, 5000)):
        generator = random.Random(seed)
        pattern = "/".join(generator.choices(parts, k=generator.randrange(1, 5)))
        if not glob.has_magic(pattern) or ".txt/" in pattern:  # glob takes the file a.txt for a folder in a.txt/**
            continue
        paths = map(Path, glob.glob(pattern, recursive=True))  # noqa: PTH207  # it is what the user's names mean
        expected = {str(path) for path in paths if path.is_file()}
        found = {str(Path(path)) for path in caution.Walk(pattern).matching(pattern)}
        assert found == expected, f"seed {seed}: {pattern}"
