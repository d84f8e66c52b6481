"""What is not given is planned: from the text's size, the budget, and how fast a network learns."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lstmgen.config import Budget, BudgetUnit, CellKind, ModelConfig, TrainingConfig
from lstmgen.errors import ConfigError
from lstmgen.training.plan import (
    PLANNED,
    Plan,
    fit_to_vocabulary,
    hidden_size_for,
    layer_parameter_count,
    make_plan,
    parameter_count,
)

VOCAB_SIZE = 65
DEFAULTS = Plan(ModelConfig(), TrainingConfig(), PLANNED)
SIZE_GIVEN = PLANNED - {"hidden_size"}


def like_a_laptop(model: ModelConfig) -> float:
    """Tokens a second, as if the products with weights were all the work."""
    return 8e10 / layer_parameter_count(model, model.hidden_size)


def plan(
    seconds: float,
    tokens: int,
    *,
    asked: Plan = DEFAULTS,
    speed: Callable[[ModelConfig], float] = like_a_laptop,
    trained: bool = False,
) -> Plan:
    asked = replace(asked, training=replace(asked.training, budget=Budget(seconds)))
    return make_plan(asked, tokens, VOCAB_SIZE, speed, trained=trained)


@given(seconds=st.floats(5, 1e4), more=st.floats(1, 20), tokens=st.integers(2, 10**8))
def test_more_time_gives_no_smaller_network_more_text_no_more_dropout(seconds: float, more: float, tokens: int) -> None:
    small, large = plan(seconds, tokens), plan(more * seconds, tokens)
    assert small.model.hidden_size <= large.model.hidden_size
    of_one_size = replace(DEFAULTS, planned=SIZE_GIVEN)
    short, long = (plan(seconds, length, asked=of_one_size) for length in (tokens, int(more * tokens)))
    assert short.training.dropout >= long.training.dropout


@given(seconds=st.floats(5, 1e5), tokens=st.integers(2, 10**8))
def test_a_network_has_time_and_text_for_its_parameters(seconds: float, tokens: int) -> None:
    planned = plan(seconds, tokens)
    parameters = layer_parameter_count(planned.model, planned.model.hidden_size)
    if planned.model.hidden_size > 64:  # the smallest is taken however little there is
        per_parameter = 3 * max(1, planned.model.hidden_size / 384) ** 2  # above 384 units more must be read
        assert like_a_laptop(planned.model) * seconds >= per_parameter * parameters
        assert parameters <= 10 * tokens
    assert 0 <= planned.training.dropout <= planned.training.weight_drop <= 0.6


def test_a_small_text_and_a_long_budget_end_in_dropout_and_an_early_end_a_large_and_short_one_in_neither() -> None:
    long, short = plan(3600, 50_000), plan(60, 100_000_000)
    assert long.training.dropout >= 0.39 and long.training.most_epochs is not None
    assert short.training.most_epochs is None
    assert short.training.dropout == short.training.weight_drop == 0
    assert short.training.weight_decay < plan(3600, 1_000_000).training.weight_decay
    assert len(long.reasons) == len(short.reasons) + 2  # the early end, and weight drop


def test_a_trained_network_learns_in_smaller_steps_and_is_changed_less() -> None:
    asked = Plan(ModelConfig(hidden_size=384), TrainingConfig(), SIZE_GIVEN)
    new, trained = (plan(300, 50_000, asked=asked, trained=trained).training for trained in (False, True))
    assert new.weight_drop > 0.4
    assert trained.weight_drop == 0.2
    assert trained.learning_rate == new.learning_rate / 6
    assert trained.warm_up < new.warm_up
    assert new.most_epochs is not None and trained.most_epochs is not None
    assert trained.most_epochs < new.most_epochs / 5


@pytest.mark.parametrize("name", sorted(PLANNED - {"most_epochs"}))
def test_what_is_chosen_stays_as_it_is(name: str) -> None:
    model, training = ModelConfig(hidden_size=77), TrainingConfig(dropout=0.33, chunk_length=50, batch_size=9)
    planned = plan(60, 10_000, asked=Plan(model, training, PLANNED - {name}))
    ours, theirs = (planned.model, model) if hasattr(model, name) else (planned.training, training)
    assert getattr(ours, name) == getattr(theirs, name)
    assert (planned.training.chunk_growth > 1) == (name not in ("chunk_length", "chunk_growth"))


EVERYWHERE = np.tile(np.arange(5000), 20)  # each tenth of it has all tokens
NEW_AT_THE_END = np.concatenate([np.zeros(90_000, np.int64), np.arange(5000), np.arange(5000)])


def test_the_head_of_a_large_vocabulary_is_tied_unless_the_user_says_otherwise() -> None:
    assert fit_to_vocabulary(DEFAULTS, EVERYWHERE % 256, 256) == DEFAULTS
    large = fit_to_vocabulary(DEFAULTS, EVERYWHERE, 5000)
    assert large.model.tied
    assert large.model.embedding_size > ModelConfig.embedding_size
    nothing_planned = replace(DEFAULTS, planned=frozenset())
    assert fit_to_vocabulary(nothing_planned, NEW_AT_THE_END, 5000) == nothing_planned
    tied = fit_to_vocabulary(replace(DEFAULTS, planned={"tied"}), NEW_AT_THE_END, 5000)
    assert (tied.model, tied.training) == (replace(DEFAULTS.model, tied=True), DEFAULTS.training)
    assert len(tied.reasons) == 1


def test_labels_are_smoothed_where_parts_of_the_text_have_tokens_of_their_own() -> None:
    asked = replace(DEFAULTS, training=TrainingConfig(Budget(0.5, BudgetUnit.EPOCHS)))
    for ids, smoothing, dropout in ((EVERYWHERE, 0, 0), (NEW_AT_THE_END, 0.05, 0.15)):
        fitted = fit_to_vocabulary(asked, ids, 5000)
        assert fitted.training.label_smoothing == smoothing
        assert ("10.0%" in fitted.reasons[-1]) == (smoothing > 0)
        assert make_plan(fitted, 10**6, 5000, like_a_laptop).training.dropout == dropout


def test_larger_networks_are_not_tried_where_a_smaller_one_is_too_slow() -> None:
    tried: list[int] = []

    def slow(model: ModelConfig) -> float:
        tried.append(model.hidden_size)
        return 10.0

    assert plan(60, 10**6, speed=slow).model.hidden_size == min(tried)
    assert len(set(tried)) == 1


@given(parameters=st.integers(2_000, 20_000_000), cell=st.sampled_from(CellKind), layers=st.integers(1, 4))
def test_the_hidden_size_is_the_nearest_to_a_number_of_parameters(parameters: int, cell: CellKind, layers: int) -> None:
    model = ModelConfig(cell=cell, num_layers=layers, embedding_size=8)
    size = hidden_size_for(parameters, model, VOCAB_SIZE)

    def miss(size: int) -> int:
        return abs(parameter_count(model, VOCAB_SIZE, size) - parameters)

    sizes = [*range(1, 64), *range(64, 128, 2), *range(128, 256, 4), *range(256, 20_000, 8)]
    assert miss(size) == min(map(miss, sizes[max(0, sizes.index(size) - 1) : sizes.index(size) + 2]))
    with pytest.raises(ConfigError, match="`parameters`"):
        hidden_size_for(10, model, VOCAB_SIZE)  # one unit has more


@pytest.mark.parametrize(
    ("parameters", "embedding_size"), [(10_000_000, 128), (330_000, 64), (160_000, 32), (90_000, 32)]
)
def test_an_embedding_gets_at_most_half_of_the_parameters(parameters: int, embedding_size: int) -> None:
    asked = replace(DEFAULTS, planned=SIZE_GIVEN)
    assert fit_to_vocabulary(asked, EVERYWHERE % 2500, 2500, parameters).model.embedding_size == embedding_size
