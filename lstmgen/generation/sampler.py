"""The sampling loop: draw a token for each row, read it, and repeat until every sample has ended.

Each row of a batch has its own random generator, so a sample does not depend on how many others are in the batch.
"""

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from lstmgen.config import FinishReason, SamplingConfig
from lstmgen.errors import ConfigError
from lstmgen.generation.engine import Engine, FloatArray, PromptState
from lstmgen.generation.filters.base import Filter, History
from lstmgen.generation.filters.match import Automaton
from lstmgen.network.architecture import map_state

_UNIFORMS_AT_ONCE = 256

Item = TypeVar("Item")


class Drawn(NamedTuple):
    """One token of one sample."""

    row: int
    id: int
    nats: float  # its surprisal: the negative log-probability under the model itself, before any filter


class Ended(NamedTuple):
    """A sample is complete."""

    row: int
    finish_reason: FinishReason


def draw_tokens(
    engine: Engine,
    prompt_state: PromptState,
    filters: Sequence[Filter],
    *,
    rows: int = 1,
    length: int,
    seed: int,
    end: int | None = None,
    stops: Sequence[str] = (),
) -> Iterator[Drawn | Ended]:
    """Draw samples that continue a prompt; yield each token as it is drawn, row by row, and the end of each row.

    Args:
        engine: the network.
        prompt_state: the state after the prompt; filters may look back at its text.
        filters: applied to the logits in this order; build new ones for each call, because filters have memory.
        rows: the number of samples.
        length: the maximum length of a sample in tokens; -1: no maximum.
        seed: together with the row's number it determines all random numbers of a row.
        end: the token that ends a sample and is part of it.
        stops: stop texts, as strings of ids; a sample ends before the first one, which is not part of it.
    """
    logits = prompt_state.logits.repeat(rows, axis=0)
    state = map_state(lambda field: field.repeat(rows, axis=0), prompt_state.state)
    vocab_size = logits.shape[1]
    history = History(prompt_state.text, rows, max((each.history_length for each in filters), default=0))
    randoms = [uniforms(seed, row) for row in range(rows)]
    endings: list[Ending[Drawn]] = [Ending(length, end, stops) for _ in range(rows)]
    active = list(range(rows))
    if length == 0:
        yield from (Ended(row, FinishReason.LENGTH) for row in active)
        return
    while active:
        filtered = logits
        for each in filters:
            filtered = each.apply(filtered, history)
        drawn, possible = draw(filtered, np.array([*map(next, randoms)]))
        # The filter `match` adds a column after the vocabulary: drawing it ends the sample without a token.
        ids = drawn if filtered.shape[1] == vocab_size else np.minimum(drawn, vocab_size - 1)
        numbers, nats = drawn.tolist(), negative_log_likelihood(logits, ids).tolist()
        for row in tuple(active):
            number, ending = numbers[row], endings[row]
            finish_reason: FinishReason | None
            if not possible[row]:
                released, finish_reason = ending.kept, FinishReason.STUCK
            elif number == vocab_size:
                released, finish_reason = ending.kept, FinishReason.MATCH
            else:
                released, finish_reason = ending.add(number, Drawn(row, number, nats[row]))
            yield from released
            if finish_reason is not None:
                yield Ended(row, finish_reason)
                active.remove(row)
        history.add(ids)
        if active:
            logits, state = engine.step(ids, state)


def check_matches(
    events: Iterable[Drawn | Ended], pattern: Automaton, rows: int, end: int | None
) -> Iterator[Drawn | Ended]:
    """Yield the same events, but end samples that do not match with `FinishReason.UNMATCHED`.

    `end` is the token by which the model itself ends a sample and which is not part of a match; None: there is none.
    """
    states = [pattern.start] * rows
    for event in events:
        row = event.row
        if isinstance(event, Drawn):
            if event.id != end:
                states[row] = pattern.after(states[row], event.id)
        elif not pattern.matches(states[row]):
            event = Ended(row, FinishReason.UNMATCHED)
        yield event


def require_matches(samples: Sequence[FinishReason], config: SamplingConfig) -> None:
    """Raise ConfigError, naming the filters that may be the cause, unless all samples match the expression."""
    if (unmatched := samples.count(FinishReason.UNMATCHED)) == 0:
        return
    others = " and ".join(f"`{name}`" for name in ("no_repeat", "max_copy", "stop") if getattr(config, name))
    which = "the text" if len(samples) == 1 else f"{unmatched:,} of {len(samples):,} texts"
    remedy = f"{which} ended before matching the pattern, because of {others}; change one of them, or the `seed`"
    raise ConfigError("match", repr(config.match), remedy)


