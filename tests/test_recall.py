"""The text of the recall task is what it says; networks learn it, and a seed says all."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from lstmgen.comparison.config import RecallConfig
from lstmgen.comparison.recall import (
    CHANCE,
    MAX_BEFORE,
    TOKENS,
    RecallMeasured,
    RecallStepped,
    compare_recall,
    example,
    key_gradient,
    measure_recall,
    networks,
    recall_chunk,
)
from lstmgen.config import Budget, BudgetUnit, CellKind, ModelConfig
from lstmgen.errors import ConfigError
from lstmgen.network.architecture import build_network
from lstmgen.network.initialization import initialize
from lstmgen.network.model import Model, using_threads
from lstmgen.text.streams import IGNORED

LETTERS = TOKENS.removesuffix("!?")
LEARNS_LAG_3 = RecallConfig(
    cells=(CellKind.GRU,),
    attention=0,
    lags=(3,),
    hidden_size=32,
    seeds=1,
    budget=Budget(120, BudgetUnit.STEPS),
    learning_rate=0.02,
    questions=300,
)


def steps(number: int) -> Budget:
    return Budget(number, BudgetUnit.STEPS)


@given(seed=st.integers(0, 1000), lag=st.integers(2, 40), questions=st.integers(1, 5))
def test_the_answer_is_the_letter_after_the_mark_so_many_characters_before(seed: int, lag: int, questions: int) -> None:
    chunk = recall_chunk(np.random.default_rng(seed), lag, questions)
    assert chunk.reset_state
    assert (chunk.targets[:, :-1] == IGNORED).all()
    for inputs, answer in zip(chunk.inputs, chunk.targets[:, -1], strict=True):
        text = "".join(TOKENS[number] for number in inputs)
        assert text.index("!") <= MAX_BEFORE
        assert text[-lag] == TOKENS[answer]  # the answer would be the character after the text
        assert text[-lag - 1] == "!"
        assert text[-1] == "?"
        assert set(text.replace("!", "", 1)[:-1]) <= set(LETTERS)  # no distractor is marked


def test_every_letter_is_asked_for_and_every_number_of_distractors_comes_before() -> None:
    generator = np.random.default_rng(0)
    chunks = [recall_chunk(generator, 2, 100) for _ in range(300)]
    assert {TOKENS[key] for chunk in chunks for key in chunk.targets[:, -1]} == set(LETTERS)
    assert {chunk.inputs.shape[1] - 3 for chunk in chunks} == set(range(MAX_BEFORE + 1))
    assert pytest.approx(1 / len(LETTERS)) == CHANCE


def test_an_example_ends_in_its_answer() -> None:
    text = example(7)
    assert text[-1] == text[text.index("!") + 1] == text[-1 - 7]
    assert text[-2] == "?"


def test_a_network_learns_a_short_lag() -> None:
    *stepped, measured = compare_recall(LEARNS_LAG_3)
    assert isinstance(measured, RecallMeasured)
    assert measured.accuracy[3] > 0.95
    assert measured.steps == len(stepped) == 120
    assert measured.longest_lag == 3


def test_an_untrained_network_is_at_chance() -> None:
    (model,) = LEARNS_LAG_3.models()
    network = build_network(model, len(TOKENS))
    untrained = Model(network, initialize(network, np.random.default_rng(0)), torch.device("cpu"))
    with using_threads(1):
        accuracy = measure_recall(untrained, lag=10, questions=2000, generator=np.random.default_rng(1))
    assert accuracy == pytest.approx(CHANCE, abs=0.015)


def test_the_same_seed_gives_the_same_results() -> None:
    config = RecallConfig(cells=(CellKind.RNN,), attention=5, lags=(2, 4), hidden_size=8, seeds=2, budget=steps(5))
    first, second = (list(compare_recall(config, clock=lambda: 0.0)) for _ in range(2))
    assert first == second
    losses = {(event.model, event.seed): event.nats for event in first if isinstance(event, RecallStepped)}
    assert len(set(losses.values())) == len(losses) == 4


def test_every_network_meets_every_lag_and_most_lags_grow_as_they_are_learned() -> None:
    config = RecallConfig(cells=(CellKind.RNN,), attention=0, lags=(50,), hidden_size=8, seeds=1, budget=steps(40))
    *stepped, measured = compare_recall(config)
    lags = [event.lag for event in stepped if isinstance(event, RecallStepped)]
    assert {event.growing for event in stepped if isinstance(event, RecallStepped)} == {config.first_lag}
    assert sum(lag > config.first_lag for lag in lags) == pytest.approx(10, abs=1)  # a fourth, of all from 2 to 50
    assert isinstance(measured, RecallMeasured) and measured.longest_lag == max(lags) > 40
    *_, learned, _ = compare_recall(replace(config, learned_nats=100.0, budget=steps(80)))
    assert isinstance(learned, RecallStepped) and learned.growing == 50


def test_networks_have_about_as_many_parameters_unless_their_size_is_given() -> None:
    for number in (RecallConfig.parameters, 20_000):
        config = RecallConfig(parameters=number)
        built = [build_network(model, len(TOKENS)) for model in networks(config)]
        assert len(built) == 6
        assert all(abs(network.parameter_count() - number) < 0.04 * number for network in built)
    assert {model.hidden_size for model in networks(RecallConfig(hidden_size=9))} == {9}


def test_updates_count_until_95_of_100_answers_are_right() -> None:
    config = replace(LEARNS_LAG_3, lags=(3, 30), check_every=10)
    *_, measured = compare_recall(config)
    assert isinstance(measured, RecallMeasured)
    assert 0 < measured.updates[3] < measured.updates.get(30, 121)
    assert measured.updates[3] % 10 == 0
    *_, short = compare_recall(replace(config, budget=steps(9)))
    assert isinstance(short, RecallMeasured) and not short.updates


def test_the_gradient_of_the_key_is_the_slope_of_the_answers_logit() -> None:
    """Two small steps of the embedding measure it, too."""
    network = build_network(ModelConfig(cell=CellKind.GRU, hidden_size=12, num_layers=1, embedding_size=6), len(TOKENS))
    weights = initialize(network, np.random.default_rng(0))
    model = Model(network, weights, torch.device("cpu"))
    chunk = recall_chunk(np.random.default_rng(0), 4, 1)
    answer = chunk.targets[0, -1]
    assert list(chunk.inputs[0]).count(answer) == 1  # no distractor is the key, too

    def logit(change: NDArray[np.float64]) -> float:
        moved = {name: array.astype(np.float64) for name, array in weights.items()}
        moved["embedding"][answer] += change
        exact = Model(network, moved, torch.device("cpu"))
        logits, _ = exact.read(torch.from_numpy(chunk.inputs), exact.initial_state(1))
        return float(logits[0, -1, answer].detach())

    slopes = [(logit(step) - logit(-step)) / 2e-4 for step in 1e-4 * np.eye(6)]
    assert key_gradient(model, 4, 1, np.random.default_rng(0)) == pytest.approx(np.linalg.norm(slopes), rel=1e-3)


def test_a_budget_of_time_ends() -> None:
    now = iter(range(1000))
    config = RecallConfig(
        cells=(CellKind.RNN,), attention=0, lags=(2,), hidden_size=4, seeds=1, budget=Budget(10, BudgetUnit.SECONDS)
    )
    *stepped, measured = compare_recall(config, clock=lambda: float(next(now)))
    assert isinstance(measured, RecallMeasured)
    assert measured.steps == len(stepped) < 10
    assert [event.progress for event in stepped if isinstance(event, RecallStepped)][-1] == 1


def test_attention_is_one_more_network_that_can_see_every_key() -> None:
    config = RecallConfig(cells=(CellKind.RNN, CellKind.GRU), lags=(10, 20))
    assert [(model.cell, model.attention) for model in config.models()] == [("rnn", 0), ("gru", 0), ("rnn", 21)]


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"lags": ()}, "`lags` (none)"),
        ({"lags": (1, 10)}, "`lags` 1,10"),
        ({"lags": (10, 10)}, "`lags` 10,10"),
        ({"cells": (CellKind.RNN, CellKind.RNN)}, "`cells` rnn,rnn"),
        ({"seeds": 0}, "`seeds` 0"),
        ({"hidden_size": 0}, "`hidden_size` 0"),
        ({"budget": Budget(2, BudgetUnit.EPOCHS)}, "`epochs` 2"),
    ],
)
def test_a_wrong_setting_is_named(settings: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError) as raised:
        RecallConfig(**settings)
    assert str(raised.value).startswith(named)
