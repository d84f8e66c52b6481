"""A file that a command was told to write is complete or not there, whatever ends the command.

A process that is killed cannot clean up: it leaves a file whose name ends in .part.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.command_line import done, evaluation_event, files_below, run, run_of_text, start, write_log

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals")

TEXT = "The fox leapt; the grapes hung high.\n" * 20
CODES = {"SIGINT": 130, "SIGTERM": 143, "SIGHUP": 129}
COMMANDS = {
    "sample": ["sample", "fable", "-n", "50", "--seed", "1", "-o", "out"],
    "sample-json": ["sample", "fable", "-n", "9", "--samples", "3", "--json", "--seed", "1", "-o", "out"],
    "score": ["score", "fable", "fable.txt", "--html", "out", "-q"],
    "inspect": ["inspect", "fable", "fable.txt", "--html", "out", "-n", "60", "-q"],
    "eval": ["eval", "fable", "--dynamic", "--no-baselines", "-q", "--save-adapted", "out"],
    "runs": ["runs", "fable", "--plot", "-o", "out.svg"],
    "export-html": ["export", "fable", "--html", "out", "-q"],
    "export-torch": ["export", "fable", "--torch", "out", "-q"],
}
OUTPUTS = {"eval": Path("checkpoints/out/best.safetensors"), "runs": Path("out.svg")}


@pytest.fixture(autouse=True)
def folder(nowhere: Path) -> Path:
    """Work in a folder with a run."""
    run_folder = run_of_text("fable", TEXT).parent
    write_log(run_folder, evaluation_event(1, 3.0, 3.0), evaluation_event(2, 2.0, 2.5))
    return nowhere


class Moment(NamedTuple):
    """A system call of writing, before or after which a signal arrives."""

    call: str
    after: bool = False


MOMENTS = [Moment("fsync"), Moment("fsync", after=True), Moment("link"), Moment("link", after=True), Moment("rename")]
INTERRUPTIONS = [("SIGINT", MOMENTS[0]), ("SIGHUP", MOMENTS[0]), *(("SIGTERM", moment) for moment in MOMENTS)]


@pytest.mark.parametrize(("signal_name", "moment"), INTERRUPTIONS, ids=str)
@pytest.mark.parametrize("command", COMMANDS)
def test_a_signal_in_the_midst_of_writing_leaves_the_whole_file_or_none(
    command: str, signal_name: str, moment: Moment, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if command == "runs":
        pytest.importorskip("matplotlib")
    output, call = OUTPUTS.get(command, Path("out")), getattr(os, moment.call)
    before = files_below(folder)
    sent: list[str] = []

    def interrupted(*arguments: object, **more: object) -> object:
        result = call(*arguments, **more) if moment.after else None
        if not sent:
            sent.append(signal_name)
            os.kill(os.getpid(), getattr(signal, signal_name))
        return result if moment.after else call(*arguments, **more)

    handlers = [signal.getsignal(getattr(signal, name)) for name in CODES]
    with monkeypatch.context() as patch:
        patch.setattr(os, moment.call, interrupted)
        ran = run(*COMMANDS[command])
    assert [signal.getsignal(getattr(signal, name)) for name in CODES] == handlers
    written = files_below(folder)
    complete = written.pop(str(output), None)
    assert written == before, ran
    if not sent:  # this command makes no such call
        assert (ran.code, complete is not None) == (0, True), ran
        return
    assert ran.code == CODES[signal_name], ran
    if command == "eval":
        assert not output.parent.exists() or complete is not None
    if complete is not None:
        Path("again").mkdir()
        output.rename("again/out")
        done(*COMMANDS[command])
        assert len(output.read_bytes()) == len(complete)


def part_of(name: str) -> list[Path]:
    return list(Path.cwd().glob(f"**/{name}*.part"))


def begun(*arguments: str) -> subprocess.Popen[bytes]:
    """A command in a process of its own, as soon as it has begun to write."""
    process = start(*arguments)
    while not part_of("out"):
        assert process.poll() is None, process.communicate()
    return process


LONG = {
    "sample": ["sample", "fable", "-n", "100000000", "--seed", "1", "-o", "out"],
    "score": ["score", "fable", "long.txt", "--html", "out", "-n", "100000000", "-q"],
    "inspect": ["inspect", "fable", "long.txt", "--html", "out", "-n", "100000000", "-q"],
}


ENDS = [
    pytest.param(command, name, marks=[] if command == "sample" or name == "SIGTERM" else [pytest.mark.long])
    for command in LONG
    for name in (*CODES, "SIGKILL")
]


@pytest.mark.parametrize(("command", "signal_name"), ENDS)
def test_a_process_that_ends_leaves_nothing(command: str, signal_name: str, trials: Callable[[int, int], int]) -> None:
    Path("long.txt").write_text(TEXT * 2000, encoding="utf-8")
    for _ in range(trials(1, 8)):
        process = begun(*LONG[command])
        process.send_signal(getattr(signal, signal_name))
        assert process.communicate() == (b"", b"")
        assert not Path("out").exists()
        parts = part_of("out")
        assert process.returncode == CODES.get(signal_name, -9)
        assert len(parts) == (signal_name == "SIGKILL")
        for part in parts:
            part.unlink()


def test_an_endless_text_keeps_what_was_written() -> None:
    process = start("sample", "fable", "-n", "-1", "--seed", "1", "-o", "out")
    while not (Path("out").exists() and Path("out").stat().st_size > 20_000):
        assert process.poll() is None, process.communicate()
    process.send_signal(signal.SIGTERM)
    process.communicate()
    assert process.returncode == 143
    assert Path("out").read_bytes()[:50] == done("sample", "fable", "-n", "50", "--seed", "1").out
    assert part_of("out") == []


@pytest.mark.parametrize("signal_name", [*CODES, "ignored"])
def test_a_text_that_goes_to_a_pipe_ends_without_a_traceback(signal_name: str) -> None:
    """An ignored hangup ends nothing. What the tests start has default signals, even where they run below `nohup`."""
    ignored = signal_name == "ignored"
    preexec = partial(signal.signal, signal.SIGHUP, signal.SIG_IGN) if ignored else None
    process = start("sample", "fable", "-n", "-1", "--seed", "1", preexec_fn=preexec)
    assert process.stdout is not None
    assert len(process.stdout.read(10)) == 10
    process.send_signal(signal.SIGHUP if ignored else getattr(signal, signal_name))
    if ignored:
        assert len(process.stdout.read(1 << 14)) == 1 << 14
        process.kill()
    _, complaints = process.communicate()
    assert (process.returncode, complaints) == (CODES.get(signal_name, -9), b"")
