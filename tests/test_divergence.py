"""Training that diverges goes back to what was good, and says so."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lstmgen.checkpoint import BEST, LAST, load_checkpoint
from lstmgen.config import Budget, BudgetUnit
from lstmgen.errors import TrainingError
from lstmgen.record import Position
from lstmgen.training import prepare as training_run
from lstmgen.training.events import Event, Finished, RolledBack, Stepped
from lstmgen.training.state import CERTAIN, SUSPECTED, RunState, frequency_nats
from lstmgen.training.trainer import Trainer
from tests.command_line import problem
from tests.test_training import QUICK, Clock, assert_same_tensors, folder_of, prepare, run_to_end, run_until

pytestmark = pytest.mark.usefixtures("fable")
LONG = replace(QUICK, budget=Budget(120, BudgetUnit.STEPS), every=20)


def rollbacks(events: list[Event]) -> list[RolledBack]:
    return [event for event in events if isinstance(event, RolledBack)]


def let_steps_fail(patch: pytest.MonkeyPatch, *failing: range) -> None:
    """Give the steps of these numbers, from 1, no finite loss. A step that is taken again has a new number."""
    train, count = Trainer.step, 0

    def step(*arguments: Any, **options: Any) -> Any:
        nonlocal count
        count += 1
        return (math.nan, None) if any(count in numbers for numbers in failing) else train(*arguments, **options)

    patch.setattr(Trainer, "step", step)


def test_a_loss_is_bad_if_it_is_far_above_the_lowest_and_above_that_of_character_frequencies() -> None:
    ids = np.array([0] * 90 + [1] * 10, np.uint8)
    frequencies = frequency_nats(ids, 4)
    assert frequencies == pytest.approx(-0.9 * math.log(0.9) - 0.1 * math.log(0.1))
    for nats, lowest, good in (
        (1.8, math.inf, True),  # a network that knows nothing yet: log 4 is 1.39
        (1.9, math.inf, False),
        (0.8, 0.1, True),  # as good as frequencies alone
        (0.9, 0.1, False),
        (1.2, 0.75, True),
        (1.3, 0.75, False),
        (math.nan, 0.1, False),
        (math.inf, math.inf, False),
    ):
        state = RunState(QUICK, Position(), lowest_nats=lowest)
        state.add_loss(nats, vocab_size=4, frequency_nats=frequencies)
        assert (state.bad_steps == 0) == good, (nats, lowest)
    long = np.tile(np.arange(4, dtype=np.uint8), 1 << 21)  # only parts of it are counted
    assert frequency_nats(long, 4) == pytest.approx(math.log(4))


@pytest.mark.parametrize("training", [{"learning_rate": 1e-7}, {"dropout": 0.9}, {"batch_size": 1, "chunk_length": 2}])
def test_a_slow_learner_is_not_called_diverged(training: dict[str, Any]) -> None:
    events = run_to_end(prepare(replace(LONG, **training)))
    assert not rollbacks(events)
    assert isinstance(events[-1], Finished)


@pytest.mark.parametrize(
    ("training", "margin", "every"),
    [
        ({"learning_rate": 9.0, "weight_decay": 1.0, "clip": 1e9}, 0.0, 30),
        ({"learning_rate": 9.9, "weight_decay": 9.9}, 0.1, 8),
    ],
)
def test_too_high_a_learning_rate_ends_in_a_good_network(training: dict[str, Any], margin: float, every: int) -> None:
    preparation = prepare(replace(LONG, budget=Budget(200, BudgetUnit.STEPS), every=every, **training))
    events = run_to_end(preparation)
    assert rollbacks(events)
    end = events[-1]
    assert isinstance(end, Finished) and end.validation_nats is not None
    assert end.step == 200
    frequencies = frequency_nats(preparation.text.training, len(preparation.checkpoint.vocabulary))
    assert end.validation_nats < frequencies + margin
    for name in (LAST, BEST):
        checkpoint = load_checkpoint(folder_of(events) / name)
        arrays = [*checkpoint.weights.values(), *checkpoint.extra.values()]
        assert all(np.isfinite(array).all() for array in arrays)


def test_steps_without_a_finite_loss_lead_back_to_the_last_save(monkeypatch: pytest.MonkeyPatch) -> None:
    let_steps_fail(monkeypatch, range(51, 51 + CERTAIN))
    events = run_to_end(prepare(LONG))
    [rolled_back] = rollbacks(events)
    assert (rolled_back.step, rolled_back.to_step) == (50 + CERTAIN, 40)
    assert rolled_back.learning_rate == LONG.learning_rate / 4
    last = load_checkpoint(folder_of(events) / LAST)
    assert last.record.training == replace(LONG, learning_rate=LONG.learning_rate / 4)
    assert last.record.position.step == 120
    steps = [event.step for event in events if isinstance(event, Stepped)]
    assert steps == [*range(1, 51 + CERTAIN), *range(41, 121)]


@pytest.mark.parametrize(("spoiled", "steps"), [(59, [40]), (60, [60, 40])])
def test_a_bad_last_checkpoint_is_given_up(spoiled: int, steps: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """A step spoils the weights, and step 60 saves them. Going back there does not help. Step 60 may show it before."""
    train, count = Trainer.step, 0

    def step(trainer: Trainer, *arguments: Any, **options: Any) -> Any:
        nonlocal count
        count += 1
        result = train(trainer, *arguments, **options)
        if count == spoiled:
            trainer.model.parameters["head.bias"].data[0] = 1000
        return result

    monkeypatch.setattr(Trainer, "step", step)
    events = run_to_end(prepare(replace(LONG, warm_up=0.06)))
    assert [event.to_step for event in rollbacks(events)] == steps
    assert load_checkpoint(folder_of(events) / LAST).record.position.step == 120


def test_the_best_weights_are_kept_when_training_goes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    let_steps_fail(monkeypatch, range(51, 1000))
    preparation = prepare(LONG)
    with pytest.raises(TrainingError), preparation.start(started=0.0) as session:
        list(session.events())
    best = load_checkpoint(session.folder / BEST).record.position
    assert (best.step, best.best_step) == (40, 40)


def test_a_few_bad_steps_are_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is saved meanwhile is not changed."""
    let_steps_fail(monkeypatch, range(31, 31 + CERTAIN - 1))
    preparation = prepare(replace(LONG, budget=Budget(60, BudgetUnit.STEPS), every=1))
    with preparation.start(started=0.0) as session:
        for event in session.events():
            if isinstance(event, Stepped) and 31 + SUSPECTED <= event.step < 31 + CERTAIN:
                assert load_checkpoint(session.folder / LAST).record.position.step < 31 + SUSPECTED
            assert not isinstance(event, RolledBack)
    assert load_checkpoint(session.folder / LAST).record.position.step == 60


