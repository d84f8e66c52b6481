"""Several processes train together: they do what one process does, and they survive what one process survives."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch.distributed as dist

import lstmgen
from lstmgen.checkpoint import BEST, LAST, load_checkpoint
from lstmgen.config import Device, ModelConfig, TextConfig, TrainingConfig
from lstmgen.errors import LstmgenError, TextError
from lstmgen.training.prepare import prepare
from lstmgen.training.processes import ALONE, Processes, joined_processes
from tests.command_line import done
from tests.conftest import FABLE

pytestmark = pytest.mark.skipif(not (dist.is_available() and dist.is_gloo_available()), reason="torch has no gloo")

TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
NETWORK = ("--hidden-size", "8", "--layers", "1", "--chunk-length", "8", "--dropout", "0", "--precision", "float32")


@pytest.fixture(autouse=True)
def in_folder(nowhere: Path) -> None:
    """Work in a folder with a text."""
    (nowhere / "fable.txt").write_text(FABLE * 40, encoding="utf-8")


@contextmanager
def launched(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Two processes, started by torchrun, with pipes; they are ended with the context."""
    root = Path(lstmgen.__file__).parent.parent
    environment = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [*TORCHRUN, *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    )
    with process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.terminate()


def events_of(process: subprocess.Popen[str]) -> Iterator[dict[str, Any]]:
    """The events that `train --json` writes, as they come."""
    assert process.stdout is not None
    return (json.loads(line) for line in process.stdout)


def train(*options: str) -> tuple[str, ...]:
    return ("-m", "lstmgen", "train", "fable.txt", *NETWORK, "--json", *options)


def test_two_processes_do_what_one_does() -> None:
    with launched(str(Path(__file__).with_name("two_processes.py"))) as process:
        out, err = process.communicate()
    assert process.returncode == 0, err
    assert sorted(out.splitlines()) == ["process 0 agrees", "process 1 agrees"]


def test_one_process_continues_the_run_of_two() -> None:
    """Two processes with half of the batch each, and then one, have the same loss curve as one process."""
    budget = ("--steps", "12", "--every", "3")
    done("train", "fable.txt", *NETWORK, "--batch-size", "8", *budget, "--run", "one")
    with launched(*train("--batch-size", "4", "--steps", "12", "--every", "3", "-o", "two")) as process:
        *others, finished = events_of(process)
        assert process.stderr is not None
        err = process.stderr.read()
    assert process.returncode == 0, err
    log = [json.loads(line) for line in Path("checkpoints/one/log.jsonl").read_text(encoding="utf-8").splitlines()]
    expected = [event["validation_nats"] for event in log if event["event"] == "evaluation"]
    evaluations = [event for event in others if event["event"] == "evaluation"]
    assert [event["validation_nats"] for event in evaluations] == pytest.approx(expected, abs=1e-4)
    assert finished["validation_nats"] == pytest.approx(expected[-1], abs=1e-4)
    assert "2 processes train together" in str(others[0]["notes"])
    assert load_checkpoint(Path("checkpoints/two") / LAST).record.processes == 2

    for run in ("one", "two"):
        done("train", "--resume", run, "--steps", "18")
    one, two = (load_checkpoint(Path("checkpoints") / run / BEST).record for run in ("one", "two"))
    assert two.validation_nats == pytest.approx(one.validation_nats, abs=1e-4)
    assert (two.processes, two.training.batch_size) == (1, 8)


def worker_of(launcher: subprocess.Popen[str], rank: int) -> int:
    """The process id of a worker."""
    for children in Path(f"/proc/{launcher.pid}/task").glob("*/children"):
        for child in children.read_text(encoding="ascii").split():
            if f"\0RANK={rank}\0".encode() in Path(f"/proc/{child}/environ").read_bytes():
                return int(child)
    raise AssertionError(f"no worker {rank}")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_a_run_continues_where_a_process_was_killed() -> None:
    """The launcher starts both processes again. They continue their run and begin no other."""

    def await_events(*names: str) -> None:
        """When the second evaluation comes, the first one has been saved."""
        for name in names:
            next(event for event in events if event["event"] == name)

    with launched("--max-restarts", "1", *train("--steps", "3000", "--every", "20", "-o", "killed")) as process:
        events = events_of(process)
        await_events("evaluation", "evaluation")
        os.kill(worker_of(process, rank=1), signal.SIGKILL)
        await_events("plan", "evaluation", "evaluation")
        process.send_signal(signal.SIGINT)
        *_, finished = events
    assert finished["event"] == "finished" and finished["interrupted"]
    assert [path.name for path in Path("checkpoints").iterdir()] == ["killed"]
    log = Path("checkpoints/killed/log.jsonl").read_text(encoding="utf-8").splitlines()
    steps = [event["step"] for event in map(json.loads, log) if event["event"] == "evaluation"]
    assert steps == [20 * number for number in range(1, len(steps) + 1)]
    assert load_checkpoint(Path("checkpoints/killed") / LAST).record.position.step == finished["step"]


def test_a_launcher_that_says_nonsense_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with joined_processes(Device.AUTO) as processes:
        assert processes is ALONE
    for name, value in {"RANK": "first", "WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": "1"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(LstmgenError, match="RANK"), joined_processes(Device.CPU):
        pass


def test_a_torch_that_cannot_do_this_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": "1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(dist, "is_available", lambda: False)
    with pytest.raises(LstmgenError, match="this build of torch"), joined_processes(Device.CPU):
        pass


def test_standard_input_is_refused() -> None:
    with pytest.raises(TextError):
        prepare(TextConfig(sources=("-",)), ModelConfig(), TrainingConfig(), processes=2)


def test_all_rows_are_read_once() -> None:
    for size in range(1, 6):
        for count in range(12):
            rows = [Processes(rank, size).rows(count) for rank in range(size)]
            assert [row for part in rows for row in range(count)[part]] == list(range(count))
            sizes = [len(range(count)[part]) for part in rows]
            assert max(sizes) - min(sizes) <= 1
