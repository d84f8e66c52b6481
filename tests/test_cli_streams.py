"""Standard streams that cannot be written: which commands end, what is said, and the exit code."""

import errno
import io
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from lstmgen.checkpoint import load_checkpoint
from lstmgen.cli import streams
from lstmgen.cli.app import main
from lstmgen.cli.interrupt import StopRequest, exit_on_signals
from lstmgen.cli.render import note, put
from lstmgen.cli.streams import Output, OutputLostError, guarded_streams
from tests.command_line import done, untrained_run
from tests.conftest import FABLE

SMALL = ["--hidden-size", "8", "--layers", "1", "--embedding-size", "4", "--precision", "float32", "--batch-size", "4"]
TRAIN = ["train", "fable.txt", "--run", "r", "--steps", "60", "--every", "10", "--threads", "1", *SMALL]
COMPARE = ["compare", "fable.txt", "--steps", "4", "--cells", "rnn", "--threads", "1", "--layers", "1"]
RECALL = ["compare", "--task", "recall", "--lags", "2", "--steps", "2", "--cells", "rnn", "--seeds", "1"]
COMPARE += ["--hidden-size", "8", "--batch-size", "4", "--precision", "float32"]
FULL = [errno.ENOSPC, errno.EAGAIN, errno.EBADF]

posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has other signals and terminals")


class Failing(io.RawIOBase):
    """Where a standard stream writes: it takes some bytes, then every write fails; for ever or some times."""

    def __init__(self, error: int, *, room: int = 0, times: int = sys.maxsize, terminal: bool = False) -> None:
        self.content = b""
        self.error, self.room, self.times, self.terminal = error, room, times, terminal

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return self.terminal

    def write(self, content: Any, /) -> int | None:
        taken = bytes(content)[: self.room]
        if self.times <= 0:
            taken = bytes(content)
        elif not taken:
            self.times -= 1
            if self.error == errno.EAGAIN:
                return None  # as a file does
            raise OSError(self.error, os.strerror(self.error))
        self.room -= len(taken)
        self.content += taken
        return len(taken)


def stream_on(raw: io.RawIOBase) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding="utf-8", newline="")


@pytest.fixture(autouse=True)
def folder(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "_PATIENCE_SECONDS", 0.0)
    (nowhere / "fable.txt").write_text(FABLE * 5, encoding="utf-8")


def ended(
    monkeypatch: pytest.MonkeyPatch, *arguments: str, out: Failing | None = None, err: Failing | None = None
) -> tuple[object, str, str]:
    """Run a command with a stream that fails; its exit code, and what reached stdout and stderr."""
    raws = out or Failing(0, times=0), err or Failing(0, times=0)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", stream_on(raws[0]))
        patch.setattr(sys, "stderr", stream_on(raws[1]))
        with pytest.raises(SystemExit) as end:
            main(list(arguments))
    return end.value.code, raws[0].content.decode(), raws[1].content.decode()


def reason(error: int) -> str:
    """What is said of an error; Python has words of its own for a pipe that is full."""
    return "without blocking" if error == errno.EAGAIN else os.strerror(error)


def step() -> int:
    return load_checkpoint(Path("checkpoints/r/last.safetensors")).record.position.step


@pytest.mark.parametrize("error", [*FULL, errno.EPIPE, errno.EIO])
def test_training_outlives_its_events_and_says_so(error: int, monkeypatch: pytest.MonkeyPatch) -> None:
    code, out, err = ended(monkeypatch, *TRAIN, "--json", "-q", out=Failing(error, room=700))
    assert (code, step(), len(out)) == (1, 60, 700)
    (line,) = err.splitlines()
    assert "standard output" in line and reason(error) in line


LOST_MESSAGES = [(error, sys.maxsize, False, 1) for error in FULL] + [(errno.ENOSPC, 1, False, 1)]
LOST_MESSAGES += [(error, sys.maxsize, error != errno.EPIPE, 0) for error in (errno.EPIPE, errno.EIO, errno.ENXIO)]


