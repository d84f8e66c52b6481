"""How surprising each character of a text is, and what was expected in its place.

Knows: ids, and the characters that a vocabulary makes of them. Does not know: files, terminals or pages.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from lstmgen.evaluation.score import Predictions
from lstmgen.generation.sampler import most_likely
from lstmgen.text.vocabulary import Ids, Vocabulary


@dataclass(frozen=True)
class Expected:
    """One symbol that might have come."""

    symbol: str  # a character; of bytes that are no ASCII, their number: 0xE9
    probability: float


@dataclass(frozen=True)
class CharacterScore:
    """One character of the text."""

    position: int  # of its first symbol in the text, from 0
    text: str  # of bytes that are no character U+FFFD, and perhaps several
    nats: float  # its surprise; that of all its bytes, for a model of bytes
    expected: tuple[Expected, ...]  # the likeliest symbols in its place, or in that of its first byte

    @property
    def bits(self) -> float:
        """Its surprise in bits."""
        return self.nats / math.log(2)


_Symbol = tuple[int, int, float, tuple[Expected, ...]]  # its place, id and surprise, and what was expected


def score_characters(
    vocabulary: Vocabulary, first: Ids, predictions: Iterable[Predictions], alternatives: int
) -> Iterator[CharacterScore]:
    """The characters of a text, each with so many symbols that were expected in its place.

    Args:
        vocabulary: what the ids stand for.
        first: what was given, not predicted, (symbols,); it comes out without surprise.
        predictions: of all others, in the order of the text.
        alternatives: how many.
    """
    decoder = vocabulary.decoder()
    place, nats, expected, whole = 0, 0.0, tuple[Expected, ...](), True
    for at, id_, surprise, likely in chain(_given(first), _predicted(vocabulary, predictions, alternatives)):
        text = decoder.feed(id_)
        if not whole and (broken := text[: len(text) - (not decoder.pending)]):  # what had begun was no character
            yield CharacterScore(place, broken, nats, expected)
            text, whole = text[len(broken) :], True
        if whole:
            place, nats, expected = at, 0.0, likely
        expected = expected or likely  # of a character whose first byte was given, in place of the second
        nats += surprise
        whole = bool(text)
        if whole:
            yield CharacterScore(place, text, nats, expected)
    if rest := decoder.finish():
        yield CharacterScore(place, rest, nats, expected)


def _given(first: Ids) -> Iterator[_Symbol]:
    for place, id_ in enumerate(first.tolist()):
        yield place, id_, 0.0, ()


def _predicted(vocabulary: Vocabulary, predictions: Iterable[Predictions], alternatives: int) -> Iterator[_Symbol]:
    names = [character or f"0x{number:02X}" for number, character in enumerate(vocabulary.spelling())]
    for part in predictions:
        likely: Sequence[Any] = [[()] * len(part.ids)] * 2  # none: sorting them takes longer than all else
        if alternatives:
            likely = [array.tolist() for array in most_likely(part.logits, alternatives)]
        told = (part.positions.tolist(), part.ids.tolist(), part.nats.tolist(), *likely)
        for place, id_, surprise, ids, probabilities in zip(*told, strict=True):
            yield place, id_, surprise, tuple(Expected(names[i], p) for i, p in zip(ids, probabilities, strict=True))
