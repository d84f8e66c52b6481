"""Training: it learns, it resumes exactly, evaluating leaves it alone, budgets are kept."""

import ctypes
import json
import math
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import chain, pairwise, repeat
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from lstmgen.checkpoint import BEST, LAST, LOG, Checkpoint, find_checkpoint, list_runs, load_checkpoint, save_checkpoint
from lstmgen.config import Budget, BudgetUnit, CellKind, ModelConfig, Precision, TextConfig, TrainingConfig
from lstmgen.errors import CheckpointError, TrainingError
from lstmgen.language_model import LanguageModel
from lstmgen.network.initialization import initialize
from lstmgen.network.model import Model, drop, drop_units
from lstmgen.text.streams import Chunk
from lstmgen.training import prepare as training_run
from lstmgen.training.events import Evaluated, Event, Finished, Overfitting, Planned, Stepped
from lstmgen.training.loop import Preparation, TrainingRun
from lstmgen.training.plan import PLANNED
from lstmgen.training.trainer import AdamW, Trainer, learning_rate
from lstmgen.training.validation import Validation
from tests.conftest import CELLS, random_weights, single, small_network

SMALL = ModelConfig(hidden_size=12, num_layers=2, embedding_size=6)
QUICK = TrainingConfig(
    budget=Budget(20, BudgetUnit.STEPS),
    batch_size=4,
    chunk_length=16,
    precision=Precision.FLOAT32,
    every=5,
    dropout=0.2,
    state_reset=0.1,
)


pytestmark = pytest.mark.usefixtures("fable")
TEXT = TextConfig(sources=("fable.txt",))


def prepare(training: TrainingConfig = QUICK, model: ModelConfig = SMALL, **text: Any) -> Preparation:
    return training_run.prepare(replace(TEXT, **text), model, training, threads=1)


def run_to_end(preparation: Preparation, **start: Any) -> list[Event]:
    return run_until(preparation, lambda: False, **start)


def run_until(preparation: Preparation, should_stop: Callable[[], bool], **start: Any) -> list[Event]:
    with preparation.start(**{"started": 0.0, **start}) as session:
        return list(session.events(should_stop))


def folder_of(events: list[Event]) -> Path:
    planned, *_ = events
    assert isinstance(planned, Planned)
    return Path(planned.run)


def assert_same_tensors(ours: Checkpoint, theirs: Checkpoint) -> None:
    for mine, other in ((ours.weights, theirs.weights), (ours.extra, theirs.extra)):
        assert mine.keys() == other.keys()
        for name in mine:
            assert mine[name].tobytes() == other[name].tobytes(), name


def test_a_short_run_has_three_previews_after_loading_for_long() -> None:
    events = run_to_end(prepare(replace(QUICK, every=None)), started=time.perf_counter() - 20)
    assert [bool(event.preview) for event in events if isinstance(event, Evaluated)].count(True) == 3


@pytest.mark.parametrize(
    ("cell", "attention", "lines", "chunk_growth", "killed_at"),
    [
        (CellKind.LSTM, 0, False, 1, 1),
        (CellKind.LSTM, 3, False, 2, 8),
        (CellKind.LSTM, 3, False, 2, 15),
        (CellKind.PEEPHOLE, 2, True, 1, 5),
        (CellKind.GRU, 0, False, 2, 20),
    ],
)
def test_resuming_is_exact_to_bytes(
    cell: CellKind, attention: int, lines: bool, chunk_growth: int, killed_at: int
) -> None:
    """A stop at the last step is the end of the run."""
    model, training = replace(SMALL, cell=cell, attention=attention), replace(QUICK, chunk_growth=chunk_growth)
    whole = folder_of(run_to_end(prepare(training, model, lines=lines)))
    stops = iter([False] * (killed_at - 1) + [True])
    events = run_until(prepare(training, model, lines=lines), lambda: next(stops))
    cut, end = folder_of(events), events[-1]
    assert isinstance(end, Finished)
    assert (end.interrupted, end.step) == (killed_at < 20, killed_at)
    assert load_checkpoint(cut / LAST).record.position.step == killed_at
    assert training_run.resume(cut.name).planned.notes[0] == f"resumed at step {killed_at}"
    events = run_to_end(training_run.resume(cut.name))
    assert sum(isinstance(event, Stepped) for event in events) == 20 - killed_at
    for file in (LAST, BEST):
        ours, theirs = load_checkpoint(cut / file), load_checkpoint(whole / file)
        assert_same_tensors(ours, theirs)
        assert replace(ours.record, seconds=0) == replace(theirs.record, seconds=0)


