"""The batch that requests share: a text in it is the text that the sampler alone would draw."""

import asyncio
from contextlib import aclosing
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

from lstmgen.generation.engine import NumpyEngine, read_text
from lstmgen.generation.filters.likelihood import temperature, top_p
from lstmgen.generation.sampler import collect, draw_tokens
from lstmgen.serving.batch import Job, Token, Worker
from lstmgen.serving.config import ServingConfig
from tests.conftest import CELLS, VOCAB_SIZE, random_engine

PROMPT = np.array([3, 1, 4])


def job(length: int = 40, prompt: Any = PROMPT, *, seed: int = 0, **more: Any) -> Job:
    heat, probability = more.pop("heat", 1.0), more.pop("top_p", None)
    filters = (*([] if probability is None else [top_p(probability)]), temperature(heat))
    return Job([np.array(prompt)], [seed], filters, length, **more)


async def collected(worker: Worker, wanted: Job) -> list[list[Token]]:
    """The tokens of each text of a job."""
    tokens: list[list[Token]] = [[] for _ in range(len(wanted.prompts) * wanted.copies)]
    async for pieces in worker.write(wanted):
        for piece in pieces:
            tokens[piece.text] += piece.tokens
    assert not wanted.slots
    return tokens


def run(engine: NumpyEngine, *jobs: Job, max_rows: int = 64, endless: Job | None = None) -> list[list[list[Token]]]:
    """The tokens of each text of each job, while another job runs that is cancelled when they are complete."""

    async def together() -> list[list[list[Token]]]:
        worker = Worker(engine, ServingConfig(rows=max_rows), 99, print)
        running = asyncio.create_task(worker.run())
        if endless is not None:
            async with aclosing(worker.write(endless)) as pieces:
                await anext(pieces)
                done = await asyncio.gather(*(collected(worker, each) for each in jobs))
        else:
            done = await asyncio.gather(*(collected(worker, each) for each in jobs))
        assert worker.open == {}
        worker.stop()
        await running
        return done

    return asyncio.run(together())


def ids(done: list[list[list[Token]]]) -> list[list[list[int]]]:
    return [[[number for number, _, _ in text] for text in texts] for texts in done]


def alone(engine: NumpyEngine, wanted: Job) -> list[list[int]]:
    """The same texts by the sampler, without the token that ends one."""
    copies, read = wanted.copies, read_text(engine, wanted.prompts[0], engine.initial_state(1))
    choices: dict[str, Any] = {"length": wanted.length, "seed": wanted.seeds[0], "stops": wanted.stops}
    drawn = draw_tokens(engine, read, wanted.filters, rows=copies, end=wanted.end, **choices)
    return [[number for number in one.ids if number != wanted.end] for one in collect(drawn, wanted.copies)]


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


@pytest.mark.parametrize(
    ("cell", "attention", "max_rows"),
    [*((cell, attention, 64) for cell in CELLS for attention in (0, 3)), ("gru-after", 3, 3), ("lstm", 0, 3)],
)
def test_texts_in_one_batch_are_those_that_the_sampler_draws(cell: str, attention: int, max_rows: int) -> None:
    engine = random_engine(cell, attention)
    written = run(engine, *different_jobs(), max_rows=max_rows, endless=job(100_000))  # what does not fit takes turns
    assert ids(written) == [alone(engine, each) for each in different_jobs()]


def test_a_job_with_all_rows_does_not_hold_up_the_next_one() -> None:
    ((text,),) = run(random_engine(), job(5), max_rows=4, endless=job(1_000_000, copies=4))
    assert len(text) == 5


@pytest.mark.parametrize("length", [1, 63, 64, 65, 1000])
def test_prompts_are_read_in_chunks_of_any_length(length: int) -> None:
    engine = random_engine()
    prompt = np.random.default_rng(0).integers(0, VOCAB_SIZE, length)
    written = run(engine, job(10, prompt), job(10, prompt, echo=[length], logprobs=0), job(10, [1, 2, 3] * 30))
    plain, echoed, _ = ids(written)
    assert plain == alone(engine, job(10, prompt)) and echoed == [[*prompt, *plain[0]]]


def test_alternatives_are_the_likeliest_tokens_with_their_nats_for_those_who_ask() -> None:
    (few,), (many,), (none,) = run(random_engine(), job(20, logprobs=2), job(20, logprobs=VOCAB_SIZE), job(20))
    for (_, _, short), (number, own, whole), plain in zip(few, many, none, strict=True):
        assert [other for other, _ in short] == [other for other, _ in whole[:2]] and plain == (number, None, ())
        costs = [nats for _, nats in whole]
        assert costs == sorted(costs)
        assert_allclose(np.exp(-np.array(costs)).sum(), 1, rtol=1e-6)
        assert own == pytest.approx(dict(whole)[number], rel=1e-5)
