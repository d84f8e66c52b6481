"""The score of each character: the texts, their surprise, and the expected tokens."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from lstmgen.config import VocabularyKind
from lstmgen.evaluation.characters import CharacterScore, score_characters
from lstmgen.evaluation.score import predict
from lstmgen.generation.engine import NumpyEngine
from lstmgen.text.streams import lines_in_order, one_stream
from lstmgen.text.vocabulary import Ids, Vocabulary
from tests.command_line import untrained_checkpoint

BYTES = Vocabulary(VocabularyKind.BYTES)
LETTERS = Vocabulary(VocabularyKind.CHARACTERS, "\nabcé日")

COMPLETE_AND_INCOMPLETE_CHARACTERS = st.lists(
    st.sampled_from(
        [b"a", "é".encode(), "日".encode(), "🙂".encode(), b"\xc2", b"\xe6\x97", b"\x80", b"\xf0\x9f", b"\xff"]
    ),
    min_size=1,
    max_size=8,
).map(b"".join)
ENCODED_SURROGATES = st.lists(st.sampled_from([0xED, 0xA0, 0x80, 0x61]), min_size=1, max_size=8).map(bytes)


def engine_of(vocabulary: Vocabulary) -> NumpyEngine:
    checkpoint = untrained_checkpoint(vocabulary)
    return NumpyEngine(checkpoint.network, checkpoint.weights)


ENGINES = {vocabulary.kind: engine_of(vocabulary) for vocabulary in (BYTES, LETTERS)}


def scored(ids: Ids, vocabulary: Vocabulary, alternatives: int = 5, chunk_length: int = 7) -> list[CharacterScore]:
    predictions = predict(ENGINES[vocabulary.kind], one_stream(ids, chunk_length))
    return list(score_characters(vocabulary, ids[:1], predictions, alternatives))


def surprises(ids: Ids, vocabulary: Vocabulary) -> list[float]:
    """The surprise of each token; the first token is given, so that its surprise is 0."""
    parts = predict(ENGINES[vocabulary.kind], one_stream(ids))
    return [0.0, *(nats for part in parts for nats in part.nats.tolist())]


@given(st.text(LETTERS.characters, min_size=1, max_size=40), st.integers(0, 9))
@settings(deadline=None, max_examples=60)
def test_characters_add_up_to_the_text_and_its_surprise(text: str, alternatives: int) -> None:
    ids = LETTERS.encode(text)
    found = scored(ids, LETTERS, alternatives)
    assert [(character.position, character.text) for character in found] == list(enumerate(text))
    assert_allclose([character.nats for character in found], surprises(ids, LETTERS), rtol=1e-5, atol=1e-6)
    assert (found[0].nats, found[0].expected) == (0.0, ())
    for character in found[1:]:
        assert character.bits == pytest.approx(character.nats / math.log(2))
        probabilities = [expected.probability for expected in character.expected]
        assert len(probabilities) == min(alternatives, len(LETTERS))
        assert probabilities == sorted(probabilities, reverse=True)
        assert len({expected.token for expected in character.expected}) == len(probabilities)
        if alternatives >= len(LETTERS):
            assert math.fsum(probabilities) == pytest.approx(1)
        by_token = {expected.token: expected.probability for expected in character.expected}
        probability = math.exp(-character.nats)
        if character.text in by_token:
            assert by_token[character.text] == pytest.approx(probability)
        else:
            assert min(probabilities, default=1) >= probability * (1 - 1e-6)


@given(st.text("aé日🙂\n", min_size=1, max_size=30), st.integers(1, 9))
@settings(deadline=None, max_examples=60)
def test_a_character_of_several_bytes_has_the_surprise_of_all_its_bytes(text: str, chunk_length: int) -> None:
    ids = BYTES.encode(text)
    found = scored(ids, BYTES, chunk_length=chunk_length)
    nats = surprises(ids, BYTES)
    begins = np.cumsum([0, *(len(character.encode()) for character in text)]).tolist()
    assert "".join(character.text for character in found) == text
    assert [character.position for character in found] == begins[:-1]
    sums = [sum(nats[begin:end]) for begin, end in pairwise(begins)]
    assert_allclose([character.nats for character in found], sums, rtol=1e-5, atol=1e-6)
    given = 0 if len(text[0].encode()) == 1 else 5  # of several bytes only the first is given
    assert [len(character.expected) for character in found] == [given] + [5] * (len(text) - 1)


def test_the_expected_tokens_of_a_character_of_several_bytes_are_those_of_its_first_byte() -> None:
    found = scored(BYTES.encode("aé"), BYTES, alternatives=256)
    (first,) = (e.probability for e in found[1].expected if e.token == "0xC3")
    assert found[1].text == "é"
    assert first == pytest.approx(math.exp(-surprises(BYTES.encode("aé"), BYTES)[1]), rel=1e-5)
    tokens = {e.token for e in found[1].expected}
    assert {"a", "\n", "\x00", "0x80", "0xFF"} <= tokens
    assert len(tokens) == 256


@given(st.binary(min_size=1, max_size=20) | COMPLETE_AND_INCOMPLETE_CHARACTERS | ENCODED_SURROGATES)
@settings(deadline=None, max_examples=80)
def test_bytes_that_are_not_text_come_out_once_with_their_surprise(content: bytes) -> None:
    ids = np.frombuffer(content, np.uint8)
    found, nats = scored(ids, BYTES), surprises(ids, BYTES)
    assert "".join(character.text for character in found) == content.decode("utf-8", "replace")
    positions = [character.position for character in found]
    assert positions == sorted({0, *positions})
    stretches = list(pairwise([*positions, len(ids)]))
    assert [content[begin:end].decode("utf-8", "replace") for begin, end in stretches] == [c.text for c in found]
    sums = [sum(nats[begin:end]) for begin, end in stretches]
    assert_allclose([character.nats for character in found], sums, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("vocabulary", [LETTERS, BYTES])
def test_of_lines_every_character_was_expected(vocabulary: Vocabulary) -> None:
    """No token is given; each line is scored with its line feed, and empty lines are left out."""
    ids, newline = vocabulary.encode("\nab\n\n日c"), vocabulary.newline
    assert newline is not None
    predictions = predict(ENGINES[vocabulary.kind], lines_in_order(ids, newline))
    found = list(score_characters(vocabulary, ids[:0], predictions, 3))
    assert "".join(character.text for character in found) == "ab\n日c\n"
    width = len(vocabulary.encode("日"))
    assert [character.position for character in found] == [1, 2, 3, 5, 5 + width, 6 + width]
    assert all(character.nats > 0 and len(character.expected) == 3 for character in found)
