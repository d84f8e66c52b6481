"""The batch that requests share: a text in it is the text that the sampler alone would draw."""

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

from lstmgen.config import Finish, SamplingConfig
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


def filters(config: SamplingConfig) -> list[Any]:
    return [*([] if config.top_p is None else [top_p(config.top_p)]), temperature(config.temperature)]


def job(length: int = 40, prompt: Any = PROMPT, *, seed: int = 0, copies: int = 1, **more: Any) -> Job:
    config = SamplingConfig(length=length, temperature=more.pop("heat", 1.0), top_p=more.pop("top_p", None))
    return Job([np.array(prompt)], [seed], config, copies, **more)


def batch_of(engine: NumpyEngine, *jobs: Job) -> SharedBatch:
    batch = SharedBatch(engine, filters)
    for each in jobs:
        batch.begin(each)
    return batch


def run(engine: NumpyEngine, *jobs: Job) -> None:
    batch_of(engine, *jobs).run(lambda: False)


def texts(done: Job) -> list[list[int]]:
    assert done.unfinished == 0
    written: list[list[int]] = [[] for _ in range(done.places)]
    for piece in done.written:
        written[piece.text] += [token.id for token in piece.tokens]
    return written


def alone(engine: NumpyEngine, wanted: Job) -> list[list[int]]:
    """The same texts by the sampler."""
    output = read_text(engine, wanted.prompts[0], engine.initial_state(1)).repeated(wanted.copies)
    history = History(wanted.prompts[0], wanted.copies, 0)
    choices: dict[str, Any] = {"length": wanted.config.length, "seed": wanted.seeds[0], "stops": wanted.stops}
    drawn = draw_symbols(engine, output, history, filters(wanted.config), end=wanted.end_symbol, **choices)
    return [sample.ids for sample in collect(drawn, wanted.copies)]


def different_jobs() -> list[Job]:
    return [
        job(40, seed=1),
        job(7, [2], seed=2, copies=3),
        job(25, [0, 1, 2, 3, 4, 5, 6] * 3, seed=3, heat=0.5),
        job(30, seed=4, heat=0.0),
        job(30, seed=5, top_p=0.7, copies=2),
        job(60, seed=6, stops=["\x01\x02"]),
        job(60, seed=7, end_symbol=5),
    ]


@pytest.mark.parametrize("attention", [0, 3])
@pytest.mark.parametrize("cell", CELLS)
def test_texts_in_one_batch_are_those_that_the_sampler_draws(cell: str, attention: int) -> None:
    engine, jobs = engine_of(cell, attention), different_jobs()
    run(engine, *jobs)
    assert [texts(each) for each in jobs] == [alone(engine, each) for each in different_jobs()]


def test_a_job_may_join_at_any_step() -> None:
    engine, jobs = engine_of(), different_jobs()
    batch = SharedBatch(engine, filters)
    for each in jobs:
        batch.begin(each)
        for _ in range(5):
            batch.step()
    batch.run(lambda: False)
    assert [texts(each) for each in jobs] == [alone(engine, each) for each in different_jobs()]


def test_a_job_that_was_taken_out_goes_on_where_it_was() -> None:
    engine, jobs = engine_of("gru-after", 3), different_jobs()
    batch = batch_of(engine, *jobs)
    for out in jobs:
        rows, state = batch.remove(out)
        assert out not in batch.jobs
        for _ in range(3):
            batch.step()
        batch.join(rows, state)
        batch.step()
    batch.run(lambda: False)
    assert [texts(each) for each in jobs] == [alone(engine, each) for each in different_jobs()]


def test_places_count_the_texts_that_will_be_there() -> None:
    batch = batch_of(engine_of(), job(copies=5), job())
    assert (len(batch), batch.places) == (2, 6)
    for _ in range(3):
        batch.step()
    assert (len(batch), batch.places) == (6, 6)


def test_the_batch_is_empty_when_all_texts_are_complete() -> None:
    batch = batch_of(engine_of(), job(3), job(9, copies=2))
    batch.run(lambda: False)
    assert (len(batch), batch.places, batch.jobs) == (0, 0, set())


def test_nothing_is_written_after_a_prompt_if_the_length_is_0() -> None:
    nothing = job(0, copies=2)
    run(engine_of(), nothing)
    assert nothing.written == [Piece(0, [], Finish.LENGTH), Piece(1, [], Finish.LENGTH)]


def test_nats_are_those_of_scoring_the_whole_text() -> None:
    engine = engine_of("peephole")
    scored = job(50, scored=True, scores_prompts=True, heat=0.7, top_p=0.9)
    run(engine, scored, job(50, seed=9))
    (text,) = texts(scored)
    nats = [token.nats for token in scored.prompt_tokens[0]]
    nats += [token.nats for piece in scored.written for token in piece.tokens]
    whole = np.concatenate([PROMPT, text])
    assert len(nats) == len(whole) - 1
    assert_allclose(sum(filter(None, nats)), score(engine, one_stream(whole)).nats, rtol=1e-5)


def test_alternatives_are_the_likeliest_symbols_with_their_nats() -> None:
    engine = engine_of()
    few, many = job(20, scored=True, alternatives=2), job(20, scored=True, alternatives=VOCAB_SIZE)
    run(engine, few, many, job())
    two, all_of_them = ([token for piece in each.written for token in piece.tokens] for each in (few, many))
    for short, whole in zip(two, all_of_them, strict=True):
        assert [number for number, _ in short.alternatives] == [number for number, _ in whole.alternatives[:2]]
        costs = [nats for _, nats in whole.alternatives]
        assert costs == sorted(costs)
        assert_allclose(np.exp(-np.array(costs)).sum(), 1, rtol=1e-6)
        assert whole.nats == pytest.approx(dict(whole.alternatives)[whole.id], rel=1e-5)


def test_what_is_not_asked_for_is_not_computed() -> None:
    plain = job(5)
    run(engine_of(), plain, job(scored=True, alternatives=3))
    assert {token.alternatives for piece in plain.written for token in piece.tokens} == {()}
