"""How surprising each character of a text is, and what was expected in its place.

Knows: ids, and the characters that a vocabulary makes of them. Does not know: files, terminals or pages.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from lstmgen.evaluation.score import Predictions
from lstmgen.generation.sampler import likeliest
from lstmgen.text.vocabulary import Ids, Vocabulary


@dataclass(frozen=True)
class Expected:
    """One symbol that might have come."""

    symbol: str  # a character; of bytes that are no ASCII, their number: 0xE9
    probability: float


@dataclass(frozen=True)
class CharacterScore:
    """One character of the text."""

    place: int  # in the text, from 0
    text: str
    nats: float  # its surprise; that of all its bytes, for a model of bytes
    expected: tuple[Expected, ...]  # the likeliest symbols in its place, or in that of its first byte

    @property
    def bits(self) -> float:
        """Its surprise in bits."""
        return self.nats / math.log(2)


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
    names = [character or f"0x{number:02X}" for number, character in enumerate(vocabulary.spelling())]
    decoder = vocabulary.decoder()
    text, nats, expected = "".join(map(decoder.feed, first.tolist())), 0.0, tuple[Expected, ...]()
    place = 0
    if text:
        yield CharacterScore(place, text, nats, expected)
    for part in predictions:
        likely = zip(*(array.tolist() for array in likeliest(part.logits, alternatives)), strict=True)
        for place, id_, surprise, row in zip(
            part.places.tolist(), part.ids.tolist(), part.nats.tolist(), likely, strict=True
        ):
            if text:  # the character before is whole: a new one begins
                nats, expected = 0.0, tuple(Expected(names[id_], p) for id_, p in zip(*row, strict=True))
            text = decoder.feed(id_)
            nats += surprise
            if text:
                yield CharacterScore(place, text, nats, expected)
    if rest := decoder.finish():
        yield CharacterScore(place, rest, nats, expected)
