"""How a machine is tried out: the fastest precision and number of threads, but no verdict from a little noise."""

import math
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Never

import pytest
import torch

from lstmgen.config import Budget, BudgetUnit, Device, ModelConfig, Precision, TextConfig, TrainingConfig
from lstmgen.network.architecture import Network, build_network
from lstmgen.text.streams import Chunk
from lstmgen.training import machine
from lstmgen.training.machine import (
    Execution,
    characters_per_second,
    choose_execution,
    cores_are_free,
    has_fast_bfloat16,
    time_step,
)
from lstmgen.training.plan import PLANNED
from lstmgen.training.prepare import prepare
from lstmgen.training.trainer import Trainer

LOW, HIGH = Precision.BFLOAT16, Precision.FLOAT32
NETWORK = build_network(ModelConfig(hidden_size=4, num_layers=1, embedding_size=3), 5)
TRAINING = TrainingConfig(batch_size=2, chunk_length=4)
ONE_THREAD = Execution(torch.device("cpu"), HIGH, 1, 1)

Seconds = dict[tuple[Precision, int], float]


class Machine:
    """A machine with some threads, on which a way to compute takes known seconds; others must not be tried."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        self.seconds: Seconds = {}
        self.trial_seconds = self.first_step_seconds = 0.0  # how long a trial takes; the one of a tiny network
        patch.setattr(time, "perf_counter", lambda: self.now)
        patch.setattr(machine, "time_step", self._time_step)
        self._patch = patch
        self.have()

    def have(self, threads: int = 2, bfloat16: float = 1.5, free: bool = True) -> None:
        """Let the machine have these threads, this speed of products in bfloat16, and cores that are free."""
        self._patch.setattr(torch, "get_num_threads", lambda: threads)
        self._patch.setattr(machine, "bfloat16_speed", lambda: bfloat16)
        self._patch.setattr(machine, "has_fast_bfloat16", lambda _: bfloat16 > 1)
        self._patch.setattr(machine, "cores_are_free", lambda _: free)

    def _time_step(self, network: Network, _: TrainingConfig, execution: Execution) -> float:
        if network is not NETWORK:
            self.now += self.first_step_seconds
            return 0.0
        self.now += self.trial_seconds
        return self.seconds[execution.precision, execution.threads]


@pytest.fixture
def known_machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(monkeypatch)


def chosen(threads: int | None = None, **config: Any) -> tuple[Precision, int]:
    execution = choose_execution(NETWORK, replace(TRAINING, **config), Device.CPU, threads)
    return execution.precision, execution.threads


@pytest.mark.parametrize(
    ("seconds", "given", "expected"),
    [
        ({(HIGH, 1): 5.0, (HIGH, 2): 2.5, (LOW, 2): 1.2}, {}, (LOW, 2)),
        ({(HIGH, 1): 2.0, (HIGH, 2): 1.2, (LOW, 2): 2.5}, {}, (HIGH, 2)),
        ({(HIGH, 1): 2.0, (HIGH, 2): 2.2, (LOW, 2): 1.0}, {}, (LOW, 2)),  # that may be noise
        ({(HIGH, 1): 2.0, (HIGH, 2): 20.0, (LOW, 1): 1.0}, {}, (LOW, 1)),  # that is other work
        # A small product shows that bfloat16 is slow: it is not tried.
        ({(HIGH, 2): 1.2, (HIGH, 1): 2.0}, {"bfloat16": 0.02}, (HIGH, 2)),
        # What was asked for is kept, and only what is left to choose is tried.
        ({(LOW, 2): 1.0, (LOW, 1): 2.0}, {"precision": LOW, "bfloat16": 0.02}, (LOW, 2)),
        ({(HIGH, 2): 1.0, (HIGH, 1): 2.0}, {"precision": HIGH, "bfloat16": 2.0}, (HIGH, 2)),
        ({(LOW, 1): 2.0, (HIGH, 1): 5.0}, {"threads": 1}, (LOW, 1)),
        ({}, {"threads": 1, "precision": LOW}, (LOW, 1)),
        # Where the cores are not free, one thread computes, and nothing is tried.
        ({}, {"free": False, "bfloat16": 1.5}, (LOW, 1)),
        ({}, {"free": False, "bfloat16": 0.5}, (HIGH, 1)),
        ({}, {"free": False, "precision": HIGH}, (HIGH, 1)),
        ({}, {"free": False, "precision": HIGH, "threads": 2}, (HIGH, 2)),
    ],
)
def test_the_fastest_way_is_chosen_and_one_thread_only_if_clearly_faster(
    seconds: Seconds, given: dict[str, Any], expected: tuple[Precision, int], known_machine: Machine
) -> None:
    known_machine.seconds = seconds
    known_machine.have(bfloat16=given.pop("bfloat16", 1.5), free=given.pop("free", True))
    assert chosen(**given) == expected


def test_where_the_cores_are_not_free_all_threads_may_compute_later(known_machine: Machine) -> None:
    known_machine.have(threads=4, free=False)
    execution = choose_execution(NETWORK, TRAINING, Device.CPU, None)
    assert (execution.threads, execution.max_threads) == (1, 4)


@pytest.mark.parametrize(
    ("first_step", "trial", "bfloat16", "expected"),
    [
        (5.0, 0.1, 1.0, (LOW, 2)),  # what torch takes to load itself is no trial
        (0.0, 10.0, 1.0, (HIGH, 2)),
        (0.0, 10.0, 3.0, (LOW, 2)),
    ],
)
def test_a_small_product_chooses_the_precision_where_trials_take_long(
    first_step: float, trial: float, bfloat16: float, expected: tuple[Precision, int], known_machine: Machine
) -> None:
    known_machine.have(bfloat16=bfloat16)
    known_machine.seconds = {(HIGH, 1): 2.0, (HIGH, 2): 1.0, (LOW, 2): 0.9}
    known_machine.first_step_seconds, known_machine.trial_seconds = first_step, trial
    assert chosen(budget=Budget(30)) == expected


def no_clock(*_: object, **__: object) -> Never:
    """Fail, because a budget that counts must not depend on a clock."""
    raise AssertionError("a clock decides")


@pytest.fixture
def without_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let whatever measures fail."""
    for name in ("time_step", "bfloat16_speed", "cores_are_free"):
        monkeypatch.setattr(machine, name, no_clock)
    monkeypatch.setattr(time, "perf_counter", no_clock)


