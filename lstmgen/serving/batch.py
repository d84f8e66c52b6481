"""The batch that all requests share: one step of the network adds a token to each of its texts.

A text is the one that `generation.sampler` writes alone with the same seed, but for rounding: a product of matrices of
another size may differ in the last digit. That changes a draw if its random number is that close to a border between
two tokens, about once in a million characters.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import repeat
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lstmgen.cells.arrays import concatenate
from lstmgen.config import Finish
from lstmgen.generation.engine import Engine, FloatArray
from lstmgen.generation.filters import Filter
from lstmgen.generation.history import History
from lstmgen.generation.sampler import draw, most_likely, negative_log_likelihood, row_generator
from lstmgen.generation.stops import StopBuffer
from lstmgen.network.architecture import NetworkState
from lstmgen.text.vocabulary import Ids

_NO_HISTORY = History(np.zeros(0, np.int64), 0, 0)
_CHUNK = 64  # tokens of each prompt that are read at once
_CHUNK_TOKENS = 512  # of all prompts together
_BURST_STEPS = 64
_BURST_SECONDS = 0.01  # of the processor
_SHORT_BURST = 4  # steps: a text that ends earlier is continued in vain
_UNIFORMS = 256

Token: TypeAlias = tuple[int, float | None, Sequence[tuple[int, float]]]
"""An id, its nats under the model itself (before any filter), and the most likely ids in its place with their nats."""


class Piece(NamedTuple):
    """What one burst added to a text. A stop text may keep tokens back."""

    text: int
    tokens: list[Token]
    finish: Finish | None


@dataclass(eq=False)
class Job:
    """What one request asks for."""

    prompts: Sequence[Ids]
    """What the network reads before it writes, (tokens,) each, at least one token."""
    seeds: Sequence[int]
    """One for each prompt."""
    filters: tuple[Filter, ...]
    """Filters without memory; the texts of jobs with equal filters are filtered together."""
    length: int
    """The maximum number of tokens of a text."""
    copies: int = 1
    """The texts that continue each prompt; those of the first prompt have the first numbers."""
    stops: Sequence[str] = ()
    """Stop texts, as strings of ids."""
    end: int | None = None
    """The token with which the model itself ends a text; None if it does not."""
    scored: bool = False
    """Whether the nats of each token are computed."""
    scores_prompts: bool = False
    """Whether those of the prompts are computed as well."""
    alternatives: int = 0
    """How many of the most likely tokens come with each scored token."""
    size: int = 0
    """The number of values in the answer, at most."""
    written: list[Piece] = field(default_factory=list)
    """What was written and not yet taken."""
    prompt_tokens: list[list[Token]] = field(init=False)
    """The tokens of each prompt after the first, if they are scored; complete before the first piece."""
    rows: "list[Row]" = field(init=False)
    """The prompts that are still read, and the texts that are still written."""

    def __post_init__(self) -> None:
        self.prompt_tokens = [[] for _ in self.prompts]
        self.rows = [_Prompt(self, number) for number in range(len(self.prompts))]

    @property
    def places(self) -> int:
        """The number of rows in the batch when all prompts have been read."""
        return sum(row.places for row in self.rows)


class _Prompt:
    """A prompt that is being read."""

    state: NetworkState

    def __init__(self, job: Job, number: int) -> None:
        self.job = job
        self.places = job.copies
        self.left = job.prompts[number]
        self._number = number

    def texts(self, logits: FloatArray) -> "list[Row]":
        """The texts that continue the prompt; `logits` are those after its last token."""
        job, first = self.job, self._number * self.job.copies
        if job.length == 0:
            job.written += (Piece(first + copy, [], Finish.LENGTH) for copy in range(job.copies))
            return []
        return [_Text(self, first + copy, copy, job.seeds[self._number], logits) for copy in range(job.copies)]

    def read(self, logits: FloatArray) -> None:
        """Go on after a chunk, with the logits after each of its tokens, (time, vocab)."""
        read, self.left = len(logits), self.left[len(logits) :]
        if self.job.scores_prompts:
            following = self.job.prompts[self._number][-len(self.left) - read :][1 : read + 1]
            scores = _scores(logits[: len(following)], following, self.job.alternatives)
            self.job.prompt_tokens[self._number] += zip(following.tolist(), *scores, strict=True)


class _Text:
    """A text that is being written."""

    places = 1

    def __init__(self, prompt: _Prompt, number: int, copy: int, seed: int, logits: FloatArray) -> None:
        self.job = job = prompt.job
        self.state = prompt.state
        self.logits = logits
        self.left = job.length
        self._number = number
        self._stops = StopBuffer[Token](job.stops) if job.stops else None
        self._generator = row_generator(seed, copy)
        self._uniforms = self._generator.random(_UNIFORMS)

    def uniforms(self, count: int) -> NDArray[np.float64]:
        """The random numbers for the next draws, (count,)."""
        if len(self._uniforms) < count:
            self._uniforms = np.concatenate([self._uniforms, self._generator.random(_UNIFORMS)])
        return self._uniforms[:count]

    def add(self, ids: list[int], scores: Sequence[Iterable[object]]) -> bool:
        """Add tokens that were drawn; returns whether the text continues."""
        job, finish = self.job, None
        self._uniforms = self._uniforms[len(ids) :]
        if self.left <= len(ids):
            ids, finish = ids[: self.left], Finish.LENGTH
        if job.end is not None and job.end in ids:
            ids, finish = ids[: ids.index(job.end) + 1], Finish.LINE
        self.left -= len(ids)
        tokens: list[Token] = list(zip(ids, *scores))  # noqa: B905  # tokens after the end are dropped
        if self._stops is not None:
            drawn, tokens = tokens, []
            for token in drawn:
                released, stopped = self._stops.add(chr(token[0]), token)
                tokens += released
                if stopped:
                    finish = Finish.STOP
                    break
            else:
                tokens += self._stops.rest() if finish else []
        job.written.append(Piece(self._number, tokens, finish))
        return finish is None


Row: TypeAlias = _Prompt | _Text


class SharedBatch:
    """Jobs that take turns: as many as there is room for are advanced together, then others have precedence."""

    def __init__(self, engine: Engine, max_rows: int) -> None:
        """Begin without jobs; none may have more places than `max_rows`."""
        self._engine = engine
        self._max_rows = max_rows
        self._blank = engine.initial_state(1)
        self.jobs: deque[Job] = deque()

    def begin(self, job: Job) -> None:
        """Let a new job join."""
        for row in job.rows:
            row.state = self._blank
        self.jobs.append(job)

    def advance(self) -> list[Job]:
        """Advance some jobs by a few milliseconds of work; returns them. Those that are complete leave."""
        chosen, free = [], self._max_rows
        for job in self.jobs:
            if job.places <= free:
                chosen.append(job)
                free -= job.places
        self._read([row for job in chosen for row in job.rows if isinstance(row, _Prompt)])
        self._write([row for job in chosen for row in job.rows if isinstance(row, _Text)])
        for job in chosen:
            self.jobs.remove(job)
            if job.rows:
                self.jobs.append(job)
        return chosen

    def _read(self, prompts: list[_Prompt]) -> None:
        """Read a chunk of each prompt, as much as the shortest has."""
        if not prompts:
            return
        count = min(_CHUNK, max(1, _CHUNK_TOKENS // len(prompts)), *(len(prompt.left) for prompt in prompts))
        ids = np.stack([prompt.left[:count] for prompt in prompts])
        logits, state = self._engine.read(ids, _joined([prompt.state for prompt in prompts]))
        for row, prompt in enumerate(prompts):
            prompt.state = _row(state, row)
            prompt.read(logits[row])
            if not len(prompt.left):
                prompt.job.rows.remove(prompt)
                prompt.job.rows += prompt.texts(logits[row, -1:])

    def _write(self, texts: list[_Text]) -> None:
        """Add a few tokens to each text."""
        if not texts:
            return
        left = [text.left for text in texts]
        steps = min(_BURST_STEPS, max(left), max(_SHORT_BURST, min(left)))
        uniforms = np.stack([text.uniforms(steps) for text in texts], axis=1)
        groups = _groups([text.job.filters for text in texts])
        scored = [row for row, text in enumerate(texts) if text.job.scored]
        alternatives = max((texts[row].job.alternatives for row in scored), default=0)
        logits = np.concatenate([text.logits for text in texts])
        state = _joined([text.state for text in texts])
        drawn, scores, deadline = [], [], time.thread_time() + _BURST_SECONDS
        for uniform in uniforms:
            filtered = np.empty_like(logits)
            for filters, rows in groups:
                part = logits[rows]
                for each in filters:
                    part = each.apply(part, _NO_HISTORY)
                filtered[rows] = part
            ids, _ = draw(filtered, uniform)
            drawn.append(ids)
            if scored:
                scores.append(_scores(logits[scored], ids[scored], alternatives))
            logits, state = self._engine.step(ids, state)
            if time.thread_time() >= deadline:
                break
        numbers = np.stack(drawn, axis=1).tolist()
        place = {row: number for number, row in enumerate(scored)}
        for row, text in enumerate(texts):
            text.state, text.logits = _row(state, row), logits[row : row + 1]
            nats: Iterable[object] = repeat(None)
            others: Iterable[object] = repeat(())
            if row in place:
                wanted = text.job.alternatives
                nats = [values[place[row]] for values, _ in scores]
                others = [tokens[place[row]][:wanted] for _, tokens in scores] if wanted else others
            if not text.add(numbers[row], (nats, others)):
                text.job.rows.remove(text)


def _groups(filters: Sequence[tuple[Filter, ...]]) -> list[tuple[tuple[Filter, ...], slice | list[int]]]:
    """The rows that have the same filters, for each of them."""
    rows: dict[tuple[Filter, ...], list[int]] = {}
    for row, each in enumerate(filters):
        rows.setdefault(each, []).append(row)
    return [*rows.items()] if len(rows) > 1 else [(each, slice(None)) for each in rows]


def _row(state: NetworkState, row: int) -> NetworkState:
    """The state of one row."""
    layers = tuple(type(layer)(*(array[row : row + 1] for array in layer)) for layer in state.layers)
    return NetworkState(layers, None if state.memory is None else state.memory[row : row + 1])


def _joined(states: Sequence[NetworkState]) -> NetworkState:
    """The state of many rows, from those of single ones."""
    layers = zip(*(state.layers for state in states), strict=True)
    joined = tuple(type(layer[0])(*map(np.concatenate, zip(*layer, strict=True))) for layer in layers)
    memory = [state.memory for state in states if state.memory is not None]
    return NetworkState(joined, concatenate(memory, axis=0) if memory else None)


def _scores(
    logits: FloatArray, ids: Ids, alternatives: int
) -> tuple[list[float], Sequence[Sequence[tuple[int, float]]]]:
    """The nats of each id, and the most likely ids in its place with theirs: (rows, vocab) and (rows,)."""
    nats = negative_log_likelihood(logits, ids)
    if not alternatives:
        return nats.tolist(), [()] * len(ids)
    best, _ = most_likely(logits, alternatives)
    total = nats + logits[np.arange(len(ids)), ids]
    costs = total[:, None] - np.take_along_axis(logits, best, axis=-1)
    return nats.tolist(), [tuple(zip(*pair, strict=True)) for pair in zip(best.tolist(), costs.tolist(), strict=True)]


class BusyError(Exception):
    """As many requests are open as the worker takes."""


class StoppedError(Exception):
    """The worker stops before the job is complete."""


class Worker:
    """Advances the batch in a thread; between two bursts, jobs join and leave and readers get what was written."""

    def __init__(self, batch: SharedBatch, *, max_jobs: int, max_size: int, report: Callable[[str], None]) -> None:
        """Prepare the worker.

        Args:
            batch: it belongs to the worker from now on.
            max_jobs: the maximum number of open jobs.
            max_size: the maximum of their sizes together, which bounds the memory for what nobody has read yet.
            report: takes one line about an error inside the batch.
        """
        self._batch = batch
        self._max_jobs = max_jobs
        self._max_size = max_size
        self._report = report
        self._queues: dict[Job, asyncio.Queue[list[Piece] | Exception]] = {}
        self._new: list[Job] = []
        self._wake = asyncio.Event()
        self._stopped = False

    @property
    def open_jobs(self) -> int:
        """The number of jobs whose reader has not gone."""
        return len(self._queues)

    @property
    def rows(self) -> int:
        """The number of rows of all jobs in the batch."""
        return sum(job.places for job in list(self._batch.jobs))

    async def write(self, job: Job) -> AsyncGenerator[list[Piece], None]:
        """Run a job; yields what is written, as it comes. The job is over when this is closed.

        Raises BusyError if too many jobs are open, StoppedError if the worker stops, or the error that ended the batch.
        """
        if self._stopped:
            raise StoppedError
        if len(self._queues) >= self._max_jobs or sum(each.size for each in self._queues) + job.size > self._max_size:
            raise BusyError
        queue = self._queues[job] = asyncio.Queue()
        unfinished = len(job.prompts) * job.copies
        self._new.append(job)
        self._wake.set()
        try:
            while unfinished:
                pieces = await queue.get()
                if isinstance(pieces, Exception):
                    raise pieces
                unfinished -= sum(piece.finish is not None for piece in pieces)
                yield pieces
        finally:
            del self._queues[job]

    def stop(self) -> None:
        """Refuse new jobs; those that are open raise StoppedError when all that they have written was taken."""
        self._stopped = True
        self._fail(self._queues, StoppedError())
        self._wake.set()

    async def run(self) -> None:
        """Run jobs until `stop`."""
        loop, jobs = asyncio.get_running_loop(), self._batch.jobs
        with ThreadPoolExecutor(1, thread_name_prefix="batch") as thread:
            while not self._stopped:
                for gone in [job for job in jobs if job not in self._queues]:
                    jobs.remove(gone)
                for job in self._new:
                    if job in self._queues:
                        self._batch.begin(job)
                self._new.clear()
                if not jobs:
                    self._wake.clear()
                    await self._wake.wait()
                    continue
                try:
                    advanced = await loop.run_in_executor(thread, self._batch.advance)
                except Exception as error:  # whatever it is, the server goes on
                    self._report(f"{type(error).__name__} while writing: {error}")
                    self._fail(jobs, error)
                    jobs.clear()
                    continue
                for job in advanced:
                    if job.written and job in self._queues:
                        self._queues[job].put_nowait(job.written)
                        job.written = []

    def _fail(self, jobs: Iterable[Job], error: Exception) -> None:
        for job in jobs:
            if job in self._queues:
                self._queues[job].put_nowait(error)
