"""Drawing symbols: the loop that writes.

Each row of a batch has a generator of its own, so that a sample does not depend on how many are written beside it.

Knows: ids, logits, chance, and why a sample ends. Does not know: characters, files or terminals.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lstmgen.config import Finish
from lstmgen.generation.engine import Engine, EngineOutput, FloatArray
from lstmgen.generation.filters import Filter
from lstmgen.generation.history import History
from lstmgen.generation.stops import StopBuffer

_DRAWS = 256


class Drawn(NamedTuple):
    """One symbol of one sample."""

    row: int
    id: int
    nats: float  # surprise: its negative log-probability under the model itself, before any filter


class Ended(NamedTuple):
    """A sample is complete."""

    row: int
    finish: Finish


def draw_symbols(
    engine: Engine,
    point: EngineOutput,
    history: History,
    filters: Sequence[Filter],
    *,
    length: int,
    seed: int,
    end: int | None = None,
    stops: Sequence[str] = (),
) -> Iterator[Drawn | Ended]:
    """Write from where a text stands; symbols come as they are drawn, row by row, and each row's end.

    Args:
        engine: the network.
        point: where each row stands.
        history: what each row has written before.
        filters: applied to the logits, in this order; fresh ones for each call.
        length: how many symbols a sample may have; -1: any number.
        seed: with the row's number it decides all that is drawn.
        end: a symbol after which a sample is complete.
        stops: strings of ids before which a sample is complete; nothing of them is written.
    """
    logits, state = point
    rows, size = logits.shape
    chances = _uniform(seed, rows)
    held: list[StopBuffer[Drawn]] = [StopBuffer(stops) for _ in range(rows)]
    writing = list(range(rows))
    while writing and history.written != length:
        chosen = logits
        for apply in filters:
            chosen = apply(chosen, history)
        drawn, possible = _draw(chosen, next(chances))
        # Drawing the symbol after the last is drawing the end of a match: nothing is written there.
        ids = drawn if chosen.shape[1] == size else np.minimum(drawn, size - 1)
        numbers, nats = drawn.tolist(), negative_log_likelihood(logits, ids).tolist()
        for row in tuple(writing):
            number, finish = numbers[row], None
            if not possible[row]:
                finish = Finish.STUCK
            elif number == size:
                finish = Finish.MATCH
            else:
                symbol = Drawn(row, number, nats[row])
                if not stops:
                    yield symbol
                else:
                    released, stopped = held[row].add(chr(number), symbol)
                    yield from released
                    finish = Finish.STOP if stopped else None
                if number == end and finish is None:
                    finish = Finish.LINE
            if finish is not None:
                if finish is not Finish.STOP:
                    yield from held[row].rest()
                yield Ended(row, finish)
                writing.remove(row)
        history.add(ids)
        if writing and history.written != length:
            logits, state = engine.step(ids, state)
    for row in writing:
        yield from held[row].rest()
        yield Ended(row, Finish.LENGTH)


@dataclass
class Sample:
    """One sample as a whole."""

    ids: list[int] = field(default_factory=list)
    nats: float = 0.0  # its surprise under the model itself
    finish: Finish = Finish.LENGTH

    @property
    def nats_per_symbol(self) -> float:
        """Its mean surprise; infinite for one that is empty or stuck, which no other is worse than."""
        return self.nats / len(self.ids) if self.ids and self.finish is not Finish.STUCK else math.inf


def collect(events: Iterable[Drawn | Ended], rows: int) -> list[Sample]:
    """All samples of a batch, when they are complete."""
    samples = [Sample() for _ in range(rows)]
    for event in events:
        sample = samples[event.row]
        if isinstance(event, Drawn):
            sample.ids.append(event.id)
            sample.nats += event.nats
        else:
            sample.finish = event.finish
    return samples


def keep_best(samples: Sequence[Sample], candidates: int) -> list[Sample]:
    """Of each so many samples in a row, the one that the model finds likeliest, symbol by symbol."""
    groups = (samples[start : start + candidates] for start in range(0, len(samples), candidates))
    return [min(group, key=lambda sample: sample.nats_per_symbol) for group in groups]


def negative_log_likelihood(logits: FloatArray, ids: NDArray[np.integer[Any]]) -> NDArray[np.float64]:
    """The negative log-probability of each id under its logits, in nats: (rows, vocab) and (rows,) -> (rows,)."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    chosen = shifted[np.arange(len(ids)), ids]
    return np.log(np.exp(shifted).sum(axis=-1, dtype=np.float64)) - chosen  # type: ignore[no-any-return]


def most_likely(logits: FloatArray, count: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The ids of the likeliest symbols and their probabilities: (rows, vocab) -> (rows, count) twice, falling."""
    ids = np.argsort(-logits, axis=-1, kind="stable")[:, :count]
    shifted = logits - logits.max(axis=-1, keepdims=True)
    total = np.exp(shifted).sum(axis=-1, keepdims=True, dtype=np.float64)
    return ids, np.exp(np.take_along_axis(shifted, ids, axis=-1)) / total


def _uniform(seed: int, rows: int) -> Iterator[NDArray[np.float64]]:
    """Numbers from [0, 1), (rows,): each row's come from a generator of its own, many at a time."""
    generators = [np.random.default_rng([seed, row]) for row in range(rows)]
    while True:
        yield from np.stack([generator.random(_DRAWS) for generator in generators], axis=1)


def _draw(logits: FloatArray, uniform: NDArray[np.float64]) -> tuple[NDArray[np.int64], list[bool]]:
    """Draw one symbol a row by inverting the cumulative distribution, (rows,); and whether each row had any."""
    best = logits.max(axis=-1, keepdims=True)
    possible = [value > -math.inf for (value,) in best.tolist()]
    if not all(possible):
        logits = np.where(best == -np.inf, np.float32(0), logits)
        best = logits.max(axis=-1, keepdims=True)
    cumulative = np.add.accumulate(np.exp(logits - best), axis=-1, dtype=np.float64)
    below = cumulative <= (uniform * cumulative[:, -1])[:, None]
    return np.minimum(below.sum(axis=-1), logits.shape[-1] - 1), possible