class Ending(Generic[Item]):
    """Decides where one sample ends, and why.

    A token that may begin a stop text is held back until it is clear whether the stop text follows, so no part of a
    stop text is ever shown.
    """

    def __init__(self, length: int, end: int | None, stops: Sequence[str]) -> None:
        """Begin a sample. For `length` (at least 1, or -1), `end` and `stops` see `draw_tokens`."""
        self.left = length
        """How many more tokens the sample may have."""
        self._end = end
        self._stops = stops
        self._beginnings = {stop[:length] for stop in stops for length in range(1, len(stop) + 1)}
        self._text = ""
        self.kept: list[Item] = []
        """The items held back. They belong to the sample if no more tokens follow."""

    def add(self, number: int, item: Item) -> tuple[list[Item], FinishReason | None]:
        """Add a token and its item.

        Returns the items that are now part of the sample, and why the sample ends; None: it continues.
        """
        self.left -= 1
        released, token = [item], chr(number)
        if self.kept or token in self._beginnings:
            self._text += token
            self.kept.append(item)
            complete = [len(stop) for stop in self._stops if self._text.endswith(stop)]
            lengths = range(1, len(self._text) + 1)
            beginnings = (length for length in lengths if self._text[-length:] in self._beginnings)
            cut = len(self._text) - max(complete or beginnings, default=0)
            released, self.kept, self._text = self.kept[:cut], self.kept[cut:], self._text[cut:]
            if complete:
                return released, FinishReason.STOP
        finish_reason = FinishReason.LINE if number == self._end else FinishReason.LENGTH if self.left == 0 else None
        return (released if finish_reason is None else released + self.kept), finish_reason


@dataclass
class Sample:
    """One complete sample."""

    ids: list[int] = field(default_factory=list)
    nats: float = 0.0  # its negative log-probability under the model itself, before any filter
    finish_reason: FinishReason = FinishReason.LENGTH


def collect(events: Iterable[Drawn | Ended], rows: int) -> list[Sample]:
    """Collect all events of a batch into `rows` complete samples."""
    samples = [Sample() for _ in range(rows)]
    for event in events:
        sample = samples[event.row]
        if isinstance(event, Drawn):
            sample.ids.append(event.id)
            sample.nats += event.nats
        else:
            sample.finish_reason = event.finish_reason
    return samples


def keep_best(samples: Sequence[Sample], candidates: int) -> list[Sample]:
    """Of each group of `candidates` consecutive samples, keep the one with the highest log-probability per token.

    Empty and stuck samples rank below all others, and samples that do not match rank last.
    """

    def cost(one: Sample) -> tuple[bool, float]:
        unmatched = one.finish_reason is FinishReason.UNMATCHED
        worst = unmatched or one.finish_reason is FinishReason.STUCK or not one.ids
        return unmatched, math.inf if worst else one.nats / len(one.ids)

    return [min(samples[start : start + candidates], key=cost) for start in range(0, len(samples), candidates)]


def negative_log_likelihood(logits: FloatArray, ids: NDArray[np.integer[Any]]) -> NDArray[np.float64]:
    """The negative log-probability of each id under its logits, in nats: (rows, vocab) and (rows,) -> (rows,)."""
    shifted = logits - np.maximum.reduce(logits, axis=-1, keepdims=True)
    chosen = shifted[np.arange(len(ids)), ids]
    return np.log(np.add.reduce(np.exp(shifted), axis=-1, dtype=np.float64)) - chosen  # type: ignore[no-any-return]  # its type is known, but not to mypy


def most_likely(logits: FloatArray, count: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The `count` most likely tokens, best first: logits (rows, vocab) -> ids, probabilities, both (rows, count)."""
    ids = np.argsort(-logits, axis=-1, kind="stable")[:, :count]
    shifted = logits - logits.max(axis=-1, keepdims=True)
    total = np.exp(shifted).sum(axis=-1, keepdims=True, dtype=np.float64)
    return ids, np.exp(np.take_along_axis(shifted, ids, axis=-1)) / total


def uniforms(seed: int, row: int) -> Iterator[float]:
    """An endless stream of random numbers in [0, 1) for one row."""
    generator = np.random.default_rng([seed, row])
    return itertools.chain.from_iterable(map(generator.random, itertools.repeat(_UNIFORMS_AT_ONCE)))


def draw(logits: FloatArray, uniform: NDArray[np.float64]) -> tuple[NDArray[np.int64], list[bool]]:
    """Draw one token per row by inverting the cumulative distribution: (rows, tokens) -> ids (rows,).

    Also returns whether each row had any token to draw; without one, its id is meaningless.
    """
    best = logits.max(axis=-1, keepdims=True)
    possible = list(map((-math.inf).__lt__, best.ravel().tolist()))
    if not all(possible):
        logits = np.where(best == -np.inf, np.float32(0), logits)
        best = logits.max(axis=-1, keepdims=True)
    cumulative = np.add.accumulate(np.exp(logits - best), axis=-1, dtype=np.float64)
    below = cumulative[:, :-1] <= (uniform * cumulative[:, -1])[:, None]  # above them all, it is the last token
    return np.add.reduce(below, axis=-1, dtype=np.int64), possible