@pytest.mark.usefixtures("without_clock")
@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize(("hidden_size", "threads"), [(4, 1), (256, 8)])
def test_no_clock_chooses_steps(fast: bool, hidden_size: int, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    monkeypatch.setattr(machine, "has_fast_bfloat16", lambda _: fast)
    network = build_network(ModelConfig(hidden_size=hidden_size), 65)
    for unit in (BudgetUnit.STEPS, BudgetUnit.EPOCHS):
        training = TrainingConfig(Budget(3, unit))
        execution = choose_execution(network, training, Device.CPU, None)
        assert (execution.precision, execution.threads) == (LOW if fast else HIGH, threads)
        asked = choose_execution(network, replace(training, precision=HIGH), Device.CPU, 3)
        assert (asked.precision, asked.threads) == (HIGH, 3)


@pytest.mark.usefixtures("without_clock")
def test_the_plan_of_a_budget_that_counts_measures_no_speed(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("the same bits on the same machine. " * 200, encoding="utf-8")
    text = TextConfig(sources=(str(tmp_path / "text.txt"),))
    plans = [
        prepare(text, ModelConfig(), TrainingConfig(Budget(2, unit)), folder=tmp_path / "run", planned=PLANNED).planned
        for unit in (BudgetUnit.STEPS, BudgetUnit.EPOCHS, BudgetUnit.STEPS)
    ]
    assert plans[0] == plans[2]


@pytest.mark.parametrize(
    ("allowed", "fast"),
    [(None, True), ("ALL", True), ("avx512_core_bf16", True), ("AVX10_1_512_AMX", True), ("AVX2", False)],
)
def test_a_processor_held_back_is_not_fast(allowed: str | None, fast: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA", raising=False)
    if allowed:
        monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", allowed)
    assert has_fast_bfloat16(torch.device("cpu")) == fast


@pytest.mark.parametrize(("share", "free"), [(1.0, True), (0.9, True), (0.5, False), (0.1, False)])
def test_cores_are_free_where_threads_compute_mostly(share: float, free: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    computed = 0.0

    def thread_time() -> float:
        nonlocal computed
        computed += 0.0001
        return computed

    monkeypatch.setattr(time, "thread_time", thread_time)
    monkeypatch.setattr(time, "perf_counter", lambda: computed / share)
    assert cores_are_free(1) == free


@pytest.mark.parametrize("threads", [None, 1])
def test_trials_leave_the_number_of_threads_as_it_was(threads: int | None) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        execution = choose_execution(NETWORK, TRAINING, Device.CPU, threads)
        assert 0 < characters_per_second(NETWORK, TRAINING, replace(execution, threads=1)) < math.inf
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def let_steps_take(patch: pytest.MonkeyPatch, seconds_of: Callable[[int], float]) -> list[int]:
    """Let a step over some tokens of each stream take these seconds; returns a list of the steps that were made."""
    now, lengths = 0.0, []

    def step(_: Trainer, chunk: Chunk, *__: None, **___: float) -> tuple[float, None]:
        nonlocal now
        lengths.append(chunk.inputs.shape[1])
        now += seconds_of(lengths[-1])
        return 0.0, None

    patch.setattr(Trainer, "step", step)
    patch.setattr(time, "perf_counter", lambda: now)
    return lengths


def test_a_short_step_that_was_fast_by_chance_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """One of the longer short steps takes less time than the shorter ones, so that the estimate is too low."""
    seconds = iter([0.01, 0.01, 0.01, 0.02, 0.02, 0.001, 0.12, 0.1, 0.11])
    let_steps_take(monkeypatch, lambda _: next(seconds))
    timed = time_step(NETWORK, replace(TRAINING, budget=Budget(600)), ONE_THREAD)
    assert timed == pytest.approx(0.1)


@pytest.mark.parametrize("slow", range(6))
def test_one_slow_short_step_changes_no_estimate(slow: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A large network has no time for whole steps: its estimate is a small difference times a large number."""
    steps = let_steps_take(monkeypatch, lambda length: (0.01 + 0.002 * length) * (3 if len(steps) == slow + 1 else 1))
    network = build_network(ModelConfig(hidden_size=512), 65)
    config = TrainingConfig(chunk_length=64, budget=Budget(1e-9))
    assert time_step(network, config, ONE_THREAD) == pytest.approx(0.01 + 0.002 * 64)


def speed_of(hidden_size: int, budget: float) -> float:
    network = build_network(ModelConfig(hidden_size=hidden_size), 65)
    return characters_per_second(network, TrainingConfig(chunk_length=64, budget=Budget(budget)), ONE_THREAD)


@pytest.mark.parametrize(("budget", "per_token"), [(1e-9, 0.005), (1e6, 0.01)])
@pytest.mark.parametrize("overhead", [0.0, 0.05])
def test_short_steps_tell_enough(
    budget: float, per_token: float, overhead: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the optimizer takes does not depend on the length; whole steps are made where there is time for them."""
    steps = let_steps_take(monkeypatch, lambda length: overhead + per_token * length)
    assert speed_of(512, budget) == pytest.approx(0.85 * 32 * 64 / (overhead + 64 * per_token))
    assert (64 in steps) == (budget > 1)
