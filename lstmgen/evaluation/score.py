"""The model's score on a text: the one measure that training, `eval`, `score` and the Python API share.

How the text is cut decides the protocol (`text.streams`): one stream over the whole of it is the exact one.

Knows: what was predicted, and sums of surprise. Does not know: how the text was cut, or what computes the logits.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from lstmgen.errors import TextError
from lstmgen.evaluation.confidence import Blocks
from lstmgen.generation.sampler import negative_log_likelihood
from lstmgen.text.streams import IGNORED, Chunk


class Reader(Protocol):
    """A network that reads chunks: an `Engine` of `generation`."""

    def initial_state(self, batch_size: int) -> Any:
        """The state before any text."""
        ...

    def read(self, ids: Any, state: Any) -> tuple[NDArray[np.float32], Any]:
        """Logits, (batch, time, vocab), after each symbol, (batch, time), and the state after the last."""
        ...


@dataclass(frozen=True)
class Predictions:
    """Some symbols of a text, and what the model had said of them before it saw them."""

    positions: NDArray[np.int64]  # (symbols,): where in the text they stand
    ids: NDArray[np.int64]  # (symbols,)
    logits: NDArray[np.float32]  # (symbols, vocab)

    @cached_property
    def nats(self) -> NDArray[np.float64]:
        """The surprise of each, (symbols,)."""
        return negative_log_likelihood(self.logits, self.ids)

    @property
    def correct(self) -> NDArray[np.bool_]:
        """Which ones the model held for the likeliest, (symbols,)."""
        return np.asarray(self.logits.argmax(axis=-1) == self.ids)


@dataclass(frozen=True)
class Score:
    """How well symbols were predicted; every number follows from these sums."""

    characters: int  # predicted
    nats: float  # their total surprise
    correct: int  # how many the model held for the likeliest

    @property
    def bits(self) -> float:
        """Their total surprise in bits."""
        return self.nats / math.log(2)

    @property
    def nats_per_character(self) -> float:
        """The mean negative log-probability."""
        return self.nats / self.characters

    @property
    def bits_per_character(self) -> float:
        """The same in bits: what an ideal compressor with this model would need."""
        return self.nats_per_character / math.log(2)

    @property
    def perplexity(self) -> float:
        """Among how many equally likely characters the model hesitates."""
        return math.exp(min(self.nats_per_character, 700.0))  # beyond that it is no number

    @property
    def accuracy(self) -> float:
        """The share of characters that the model held for the likeliest."""
        return self.correct / self.characters


def predict(reader: Reader, chunks: Iterable[Chunk]) -> Iterator[Predictions]:
    """Read a text chunk by chunk; what was to be predicted of each comes out."""
    state = None
    for chunk in chunks:
        if chunk.reset_state:
            state = reader.initial_state(len(chunk.inputs))
        logits, state = reader.read(chunk.inputs, state)
        if (predictions := predicted(chunk, logits)) is not None:
            yield predictions


def predicted(chunk: Chunk, logits: NDArray[np.float32]) -> Predictions | None:
    """What a chunk had to predict, given logits for all of it, (batch, time, vocab); None: nothing."""
    scored = chunk.targets != IGNORED
    if not scored.any():
        return None
    places = chunk.positions[:, None] + np.arange(scored.shape[1])
    return Predictions(places[scored], chunk.targets[scored], logits[scored])


def add_up(predictions: Iterable[Predictions], blocks: Blocks | None = None) -> Score:
    """The sums of all predictions, in float64, and by block if wanted; raises TextError if there are none."""
    characters, nats, correct = 0, 0.0, 0
    for part in predictions:
        characters += len(part.ids)
        nats += float(part.nats.sum())
        correct += int(part.correct.sum())
        if blocks is not None:
            blocks.add(part.positions, part.nats)
    if characters == 0:
        raise TextError("the text has nothing to predict; give one with at least 2 characters")
    return Score(characters, nats, correct)


def score(reader: Reader, chunks: Iterable[Chunk]) -> Score:
    """How well a text is predicted; raises TextError if there is nothing to predict."""
    return add_up(predict(reader, chunks))
