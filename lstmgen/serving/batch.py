"""The batch that all requests share: one step of the engine advances every text of every request by one symbol.

A text joins between two steps and leaves when it is complete. A prompt is read in the same batch, symbol by symbol, as
one row; after its last symbol the row becomes as many rows as texts are to be written after it.

Each text has its own state, random numbers and stop texts, as in `generation.sampler`. Rows with the same filters are
filtered together. A text does not depend on the rows beside it, but for rounding: a product of matrices of another
size may differ in the last digit. So a draw changes if its random number is that close to a border between two symbols,
about once in a million characters.

Knows: engines, states, how symbols are drawn. Does not know: characters, asyncio or HTTP.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple, TypeAlias

import numpy as np

from lstmgen.cells.arrays import concatenate
from lstmgen.config import Finish, SamplingConfig
from lstmgen.generation.engine import Engine, FloatArray
from lstmgen.generation.filters import Filter
from lstmgen.generation.history import History
from lstmgen.generation.sampler import Ending, draw, most_likely, negative_log_likelihood, row_uniforms
from lstmgen.network.architecture import NetworkState, map_state
from lstmgen.text.vocabulary import Ids

_NO_HISTORY = History(np.zeros(0, np.int64), 0, 0)


class Token(NamedTuple):
    """One symbol of a text or a prompt."""

    id: int
    nats: float | None = None
    """Its surprise under the model itself, before any filter; None: not computed, or nothing predicts it."""
    alternatives: tuple[tuple[int, float], ...] = ()
    """The likeliest symbols in its place and their nats, best first."""


class Piece(NamedTuple):
    """What one step added to one text: symbols, and the end. Both may be absent: a stop text keeps symbols back."""

    text: int
    tokens: list[Token]
    finish: Finish | None


@dataclass(eq=False)
class Job:
    """What one request asks for: texts that continue prompts, and what has been written of them."""

    prompts: Sequence[Ids]
    """What the network reads before it writes, (symbols,) each, at least one symbol."""
    seeds: Sequence[int]
    """One for each prompt."""
    config: SamplingConfig
    """`length`, and the filters without memory: `temperature`, `top_k`, `top_p`, `min_p`."""
    copies: int = 1
    """The texts that continue each prompt; those of the first prompt have the first numbers."""
    stops: Sequence[str] = ()
    """Stop texts, as strings of ids."""
    end_symbol: int | None = None
    """The symbol with which the model itself ends a text; None if it does not."""
    scored: bool = False
    """Whether the nats of each symbol are computed."""
    scores_prompts: bool = False
    """Whether those of the prompts are computed as well."""
    alternatives: int = 0
    """How many of the likeliest symbols come with each symbol."""
    written: list[Piece] = field(default_factory=list)
    """What was written and not yet taken."""
    prompt_tokens: list[list[Token]] = field(init=False)
    """The symbols of each prompt after the first, if they are scored; complete before the first piece."""
    unfinished: int = field(init=False)
    """The number of texts that are not complete."""

    def __post_init__(self) -> None:
        self.prompt_tokens = [[] for _ in self.prompts]
        self.unfinished = self.places

    @property
    def places(self) -> int:
        """The number of texts, and so of rows."""
        return len(self.prompts) * self.copies

    @property
    def filters(self) -> SamplingConfig:
        """What decides about the filters; rows for which it is equal are filtered together."""
        return replace(self.config, length=0, stop=(), samples=1, best_of=1)

    def readers(self) -> "list[Row]":
        """The rows with which the job begins: one for each prompt."""
        return [_Reader(self, number) for number in range(len(self.prompts))]

    def end(self, text: int, tokens: list[Token], finish: Finish) -> None:
        """Complete a text with its last symbols."""
        self.written.append(Piece(text, tokens, finish))
        self.unfinished -= 1


class _Reader:
    """A row that reads a prompt."""

    def __init__(self, job: Job, number: int) -> None:
        self.job = job
        self.filters = job.filters
        self.places = job.copies
        self.scored = job.scores_prompts
        self._number = number
        self._left: list[int] = job.prompts[number][::-1].tolist()  # the last one is read next
        self.next = self._left.pop()

    @property
    def has_read(self) -> bool:
        """Whether `next` was the last symbol of the prompt."""
        return not self._left

    @property
    def given(self) -> int:
        """The symbol that follows `next`."""
        return self._left[-1]

    def uniform(self) -> float:
        """Any number: a reader draws nothing."""
        return 0.0

    def add(self, token: Token) -> bool:
        """Go on to the symbol that follows; it is never the end."""
        if self.scored:
            self.job.prompt_tokens[self._number].append(token)
        self.next = self._left.pop()
        return False

    def writers(self) -> "list[Row]":
        """The rows that continue the prompt."""
        job, first = self.job, self._number * self.job.copies
        if job.config.length == 0:
            for copy in range(job.copies):
                job.end(first + copy, [], Finish.LENGTH)
            return []
        seed = job.seeds[self._number]
        return [_Writer(self, first + copy, row_uniforms(seed, copy)) for copy in range(job.copies)]


class _Writer:
    """A row that writes one text."""

    places = 1
    has_read = False

    def __init__(self, reader: _Reader, text: int, uniforms: Iterator[float]) -> None:
        self.job = job = reader.job
        self.filters = reader.filters
        self.scored = job.scored
        self.given = None
        self.next = 0
        self._text = text
        self._uniforms = uniforms
        self._ending = Ending[Token](job.config.length, job.end_symbol, job.stops)

    def uniform(self) -> float:
        """The random number for the next draw, in [0, 1)."""
        return next(self._uniforms)

    def add(self, token: Token) -> bool:
        """Add a symbol that was drawn; returns whether the text is complete."""
        self.next = token.id
        released, finish = self._ending.add(token.id, token)
        if finish is not None:
            self.job.end(self._text, released, finish)
        else:
            self.job.written.append(Piece(self._text, released, None))
        return finish is not None


Row: TypeAlias = _Reader | _Writer
"""A row of the batch. Its `next` is the symbol that it reads in the next step."""


class SharedBatch:
    """The rows that are stepped together."""

    def __init__(self, engine: Engine, build_filters: Callable[[SamplingConfig], Sequence[Filter]]) -> None:
        """Begin without rows; `build_filters` returns filters without memory."""
        self._engine = engine
        self._build_filters = build_filters
        self._rows: list[Row] = []
        self._state = engine.initial_state(0)
        self._groups: list[tuple[Sequence[Filter], list[int]]] | None = None

    def __len__(self) -> int:
        """The number of rows."""
        return len(self._rows)

    @property
    def places(self) -> int:
        """The number of rows that there will be when all prompts have been read."""
        return sum(row.places for row in self._rows)

    @property
    def jobs(self) -> set[Job]:
        """The jobs that have rows."""
        return {row.job for row in self._rows}

    def begin(self, job: Job) -> None:
        """Let a new job join."""
        self.join(job.readers(), self._engine.initial_state(len(job.prompts)))

    def join(self, rows: Sequence[Row], state: NetworkState) -> None:
        """Let rows join, with their state."""
        self._state = _joined(self._state, state) if self._rows else state
        self._rows = [*self._rows, *rows]
        self._groups = None

    def remove(self, job: Job) -> tuple[list[Row], NetworkState]:
        """Take a job out; returns its rows and their state, with which it can `join` again."""
        out = [place for place, row in enumerate(self._rows) if row.job is job]
        rows, state = [self._rows[place] for place in out], _selected(self._state, out)
        if out:
            self._keep([place for place, row in enumerate(self._rows) if row.job is not job])
        return rows, state

    def clear(self) -> None:
        """Remove all rows."""
        self._keep([])

    def run(self, enough: Callable[[], bool]) -> None:
        """Step until it is enough or no row is left; at least once."""
        while self._rows:
            self.step()
            if enough():
                return

    def step(self) -> None:
        """Let each row read its next symbol, and add one symbol to each text."""
        ids = np.array([row.next for row in self._rows], np.int64)
        logits, self._state = self._engine.step(ids, self._state)
        if any(row.has_read for row in self._rows):
            logits = self._begin_texts(logits)
            if not self._rows:
                return
        uniforms = np.array([row.uniform() for row in self._rows])
        drawn, _ = draw(self._filtered(logits), uniforms)
        numbers = [
            number if row.given is None else row.given for row, number in zip(self._rows, drawn.tolist(), strict=True)
        ]
        tokens = self._tokens(numbers, logits)
        left = [place for place, (row, token) in enumerate(zip(self._rows, tokens, strict=True)) if not row.add(token)]
        if len(left) < len(self._rows):
            self._keep(left)

    def _begin_texts(self, logits: FloatArray) -> FloatArray:
        """Replace each row that has read its prompt by the rows that continue it; returns the logits of all rows."""
        rows, places = [], []
        for place, row in enumerate(self._rows):
            after = row.writers() if isinstance(row, _Reader) and row.has_read else [row]
            rows += after
            places += [place] * len(after)
        self._rows, self._state, self._groups = rows, _selected(self._state, places), None
        return logits[places]

    def _filtered(self, logits: FloatArray) -> FloatArray:
        if self._groups is None:
            places: dict[SamplingConfig, list[int]] = {}
            for place, row in enumerate(self._rows):
                places.setdefault(row.filters, []).append(place)
            self._groups = [(self._build_filters(config), rows) for config, rows in places.items()]
        if len(self._groups) == 1:
            return _apply(self._groups[0][0], logits)
        filtered = np.empty_like(logits)
        for filters, rows in self._groups:
            filtered[rows] = _apply(filters, logits[rows])
        return filtered

    def _tokens(self, numbers: list[int], logits: FloatArray) -> list[Token]:
        """The symbols with what their jobs want to know of them."""
        if not any(row.scored for row in self._rows):
            return [Token(number) for number in numbers]
        nats = negative_log_likelihood(logits, np.array(numbers)).tolist()
        tokens = [Token(number, value) for number, value in zip(numbers, nats, strict=True)]
        wanting = [place for place, row in enumerate(self._rows) if row.scored and row.job.alternatives]
        if wanting:
            chosen, _ = most_likely(logits[wanting], max(self._rows[place].job.alternatives for place in wanting))
            values = np.take_along_axis(logits[wanting], chosen, axis=-1)
            costs = negative_log_likelihood(logits[wanting], chosen[:, 0])[:, None] + (values[:, :1] - values)
            for place, pairs in zip(wanting, map(zip, chosen.tolist(), costs.tolist()), strict=True):
                wanted = tuple(pairs)[: self._rows[place].job.alternatives]
                tokens[place] = tokens[place]._replace(alternatives=wanted)
        return tokens

    def _keep(self, places: list[int]) -> None:
        self._rows = [self._rows[place] for place in places]
        self._state = _selected(self._state, places)
        self._groups = None


def _apply(filters: Sequence[Filter], logits: FloatArray) -> FloatArray:
    for each in filters:
        logits = each.apply(logits, _NO_HISTORY)
    return logits


def _selected(state: NetworkState, places: list[int]) -> NetworkState:
    """The state of some rows."""
    return map_state(lambda field: field[places], state)


def _joined(first: NetworkState, second: NetworkState) -> NetworkState:
    """The state of the rows of two states."""
    memory = None
    if first.memory is not None and second.memory is not None:
        memory = concatenate([first.memory, second.memory], axis=0)
    layers = (
        type(one)(*(concatenate(pair, axis=0) for pair in zip(one, other, strict=True)))
        for one, other in zip(first.layers, second.layers, strict=True)
    )
    return NetworkState(tuple(layers), memory)
