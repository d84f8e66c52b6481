"""The surprisal of each character of a text, and the tokens that the model expected at its position.

The surprisal of a token is its negative log-probability under the model.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from lstmgen.evaluation.score import Predictions
from lstmgen.generation.sampler import most_likely
from lstmgen.printable import name_of
from lstmgen.text.vocabulary import Ids, Vocabulary

MAX_BITS = 8
"""The top level of the surprisal scale, for this many bits or more."""


@dataclass(frozen=True)
class Expected:
    """A token that the model considered likely at a position."""

    token: str  # a character; for a byte outside ASCII its number, such as 0xE9
    probability: float


@dataclass(frozen=True)
class CharacterScore:
    """One character of the text."""

    position: int  # of its first token in the text, from 0
    text: str  # for bytes that are not valid UTF-8: U+FFFD, possibly several times
    nats: float  # its surprisal; for a model of bytes, the sum over all its bytes
    expected: tuple[Expected, ...]  # the most likely tokens at its position, or at its first byte

    @property
    def bits(self) -> float:
        """The surprisal in bits."""
        return self.nats / math.log(2)

    @property
    def level(self) -> int:
        """The level of its colour: its bits, rounded, from 0 to `MAX_BITS`."""
        return min(MAX_BITS, round(self.bits))

    @property
    def alternatives(self) -> str:
        """The expected tokens with their probabilities, without tokens of 0% other than the likeliest."""
        named = [f"{name_of(each.token)} {each.probability:.0%}" for each in self.expected]
        return "  ".join(text for number, text in enumerate(named) if number == 0 or not text.endswith(" 0%"))


def score_characters(
    vocabulary: Vocabulary, first: Ids, predictions: Iterable[Predictions], alternatives: int
) -> Iterator[CharacterScore]:
    """Score the characters of a text; each comes with the `alternatives` most likely tokens at its position.

    `first` has the ids at the beginning that are not predicted, (tokens,); their surprisal is 0. The predictions cover
    all other tokens, in the order of the text.
    """
    decoder = vocabulary.decoder()
    position, nats, expected, complete = 0, 0.0, tuple[Expected, ...](), True
    given = ((position, id_, 0.0, ()) for position, id_ in enumerate(first.tolist()))
    tokens = chain(given, _predicted(vocabulary, predictions, alternatives))
    for token_position, id_, token_nats, likely in tokens:
        text = decoder.feed(id_)
        # Earlier bytes began a character that this byte does not continue, so they are invalid UTF-8.
        if not complete and (invalid := text[: len(text) - (not decoder.pending)]):
            yield CharacterScore(position, invalid, nats, expected)
            text, complete = text[len(invalid) :], True
        if complete:
            position, nats, expected = token_position, 0.0, likely
        expected = expected or likely  # if a character's first byte was given, use its second byte's
        nats += token_nats
        complete = bool(text)
        if complete:
            yield CharacterScore(position, text, nats, expected)
    if rest := decoder.finish():
        yield CharacterScore(position, rest, nats, expected)


def _predicted(
    vocabulary: Vocabulary, predictions: Iterable[Predictions], alternatives: int
) -> Iterator[tuple[int, int, float, tuple[Expected, ...]]]:
    """The position, id, surprisal and expected tokens of each predicted token."""
    names = vocabulary.token_names()
    for part in predictions:
        likely: Sequence[Any] = [[()] * len(part.ids)] * 2
        if alternatives:  # sorting takes longer than everything else
            likely = [array.tolist() for array in most_likely(part.logits, alternatives)]
        columns = (part.positions.tolist(), part.ids.tolist(), part.nats.tolist(), *likely)
        for position, id_, nats, ids, probabilities in zip(*columns, strict=True):
            yield position, id_, nats, tuple(Expected(names[i], p) for i, p in zip(ids, probabilities, strict=True))
