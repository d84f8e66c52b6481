"""A time budget is kept, whatever becomes slow: the command ends within 5 % and 2 seconds, with a best checkpoint."""

import json
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial, wraps
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lstmgen.checkpoint import LAST, LOG, load_checkpoint
from lstmgen.config import Budget, BudgetUnit, ModelConfig, Precision, TextConfig, TrainingConfig
from lstmgen.generation.torch_engine import TorchEngine
from lstmgen.language_model import LanguageModel
from lstmgen.network.architecture import build_network
from lstmgen.network.model import Model
from lstmgen.training import machine
from lstmgen.training import prepare as training_run
from lstmgen.training.budget import BudgetMeter
from lstmgen.training.events import Evaluated, Event, Finished, Stepped, Suspended, ThreadsChanged
from lstmgen.training.machine import Slowdown
from lstmgen.training.state import evaluated_sums
from lstmgen.training.storage import Storage
from lstmgen.training.trainer import Trainer
from lstmgen.training.validation import Validation
from tests.conftest import FABLE

LOADING, TOKEN, OPERATION = 2.0, 0.002, 0.1  # seconds: to load, to write a token, and to do anything else
SLOWER = 20.0
NETWORK = ModelConfig(hidden_size=4, num_layers=1, embedding_size=3)
TRAINING = TrainingConfig(batch_size=2, chunk_length=8, precision=Precision.AUTO)

Slow = Callable[[str, float], bool]


class SlowMachine:
    """A machine with a clock of its own: training steps, evaluated chunks, saves and written tokens move it.

    `slow` says whether an operation of a kind, at a number of seconds since the start, takes 20 times as long.
    """

    def __init__(self, patch: pytest.MonkeyPatch, slow: Slow) -> None:
        self.now = 100.0
        self.chunks = 0  # that were evaluated
        self.saves = 0
        self.trial_steps = 0
        self.stop_at: list[float] = []  # when the process is stopped for 100 seconds, in seconds since the start
        self._slow = slow
        self._training = False
        self._let_take_time(patch, Trainer, "step")
        self._let_take_time(patch, TorchEngine, "read", "evaluation")
        self._let_take_time(patch, Storage, "save", "save")
        stream = LanguageModel.stream

        def slow_stream(*arguments: Any, **options: Any) -> Iterator[str]:
            for piece in stream(*arguments, **options):
                self._take("preview", TOKEN)
                yield piece

        patch.setattr(LanguageModel, "stream", slow_stream)
        patch.setattr(time, "perf_counter", self)
        patch.setattr(machine, "bfloat16_speed", lambda: 0.0)
        patch.setattr(machine, "has_fast_bfloat16", lambda _: False)
        patch.setattr(machine, "cores_are_free", lambda _: True)

    def __call__(self) -> float:
        return self.now

    def _let_take_time(self, patch: pytest.MonkeyPatch, owner: type, name: str, kind: str | None = None) -> None:
        method = getattr(owner, name)

        @wraps(method)
        def slow_method(*arguments: Any, **options: Any) -> Any:
            self._take(kind or ("step" if self._training else "trials"), OPERATION)
            return method(*arguments, **options)

        patch.setattr(owner, name, slow_method)

    def _take(self, kind: str, seconds: float) -> None:
        self.chunks += kind == "evaluation"
        self.saves += kind == "save"
        self.trial_steps += kind == "trials"
        self.now += seconds * (SLOWER if self._slow(kind, self.now - 100) else 1)
        if kind == "step" and self.stop_at and self.now - 100 >= self.stop_at[0]:
            self.stop_at.pop(0)
            self.now += 100

    def train(self, budget: Budget, threads: int | None = None, every: int | None = None) -> list[Event]:
        """Train to the end of a budget; the command began `LOADING` seconds before the trials."""
        self.now += LOADING
        if threads is None:
            torch.set_num_threads(1)
        text, training = TextConfig(sources=("fable.txt",)), replace(TRAINING, budget=budget, every=every)
        preparation = training_run.prepare(text, NETWORK, training, threads=threads)
        self._training = True
        with preparation.start(100.0, self) as session:
            return list(session.events())


@pytest.fixture(autouse=True)
def in_folder(nowhere: Path) -> None:
    """Work in a folder with a text."""
    (nowhere / "fable.txt").write_text(FABLE * 400, encoding="utf-8")


def becomes_slow(slow: str, begins: float, kind: str, now: float) -> bool:
    """Whether an operation of a kind is slow, where one kind or everything becomes slow at some second."""
    return slow in (kind, "everything") and now >= begins


