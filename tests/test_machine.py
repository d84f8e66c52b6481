"""How a machine is tried out: the fastest precision and number of threads, but no verdict from a little noise."""

import math
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Never

import pytest
import torch

from lstmgen.config import Budget, BudgetUnit, Device, ModelConfig, Precision, TextConfig, TrainingConfig
from lstmgen.errors import ConfigError
from lstmgen.network.architecture import Network, build_network
from lstmgen.text.streams import Chunk
from lstmgen.training import machine
from lstmgen.training.machine import (
    Execution,
    StepTime,
    Trials,
    characters_per_second,
    choose_device,
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

Seconds = dict[tuple[Precision, int], float]


def chosen(
    seconds: Seconds, *, threads: int | None = None, bfloat16: float = 1.5, free: bool = True, **config: Any
) -> tuple[Precision, int]:
    """What is chosen on a machine with two threads where a step takes these seconds; other ways must not be tried."""

    def known_time(network: Network, _: TrainingConfig, execution: Execution, **__: object) -> StepTime:
        taken = seconds[execution.precision, execution.threads] if network is NETWORK else 0.0
        return StepTime(short=taken, whole=taken)

    trials = Trials(
        known_time, lambda: bfloat16, lambda _: bfloat16 > 1, lambda _: free, max_threads=lambda: 2, clock=lambda: 0.0
    )
    execution = choose_execution(NETWORK, replace(TRAINING, **config), Device.CPU, threads, trials)
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
        *(
            ({(precision, 2): 1.0, (precision, 1): 2.0}, {"precision": precision, "bfloat16": speed}, (precision, 2))
            for precision in (LOW, HIGH)
            for speed in (0.02, 2.0)
        ),
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
    seconds: Seconds, given: dict[str, Any], expected: tuple[Precision, int]
) -> None:
    assert chosen(seconds, **given) == expected


def test_where_the_cores_are_not_free_all_threads_may_compute_later() -> None:
    trials = Trials(no_clock, lambda: 0.5, lambda _: False, lambda _: False, lambda: 4, no_clock)
    execution = choose_execution(NETWORK, TRAINING, Device.CPU, None, trials)
    assert (execution.threads, execution.max_threads) == (1, 4)


def no_clock(*_: object, **__: object) -> Never:
    """Fail, because a budget that counts must not depend on a clock."""
    raise AssertionError("a clock decides")


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("unit", [BudgetUnit.STEPS, BudgetUnit.EPOCHS])
@pytest.mark.parametrize(("hidden_size", "threads"), [(4, 1), (256, 8)])
def test_no_clock_chooses_for_a_budget_that_counts(
    unit: BudgetUnit, fast: bool, hidden_size: int, threads: int
) -> None:
    trials = Trials(no_clock, no_clock, lambda _: fast, no_clock, lambda: 8, no_clock)
    network = build_network(ModelConfig(hidden_size=hidden_size), 65)
    training = TrainingConfig(Budget(3, unit))
    execution = choose_execution(network, training, Device.CPU, None, trials)
    assert (execution.precision, execution.threads) == (LOW if fast else HIGH, threads)
    asked = choose_execution(network, replace(training, precision=HIGH), Device.CPU, 3, trials)
    assert (asked.precision, asked.threads) == (HIGH, 3)


