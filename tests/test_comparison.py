"""Networks under the same budget and plan: matched, reproducible, resumable; differences and noise."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lstmgen
from lstmgen.checkpoint import LAST, LOG, RUNS_FOLDER, find_checkpoint, list_runs, load_checkpoint
from lstmgen.comparison.chance import critical_gap, largest_gap
from lstmgen.comparison.config import ComparisonConfig
from lstmgen.comparison.measurement import RunResult
from lstmgen.comparison.networks import (
    COMPARISON,
    RESULT,
    ComparedRun,
    Comparison,
    Measured,
    compare_networks,
    open_comparison,
    plan_comparison,
)
from lstmgen.comparison.report import NetworkResult, differences, network_result
from lstmgen.config import Budget, BudgetUnit, CellKind, ModelConfig, Precision, TextConfig, TrainingConfig
from lstmgen.errors import CheckpointError, ConfigError, TextError
from lstmgen.evaluation.confidence import Blocks
from lstmgen.inspection.memory import visible_losses
from lstmgen.inspection.trace import begun, text_to_read
from lstmgen.network.architecture import build_network
from lstmgen.text.corpus import read_corpus
from lstmgen.training.events import Event, Stepped
from lstmgen.training.plan import PLANNED
from lstmgen.training.prepare import prepare
from tests.conftest import FABLE

TRAINING = TrainingConfig(
    Budget(12, BudgetUnit.STEPS), batch_size=4, chunk_length=16, precision=Precision.FLOAT32, every=5
)


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("fable.txt").write_text(FABLE * 20, encoding="utf-8")


def asked(**choices: Any) -> ComparisonConfig:
    """A comparison of two tiny networks, unless the choices say otherwise."""
    usual = {
        "text": TextConfig(("fable.txt",)),
        "training": TRAINING,
        "planned": tuple(sorted(PLANNED - {"batch_size", "chunk_length", "hidden_size"})),
        "cells": (CellKind.RNN, CellKind.LSTM),
        "num_layers": (1,),
        "hidden_size": () if "parameters" in choices else (6,),
        "threads": 1,
    }
    return ComparisonConfig(**{**usual, **choices})


def compared(config: ComparisonConfig, run: str) -> list[Measured]:
    return measured(events_of(config, run))


def events_of(
    config: ComparisonConfig, run: str, should_stop: Callable[[], bool] = lambda: False
) -> list[ComparedRun | Event | Measured]:
    return list(compare_networks(*open_comparison(config, run), should_stop))


def measured(events: list[ComparedRun | Event | Measured]) -> list[Measured]:
    return [event for event in events if isinstance(event, Measured)]


def numbers(results: list[Measured]) -> list[Any]:
    """Everything that does not depend on the speed of the machine."""
    return [(event.run, replace(event.result, training_speed=0, sampling_speed=0)) for event in results]


def stop_after(steps: int) -> Callable[[], bool]:
    """Ask to stop after this many training steps."""
    asked_before: Iterator[int] = iter(range(steps))
    return lambda: next(asked_before, None) is None


# The plan


def parameters_of(comparison: Comparison) -> list[int]:
    return [build_network(network.model, comparison.vocab_size).parameter_count() for network in comparison.networks]


def test_networks_are_matched_in_parameters() -> None:
    config = asked(cells=tuple(CellKind), num_layers=(1, 2), attention=(0, 8), parameters=40_000)
    comparison = plan_comparison(config)
    assert len(comparison.networks) == 5 * 2 * 2
    assert all(abs(parameters - 40_000) < 0.03 * 40_000 for parameters in parameters_of(comparison))


def test_without_a_number_they_have_that_of_the_lstm_which_the_plan_chooses() -> None:
    comparison = plan_comparison(replace(asked(cells=(CellKind.GRU, CellKind.LSTM)), hidden_size=()))
    gru, lstm = parameters_of(comparison)
    assert comparison.networks[1].model.hidden_size == 64  # the smallest that is planned
    assert abs(gru - lstm) < 0.03 * lstm


def test_all_networks_have_the_same_plan_and_only_seed_and_learning_rate_differ() -> None:
    runs = list(plan_comparison(asked(seeds=2)).runs())
    found = [(run.folder, run.training.seed) for run in runs]
    assert found == [("rnn-1", 0), ("lstm-1", 0), ("rnn-2", 1), ("lstm-2", 1)]
    sizes = {run.folder: run.model.hidden_size for run in plan_comparison(asked(hidden_size=(6, 9))).runs()}
    assert sizes == {"rnn-hidden6-1": 6, "rnn-hidden9-1": 9, "lstm-hidden6-1": 6, "lstm-hidden9-1": 9}
    rate = TrainingConfig.learning_rate
    assert {replace(run.training, seed=0, learning_rate=rate) for run in runs} == {runs[1].training}
    assert runs[0].training.weight_decay != TrainingConfig.weight_decay  # it is planned


@pytest.mark.parametrize("given", [False, True], ids=["planned", "given"])
def test_each_network_has_the_learning_rate_that_train_would_plan_for_it(given: bool) -> None:
    config = asked(cells=tuple(CellKind))
    if given:
        training = replace(TRAINING, learning_rate=0.004)
        config = replace(config, training=training, planned=tuple(sorted({*config.planned} - {"learning_rate"})))
    for run in plan_comparison(config).runs():
        alone = prepare(config.text, run.model, config.training, threads=1, planned=set(config.planned))
        assert run.training.learning_rate == alone.checkpoint.record.training.learning_rate


def test_a_comparison_of_an_earlier_version_keeps_its_learning_rate() -> None:
    config = asked()
    comparison, folder = open_comparison(config, "old")
    stored = json.loads((folder / COMPARISON).read_text(encoding="utf-8"))
    for network in stored["networks"]:
        del network["learning_rate"]
    (folder / COMPARISON).write_text(json.dumps(stored), encoding="utf-8")
    again, _ = open_comparison(config, "old")
    assert {run.training.learning_rate for run in again.runs()} == {comparison.training.learning_rate}


def test_all_seeds_of_a_model_of_lines_hold_out_the_same_and_begin_with_a_line_feed() -> None:
    config = asked(text=TextConfig(("fable.txt",), lines=True), seeds=2, cells=(CellKind.RNN,))
    first, second = compared(config, "lines")
    assert (first.result.tokens, first.result.characters) == (second.result.tokens, second.result.characters)
    assert first.result.nats != second.result.nats
    checkpoint = load_checkpoint(find_checkpoint(f"lines/{first.run.folder}"))
    nats = visible_losses(checkpoint, begun(text_to_read(checkpoint).ids, checkpoint.end_token))
    assert first.result.visible_nats == tuple(nats.values())


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"seeds": 0}, "`seeds`"),
        ({"hidden_size": (0,)}, "`hidden_size`"),
        ({"attention": (0, 0)}, "`attention`"),
        ({"cells": ()}, "`cells`"),
        ({"hidden_size": (8,), "parameters": 1000}, "`parameters`"),
    ],
)
def test_choices_that_cannot_work_are_named(choices: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        asked(**choices)


def test_too_few_parameters_and_texts_that_cannot_be_compared_on_are_named() -> None:
    with pytest.raises(ConfigError, match="`parameters`"):
        plan_comparison(asked(parameters=10))
    with pytest.raises(TextError):
        plan_comparison(asked(text=TextConfig(("-",))))
    with pytest.raises(TextError, match=r"fable\.txt: only 0 characters are held out"):
        plan_comparison(asked(text=TextConfig(("fable.txt",), validation=0.0)))


# Runs


def test_what_is_kept_is_measured_exactly_and_once() -> None:
    validation = read_corpus(TextConfig(("fable.txt",))).split(TextConfig()).validation
    first = compared(asked(), "two")
    for event in first:
        model = lstmgen.load(f"two/{event.run.folder}")
        score = model.evaluate(baselines=False).score
        assert event.result.nats_per_character == pytest.approx(score.nats_per_character, rel=1e-12)
        assert sum(event.result.characters) == score.characters
        assert event.result.parameters == model.checkpoint.network.parameter_count()
        assert min(event.result.training_speed, event.result.sampling_speed) > 0
        assert event.curve.validation
        nats = visible_losses(model.checkpoint, validation)
        assert event.result.visible_nats == tuple(nats.values())
    assert list_runs() == []
    (RUNS_FOLDER / "two" / "lstm-1" / RESULT).unlink()
    again = events_of(asked(), "two")
    assert not any(isinstance(event, Stepped) for event in again)  # it is only measured
    assert numbers(measured(again)) == numbers(first)
    assert events_of(asked(), "two") == measured(again)  # nothing is done twice


@pytest.mark.parametrize("steps", [3, 17])
def test_interrupted_and_continued_it_equals_an_uninterrupted_one(steps: int) -> None:
    whole = compared(asked(), "whole")
    before = measured(events_of(asked(), "parts", stop_after(steps)))
    assert len(before) < len(whole)
    assert numbers(compared(asked(), "parts")) == numbers(whole)
    for folder in ("rnn-1", "lstm-1"):
        weights, others = (load_checkpoint(RUNS_FOLDER / run / folder / LAST).weights for run in ("whole", "parts"))
        assert all((weights[name] == others[name]).all() for name in weights)


def test_a_run_that_was_killed_before_it_saved_begins_again() -> None:
    _, folder = open_comparison(asked(), "two")
    (folder / "rnn-1").mkdir()
    (folder / "rnn-1" / LOG).write_text("{}\n", encoding="utf-8")
    assert len(compared(asked(), "two")) == 2


def test_a_name_keeps_its_options_and_its_text() -> None:
    open_comparison(asked(), "two")
    with pytest.raises(ConfigError, match="`run`"):
        open_comparison(asked(seeds=2), "two")
    Path("fable.txt").write_text(FABLE * 19, encoding="utf-8")
    with pytest.raises(TextError, match=r"fable\.txt: the text has changed since this comparison began"):
        events_of(asked(), "two")


@pytest.mark.parametrize("name", ["poems", "a/b"])
def test_a_name_that_belongs_to_something_else_is_left_alone(name: str) -> None:
    (RUNS_FOLDER / "poems").mkdir(parents=True)
    with pytest.raises(ConfigError, match="`run`"):
        open_comparison(asked(), name)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"config": 1}'])
def test_a_damaged_comparison_is_named(content: str) -> None:
    _, folder = open_comparison(asked(), "two")
    (folder / "comparison.json").write_text(content, encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"comparison\.json: cannot be read"):
        open_comparison(asked(), "two")


# Differences


def result(nats: float, *, seed: int = 0, noise: float = 0.0) -> RunResult:
    """A result with this loss in each of many blocks, up to noise that depends on the seed."""
    blocks = Blocks(10_000)
    blocks.characters[:100] = 100
    blocks.nats[:100] = 100 * nats + noise * np.random.default_rng(seed).normal(size=100)
    return RunResult(seed, 1000, 10_000, tuple(blocks.nats), tuple(blocks.characters), 1e4, 1e3, (2.0, 1.0))


def network(name: str, *runs: RunResult) -> NetworkResult:
    return network_result(name, ModelConfig(), runs)


@pytest.mark.parametrize("count", range(2, 7))
def test_equal_networks_rarely_differ_by_more_than_chance_allows(count: int) -> None:
    """Whichever two one looks at: in 6 of 100 comparisons at most, with any number of seeds."""
    generator = np.random.default_rng(1)
    for seeds in (*range(2, 11), [10] + [2] * (count - 1), [3] + [2] * (count - 1), [1] + [2] * (count - 1)):
        numbers = np.broadcast_to(seeds, count)
        samples = [generator.standard_normal((10_000, number)) for number in numbers]
        means = np.stack([sample.mean(axis=1) for sample in samples], axis=1)
        variances = np.stack([sample.var(axis=1, ddof=min(1, sample.shape[1] - 1)) for sample in samples], axis=1)
        assert np.mean(largest_gap(means, variances, numbers) > critical_gap(numbers)) <= 0.06


def test_a_difference_of_four_standard_deviations_is_found_with_few_seeds() -> None:
    generator, counts = np.random.default_rng(1), np.array([3, 3, 3, 3, 3])
    samples = generator.standard_normal((2000, 5, 3)) + 4 * np.array([1, 0, 0, 0, 0])[:, None]
    found = largest_gap(samples.mean(axis=2), samples.var(axis=2, ddof=1), counts) > critical_gap(counts)
    assert found.mean() > 0.9


def test_texts_on_which_networks_are_equally_good_rarely_tell_them_apart() -> None:
    generator, wrong = np.random.default_rng(1), 0
    for _ in range(60):
        networks = [
            network(str(number), result(1.5, seed=int(seed), noise=10))
            for number, seed in enumerate(generator.integers(2**32, size=6))
        ]
        wrong += any(each.real for each in differences(networks) or [])
    assert wrong <= 5  # the intervals of each alone would be wrong in 24 of 60


def test_one_network_whose_seeds_differ_much_does_not_hide_what_the_others_differ() -> None:
    quiet = [network("a", *map(result, (1.50, 1.51, 1.52))), network("b", *map(result, (1.60, 1.61, 1.62)))]
    wild = network("c", *map(result, (1.7, 2.2, 2.7)))
    a, b, c = differences([*quiet, wild]) or []
    assert (a.nats, a.real, b.real, c.real) == (0, False, True, False)
    assert b.nats == pytest.approx(0.1) and b.high - b.nats == pytest.approx(b.nats - b.low)
    assert b.low < c.low + 0.6 and c.margin > 5 * b.margin


def test_a_network_of_one_seed_is_judged_by_the_seeds_of_the_others() -> None:
    stopped = [network("a", result(1.50), result(1.51)), network("b", result(1.52))]
    _, near = differences(stopped) or []
    assert near.margin > 0.02 and not near.real
    (alone,) = differences(stopped[:1]) or []
    assert (alone.nats, alone.real) == (0, False)


def test_with_one_seed_the_text_decides() -> None:
    best = network("best", result(1.5))
    for nats, noise, real in ((1.6, 1.0, True), (1.51, 5.0, False)):
        found = differences([best, network("other", result(nats, seed=1, noise=noise))]) or []
        assert [each.real for each in found] == [False, real]
        assert found[1].low < found[1].nats < found[1].high
    assert [each.margin for each in differences([best, best]) or []] == [0, 0]


def test_a_text_that_is_too_short_decides_nothing() -> None:
    short = RunResult(0, 1000, 100, (150.0, 0.0), (100.0, 0.0), 1e4, 1e3, (1.5,))
    assert differences([network("a", short), network("b", short)]) is None
