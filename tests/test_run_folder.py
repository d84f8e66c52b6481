"""A run's folder belongs to one process at a time, and a dead process is no obstacle."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import pytest

from lstmgen.checkpoint import BEST, LAST, LOG, load_checkpoint
from lstmgen.errors import CheckpointError, ConfigError
from lstmgen.training.storage import LOCK, OWNER, FolderLock, first_free, new_run, refuse_if_in_use, resumed_run
from tests.command_line import done, files_below, problem, start

SIZES = "--hidden-size 8 --layers 1 --embedding-size 4 --batch-size 4 --chunk-length 16"
SMALL = [*SIZES.split(), "--threads", "1", "--every", "10"]
RUN = Path("checkpoints/mine")
pytestmark = pytest.mark.usefixtures("fable")


def train(*arguments: object) -> subprocess.Popen[bytes]:
    """Start a command that trains for an hour, and wait for its second evaluation: the first one is saved by then."""
    process = start("train", *arguments, "--time", "1h", "--json")
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["event"] == "plan"
    for _ in range(2):
        assert json.loads(process.stdout.readline())["event"] == "evaluation"
    return process


def test_a_second_process_is_refused_until_the_first_one_is_dead() -> None:
    process = train("fable.txt", "--run", "mine", *SMALL)
    try:
        assert f"process {process.pid} on " in problem("train", "--resume", "mine", "--steps", 5)
        assert "mine" in problem("train", "fable.txt", "--run", "mine", *SMALL, "--steps", 5)
        assert done("runs").text.count("mine") == 1  # reading is not refused
    finally:
        process.kill()
        process.communicate()
    assert (RUN / OWNER).exists()
    step = load_checkpoint(RUN / LAST).record.position.step
    done("train", "--resume", "mine", "--steps", step + 3, "--quiet")
    assert load_checkpoint(RUN / LAST).record.position.step == step + 3
    assert sorted(files_below(RUN)) == [BEST, LAST, LOG]


@pytest.mark.parametrize("content", [b'{"process": "x", "host": 5, "since": null}', b"", b"\xff{", b"[1]", b"{}"])
def test_what_a_dead_process_left_is_no_obstacle(content: bytes) -> None:
    RUN.mkdir(parents=True)
    for name in (LOCK, OWNER, LOG, f"{LAST}.1.part"):
        (RUN / name).write_bytes(content)
    assert first_free([RUN]) == RUN
    refuse_if_in_use(RUN)
    with new_run([RUN]) as run:
        assert run.path == RUN
        (RUN / OWNER).write_bytes(content)
        with pytest.raises(CheckpointError):
            refuse_if_in_use(RUN)
    assert not RUN.exists()


def test_of_commands_that_make_the_same_run_at_once_one_does() -> None:
    command = ["fable.txt", "--run", "mine", "--steps", 20, *SMALL]
    processes = [start("train", *command, "--seed", seed) for seed in range(2)]
    errors = [process.communicate()[1] for process in processes]
    codes = sorted(process.returncode for process in processes)
    assert codes == [0, 1], errors
    winner = next(seed for seed, process in enumerate(processes) if process.returncode == 0)
    assert load_checkpoint(RUN / LAST).record.training.seed == winner
    assert sorted(files_below(RUN)) == [BEST, LAST, LOG]


def test_folders_that_are_in_use_or_hold_something_are_not_taken() -> None:
    folders = [Path("checkpoints", name) for name in "abc"]
    folders[1].mkdir(parents=True)
    (folders[1] / "notes.txt").write_text("mine", encoding="utf-8")
    with new_run(folders) as first:
        assert first.path == folders[0]
        assert first_free(folders) == folders[2]
        with new_run(folders) as second:
            assert second.path == folders[2]
            with (
                pytest.raises(CheckpointError, match=f"process {os.getpid()} on .* is training here"),
                new_run(folders),
            ):
                pass
    assert sorted(path.name for path in Path("checkpoints").iterdir()) == ["b"]
    with pytest.raises(ConfigError), new_run(folders[1:2]):
        pass


@pytest.mark.parametrize("error", [errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS, errno.EIO])
def test_a_file_system_without_locks_can_be_trained_on(error: int, monkeypatch: pytest.MonkeyPatch) -> None:
    fcntl = pytest.importorskip("fcntl")

    def refuse(*_: object) -> NoReturn:
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(fcntl, "flock", refuse)
    RUN.mkdir(parents=True)
    lock = FolderLock(RUN)
    refuse_if_in_use(RUN)
    assert first_free([RUN]) == RUN
    assert lock.held  # those who looked have left its files alone
    lock.release()
    assert list(RUN.iterdir()) == []
    (RUN / LOCK).write_text("of a process that crashed", encoding="utf-8")
    with new_run([RUN]) as run:
        assert not run.exclusive
    assert not RUN.parent.exists()
    if error == errno.ENOLCK:  # one note says that there are no locks
        assert done("train", "fable.txt", "--run", "mine", "--steps", 2, *SMALL).err.count("no locks") == 1
        assert done("train", "--resume", "mine", "--steps", 3).err.count("no locks") == 1
        assert sorted(files_below(RUN)) == [BEST, LAST, LOG]


def test_a_folder_that_takes_no_file_is_not_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> NoReturn:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("filelock.FileLock.acquire", full)
    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(CheckpointError, match="free some space"), new_run([RUN]):
        pass
    assert not RUN.parent.exists()


def test_a_run_that_was_trained_further_meanwhile_is_not_overwritten() -> None:
    done("train", "fable.txt", "--run", "mine", "--steps", 10, "--quiet", *SMALL)
    checkpoint = load_checkpoint(RUN / LAST)
    with resumed_run(RUN / LAST, checkpoint):
        assert f"process {os.getpid()} on " in problem("train", "--resume", RUN / LAST, "--steps", 30)
    done("train", "--resume", "mine", "--steps", 20, "--quiet")
    with pytest.raises(CheckpointError), resumed_run(RUN / LAST, checkpoint):
        pass
    refuse_if_in_use(RUN)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has other rules for names in use")
def test_a_run_that_has_not_saved_yet_is_in_use_or_can_be_made_again() -> None:
    with new_run([RUN]):
        for name in ("mine", RUN):
            assert f"process {os.getpid()} on " in problem("train", "--resume", name)
        problem("info", "mine")
    RUN.mkdir(parents=True)
    (RUN / LOCK).touch()
    assert "process" not in problem("train", "--resume", "mine")
    done("train", "fable.txt", "--run", "mine", "--steps", 2, "--quiet", *SMALL)
    Path("project").mkdir()
    for name in (LOCK, "code.py"):  # a lock of something else
        Path("project", name).touch()
    problem("train", "--resume", "project")
    assert sorted(files_below(Path("project"))) == [LOCK, "code.py"]
