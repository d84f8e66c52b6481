"""A run that is killed again and again ends as if it had never been killed.

Each process kills itself by SIGKILL: at any call of any function, or at a system call of a save.
"""

import json
import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lstmgen.checkpoint import BEST, LAST, LOG, load_checkpoint
from tests.safety.forks import Death, Ended, Server
from tests.test_training import assert_same_tensors

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot fork a process"),
    pytest.mark.usefixtures("fable"),
]

KILLED = -9  # by SIGKILL, a name that Windows lacks
TRAIN = "train fable.txt --hidden-size 8 --layers 1 --embedding-size 4 --batch-size 4 --chunk-length 16 --threads 1"
RECIPE = "--steps 54 --every 6 --dropout 0.2 --precision float32"
KINDS = ("", "--lines --learning-rate 0.5", "--cell gru --attention 3", "--vocabulary bytes --cell coupled --layers 2")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.stop()


def train(kind: str, run: str) -> list[str]:
    """The command that makes a run. An option that is given twice counts as it is given last."""
    return [*TRAIN.split(), *RECIPE.split(), *kind.split(), "--run", run]


def continued(server: Server, kind: str, run: str, death: Death | None = None) -> Ended:
    """Resume a run; if it ended before its first save, do what the message says."""
    ended = server.run("train", "--resume", run, death=death)
    if ended.code == 1:
        assert not (Path("checkpoints") / run / LAST).exists(), ended.error
        assert run in ended.error
        ended = server.run(*train(kind, run), death=death)
    return ended


def check(run: str, seed: object) -> None:
    """After a kill, there is a good checkpoint. Only in the first save may there be none."""
    files = [Path("checkpoints", run, name) for name in (LAST, BEST)]
    steps = [load_checkpoint(file).record.position.step for file in files if file.exists()]
    assert not files[1].exists() or files[0].exists(), seed
    assert steps == sorted(steps, reverse=True), seed


def events(run: str) -> list[dict[str, Any]]:
    """A run's log without what depends on sessions and clocks: plans, the end, seconds and speeds."""
    lines = map(json.loads, Path("checkpoints", run, LOG).read_text(encoding="utf-8").splitlines())
    clocks = ("seconds", "characters_per_second")
    return [
        {name: value for name, value in event.items() if name not in clocks}
        for event in lines
        if event["event"] not in ("plan", "finished")
    ]


def assert_same_runs(ours: str, theirs: str, seed: object) -> None:
    for name in (LAST, BEST):
        assert_same_tensors(*(load_checkpoint(Path("checkpoints", run, name)) for run in (ours, theirs)))
    assert events(ours) == events(theirs), seed
    assert sorted(file.name for file in Path("checkpoints", ours).iterdir()) == [BEST, LAST, LOG], seed


def test_kills_at_random_moments_change_nothing(server: Server, trials: Callable[[int, int], int]) -> None:
    """Ten kills in each run, in starting, training, evaluating, saving or ending."""
    kills, wanted, seed = 0, trials(6, 250), 0
    while kills < wanted:
        kind = KINDS[seed % len(KINDS)]
        whole, cut = f"whole{seed % len(KINDS)}", f"cut{seed}"
        if not Path("checkpoints", whole).exists():
            calls = server.run(*train(kind, whole), count=True).function_calls
            assert calls
        generator = random.Random(seed)
        for _ in range(min(10, wanted - kills)):
            ended = continued(server, kind, cut, Death(function_call=generator.randrange(1, calls // 2)))
            assert ended.code in (0, KILLED), (seed, ended.error)
            kills += ended.code == KILLED
            check(cut, seed)
        assert continued(server, kind, cut).code == 0
        assert_same_runs(cut, whole, seed)
        seed += 1


@pytest.mark.parametrize("moment", ["before", "within", "after"])
def test_a_kill_in_a_save_changes_nothing(moment: str, server: Server, trials: Callable[[int, int], int]) -> None:
    """Of the first save or of a later one. `within`: a file is half written."""
    ended = server.run(*train("", "whole"))
    assert ended.code == 0, ended.error
    calls = range(1, ended.system_calls + 1)
    for call in sorted(random.Random(moment).sample(calls, min(len(calls), trials(1, 200)))):
        run = f"cut{call}"
        assert server.run(*train("", run), death=Death(system_call=call, moment=moment)).code == KILLED
        check(run, (moment, call))
        assert continued(server, "", run).code == 0
        assert_same_runs(run, "whole", (moment, call))
