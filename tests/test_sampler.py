"""The sampling loop, with engines whose probabilities are known."""

from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from numpy.typing import NDArray

from lstmgen.config import FinishReason
from lstmgen.evaluation.score import score
from lstmgen.generation.engine import Engine, NumpyEngine, read_text
from lstmgen.generation.filters.base import Filter, History
from lstmgen.generation.filters.likelihood import temperature
from lstmgen.generation.sampler import (
    Drawn,
    Ended,
    Ending,
    collect,
    draw,
    draw_tokens,
    keep_best,
    negative_log_likelihood,
)
from lstmgen.text.streams import one_stream
from tests.conftest import CELLS, VOCAB_SIZE, random_engine, small_network

PROMPT = np.array([3])


def constant_engine(logits: list[float]) -> NumpyEngine:
    """An engine that returns the same logits whatever it reads."""
    network = small_network(CELLS["rnn"], num_layers=1)
    weights = {name: np.zeros(shape, np.float32) for name, shape in network.shapes().items()}
    weights["head.bias"] = np.array(logits, np.float32)
    return NumpyEngine(network, weights)


UNIFORM = constant_engine([0.0] * VOCAB_SIZE)


def events(
    engine: Engine,
    prompt: NDArray[np.int64] = PROMPT,
    *,
    length: int = 50,
    heat: float = 1.0,
    samples: int = 1,
    seed: int = 0,
    **choices: Any,
) -> Iterator[Drawn | Ended]:
    """Draw samples after a prompt."""
    read, filters = read_text(engine, prompt, engine.initial_state(1)), [temperature(heat)]
    return draw_tokens(engine, read, filters, rows=samples, length=length, seed=seed, **choices)


def write(engine: Engine, samples: int = 1, **choices: Any) -> list[list[int]]:
    return [sample.ids for sample in collect(events(engine, samples=samples, **choices), samples)]


def test_the_same_seed_draws_the_same_and_another_does_not() -> None:
    assert write(UNIFORM, seed=1) == write(UNIFORM, seed=1) != write(UNIFORM, seed=2)


def test_temperature_zero_ignores_the_seed_and_takes_the_most_likely() -> None:
    engine = constant_engine([0, 0, 0.1, 0, 0, 0, 0])
    assert write(engine, seed=1, heat=0.0) == write(engine, seed=2, heat=0.0) == [[2] * 50]


@pytest.mark.parametrize("name", CELLS)
def test_a_sample_does_not_depend_on_its_neighbours(name: str) -> None:
    engine = random_engine(name)
    assert write(engine, samples=5, seed=9)[0] == write(engine, samples=1, seed=9)[0]


def test_without_a_maximum_a_sample_continues_until_its_end_token() -> None:
    assert all(isinstance(event, Drawn) for event in islice(events(UNIFORM, length=-1), 1000))
    texts = write(UNIFORM, end=4, samples=6, length=-1)
    assert all(text[-1] == 4 and 4 not in text[:-1] for text in texts)
    assert len({len(text) for text in texts}) > 1


@pytest.mark.parametrize("heat", [0.5, 1.0, 2.0])
def test_frequencies_match_probabilities(heat: float) -> None:
    """Chi-square with 6 degrees of freedom: above 32.9 once in a hundred thousand runs; the seed is fixed."""
    logits = [0.0, 1.0, -1.0, 0.5, -0.5, 0.2, 1.5]
    draws = 20_000
    (text,) = write(constant_engine(logits), length=draws, heat=heat, seed=5)
    weights = np.exp(np.array(logits) / heat)
    expected = draws * weights / weights.sum()
    observed = np.bincount(text, minlength=VOCAB_SIZE)
    assert ((observed - expected) ** 2 / expected).sum() < 32.9


@pytest.mark.parametrize("attention", [0, 3])
@pytest.mark.parametrize("name", CELLS)
def test_nats_while_drawing_equal_the_score_of_the_drawn_text(name: str, attention: int) -> None:
    engine = random_engine(name, attention)
    (sample,) = collect(events(engine, length=60, heat=0.7, seed=2), 1)
    text = np.concatenate([PROMPT, sample.ids])
    scored = score(engine, one_stream(text, chunk_length=7))
    assert scored.characters == 60
    assert_allclose(sample.nats, scored.nats, rtol=1e-5)


def test_a_long_prompt_is_read_like_a_short_one() -> None:
    """The prompt is longer than what the engine reads at once; its last tokens decide."""
    engine = random_engine()
    prompt = np.arange(2500) % VOCAB_SIZE
    logits, _ = engine.read(prompt[None], engine.initial_state(1))
    drawn = next(events(engine, prompt, length=1, heat=0.0))
    assert isinstance(drawn, Drawn)
    assert drawn.id == logits[0, -1].argmax()


def test_a_token_without_probability_is_never_drawn() -> None:
    """That holds even if the random number is exactly 0."""
    logits = np.array([[-np.inf, 0.0, -np.inf]], np.float32)
    assert [draw(logits, np.array([chance]))[0][0] for chance in (0.0, 0.5, 1 - 2**-53)] == [1, 1, 1]


def test_negative_log_likelihood_is_finite_for_extreme_logits() -> None:
    logits = np.array([[1e4, 0.0, -1e4]] * 2, np.float32)
    assert_allclose(negative_log_likelihood(logits, np.array([0, 2])), [0, 2e4])


@given(text=st.text("ab", min_size=1, max_size=40), stops=st.lists(st.text("ab", min_size=1, max_size=5), max_size=3))
def test_only_what_may_begin_a_stop_text_is_kept_back_and_it_comes_out_at_the_end(text: str, stops: list[str]) -> None:
    ending: Ending[str] = Ending(len(text), None, stops)
    out = ""
    for position, token in enumerate(text, start=1):
        released, finish_reason = ending.add(ord(token), token)
        out += "".join(released)
        if finish_reason is not None:
            break
        kept = text[len(out) : position]
        assert any(stop.startswith(kept) for stop in stops) or kept == ""
    if finish_reason is FinishReason.STOP:
        longest = max((stop for stop in stops if text[:position].endswith(stop)), key=len)
        assert out == text[:position].removesuffix(longest)
        assert not any(stop in text[: position - 1] for stop in stops)
    else:
        assert out == text and not any(stop in text for stop in stops)


def test_a_sample_without_an_allowed_token_is_stuck_and_the_others_continue() -> None:
    read = read_text(UNIFORM, PROMPT, UNIFORM.initial_state(1))

    def nothing_for_row_one(logits: Any, history: History) -> Any:
        return np.where((np.arange(3) == 1)[:, None] & (history.written > 3), -np.inf, logits)

    drawn = draw_tokens(UNIFORM, read, [Filter(nothing_for_row_one)], rows=3, length=9, seed=0)
    samples = collect(drawn, 3)
    assert [(sample.finish_reason, len(sample.ids)) for sample in samples] == [
        (FinishReason.LENGTH, 9),
        (FinishReason.STUCK, 4),
        (FinishReason.LENGTH, 9),
    ]


def test_the_best_candidate_has_the_least_nats_per_token() -> None:
    candidates = collect(events(random_engine(), samples=12), 12)
    best = keep_best(candidates, 4)
    groups = (candidates[:4], candidates[4:8], candidates[8:])
    assert [min(group, key=lambda sample: sample.nats) for group in groups] == best