@pytest.mark.parametrize(
    ("allowed", "fast"),
    [(None, True), ("ALL", True), ("avx512_core_bf16", True), ("AVX10_1_512_AMX", True), ("AVX2", False)],
)
def test_a_processor_that_is_held_back_has_no_fast_bfloat16(
    allowed: str | None, fast: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA", raising=False)
    if allowed:
        monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", allowed)
    assert has_fast_bfloat16(torch.device("cpu")) == fast


def test_the_plan_of_a_budget_that_counts_measures_no_speed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("the same bits on the same machine. " * 200, encoding="utf-8")
    for name in ("time_step", "bfloat16_speed", "cores_are_free"):
        monkeypatch.setattr(machine, name, no_clock)
    monkeypatch.setattr(time, "perf_counter", no_clock)
    text = TextConfig(sources=(str(tmp_path / "text.txt"),))
    plans = [
        prepare(text, ModelConfig(), TrainingConfig(Budget(2, unit)), folder=tmp_path / "run", planned=PLANNED).planned
        for unit in (BudgetUnit.STEPS, BudgetUnit.EPOCHS, BudgetUnit.STEPS)
    ]
    assert plans[0] == plans[2]


@pytest.mark.parametrize(("share", "free"), [(1.0, True), (0.9, True), (0.5, False), (0.1, False)])
def test_cores_are_free_where_threads_compute_most_of_the_time(
    share: float, free: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed = 0.0

    def thread_time() -> float:
        nonlocal computed
        computed += 0.0001
        return computed

    monkeypatch.setattr(time, "thread_time", thread_time)
    monkeypatch.setattr(time, "perf_counter", lambda: computed / share)
    assert cores_are_free(1) == free


def test_a_speed_is_tokens_of_whole_steps_in_a_second_and_a_slow_way_is_given_up_after_a_short_one() -> None:
    trials = Trials(time_step=lambda *_: StepTime(short=9.0, whole=0.5))
    execution = Execution(torch.device("cpu"), HIGH, 1, 1)
    assert 8 <= characters_per_second(NETWORK, TRAINING, execution, trials) <= 16
    assert 0 < characters_per_second(NETWORK, TRAINING, execution) < math.inf
    assert time_step(NETWORK, TRAINING, execution, beside=StepTime(1e-9, 1e-9)).whole == math.inf
    assert time_step(NETWORK, TRAINING, execution, beside=StepTime(100.0, 100.0)).whole < math.inf


@pytest.mark.parametrize("threads", [None, 1])
def test_trials_leave_the_number_of_threads_as_it_was(threads: int | None) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        execution = choose_execution(NETWORK, TRAINING, Device.CPU, threads)
        characters_per_second(NETWORK, TRAINING, replace(execution, threads=1))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_a_short_step_that_was_fast_by_chance_does_not_count_beside_whole_steps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The second of the longer short steps takes less time than the shorter ones, so that the estimate is too low."""
    now, seconds = 0.0, iter([0.01, 0.01, 0.02, 0.001, 0.12, 0.1, 0.11])

    def step(*_: object, **__: object) -> None:
        nonlocal now
        now += next(seconds)

    monkeypatch.setattr(Trainer, "step", step)
    execution = Execution(torch.device("cpu"), HIGH, 1, 1)
    timed = time_step(NETWORK, replace(TRAINING, budget=Budget(600)), execution, clock=lambda: now)
    assert timed.whole == pytest.approx(0.1)


def lengths_of_steps(hidden_size: int, budget: float, seconds_of: Callable[[int], float]) -> tuple[list[int], float]:
    """The lengths of the steps of a trial where a step of a length takes these seconds; and the speed it finds."""
    lengths, now = [], 0.0

    def step(_: Trainer, chunk: Chunk, *__: None, **___: float) -> tuple[float, None]:
        nonlocal now
        lengths.append(chunk.inputs.shape[1])
        now += seconds_of(lengths[-1])
        return 0.0, None

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "step", step)
        network = build_network(ModelConfig(hidden_size=hidden_size), 65)
        execution = Execution(torch.device("cpu"), HIGH, 1, 1)
        trials = Trials(time_step=partial(time_step, clock=lambda: now))
        speed = characters_per_second(
            network, TrainingConfig(chunk_length=64, budget=Budget(budget)), execution, trials
        )
    return lengths, speed


@pytest.mark.parametrize(("hidden_size", "lengths"), [(4, [32, 64]), (512, [2, 4]), (1024, [1, 2])])
def test_a_trial_of_a_large_network_reads_little(hidden_size: int, lengths: list[int]) -> None:
    """Where the allowance has room for short steps alone, no whole ones are made."""
    found, _ = lengths_of_steps(hidden_size, 1e-9, lambda length: 1.0 * length)
    assert sorted(set(found)) == lengths
    assert len(found) == 4


@pytest.mark.parametrize("overhead", [0.0, 0.5])
@pytest.mark.parametrize("budget", [1e-9, 1e6])
def test_short_steps_tell_how_long_a_whole_one_takes(budget: float, overhead: float) -> None:
    """What the optimizer takes does not depend on the length; whole steps are made where there is time for them."""
    found, speed = lengths_of_steps(512, budget, lambda length: overhead + 0.01 * length)
    assert speed == pytest.approx(0.85 * 32 * 64 / (overhead + 0.64))
    assert (64 in found) == (budget > 1)


@pytest.mark.parametrize(
    ("first_step", "trial", "bfloat16", "expected"),
    [
        (5.0, 0.1, 1.0, (LOW, 2)),  # what torch takes to load itself is no trial
        (0.0, 10.0, 1.0, (HIGH, 2)),
        (0.0, 10.0, 3.0, (LOW, 2)),
    ],
)
def test_a_small_product_chooses_the_precision_where_trials_take_long(
    first_step: float, trial: float, bfloat16: float, expected: tuple[Precision, int]
) -> None:
    now = 0.0

    def known_time(network: Network, _: TrainingConfig, execution: Execution, **__: object) -> StepTime:
        nonlocal now
        now += trial if network is NETWORK else first_step
        seconds = 1.0 if execution.precision is LOW else 2.0 / execution.threads
        return StepTime(seconds, 0.9 * seconds if execution.precision is LOW else seconds)

    trials = Trials(
        known_time, lambda: bfloat16, cores_are_free=lambda _: True, max_threads=lambda: 2, clock=lambda: now
    )
    execution = choose_execution(NETWORK, replace(TRAINING, budget=Budget(30)), Device.CPU, None, trials)
    assert (execution.precision, execution.threads) == expected


def test_a_device_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match="`device`"):
        choose_device(Device.CUDA)
