"""The batch that requests share: a text in it is the text that the sampler alone would draw."""

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

from lstmgen.config import Finish
from lstmgen.evaluation.score import score
from lstmgen.generation.engine import NumpyEngine, read_text
from lstmgen.generation.filters.temperature import temperature
from lstmgen.generation.filters.truncation import top_p
from lstmgen.generation.history import History
from lstmgen.generation.sampler import collect, draw_symbols
from lstmgen.serving.batch import Job, Piece, SharedBatch
from lstmgen.text.streams import one_stream
from tests.conftest import CELLS, VOCAB_SIZE, random_weights, single, small_network

PROMPT = np.array([3, 1, 4])


def engine_of(cell: str = "lstm", attention: int = 0) -> NumpyEngine:
    network = small_network(CELLS[cell], attention=attention)
    return NumpyEngine(network, single(random_weights(network)))


def job(length: int = 40, prompt: Any = PROMPT, *, seed: int = 0, **more: Any) -> Job:
    heat, probability = more.pop("heat", 1.0), more.pop("top_p", None)
    filters = (*([] if probability is None else [top_p(probability)]), temperature(heat))
    return Job([np.array(prompt)], [seed], filters, length, **more)


def batch_of(engine: NumpyEngine, *jobs: Job, max_rows: int = 64) -> SharedBatch:
    batch = SharedBatch(engine, max_rows)
    for each in jobs:
        batch.begin(each)
    return batch


def run(engine: NumpyEngine, *jobs: Job, max_rows: int = 64) -> None:
    batch = batch_of(engine, *jobs, max_rows=max_rows)
    while batch.jobs:
        batch.advance()


def texts(done: Job) -> list[list[int]]:
    assert not done.rows
    written: list[list[int]] = [[] for _ in range(len(done.prompts) * done.copies)]
    for piece in done.written:
        written[piece.text] += [number for number, _, _ in piece.tokens]
    return written


def alone(engine: NumpyEngine, wanted: Job) -> list[list[int]]:
    """The same texts by the sampler."""
    output = read_text(engine, wanted.prompts[0], engine.initial_state(1)).repeated(wanted.copies)
    history = History(wanted.prompts[0], wanted.copies, 0)
    choices: dict[str, Any] = {"length": wanted.length, "seed": wanted.seeds[0], "stops": wanted.stops}
    drawn = draw_symbols(engine, output, history, wanted.filters, end=wanted.end, **choices)
    return [sample.ids for sample in collect(drawn, wanted.copies)]


def different_jobs() -> list[Job]:
    return [
        job(40, seed=1),
        job(7, [2], seed=2, copies=3),
        job(25, [0, 1, 2, 3, 4, 5, 6] * 3, seed=3, heat=0.5),
        job(30, seed=4, heat=0.0),
        job(30, seed=5, top_p=0.7, copies=2),
        job(60, seed=6, stops=["\x01\x02"]),
        job(60, seed=7, end=5),
    ]


@pytest.mark.parametrize("attention", [0, 3])
@pytest.mark.parametrize("cell", CELLS)
def test_texts_in_one_batch_are_those_that_the_sampler_draws(cell: str, attention: int) -> None:
    engine, jobs = engine_of(cell, attention), different_jobs()
    run(engine, *jobs)
    assert [texts(each) for each in jobs] == [alone(engine, each) for each in different_jobs()]


def test_a_job_may_join_at_any_time() -> None:
    engine, jobs = engine_of(), different_jobs()
    batch = SharedBatch(engine, 64)
    for each in jobs:
        batch.begin(each)
        batch.advance()
    while batch.jobs:
        batch.advance()
    assert [texts(each) for each in jobs] == [alone(engine, each) for each in different_jobs()]


@pytest.mark.parametrize("cell", ["gru-after", "lstm"])
def test_jobs_that_do_not_fit_together_take_turns(cell: str) -> None:
    engine, jobs = engine_of(cell, 3), different_jobs()
    run(engine, *jobs, max_rows=3)
    assert [texts(each) for each in jobs] == [alone(engine, each) for each in different_jobs()]


def test_a_job_with_all_rows_does_not_hold_up_the_next_one() -> None:
    long, short = job(100_000, copies=4), job(5)
    batch = batch_of(engine_of(), long, short, max_rows=4)
    batch.advance()
    assert short in batch.advance()
    assert texts(short) and long.rows


@pytest.mark.parametrize("length", [1, 63, 64, 65, 200, 1000])
def test_prompts_are_read_in_chunks_of_any_length(length: int) -> None:
    engine = engine_of()
    prompt = np.random.default_rng(0).integers(0, VOCAB_SIZE, length)
    wanted = job(10, prompt, scored=True, scores_prompts=True)
    run(engine, wanted, job(10, [1, 2, 3] * 30))
    assert texts(wanted) == alone(engine, job(10, prompt))
    assert [number for number, _, _ in wanted.prompt_tokens[0]] == prompt[1:].tolist()


def test_nothing_is_written_after_a_prompt_if_the_length_is_0() -> None:
    nothing = job(0, copies=2)
    run(engine_of(), nothing)
    assert nothing.written == [Piece(0, [], Finish.LENGTH), Piece(1, [], Finish.LENGTH)]


def test_nats_are_those_of_scoring_the_whole_text() -> None:
    engine = engine_of("peephole")
    scored = job(50, scored=True, scores_prompts=True, heat=0.7, top_p=0.9)
    run(engine, scored, job(50, seed=9))
    (text,) = texts(scored)
    nats = [token[1] for token in scored.prompt_tokens[0]]
    nats += [token[1] for piece in scored.written for token in piece.tokens]
    whole = np.concatenate([PROMPT, text])
    assert len(nats) == len(whole) - 1
    assert_allclose(sum(filter(None, nats)), score(engine, one_stream(whole)).nats, rtol=1e-5)


def test_alternatives_are_the_likeliest_symbols_with_their_nats() -> None:
    engine = engine_of()
    few, many = job(20, scored=True, alternatives=2), job(20, scored=True, alternatives=VOCAB_SIZE)
    run(engine, few, many, job())
    two, all_of_them = ([token for piece in each.written for token in piece.tokens] for each in (few, many))
    for (_, _, short), (number, own, whole) in zip(two, all_of_them, strict=True):
        assert [other for other, _ in short] == [other for other, _ in whole[:2]]
        costs = [nats for _, nats in whole]
        assert costs == sorted(costs)
        assert_allclose(np.exp(-np.array(costs)).sum(), 1, rtol=1e-6)
        assert own == pytest.approx(dict(whole)[number], rel=1e-5)


def test_what_is_not_asked_for_is_not_computed() -> None:
    plain = job(5)
    run(engine_of(), plain, job(scored=True, alternatives=3))
    assert {token[1:] for piece in plain.written for token in piece.tokens} == {(None, ())}