def test_chunks_that_grow_are_joined_in_the_second_half(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Chunk] = []
    step = Trainer.step

    def watched(trainer: Trainer, chunk: Chunk, state: Any, learning_rate: float) -> Any:
        assert chunk.reset_state or any(field.any() for field in state.layers[0])
        read.append(chunk)
        return step(trainer, chunk, state, learning_rate)

    monkeypatch.setattr(Trainer, "step", watched)
    run_to_end(prepare(replace(QUICK, chunk_growth=3, state_reset=0)))
    lengths = [round(chunk.inputs.shape[1] / QUICK.chunk_length) for chunk in read]
    assert (set(lengths[:10]), max(lengths[10:])) == ({1}, 3)
    for before, after in pairwise(read):
        if not after.reset_state:
            assert_array_equal(after.positions, before.positions + before.inputs.shape[1])


@pytest.mark.parametrize("planned", [frozenset[str](), PLANNED - {"hidden_size"}])
def test_chunks_of_lines_do_not_grow(planned: frozenset[str]) -> None:
    training = replace(QUICK, chunk_growth=2)
    preparation = training_run.prepare(replace(TEXT, lines=True), SMALL, training, threads=1, planned=planned)
    assert preparation.planned.training["chunk_growth"] == 1


def test_a_larger_budget_continues_where_a_run_ended_and_so_does_the_log() -> None:
    events = run_to_end(prepare(replace(QUICK, every=None)))
    assert [event.step for event in events if isinstance(event, Evaluated)] == list(range(2, 21, 2))
    log = folder_of(events) / LOG
    first = log.read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["event"] for line in first] == ["plan"] + ["evaluation"] * 10 + ["finished"]
    events = run_to_end(training_run.resume(log.parent.name, budget=Budget(60, BudgetUnit.STEPS)))
    assert [event.step for event in events if isinstance(event, Stepped)] == list(range(21, 61))
    both = log.read_text(encoding="utf-8").splitlines()
    assert both[: len(first)] == first
    assert any('"step": 50,' in line for line in both if '"event": "step"' in line)


@pytest.mark.parametrize("lines", [False, True])
def test_evaluating_leaves_training_as_it_is_and_the_best_weights_score_as_they_did(lines: bool, fable: Path) -> None:
    """A list is validated to its last line, even without a line feed."""
    fable.write_text("\n".join(["fox", "grapes", "vine"] * 60 + ["a last and longer line"]), encoding="utf-8")
    preparation = prepare(replace(QUICK, every=1), lines=lines)
    often, never = run_to_end(preparation), run_to_end(prepare(replace(QUICK, every=1000), lines=lines))
    losses = [event.validation_nats for event in often if isinstance(event, Evaluated) and event.validation_nats]
    assert len(losses) == 20
    assert_same_tensors(load_checkpoint(folder_of(often) / LAST), load_checkpoint(folder_of(never) / LAST))
    best = load_checkpoint(folder_of(often) / BEST)
    assert best.record.validation_nats == min(losses)
    again = LanguageModel(best).score_ids(preparation.text.validation).nats_per_character
    assert again == pytest.approx(min(losses), abs=1e-5)


