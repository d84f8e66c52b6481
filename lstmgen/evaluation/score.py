"""The model's score on a text: the one measure that training, `eval` and the Python API share.

How the text is cut decides the protocol (`text.streams`): one stream over the whole of it is the exact one.

Knows: sums of surprise. Does not know: how the text was cut, or what computes the logits.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from lstmgen.errors import TextError
from lstmgen.generation.sampler import surprise
from lstmgen.text.streams import IGNORED, Chunk


class Reader(Protocol):
    """A network that reads chunks: `generation.engine.Engine`, or torch's through `training.trainer`."""

    def initial_state(self, batch_size: int) -> Any:
        """The state before any text."""
        ...

    def read(self, ids: Any, state: Any) -> tuple[NDArray[np.float32], Any]:
        """Logits, (batch, time, vocab), after each symbol, (batch, time), and the state after the last."""
        ...


@dataclass(frozen=True)
class Score:
    """How well symbols were predicted; every number follows from these sums."""

    characters: int  # predicted
    nats: float  # their total surprise
    correct: int  # how many the model held for the likeliest

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


def score(reader: Reader, chunks: Iterable[Chunk]) -> Score:
    """Add up the surprise of all that is to be predicted, in float64; raises TextError if that is nothing."""
    characters, nats, correct, state = 0, 0.0, 0, None
    for chunk in chunks:
        if chunk.fresh:
            state = reader.initial_state(len(chunk.inputs))
        logits, state = reader.read(chunk.inputs, state)
        scored = chunk.targets != IGNORED
        if scored.any():
            logits, targets = logits[scored], chunk.targets[scored]
            characters += len(targets)
            nats += float(surprise(logits, targets).sum())
            correct += int((logits.argmax(axis=-1) == targets).sum())
    if characters == 0:
        raise TextError("the text has nothing to predict; give one with at least 2 characters")
    return Score(characters, nats, correct)