@pytest.mark.parametrize("kind", ["trials", "step", "evaluation", "save", "preview", "everything"])
def test_a_time_budget_is_kept(kind: str, trials: Callable[[int, int], int], monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(trials(1, 100)):
        draw = random.Random(seed)
        budget = draw.choice([20, 40, 60])
        begins = 0.0 if kind == "trials" else draw.uniform(0, budget)
        what = f"seed {seed}: {kind} slow from second {begins:.2f} of {budget} on"
        with monkeypatch.context() as patch:
            slow_machine = SlowMachine(patch, partial(becomes_slow, kind, begins))
            *others, end = slow_machine.train(Budget(budget))
            assert slow_machine.now - 100 <= 1.05 * budget + 2, what
        assert isinstance(end, Finished)
        evaluations = [event for event in others if isinstance(event, Evaluated)]
        lowest = min(event.validation_nats for event in evaluations if event.validation_nats is not None)
        assert evaluations[-1].step == end.step, what
        assert end.validation_nats == load_checkpoint(Path(end.checkpoint)).record.validation_nats == lowest, what
        sums = evaluated_sums((last := load_checkpoint(Path(end.checkpoint).with_name(LAST))).extra)
        assert sums is not None and len(sums) == last.record.validation_chunks, what  # they outlive the session
        if kind not in ("evaluation", "everything"):  # no evaluation was cut
            assert sums[-1, 1] / sums[-1, 0] == pytest.approx(end.validation_nats), what


@pytest.mark.parametrize(("step_seconds", "fits"), [(0.1, True), (5.0, False)])
def test_a_step_that_does_not_fit_into_the_rest_is_not_made(step_seconds: float, fits: bool) -> None:
    now = 0.0
    meter = BudgetMeter(Budget(60), started=0.0, clock=lambda: now)
    meter.step_seconds = step_seconds
    now = 56.0
    assert (meter.progress(step=1, epochs=0) < 1) == fits


def test_on_a_slow_machine_there_are_fewer_trials_and_saves(monkeypatch: pytest.MonkeyPatch) -> None:
    trial_steps, saves = [], []
    for kind, others in (("nothing", "step"), ("trials", "everything")):
        with monkeypatch.context() as patch:
            slow_machine = SlowMachine(patch, partial(becomes_slow, kind, 0.0))
            slow_machine.train(Budget(20))
            trial_steps.append(slow_machine.trial_steps)
        with monkeypatch.context() as patch:
            slow_machine = SlowMachine(patch, partial(becomes_slow, others, 0.0))
            slow_machine.train(Budget(300, BudgetUnit.STEPS), every=1000)
            saves.append(slow_machine.saves)
    assert trial_steps[1] < trial_steps[0] / 2
    assert saves == [10, 4]


def test_a_counted_budget_cuts_nothing_and_keeps_its_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    chunks = []
    torch.set_num_threads(2)
    for kind in ("nothing", "everything"):
        with monkeypatch.context() as patch:
            slow_machine = SlowMachine(patch, partial(becomes_slow, kind, 3.0))
            slow_machine.train(Budget(24, BudgetUnit.STEPS), threads=2)
            chunks.append(slow_machine.chunks)
            assert torch.get_num_threads() == 2
    assert chunks[0] == chunks[1] > 10


STEPS = [(0.01, 100)] * 20
SLOW_STEPS = [(0.1, 100)] * 15


@pytest.mark.parametrize(
    ("threads", "steps", "expected"),
    [
        (2, STEPS + SLOW_STEPS[:3] + STEPS, 2),
        (2, STEPS + SLOW_STEPS[:10] + STEPS, 2),
        (2, STEPS + SLOW_STEPS + STEPS, 1),
        (2, [(0.01 * tokens, tokens) for tokens in (10, 500, 600, 700)], 2),  # longer, not slower
        (1, STEPS + SLOW_STEPS, 1),
    ],
)
def test_slowdown(threads: int, steps: list[tuple[float, int]], expected: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "cores_are_free", lambda _: False)
    slowdown = Slowdown(threads, threads, max_seconds=1.25)
    assert any(slowdown.notice(*step) for step in steps) == (expected != threads)
    assert slowdown.threads == expected


def test_all_threads_compute_again_once_the_cores_are_free(monkeypatch: pytest.MonkeyPatch) -> None:
    now, asked = 0.0, []

    def cores_are_free(threads: int) -> bool:
        assert threads == 4
        asked.append(now)
        return now > 60

    monkeypatch.setattr(machine, "cores_are_free", cores_are_free)
    slowdown = Slowdown(4, 4, max_seconds=1.0)
    changes = []
    for seconds in [0.25] * 4 + [8.0] + [0.5] * 200:
        now += seconds
        if slowdown.notice(seconds, 100):
            changes.append((now, slowdown.threads))
    assert changes == [(9.0, 1), (84.0, 4)]
    assert np.diff([9.0, *asked]).tolist() == [5, 10, 20, 40]


def test_a_run_that_begins_next_to_other_programs_gets_all_threads_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "cores_are_free", lambda threads: threads == 2)
    slowdown = Slowdown(1, 2, max_seconds=1.0)
    changed = [slowdown.notice(0.5, 100) for _ in range(30)]
    assert changed.index(True) == 9 and changed.count(True) == 1  # after 5 seconds
    assert slowdown.threads == 2


