"""The batch that all requests share: one step of the network adds a token to each text.

Each text is what `generation.sampler` writes by itself with the same seed, apart from rounding: a matrix product of
another size may differ in the last digit. That changes a token if the random number is just as close to the border
between two tokens, about once in a million characters.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import repeat
from typing import Literal, NamedTuple, TypeAlias, cast

import numpy as np

from lstmgen.cells.arrays import concatenate
from lstmgen.config import FinishReason
from lstmgen.generation.engine import Engine, FloatArray
from lstmgen.generation.filters.base import Filter, History
from lstmgen.generation.sampler import Ending, draw, most_likely, negative_log_likelihood, uniforms
from lstmgen.network.architecture import NetworkState, map_state
from lstmgen.serving.config import ServingConfig
from lstmgen.serving.messages import RequestError, server_error
from lstmgen.text.vocabulary import Ids

_NO_HISTORY = History(np.zeros(0, np.int64), rows=0, length=0)
_CHUNK = 64  # tokens to read at once from each prompt
_CHUNK_TOKENS = 512  # and from all prompts together
_BURST_STEPS = 64
_BURST_SECONDS = 0.01  # of processor time
_SHORT_BURST = 4  # steps: after the end of a text, the rest is wasted

Token: TypeAlias = tuple[int, float | None, Sequence[tuple[int, float]]]
"""An id, its nats under the model itself (before any filter), and the most likely ids here with their nats."""


class Part(NamedTuple):
    """What one burst added to a text. Tokens that may begin a stop text are held back."""

    text: int
    tokens: Sequence[Token]
    finish_reason: Literal["length", "stop"] | None


@dataclass(eq=False)
class Job:
    """The work for one request."""

    prompts: Sequence[Ids]  # what the network reads before it writes, (tokens,) each, at least one token
    seeds: Sequence[int]  # one for each prompt
    filters: tuple[Filter, ...]  # without memory; texts with equal filters are filtered together
    length: int  # the maximum number of tokens of a text
    copies: int = 1  # how many texts continue each prompt; they are numbered prompt by prompt
    stops: Sequence[str] = ()  # as strings of ids
    end: int | None = None  # the token by which the model itself ends a text, and which is not part of it
    logprobs: int | None = None  # how many of the most likely tokens to report with each token; None: not even its nats
    echo: Sequence[int] = ()  # how many tokens from the end of each prompt its texts begin with; () for none
    size: int = 0  # the maximum number of values in the answer
    written: list[Part] = field(default_factory=list)  # not yet taken
    slots: "list[_Prompt | _Text]" = field(init=False)  # places in the batch, for unfinished prompts and texts

    def __post_init__(self) -> None:
        self.slots = [_Prompt(self, number) for number in range(len(self.prompts))]

    @property
    def max_slots(self) -> int:
        """The number of slots once all prompts have been read."""
        return sum(self.copies if isinstance(slot, _Prompt) else 1 for slot in self.slots)


class _Prompt:
    """A prompt that is being read."""

    def __init__(self, job: Job, number: int) -> None:
        self.job, self.number = job, number
        self.state: NetworkState | None = None
        self.left = job.prompts[number]
        self._tokens: list[Token] = [(int(self.left[0]), None, ())]

    def read(self, logits: FloatArray) -> None:
        """Continue after a chunk, with the logits after each of its tokens, (time, vocab)."""
        job, following = self.job, self.left[1 : len(logits) + 1]
        self.left = self.left[len(logits) :]
        if job.echo:
            self._tokens += _tokens(logits[: len(following)], following, job.logprobs)
        if len(self.left):
            return
        job.slots.remove(self)
        echoed = self._tokens[len(self._tokens) - job.echo[self.number] :] if job.echo else []
        for copy in range(job.copies):
            text = self.number * job.copies + copy
            job.written.append(Part(text, echoed, None if job.length else "length"))
            if job.length:
                job.slots.append(_Text(self, text, copy, logits[-1:]))


class _Text:
    """A text that is being written."""

    def __init__(self, prompt: _Prompt, number: int, copy: int, logits: FloatArray) -> None:
        self.job, self.number, self.logits = prompt.job, number, logits
        self.state = cast(NetworkState, prompt.state)
        self.ending = Ending[Token](self.job.length, self.job.end, self.job.stops)
        self.uniforms = uniforms(self.job.seeds[prompt.number], copy)

    def add(self, tokens: Sequence[Token]) -> None:
        """Add drawn tokens; any after the end of the text are dropped."""
        written, finish_reason = [], None
        for token in tokens:
            released, finish_reason = self.ending.add(token[0], token)
            written += released
            if finish_reason is not None:
                self.job.slots.remove(self)
                break
        if finish_reason is FinishReason.LINE:
            written.pop()
        reason: Literal["length", "stop"] = "length" if finish_reason is FinishReason.LENGTH else "stop"
        self.job.written.append(Part(self.number, written, None if finish_reason is None else reason))


def advance(engine: Engine, jobs: Sequence[Job]) -> None:
    """Advance some jobs by a few milliseconds of work; a complete job has no slots left."""
    prompts = [slot for job in jobs for slot in job.slots if isinstance(slot, _Prompt)]
    if prompts:
        _read(engine, prompts)
    texts = [slot for job in jobs for slot in job.slots if isinstance(slot, _Text)]
    if texts:
        _write(engine, texts)


def _read(engine: Engine, prompts: list[_Prompt]) -> None:
    """Read a chunk of each prompt, no longer than the shortest prompt."""
    count = min(_CHUNK, max(1, _CHUNK_TOKENS // len(prompts)), *(len(prompt.left) for prompt in prompts))
    ids = np.stack([prompt.left[:count] for prompt in prompts])
    blank = engine.initial_state(1)
    logits, state = engine.read(ids, _joined([blank if prompt.state is None else prompt.state for prompt in prompts]))
    for row, prompt in enumerate(prompts):
        prompt.state = _row(state, row)
        prompt.read(logits[row])


def _write(engine: Engine, texts: list[_Text]) -> None:
    """Add a few tokens to each text."""
    left = [text.ending.left for text in texts]
    steps = min(_BURST_STEPS, max(left), max(_SHORT_BURST, min(left)))
    uniforms = [text.uniforms for text in texts]
    groups: dict[tuple[tuple[Filter, ...], int | None], list[int]] = {}
    for row, text in enumerate(texts):
        groups.setdefault((text.job.filters, text.job.logprobs), []).append(row)
    logits = np.concatenate([text.logits for text in texts])
    state = _joined([text.state for text in texts])
    drawn: list[list[Token]] = []
    deadline = time.thread_time() + _BURST_SECONDS
    for _ in range(steps):
        filtered = np.empty_like(logits)
        for (filters, _), rows in groups.items():
            part = logits[rows]
            for each in filters:
                part = each.apply(part, _NO_HISTORY)
            filtered[rows] = part
        ids, _ = draw(filtered, np.array([*map(next, uniforms)]))
        tokens = _tokens(logits, ids, None)
        for (_, logprobs), rows in groups.items():
            if logprobs is not None:
                for row, token in zip(rows, _tokens(logits[rows], ids[rows], logprobs), strict=True):
                    tokens[row] = token
        drawn.append(tokens)
        logits, state = engine.step(ids, state)
        if time.thread_time() >= deadline:
            break
    for row, (text, added) in enumerate(zip(texts, zip(*drawn, strict=True), strict=True)):
        text.state, text.logits = _row(state, row), logits[row : row + 1]
        text.add(added)


def _tokens(logits: FloatArray, ids: Ids, logprobs: int | None) -> list[Token]:
    """Tokens from logits, (rows, vocab), and ids, (rows,)."""
    if logprobs is None:
        return [(number, None, ()) for number in ids.tolist()]
    nats = negative_log_likelihood(logits, ids)
    likely: Iterable[Sequence[tuple[int, float]]] = repeat((), len(ids))
    if logprobs:
        best, _ = most_likely(logits, logprobs)
        total = nats + logits[np.arange(len(ids)), ids]
        costs = total[:, None] - np.take_along_axis(logits, best, axis=-1)
        likely = [tuple(zip(*pair, strict=True)) for pair in zip(best.tolist(), costs.tolist(), strict=True)]
    return list(zip(ids.tolist(), nats.tolist(), likely, strict=True))


def _row(state: NetworkState, row: int) -> NetworkState:
    """The state of one row."""
    return map_state(lambda array: array[row : row + 1], state)


def _joined(states: Sequence[NetworkState]) -> NetworkState:
    """The state of many rows, joined from the states of single rows."""
    layers = zip(*(state.layers for state in states), strict=True)
    joined = tuple(type(layer[0])(*map(np.concatenate, zip(*layer, strict=True))) for layer in layers)
    memory = [state.memory for state in states if state.memory is not None]
    return NetworkState(joined, concatenate(memory, axis=0) if memory else None)


class Worker:
    """Advances jobs in a thread; between bursts, jobs join and leave, and readers receive new parts."""

    def __init__(self, engine: Engine, limits: ServingConfig, max_size: int, report: Callable[[str], None]) -> None:
        """Prepare the worker.

        No job may have more slots than `limits.rows`; jobs that do not fit together take turns. `max_size` applies to
        all open jobs together, and so bounds the memory for unread parts. `report` is called with one line about each
        failure of the network.
        """
        self._engine, self._limits, self._max_size, self._report = engine, limits, max_size, report
        self.open: dict[Job, asyncio.Queue[list[Part] | RequestError]] = {}
        """The jobs whose readers are still there, in the order of their turns."""
        self._wake = asyncio.Event()
        self._stopped = False

    async def write(self, job: Job) -> AsyncGenerator[list[Part], None]:
        """Run a job and yield its parts as they are written. Closing this generator ends the job.

        Raises RequestError if too many jobs are open, the worker stops, or the network fails.
        """
        size = sum(each.size for each in self.open) + job.size
        if len(self.open) >= self._limits.queue or size > self._max_size:
            raise RequestError("too many requests are open; try again later", status=429, code="rate_limit_exceeded")
        queue = self.open[job] = asyncio.Queue()
        self._wake.set()
        if self._stopped:
            self.stop()
        unfinished = len(job.prompts) * job.copies
        try:
            while unfinished:
                parts = await queue.get()
                if isinstance(parts, RequestError):
                    raise parts
                unfinished -= sum(part.finish_reason is not None for part in parts)
                yield parts
        finally:
            del self.open[job]

    def stop(self) -> None:
        """Refuse new jobs; open ones end once their readers have taken everything written."""
        self._stopped = True
        for queue in self.open.values():
            queue.put_nowait(RequestError("the server is stopping", status=503, code="server_stops"))
        self._wake.set()

    async def run(self) -> None:
        """Run jobs until `stop`."""
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(1, thread_name_prefix="batch") as thread:
            while not self._stopped:
                jobs = self._next_jobs()
                if not jobs:
                    self._wake.clear()
                    await self._wake.wait()
                    continue
                failed = None
                try:
                    await loop.run_in_executor(thread, advance, self._engine, jobs)
                except Exception as error:  # the server survives any failure
                    self._report(f"{type(error).__name__} while writing: {error}")
                    failed = server_error(error)
                for job in jobs:
                    if job in self.open:
                        queue = self.open[job] = self.open.pop(job)  # now last in line
                        queue.put_nowait(failed or job.written)
                        job.written = []
                    if failed is not None:
                        job.slots.clear()

    def _next_jobs(self) -> list[Job]:
        """As many jobs as fit into the slots; those that have waited longest come first."""
        jobs, free = [], self._limits.rows
        for job in self.open:
            if 0 < job.max_slots <= free:
                jobs.append(job)
                free -= job.max_slots
        return jobs
