"""Saving fails in every way. Training continues, the last good file stays good, and what was learned is not lost."""

import errno
import os
import random
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from lstmgen.checkpoint import BEST, LAST, LOG, load_checkpoint
from lstmgen.errors import CheckpointError
from lstmgen.training import prepare as training_run
from lstmgen.training import storage
from lstmgen.training.events import Evaluated, Event, Finished, SavedAgain, SaveFailed
from lstmgen.training.loop import Preparation
from tests.command_line import files_below
from tests.safety.system_calls import NAMES, around_system_calls
from tests.test_training import QUICK, SMALL, TEXT, assert_same_tensors, run_to_end

ERRORS = (errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EACCES)
FOR_EVER = 10**9
TRAINING = replace(QUICK, every=2)


@pytest.fixture(autouse=True)
def temporary(fable: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is rescued goes to a folder in the working folder."""
    (fable.parent / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(fable.parent / "temporary"))


@dataclass
class Fault:
    """An error of some system calls."""

    first: int  # the number of the first call that fails
    calls: int  # how many fail from there on
    error: int | None  # None: it is a write of some bytes only, which is no error
    folder: Path
    saved: set[str] = field(default_factory=set)

    def __call__(self, number: int, name: str, call: Callable[..., Any], *arguments: Any) -> Any:
        self.look()
        if not self.first <= number < self.first + self.calls or (self.error is None and name != "write"):
            return call(*arguments)
        if self.error is None:
            file, content = arguments
            return call(file, content[: 1 + len(content) // 3])
        if name == "close":
            call(*arguments)
        raise OSError(self.error, os.strerror(self.error))

    def look(self) -> None:
        """What was there once is there, and is good."""
        for name in (LAST, BEST):
            if name in self.saved or (self.folder / name).exists():
                self.saved.add(name)
                load_checkpoint(self.folder / name)


def train(fault: Fault) -> tuple[list[Event], CheckpointError | None]:
    """A run; its events, and the error at its end."""
    events: list[Event] = []
    with around_system_calls(fault), prepare_run("faulty").start(started=0.0) as session:
        try:
            for event in session.events():
                events.append(event)
                fault.look()
        except CheckpointError as error:
            return events, error
    return events, None


def prepare_run(name: str) -> Preparation:
    return training_run.prepare(TEXT, SMALL, TRAINING, run=name, threads=1)


def test_a_write_fault_loses_nothing(trials: Callable[[int, int], int]) -> None:
    """Any system call fails, that one alone or with a hundred that follow; or any write is short."""
    calls = 0

    def count(number: int, name: str, call: Callable[..., Any], *arguments: Any) -> Any:
        nonlocal calls
        calls = number
        assert name in NAMES
        return call(*arguments)

    with around_system_calls(count):
        run_to_end(prepare_run("whole"))
    whole = Path("checkpoints/whole")
    cases = list(product(range(1, calls + 1), (1, 2, 100), (*ERRORS, None)))
    for case in random.Random(0).sample(cases, trials(6, 600)):
        fault = Fault(*case, Path("checkpoints/faulty"))
        events, error = train(fault)
        names = [type(event) for event in events if isinstance(event, SaveFailed | SavedAgain)]
        assert names == [SaveFailed, SavedAgain] * (len(names) // 2) + [SaveFailed] * (len(names) % 2), case
        assert (error is None) == (len(names) % 2 == 0) == isinstance(events[-1], Finished), case
        saved = fault.folder
        for saved in Path("temporary").glob("faulty-*"):
            assert str(Path.cwd() / saved) in str(error), case
        if "is lost" in str(error):
            assert case[1] == 100  # the rescue after the last save fails, too
        else:
            for name in (LAST, BEST):
                assert_same_tensors(load_checkpoint(saved / name), load_checkpoint(whole / name))
        assert not list(Path().rglob("*.part")), case
        for made in (fault.folder, *Path("temporary").glob("faulty-*")):
            shutil.rmtree(made, ignore_errors=True)


@pytest.mark.parametrize(("first", "error"), list(zip((1, 1, 40, 40), ERRORS, strict=True)))
def test_a_fault_for_ever_ends_with_one_line(first: int, error: int) -> None:
    """Even the rescue fails. What was saved before is still there."""
    fault = Fault(first, FOR_EVER, error, Path("checkpoints/faulty"))
    events, problem = train(fault)
    assert os.strerror(error) in str(problem)
    assert [type(event) for event in events if isinstance(event, SaveFailed | SavedAgain)] == [SaveFailed]
    assert fault.folder.exists() == (first > 1)
    assert list(Path("temporary").glob("faulty-*")) == []
    fault.look()


def assert_all_is_saved(folder: str, whole: str, more_events: int = 0) -> None:
    """The run is as one without faults, but for some events more in its log."""
    for name in (LAST, BEST):
        assert_same_tensors(load_checkpoint(Path(folder, name)), load_checkpoint(Path(whole, name)))
    lines = [Path(run, LOG).read_text(encoding="utf-8").count("\n") for run in (folder, whole)]
    assert lines[0] == lines[1] + more_events


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not delete a folder with an open file in it")
@pytest.mark.parametrize(("deleted", "at"), [("checkpoints", 0), ("checkpoints/faulty", 3), ("checkpoints", 20)])
def test_a_folder_that_is_deleted_while_it_trains_is_made_again(deleted: str, at: int) -> None:
    run_to_end(prepare_run("whole"))
    Path("checkpoints/whole").rename("whole")
    with prepare_run("faulty").start(started=0.0) as session:
        for number, _ in enumerate(session.events()):
            if number == at:
                shutil.rmtree(deleted)
    assert_all_is_saved("checkpoints/faulty", "whole")
    assert sorted(files_below(Path("checkpoints/faulty"))) == [BEST, LAST, LOG]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not delete a folder with an open file in it")
@pytest.mark.parametrize("at", [0, 9])
def test_a_folder_that_another_run_has_made_again_is_left_alone(at: int) -> None:
    """Not even its log is written to. The run is saved in a new folder next to it."""
    run_to_end(prepare_run("whole"))
    Path("checkpoints/whole").rename("whole")
    with prepare_run("faulty").start(started=0.0) as session:
        for number, _ in enumerate(session.events()):
            if number == at:
                shutil.rmtree("checkpoints", ignore_errors=True)
                run_to_end(prepare_run("faulty"))
                before = files_below(Path("checkpoints/faulty"))
    assert files_below(Path("checkpoints/faulty")) == before
    assert session.folder == Path("checkpoints/faulty-2")
    assert_all_is_saved("checkpoints/faulty-2", "whole")
    shutil.rmtree("checkpoints")
    with prepare_run("faulty").start(started=0.0):  # it ends before a save, when the other one has not saved either
        shutil.rmtree("checkpoints")
        other = storage.new_run([Path("checkpoints/faulty")])
    assert Path("checkpoints/faulty").exists()
    other.__exit__(None, None, None)
    assert not Path("checkpoints").exists()


@pytest.mark.parametrize("error", [errno.EACCES, errno.ESTALE])
def test_a_folder_that_is_away_for_a_while_is_not_given_up(error: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network disk is away, or its permissions have changed. A log that cannot be written does not matter either."""
    run_to_end(prepare_run("whole"))
    stat = Path.stat

    def away(path: Path, **options: Any) -> os.stat_result:
        if path.is_relative_to("checkpoints/faulty"):
            raise OSError(error, os.strerror(error), str(path))
        return stat(path, **options)

    names = []
    with prepare_run("faulty").start(started=0.0) as session:
        log = session.folder / LOG
        log.mkdir()
        for event in session.events():
            names.append(event.event)
            if isinstance(event, Evaluated):
                monkeypatch.setattr(Path, "stat", away if 4 < event.step < 12 else stat)
                if event.step == 14:
                    log.rmdir()
    assert names.count("save_failed") == names.count("saved_again") == 1
    assert_all_is_saved("checkpoints/faulty", "checkpoints/whole", more_events=2)