def test_a_change_of_threads_and_the_way_back_are_events_and_in_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    slow_machine: SlowMachine = SlowMachine(monkeypatch, lambda kind, now: kind == "step" and 6 < now < 9)
    monkeypatch.setattr(machine, "cores_are_free", lambda threads: threads == 2 and slow_machine.now > 112)
    events = slow_machine.train(Budget(20), threads=2)
    assert [event.threads for event in events if isinstance(event, ThreadsChanged)] == [1, 2]
    assert torch.get_num_threads() == 2
    end = events[-1]
    assert isinstance(end, Finished)
    logged = map(json.loads, Path(end.checkpoint).with_name(LOG).read_text(encoding="utf-8").splitlines())
    assert [line["threads"] for line in logged if line["event"] == "threads_changed"] == [1, 2]


@pytest.mark.parametrize("budget", [Budget(20), Budget(100, BudgetUnit.STEPS)])
def test_time_in_which_the_process_was_stopped_does_not_count(budget: Budget, monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps, rates and seconds are as if the run had never stopped, and an event says how long it did."""
    runs = []
    for stops in ([], [6.0, 9.0]):
        with monkeypatch.context() as patch:
            slow_machine = SlowMachine(patch, partial(becomes_slow, "nothing", 0.0))
            slow_machine.stop_at = stops
            runs.append(slow_machine.train(budget))
            assert not slow_machine.stop_at
    going, stopped = ([event for event in run if not isinstance(event, Suspended)] for run in runs)
    suspended = [event for event in runs[1] if isinstance(event, Suspended)]
    assert [round(event.stopped_seconds) for event in suspended] == [100, 100]
    end, other_end = stopped[-1], going[-1]
    steps, others = ([event for event in events if isinstance(event, Stepped)] for events in (stopped, going))
    assert isinstance(end, Finished) and isinstance(other_end, Finished)
    assert len(steps) == pytest.approx(len(others), rel=0.1)
    assert end.seconds == pytest.approx(other_end.seconds, abs=1)
    for step, other in zip(steps, others, strict=False):
        assert step.progress == pytest.approx(other.progress, abs=0.1)


def test_a_cut_evaluation_compares_with_the_best_weights_on_the_same_part() -> None:
    """The whole is worth what the part and the best weights tell; and no part makes worse weights the best."""
    network = build_network(NETWORK, 2)

    def constant_model(odds: float) -> Model:
        weights = {name: np.zeros(shape, np.float32) for name, shape in network.shapes().items()}
        weights["head.bias"][1] = odds  # it always expects 1 rather than 0, with these log-odds
        return Model(network, weights, torch.device("cpu"))

    text = np.concatenate([np.ones(2000, np.int64), np.zeros(1000, np.int64), np.ones(3000, np.int64)])
    ticks = count()
    validation = Validation(text, None, Budget(400), lambda: next(ticks), None)
    best, worse, better = map(constant_model, (1.0, 0.5, 1.2))
    best_nats = validation.nats(best)
    assert best_nats is not None
    validation.keep_as_best()
    chunks = validation.chunks
    for seconds in (2, 3, 1000):
        for model, above in ((best, 0), (worse, 1), (better, -1)):
            nats = validation.nats(model, seconds)
            assert nats is not None
            assert np.sign(round(nats - best_nats, 9)) == above, (seconds, above)
            assert validation.chunks == chunks
    no_sense: tuple[Any, ...] = (np.ones(2), np.ones((0, 2)), np.ones((3, 2), np.float32), np.zeros((3, 2)))
    for sums in (*no_sense, np.full((3, 2), np.nan)):
        assert evaluated_sums({"evaluated": sums}) is None
    assert evaluated_sums({}) is None