@pytest.mark.parametrize(("error", "times", "terminal", "expected"), LOST_MESSAGES)
def test_training_outlives_its_messages_and_says_so_unless_their_reader_is_gone(
    error: int, times: int, terminal: bool, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = Failing(error, room=300, times=times, terminal=terminal)
    code, out, err = ended(monkeypatch, *TRAIN, err=failing)
    assert (code, step()) == (expected, 60)
    if times == 1:  # there is room again
        out, err = err.splitlines()[-1], out
    assert ("standard error" in out and reason(error) in out and out.count("\n") <= 1) if expected else out == ""


@pytest.mark.parametrize("command", [COMPARE, RECALL])
def test_a_comparison_is_missed_by_everybody(command: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    code, _, err = ended(monkeypatch, *command, "-q", out=Failing(errno.EPIPE))
    assert code == 1
    assert "standard output" in err


@pytest.mark.parametrize(
    ("error", "terminal", "expected"),
    [*((error, False, 1) for error in (*FULL, errno.EIO)), *((errno.EPIPE, False, 0), (errno.EIO, True, 0))],
)
def test_other_commands_end_at_a_full_disk_and_quietly_with_their_reader(
    error: int, terminal: bool, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    untrained_run("x", "ab\n")
    for command in ("sample x -n -1 --seed 1", "info --help"):
        failing = Failing(error, room=50, terminal=terminal)
        code, _, err = ended(monkeypatch, *command.split(), out=failing)
        assert code == expected
        assert reason(error) in err.splitlines()[-1] if expected else err == ""


def test_a_product_is_complete_without_its_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    untrained_run("x", "ab\n")
    for error, expected in ((errno.EPIPE, 0), (errno.ENOSPC, 1)):
        code, out, _ = ended(monkeypatch, "sample", "x", "-n", "40", err=Failing(error))
        assert (code, len(out)) == (expected, 40)  # no message is mixed with the text
    assert ended(monkeypatch, "no-such", err=Failing(errno.ENOSPC))[0] == 2
    assert ended(monkeypatch, "info", "no-such", err=Failing(errno.EPIPE))[0] == 1


@pytest.mark.skipif(sys.platform == "win32", reason="pipes of Windows cannot be told not to block")
def test_bytes_come_whole_through_a_real_pipe_that_does_not_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "_PATIENCE_SECONDS", 60.0)
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    content = bytes(range(256)) * 2000
    received: list[bytes] = []

    def read(_seconds: float) -> None:  # instead of waiting
        received.append(os.read(reading, 100_000))

    monkeypatch.setattr("lstmgen.cli.streams.time.sleep", read)
    with open(writing, "w", encoding="utf-8") as stream:  # noqa: PTH123  # a descriptor has no path
        output = Output(stream, is_product=True)
        for begin in range(0, len(content), 30_011):
            output.write(content[begin : begin + 30_011])
        output.flush()
        output.detach()
    received.append(os.read(reading, 1_000_000))
    os.close(reading)
    assert b"".join(received) == content


def test_a_lost_stream_is_quiet_ever_after(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = Failing(errno.ENOSPC, room=3)
    original = stream_on(raw)
    monkeypatch.setattr(sys, "stdout", original)
    with guarded_streams():
        with pytest.raises(OutputLostError):
            put("abcdef")
        raw.times = 0
        put("gh")
        sys.stdout.buffer.write(b"ij")
    assert raw.content == b"abc"
    assert sys.stdout is original and not original.closed
    put("again\n")
    assert raw.content == b"abcagain\n"


def test_a_signal_handler_may_write_in_the_middle_of_a_write(monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupted(Failing):
        def write(self, content: Any, /) -> int | None:
            if not self.content:
                signal.raise_signal(signal.SIGTERM)
            return super().write(content)

    raw = Interrupted(0, times=0)
    monkeypatch.setattr(sys, "stderr", stream_on(raw))
    with guarded_streams(), StopRequest(lambda: note("stopping")) as stop:
        for number in range(2000):
            sys.stderr.write(f"{number}\n")
    assert stop()
    numbers = "".join(f"{number}\n" for number in range(2000))
    assert raw.content.decode().replace("stopping\n", "") == numbers


def test_streams_without_buffers_and_without_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = Failing(0, times=0)
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="utf-8", write_through=True))  # type: ignore[type-var]
    with guarded_streams():
        sys.stdout.buffer.write(b"a")
        assert raw.content == b"a"
        sys.stdout.write("b")
        assert raw.content == b"ab"
    text = io.StringIO()
    monkeypatch.setattr(sys, "stdout", text)
    with pytest.raises(SystemExit):
        main(["--version"])
    assert text.getvalue().startswith("lstmgen ")


@posix
@pytest.mark.parametrize("hang_up", [False, True])
def test_a_terminal_that_goes_away(hang_up: bool) -> None:
    """A job whose shell has disowned it trains on; one that gets SIGHUP, even twice, is saved."""
    import pty

    main_side, terminal = pty.openpty()
    budget = ["--time", "1h"] if hang_up else ["--steps", "100"]
    process = subprocess.Popen(
        [sys.executable, "-m", "lstmgen", *TRAIN[:4], *TRAIN[6:], *budget],
        stdout=terminal,
        stderr=terminal,
        env={**os.environ, "PYTHONPATH": str(Path(streams.__file__).parents[2])},
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
    )
    os.close(terminal)
    shown = b""
    while b"step 10 " not in shown:
        shown += os.read(main_side, 10_000)
    os.close(main_side)
    with suppress(ProcessLookupError):
        for _ in range(2 * hang_up):
            process.send_signal(signal.SIGHUP)
    assert process.wait(60) == (129 if hang_up else 0)
    assert step() >= 10 if hang_up else step() == 100


def test_a_signal_that_is_ignored_stays_ignored_and_a_second_hangup_ends_nothing() -> None:
    """As in the background jobs of a shell script. A run that something else stopped is no success."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with StopRequest(lambda: None) as stop:
            signal.raise_signal(signal.SIGINT)
            assert not stop()
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
    assert stop.exit_code == 1
    if sys.platform == "win32":
        return
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        with StopRequest(lambda: None) as stop:
            signal.raise_signal(signal.SIGHUP)
            signal.raise_signal(signal.SIGHUP)
            assert (stop(), stop.exit_code) == (True, 129)
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="it represents a signal that only Windows has")
def test_ctrl_break_of_windows_ends_a_command_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signal, "SIGBREAK", signal.SIGUSR1, raising=False)
    before = signal.getsignal(signal.SIGUSR1)
    with StopRequest(lambda: None) as stop:
        signal.raise_signal(signal.SIGUSR1)
    with pytest.raises(SystemExit) as ended, exit_on_signals():
        signal.raise_signal(signal.SIGUSR1)
    assert stop.exit_code == ended.value.code == 128 + signal.SIGUSR1
    assert signal.getsignal(signal.SIGUSR1) is before


# What is shown at the end


@pytest.mark.parametrize(
    ("budget", "remedy"),
    [(["--steps", "10"], "--steps 20"), (["--epochs", "1"], "--epochs 2"), (["--time", "4s"], "--time 1m")],
)
def test_a_complete_run_is_continued_with_the_same_kind_of_budget(budget: list[str], remedy: str) -> None:
    done("train", "fable.txt", "--run", "r", "-q", "--threads", "1", *budget, *SMALL)
    err = done("train", "--resume", "r", terminal=True).err
    line = err.splitlines()[-1]
    assert line.endswith(f"lstmgen train --resume r {remedy}")
    assert "%" not in err.splitlines()[-2].split("\r")[-1]