def test_a_time_budget_does_not_get_its_time_back(monkeypatch: pytest.MonkeyPatch) -> None:
    preparation = prepare(replace(QUICK, budget=Budget(20, BudgetUnit.SECONDS), every=10))
    let_steps_fail(monkeypatch, range(31, 31 + CERTAIN))
    clock = Clock(monkeypatch, 0.1)
    events = run_to_end(preparation, started=100.0, clock=clock)
    assert len(rollbacks(events)) == 1
    shares = [event.progress for event in events if isinstance(event, Stepped)]
    assert shares == sorted(shares)
    assert clock.now <= 120


def test_training_that_diverges_again_and_again_ends_with_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Trainer, "step", lambda *_, **__: (math.nan, None))
    command = "train fable.txt --steps 100 --hidden-size 8 --threads 1 --quiet"
    line = problem(*command.split())
    assert "--learning-rate" in line
    assert not Path("checkpoints").exists()


def after(steps: int) -> Callable[[], bool]:
    return iter([False] * (steps - 1) + [True]).__next__


@pytest.mark.parametrize(("failing", "saved"), [(1, 0), (47, 40)])
def test_a_run_interrupted_while_diverging_is_good(failing: int, saved: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The resumed run repeats the steps since then, with the same learning rate, as if it had not been interrupted."""
    whole = folder_of(run_to_end(prepare(LONG)))
    let_steps_fail(monkeypatch, range(failing, failing + SUSPECTED))
    events = run_until(prepare(LONG), after(failing - 1 + SUSPECTED))
    assert not rollbacks(events)
    cut = folder_of(events)
    last = load_checkpoint(cut / LAST)
    assert (last.record.position.step, last.record.training) == (saved, LONG)
    run_to_end(training_run.resume(cut.name))
    for name in (LAST, BEST) if saved else (LAST,):
        assert_same_tensors(load_checkpoint(cut / name), load_checkpoint(whole / name))


@pytest.mark.parametrize("stop", [60 + CERTAIN, 75 + CERTAIN])
def test_a_run_that_went_back_is_resumed_exactly(stop: int, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = []
    for end in (1000, stop):
        with monkeypatch.context() as patch:
            let_steps_fail(patch, range(51, 51 + CERTAIN))
            runs.append(folder_of(run_until(prepare(LONG), after(end))))
    whole, cut = runs
    assert load_checkpoint(cut / LAST).record.training.learning_rate == LONG.learning_rate / 4
    run_to_end(training_run.resume(cut.name))
    for name in (LAST, BEST):
        assert_same_tensors(load_checkpoint(cut / name), load_checkpoint(whole / name))
