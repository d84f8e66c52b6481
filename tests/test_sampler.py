"""Drawing symbols, with engines whose probabilities are known."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from numpy.typing import NDArray

from lstmgen.config import SamplingConfig
from lstmgen.evaluation.score import score
from lstmgen.generation.engine import Engine
from lstmgen.generation.filters import sharpen
from lstmgen.generation.sampler import Drawn, _draw, draw_symbols, surprise
from lstmgen.text.streams import one_stream
from tests.conftest import CELLS, VOCAB_SIZE, random_weights, single, small_network

PROMPT = np.array([3])


def engine_saying(logits: list[float]) -> Engine:
    """An engine that always says the same, whatever it reads."""
    network = small_network(CELLS["rnn"], num_layers=1)
    weights = {name: np.zeros(shape, np.float32) for name, shape in network.shapes().items()}
    weights["head.bias"] = np.array(logits, np.float32)
    return Engine(network, weights)


def random_engine(name: str = "lstm", attention: int = 0) -> Engine:
    network = small_network(CELLS[name], attention=attention)
    return Engine(network, single(random_weights(network)))


def rows(drawn: list[Drawn], samples: int) -> list[list[int]]:
    return [[symbol.id for symbol in drawn if symbol.row == row] for row in range(samples)]


def write(engine: Engine, seed: int = 0, end: int | None = None, **choices: Any) -> list[list[int]]:
    config = SamplingConfig(**{"length": 50, "temperature": 1.0, **choices})
    return rows(list(draw_symbols(engine, PROMPT, config, seed, end)), config.samples)


def test_the_same_seed_draws_the_same_and_another_does_not() -> None:
    uniform = engine_saying([0.0] * VOCAB_SIZE)
    assert write(uniform, seed=1) == write(uniform, seed=1)
    assert write(uniform, seed=1) != write(uniform, seed=2)


def test_temperature_zero_ignores_the_seed_and_takes_the_likeliest() -> None:
    engine = engine_saying([0, 0, 0.1, 0, 0, 0, 0])
    assert write(engine, seed=1, temperature=0.0) == write(engine, seed=2, temperature=0.0) == [[2] * 50]


def test_samples_of_a_batch_differ() -> None:
    """Seven symbols, fifty draws: two rows agree by chance with probability 7^-50."""
    texts = write(engine_saying([0.0] * VOCAB_SIZE), samples=8)
    assert len({tuple(text) for text in texts}) == 8


@pytest.mark.parametrize("name", CELLS)
def test_a_sample_does_not_depend_on_those_beside_it(name: str) -> None:
    engine = random_engine(name)
    assert write(engine, samples=5, seed=9)[0] == write(engine, samples=1, seed=9)[0]


@given(length=st.integers(0, 40), samples=st.integers(1, 4))
@settings(max_examples=20, deadline=None)
def test_length_is_honoured_exactly(length: int, samples: int) -> None:
    texts = write(engine_saying([0.0] * VOCAB_SIZE), length=length, samples=samples)
    assert [len(text) for text in texts] == [length] * samples


def test_endless_goes_on() -> None:
    config = SamplingConfig(length=-1, temperature=1.0)
    drawn = draw_symbols(engine_saying([0.0] * VOCAB_SIZE), PROMPT, config, seed=0)
    assert len([next(drawn) for _ in range(1000)]) == 1000


def test_each_sample_ends_with_the_end_symbol() -> None:
    texts = write(engine_saying([0.0] * VOCAB_SIZE), end=4, samples=6, length=-1)
    assert all(text[-1] == 4 and 4 not in text[:-1] for text in texts)
    assert len({len(text) for text in texts}) > 1


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_frequencies_match_probabilities(temperature: float) -> None:
    """Chi-square with 6 degrees of freedom: above 32.9 one time in a hundred thousand; the seed is fixed."""
    logits = [0.0, 1.0, -1.0, 0.5, -0.5, 0.2, 1.5]
    draws = 20_000
    (text,) = write(engine_saying(logits), length=draws, temperature=temperature, seed=5)
    weights = np.exp(np.array(logits) / temperature)
    expected = draws * weights / weights.sum()
    observed = np.bincount(text, minlength=VOCAB_SIZE)
    assert ((observed - expected) ** 2 / expected).sum() < 32.9


@pytest.mark.parametrize("attention", [0, 3])
@pytest.mark.parametrize("name", CELLS)
def test_surprise_while_writing_equals_the_score_of_what_was_written(name: str, attention: int) -> None:
    engine = random_engine(name, attention)
    drawn = list(draw_symbols(engine, PROMPT, SamplingConfig(length=60, temperature=0.7), seed=2))
    text = np.concatenate([PROMPT, [symbol.id for symbol in drawn]])
    scored = score(engine, one_stream(text, chunk_length=7))
    assert scored.characters == 60
    assert_allclose(sum(symbol.nats for symbol in drawn), scored.nats, rtol=1e-5)


def test_a_long_prompt_is_read_like_a_short_one() -> None:
    """Longer than what the engine reads at once; the last symbols decide."""
    engine = random_engine()
    prompt = np.arange(2500) % VOCAB_SIZE
    logits, _ = engine.read(prompt[None], engine.initial_state(1))
    drawn = next(draw_symbols(engine, prompt, SamplingConfig(length=1, temperature=0.0), seed=0))
    assert drawn.id == logits[0, -1].argmax()


@given(
    logits=st.lists(st.floats(-50, 50, width=32), min_size=2, max_size=9),
    temperature=st.floats(0, 100),
)
def test_sharpen_keeps_the_order_and_never_loses_the_best(logits: list[float], temperature: float) -> None:
    before = np.array([logits], np.float32)
    after = sharpen(before, temperature)
    assert np.isfinite(after).any()
    assert after[0].argmax() == before[0].argmax()
    assert not np.isnan(after).any()


def test_what_has_no_probability_is_never_drawn() -> None:
    """Not even where the random number is exactly 0."""
    logits = np.array([[-np.inf, 0.0, -np.inf]], np.float32)
    assert [_draw(logits, np.array([chance]))[0] for chance in (0.0, 0.5, 1 - 2**-53)] == [1, 1, 1]


def test_surprise_is_finite_for_extreme_logits() -> None:
    logits: NDArray[np.float32] = np.array([[1e4, 0.0, -1e4]], np.float32)
    assert_allclose(surprise(logits, np.array([0])), 0)
    assert_allclose(surprise(logits, np.array([2])), 2e4)