@pytest.mark.parametrize(
    ("name", "attention"),
    [("rnn", 0), ("lstm", 8), ("peephole", 0), ("coupled", 0), ("gru-after", 0), ("gru-before", 0)],
)
def test_every_network_memorises_a_line(name: str, attention: int, fable: Path) -> None:
    fable.write_text("A fox saw grapes on a vine. " * 8, encoding="utf-8")
    model = replace(CELLS[name], hidden_size=32, num_layers=1, embedding_size=16, attention=attention)
    budget = Budget(250, BudgetUnit.STEPS)
    training = replace(QUICK, budget=budget, chunk_length=28, learning_rate=0.02, dropout=0, every=1000, state_reset=0)
    *_, evaluated, _ = run_to_end(prepare(training, model, validation=0))
    assert isinstance(evaluated, Evaluated)
    assert evaluated.validation_nats is None
    assert evaluated.training_nats / math.log(2) < 0.1


@pytest.mark.parametrize(
    "budget", [Budget(7, BudgetUnit.STEPS), Budget(2, BudgetUnit.EPOCHS), Budget(0.5, BudgetUnit.EPOCHS)]
)
def test_counted_budgets_are_kept_though_the_network_overfits(budget: Budget, monkeypatch: pytest.MonkeyPatch) -> None:
    let_validation_rise(monkeypatch)
    events = run_to_end(prepare(replace(QUICK, budget=budget, every=1)))
    assert not any(isinstance(event, Overfitting) for event in events)
    end = events[-1]
    assert isinstance(end, Finished)
    used = end.step if budget.unit is BudgetUnit.STEPS else end.epoch
    assert used == pytest.approx(budget.amount, abs=0.2)


