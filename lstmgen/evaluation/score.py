"""The model's score on a text or on each of its lines: the measure that training, `eval` and `score` share.

The evaluation protocol is the way in which `text.streams` cuts the text into chunks. The exact protocol is one stream
over the whole text, or each line by itself.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lstmgen.errors import TextError
from lstmgen.evaluation.confidence import Blocks
from lstmgen.generation.engine import Engine
from lstmgen.generation.sampler import negative_log_likelihood
from lstmgen.text.lines import line_items
from lstmgen.text.streams import IGNORED, Chunk, every_line, first_block, one_stream, stream_of_blocks, whole_lines
from lstmgen.text.vocabulary import Ids

_LOGITS = 1 << 23
"""The maximum number of logits at once: 32 MB."""


@dataclass(frozen=True)
class Predictions:
    """Some tokens of a text, and the logits that the model computed for each before it read the token."""

    positions: NDArray[np.int64]  # (tokens,): their positions in the text
    ids: NDArray[np.int64]  # (tokens,)
    logits: NDArray[np.float32]  # (tokens, vocab)

    @cached_property
    def nats(self) -> NDArray[np.float64]:
        """The surprisal of each token, its negative log-probability, in nats, (tokens,)."""
        return negative_log_likelihood(self.logits, self.ids)

    @property
    def correct(self) -> NDArray[np.bool_]:
        """Whether each token was the model's most likely one, (tokens,)."""
        return np.asarray(self.logits.argmax(axis=-1) == self.ids)


@dataclass(frozen=True)
class Score:
    """How well tokens were predicted; all measures follow from three sums."""

    characters: int  # the number of predicted tokens
    nats: float  # their total surprisal, the negative log-probability
    correct: int  # the number of tokens that were the model's most likely one

    @property
    def bits(self) -> float:
        """The total surprisal in bits."""
        return self.nats / math.log(2)

    @property
    def nats_per_character(self) -> float:
        """The mean surprisal, which is the cross-entropy."""
        return self.nats / self.characters

    @property
    def bits_per_character(self) -> float:
        """The mean surprisal in bits: what an ideal compressor using this model needs per character."""
        return self.nats_per_character / math.log(2)

    @property
    def perplexity(self) -> float:
        """The number of equally likely characters among which a choice would be just as uncertain."""
        return math.exp(min(self.nats_per_character, 700.0))  # a larger exponent overflows

    @property
    def accuracy(self) -> float:
        """The fraction of tokens that were the model's most likely one."""
        return self.correct / self.characters

    def to_mapping(self) -> dict[str, float]:
        """The score as JSON values."""
        names = ("characters", "nats_per_character", "bits_per_character", "perplexity", "accuracy")
        return {name: getattr(self, name) for name in names}


def exact_protocol(ids: Ids, newline: int | None) -> Iterator[Chunk]:
    """The chunks of a text, (tokens,), for the exact protocol; given the id of the line feed, line by line."""
    return one_stream(ids) if newline is None else every_line(ids, newline, batch_size=32)


def predict(engine: Engine, chunks: Iterable[Chunk], max_logits: int = _LOGITS) -> Iterator[Predictions]:
    """Read a text chunk by chunk; yield the predictions of each chunk that has targets.

    If the vocabulary is large, chunks are read in pieces, so that at most about `max_logits` logits exist at once.
    """
    state: Any = None  # the first chunk of a text resets it
    for chunk in chunks:
        for piece in chunk.pieces(max(1, max_logits // (len(chunk.inputs) * engine.network.vocab_size))):
            if piece.reset_state:
                state = engine.initial_state(len(piece.inputs))
            logits, state = engine.read(piece.inputs, state)
            if (predictions := predicted(piece, logits)) is not None:
                yield predictions


def predicted(chunk: Chunk, logits: NDArray[np.float32]) -> Predictions | None:
    """Select the predictions of a chunk's targets from its logits, (batch, time, vocab); None if it has no targets."""
    scored = chunk.targets != IGNORED
    if not scored.any():
        return None
    positions = chunk.positions[:, None] + np.arange(scored.shape[1])
    return Predictions(positions[scored], chunk.targets[scored], logits[scored])


def add_up(predictions: Iterable[Predictions], blocks: Blocks | None = None) -> Score:
    """Sum all predictions in float64, and add them to `blocks` if given; raises TextError if there are none."""
    characters, nats, correct = 0, 0.0, 0
    for part in predictions:
        characters += len(part.ids)
        nats += float(part.nats.sum())
        correct += int(part.correct.sum())
        if blocks is not None:
            blocks.add(part.positions, part.nats)
    if characters == 0:
        raise TextError("the text has nothing to predict; give a text with at least 2 characters")
    return Score(characters, nats, correct)


def score(engine: Engine, chunks: Iterable[Chunk]) -> Score:
    """The score of a text that comes in chunks; raises TextError if there is nothing to predict."""
    return add_up(predict(engine, chunks))


@dataclass(frozen=True)
class LineScore:
    """One line and its score, which includes the line feed at its end."""

    number: int  # of the line in the text, from 1; empty lines are counted, but have no score
    ids: Ids  # (tokens,), without its line feed
    score: Score


def lines_in_context(engine: Engine, blocks: Iterable[Ids], newline: int | None) -> Iterator[LineScore]:
    """Score each line of a text that comes in blocks, (tokens,), given all the text before it."""
    head, blocks = first_block(blocks)
    number, ids, characters, nats, correct = 1, [head[:1]], 0, 0.0, 0
    end = -1 if newline is None else newline

    for part in predict(engine, stream_of_blocks(blocks)):
        cuts = np.flatnonzero(part.ids == end) + 1
        for piece in zip(*(np.split(array, cuts) for array in (part.ids, part.nats, part.correct)), strict=True):
            if ids and len(ids[-1]) and ids[-1][-1] == end:  # the line so far is complete
                if (line := np.concatenate(ids)[:-1]).size:
                    yield LineScore(number, line, Score(characters, nats, correct))
                number, ids, characters, nats, correct = number + 1, [], 0, 0.0, 0
            ids.append(piece[0])
            characters += len(piece[0])
            nats += float(piece[1].sum())
            correct += int(piece[2].sum())
    line = np.concatenate([array[array != end] for array in ids])
    if characters and line.size:
        yield LineScore(number, line, Score(characters, nats, correct))


def separate_lines(engine: Engine, blocks: Iterable[Ids], newline: int) -> Iterator[LineScore]:
    """Score each line of a text that comes in blocks, (tokens,), by itself, from the initial state and a line feed."""
    lines_before = 0
    for ids in whole_lines(blocks, newline):
        items = line_items(ids, newline).astype(np.int64)
        count = len(items)
        characters, nats, correct = np.zeros(count, np.int64), np.zeros(count), np.zeros(count, np.int64)
        for part in predict(engine, exact_protocol(ids, newline)):
            item = np.searchsorted(items[:, 1], part.positions)  # (tokens,): the item of each token
            characters += np.bincount(item, minlength=count)
            nats += np.bincount(item, part.nats, count)
            correct += np.bincount(item, part.correct, count).astype(np.int64)
        feeds = np.flatnonzero(ids == newline)
        numbers = lines_before + 1 + np.searchsorted(feeds, items[:, 0])
        sums = zip(characters.tolist(), nats.tolist(), correct.tolist(), strict=True)
        for number, (begin, end), line_sums in zip(numbers.tolist(), items.tolist(), sums, strict=True):
            yield LineScore(number, ids[begin:end], Score(*line_sums))
        lines_before += len(feeds)