@pytest.mark.parametrize("most_epochs", [None, 4])
def test_a_time_budget_counts_from_the_start_of_the_command_or_ends_after_the_most_epochs(
    most_epochs: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command began 2 seconds before training. The learning rate has fallen by the end."""
    budget = Budget(300 if most_epochs else 8, BudgetUnit.SECONDS)
    preparation = prepare(replace(QUICK, budget=budget, every=None, most_epochs=most_epochs))
    *events, end = run_to_end(preparation, started=98.0, clock=Clock(monkeypatch, 0.05))
    assert isinstance(end, Finished)
    if most_epochs:
        assert end.epoch == pytest.approx(4, abs=0.2)
    else:
        assert 7.5 <= end.seconds <= 8
    steps = [event for event in events if isinstance(event, Stepped)]
    shares = [step.progress for step in steps]
    assert (shares, shares[-1]) == (sorted(shares), 1)
    assert steps[-1].learning_rate < 0.05 * QUICK.learning_rate


class Clock:
    """A clock that moves in training steps alone, by a fixed time in each; it begins at 100 seconds."""

    def __init__(self, patch: pytest.MonkeyPatch, step_seconds: float) -> None:
        self.now = 100.0
        train = Trainer.step

        def step(*arguments: Any, **options: Any) -> Any:
            self.now += step_seconds
            return train(*arguments, **options)

        patch.setattr(Trainer, "step", step)

    def __call__(self) -> float:
        return self.now


def test_a_resumed_time_budget_holds_both_sessions(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch, 0.05)
    preparation = prepare(replace(QUICK, budget=Budget(8, BudgetUnit.SECONDS), every=None))
    half = run_until(preparation, iter([False] * 40 + [True]).__next__, started=99.0, clock=clock)
    clock.now = 100.0
    folder = folder_of(half)
    *events, end = run_to_end(training_run.resume(folder.name), started=99.0, clock=clock)
    before, shares = ([event.progress for event in run if isinstance(event, Stepped)] for run in (half, events))
    assert 0.1 < before[-1] < shares[0] < before[-1] + 0.1 < 0.9
    assert shares[-1] == 1
    assert isinstance(end, Finished)
    assert 7.5 <= end.seconds <= 8
    doubled = training_run.resume(folder.name, budget=Budget(16, BudgetUnit.SECONDS))
    assert doubled.checkpoint.record.position.progress == pytest.approx(0.5, abs=0.05)


def let_validation_rise(patch: pytest.MonkeyPatch) -> None:
    losses = chain([2.0, 1.5, 1.52, 1.6, 1.7], repeat(1.8))
    patch.setattr(Validation, "nats", lambda *_: next(losses))


def test_overfitting_ends_early_with_a_falling_learning_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    let_validation_rise(monkeypatch)
    preparation = prepare(replace(QUICK, budget=Budget(30, BudgetUnit.SECONDS), every=None))
    events = run_to_end(preparation, started=100.0, clock=Clock(monkeypatch, 0.05))
    [overfitting] = [event for event in events if isinstance(event, Overfitting)]
    evaluated = [event for event in events if isinstance(event, Evaluated)]
    assert overfitting.since == evaluated[1].step
    assert (overfitting.best_nats, overfitting.validation_nats) == (1.5, 1.6)
    *_, end = events
    assert isinstance(end, Finished)
    assert end.epoch == pytest.approx(overfitting.end_epoch, abs=0.5)
    assert end.seconds < 20
    assert end.validation_nats == 1.5
    rates = [event.learning_rate for event in events if isinstance(event, Stepped) and event.step > overfitting.step]
    assert len(rates) > 20
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] < 0.1 * QUICK.learning_rate
    assert load_checkpoint(folder_of(events) / LAST).record.training.most_epochs == overfitting.end_epoch


@given(progress=st.floats(0, 1))
def test_the_schedule_rises_to_the_learning_rate_and_falls_to_its_end(progress: float) -> None:
    config = TrainingConfig()
    assert 0 <= learning_rate(config, progress) <= config.learning_rate * (1 + 1e-12)
    assert learning_rate(config, config.warm_up) == pytest.approx(config.learning_rate)
    assert learning_rate(config, 1) == 0


def trainer(precision: Precision = Precision.FLOAT32, **training: Any) -> Trainer:
    network = small_network(CELLS["lstm"])
    weights = initialize(network, np.random.default_rng(0))
    return Trainer(Model(network, weights, torch.device("cpu")), replace(QUICK, **training), precision)


def chunk(reset_state: bool = True) -> Chunk:
    ids = np.random.default_rng(1).integers(0, 7, (4, 9))
    return Chunk(ids[:, :-1], ids[:, 1:], np.ones(len(ids), np.int64), reset_state)


def test_the_optimizer_is_torchs_and_only_matrices_decay() -> None:
    network = small_network(CELLS["peephole"], attention=2)
    weights = single(random_weights(network))
    ours, theirs = (Model(network, weights, torch.device("cpu")).parameters for _ in range(2))
    groups = [
        {"params": [tensor for tensor in theirs.values() if tensor.ndim > 1], "weight_decay": 0.5},
        {"params": [tensor for tensor in theirs.values() if tensor.ndim == 1], "weight_decay": 0.0},
    ]
    optimizer, reference = AdamW(ours, weight_decay=0.5), torch.optim.AdamW(groups, betas=(0.8, 0.99), fused=True)
    generator = torch.Generator().manual_seed(0)
    for rate in (0.01, 0.02, 0.005):
        for name, parameter in theirs.items():
            parameter.grad = torch.randn(parameter.shape, generator=generator)
            ours[name].grad = parameter.grad.clone()
        for group in reference.param_groups:
            group["lr"] = rate
        reference.step()
        optimizer.step(rate)
    for name, parameter in theirs.items():
        assert torch.equal(ours[name], parameter), name


@pytest.mark.parametrize("precision", [Precision.FLOAT32, Precision.BFLOAT16])
def test_bfloat16_is_used_and_gradients_are_clipped(precision: Precision, monkeypatch: pytest.MonkeyPatch) -> None:
    learner = trainer(precision, clip=0.01)
    reading = learner.model.read_outputs
    low: list[bool] = []

    def watched(*arguments: Any, **options: Any) -> Any:
        low.append(torch.is_autocast_enabled("cpu"))
        return reading(*arguments, **options)

    monkeypatch.setattr(learner.model, "read_outputs", watched)
    learner.step(chunk(), None, learning_rate=0.1)
    assert low == [precision is Precision.BFLOAT16]
    gradients = [tensor.grad for tensor in learner.model.parameters.values() if tensor.grad is not None]
    assert float(sum(gradient.square().sum() for gradient in gradients)) ** 0.5 == pytest.approx(0.01, rel=1e-3)


def test_dropout_scales_up_the_rest_and_a_dropped_unit_is_dropped_at_all_times_in_its_row() -> None:
    dropped = drop(torch.ones(100, 100), 0.25, torch.Generator().manual_seed(0))
    assert sorted(set(dropped.flatten().tolist())) == pytest.approx([0, 4 / 3])
    assert float(dropped.mean()) == pytest.approx(1, abs=0.03)
    outputs = torch.arange(1.0, 1 + 8 * 5 * 16).view(8, 5, 16)
    dropped = drop_units(outputs, 0.25, torch.Generator().manual_seed(0))
    kept = dropped != 0
    torch.testing.assert_close(dropped[kept], outputs[kept] * 4 / 3)
    assert torch.equal(kept, kept[:, :1].expand_as(kept))
    assert len({tuple(row) for row in kept[:, 0].tolist()}) > 1
    assert drop_units(outputs, 0.0, None) is outputs


def test_dropped_recurrent_weights_are_the_same_over_a_chunk_and_get_no_gradient() -> None:
    network = small_network(CELLS["lstm"], num_layers=1)
    model = Model(network, single(random_weights(network)), torch.device("cpu"))
    ids = torch.zeros(1, 6, dtype=torch.int64)
    generator = torch.Generator().manual_seed(0)
    outputs, _ = model.read_outputs(ids, model.initial_state(1), weight_drop=0.5, generator=generator)
    outputs.sum().backward()  # type: ignore[no-untyped-call]  # torch has no types for it
    gradient = model.parameters["layers.0.weight_hh"].grad
    assert gradient is not None
    assert 0.3 < float((gradient == 0).float().mean()) < 0.7
    whole, _ = model.read_outputs(ids, model.initial_state(1))
    assert not torch.allclose(outputs, whole)


def test_a_step_without_a_finite_loss_leaves_the_weights_alone() -> None:
    broken = trainer()
    with torch.no_grad():
        broken.model.parameters["head.bias"][0] = math.inf
    before = broken.model.weights()
    nats, state = broken.step(chunk(), None, learning_rate=0.1)
    assert math.isnan(nats)
    assert state is None
    assert all((before[name] == after).all() for name, after in broken.model.weights().items())


def test_dropout_and_state_resets_follow_the_generator_and_zero_whole_streams() -> None:
    losses = []
    for global_seed in (1, 2):
        torch.manual_seed(global_seed)
        learner = trainer(dropout=0.5, state_reset=0.5)
        state, nats = None, []
        for number in range(4):
            loss, state = learner.step(chunk(reset_state=number == 0), state, learning_rate=0.01)
            nats.append(loss)
        losses.append(nats)
    assert losses[0] == losses[1]
    learner, reset = trainer(state_reset=0.5), 0
    for _ in range(20):
        _, state = learner.step(chunk(), None, learning_rate=0.0)
        assert state is not None
        zero = [{not field[row].any() for layer in state.layers for field in layer} for row in range(4)]
        assert all(len(fields) == 1 for fields in zero)
        reset += sum(True in fields for fields in zero)
    assert 20 < reset < 60


def files() -> set[Path]:
    return set(Path().rglob("*"))


def test_runs_that_are_prepared_at_the_same_time_get_folders_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor do they change how the process keeps memory, which is a command's business."""
    monkeypatch.setattr(ctypes, "CDLL", lambda *_: pytest.fail("a library was loaded"))
    before = files()
    first, second = prepare(), prepare()
    assert first.planned.run == second.planned.run
    assert files() == before
    with first.start(started=0.0) as one, second.start(started=0.0) as other:
        assert one.folder != other.folder
        planned = next(other.events())
        assert isinstance(planned, Planned)
        assert Path(planned.run) == other.folder


def fail(*_: object, error: type[BaseException] = TrainingError, **__: object) -> NoReturn:
    raise error


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
@pytest.mark.parametrize("place", [(TrainingRun, "__init__"), (Trainer, "step"), (Model, "weights")])
def test_a_run_that_fails_before_its_first_save_leaves_no_folder(
    place: tuple[type, str], error: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = files()
    monkeypatch.setattr(*place, partial(fail, error=error))
    with pytest.raises(error):
        run_to_end(prepare())
    assert files() == before


def test_a_run_that_fails_after_a_save_is_kept_and_so_are_other_runs() -> None:
    folder = folder_of(run_to_end(prepare()))
    before = files()
    with pytest.raises(TrainingError):
        run_until(prepare(replace(QUICK, every=1)), fail)
    added = files() - before
    assert {path.name for path in added} == {f"{folder.name}-2", BEST, LAST, LOG}
    with pytest.raises(TrainingError):
        run_until(prepare(), fail)
    assert files() == before | added


def test_resuming_names_what_is_not_as_it_was_and_removes_what_a_killed_save_left() -> None:
    folder = folder_of(run_until(prepare(), lambda: True))
    last = load_checkpoint(folder / LAST)
    assert training_run.resume(folder.name).planned.notes == ["resumed at step 1"]
    record = replace(last.record, versions={**last.record.versions, "torch": "1.0"})
    save_checkpoint(replace(last, record=record), folder / LAST)
    part, other = folder / f"{LAST}.1.part", folder / "training-text.index.1.part"
    for path in (part, other):
        path.touch()
    preparation = training_run.resume(folder.name, threads=2)
    _, note = preparation.planned.notes
    assert f"torch {torch.__version__} instead of 1.0, threads 2 instead of 1" in note
    assert part.exists()
    with preparation.start(started=0.0):
        assert not part.exists()
    assert other.exists()  # another command may be writing it


def test_the_best_weights_are_kept_until_there_are_better_ones_and_written_if_they_are_missing() -> None:
    folder = folder_of(run_to_end(prepare()))
    last = load_checkpoint(folder / LAST)
    assert last.record.position.best_step == last.record.position.step
    best = (folder / BEST).read_bytes()
    (folder / BEST).unlink()
    assert find_checkpoint(folder.name) == folder / LAST
    assert list_runs() == [folder]
    run_to_end(training_run.resume(folder.name))
    assert (folder / BEST).read_bytes() == best
    position = replace(last.record.position, best_nats=0.001, best_step=1)
    save_checkpoint(replace(last, record=replace(last.record, position=position)), folder / LAST)
    run_to_end(training_run.resume(folder.name, budget=Budget(30, BudgetUnit.STEPS)))
    assert (folder / BEST).read_bytes() == best
    (folder / LAST).write_bytes(b"damaged")
    with pytest.raises(CheckpointError):
        run_to_end(training_run.resume(folder.name))
    assert (folder / LAST).exists()


@pytest.mark.parametrize("text", ["ab", "abc", "hello", "0123456789" * 3])
def test_tiny_texts_train(text: str, fable: Path) -> None:
    fable.write_text(text, encoding="utf-8")
    for validation in (0.0, 0.5):
        *_, end = run_to_end(prepare(replace(QUICK, budget=Budget(3, BudgetUnit.STEPS)), validation=validation))
        assert isinstance(end, Finished)
        assert end.step == 3
