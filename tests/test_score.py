"""The score: exact sums for any chunk length, and equality with an independent computation."""

import math
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from torch import nn

from lstmgen.config import CellKind, ModelConfig, VocabularyKind
from lstmgen.evaluation.characters import CharacterScore, score_characters
from lstmgen.evaluation.confidence import Blocks
from lstmgen.evaluation.score import (
    LineScore,
    Predictions,
    Score,
    add_up,
    lines_in_context,
    predict,
    score,
    separate_lines,
)
from lstmgen.generation.engine import NumpyEngine
from lstmgen.network.architecture import build_network
from lstmgen.text.streams import Chunk, cold_windows, every_line, lines_in_order, one_stream, overlapping_streams
from lstmgen.text.vocabulary import Ids, Vocabulary
from tests.command_line import untrained_checkpoint
from tests.conftest import CELLS, VOCAB_SIZE, random_engine, random_weights, single

IDS = np.random.default_rng(7).integers(0, VOCAB_SIZE, 400)


def test_numbers_follow_from_the_sums() -> None:
    result = Score(characters=4, nats=4 * math.log(8), correct=1)
    assert result.nats_per_character == pytest.approx(math.log(8))
    assert result.bits_per_character == pytest.approx(3)
    assert result.perplexity == pytest.approx(8)
    assert result.accuracy == 0.25


@pytest.mark.parametrize("chunk_length", [1, 7, 399, 4096])
@pytest.mark.parametrize("name", CELLS)
def test_pieces_of_any_length_give_the_same_sum(name: str, chunk_length: int) -> None:
    engine = random_engine(name, attention=3)
    expected = score(engine, one_stream(IDS))
    result = score(engine, one_stream(IDS, chunk_length))
    assert_allclose(result.nats, expected.nats, rtol=1e-5)
    assert result.characters == expected.characters


@pytest.mark.parametrize("logits", [1, 30, 200])
@pytest.mark.parametrize("lines", [False, True])
def test_a_chunk_whose_logits_are_too_many_is_read_in_pieces(lines: bool, logits: int) -> None:
    engine = random_engine(attention=3)

    def chunks() -> Iterable[Chunk]:
        return every_line(IDS, 0, 4) if lines else overlapping_streams(IDS, 3, 5)

    expected = score(engine, chunks())
    result = add_up(predict(engine, chunks(), max_logits=logits))
    assert_allclose(result.nats, expected.nats, rtol=1e-5)
    assert (result.characters, result.correct) == (expected.characters, expected.correct)


@pytest.mark.parametrize("num_layers", [1, 2])
def test_score_equals_an_independent_computation_by_torch(num_layers: int) -> None:
    """nn.Embedding, nn.LSTM and nn.Linear with copied weights, over the whole text at once."""
    size = 6  # also of the embedding, so that all layers have the same shape
    network = build_network(ModelConfig(CellKind.LSTM, size, num_layers, embedding_size=size), VOCAB_SIZE)
    named = random_weights(network)
    engine = NumpyEngine(network, single(named))
    tensors = {name: torch.from_numpy(array) for name, array in named.items()}
    embedding, head = nn.Embedding(VOCAB_SIZE, size).double(), nn.Linear(size, VOCAB_SIZE).double()
    embedding.load_state_dict({"weight": tensors["embedding"]})
    head.load_state_dict({"weight": tensors["head.weight"], "bias": tensors["head.bias"]})
    ids = torch.from_numpy(IDS)
    with torch.no_grad():
        outputs = embedding(ids[None, :-1])
        for layer in range(num_layers):
            lstm = nn.LSTM(size, size, batch_first=True).double()
            lstm.load_state_dict(
                {
                    "weight_ih_l0": tensors[f"layers.{layer}.weight_ih"],
                    "weight_hh_l0": tensors[f"layers.{layer}.weight_hh"],
                    "bias_ih_l0": tensors[f"layers.{layer}.bias"],
                    "bias_hh_l0": torch.zeros(4 * size),
                }
            )
            layer_outputs, _ = lstm(outputs)
            outputs = (
                layer_outputs + outputs if layer else layer_outputs
            )  # residual connections: every further layer adds to its input
        expected = nn.functional.cross_entropy(head(outputs)[0], ids[1:])
    assert score(engine, one_stream(IDS)).nats_per_character == pytest.approx(float(expected), abs=1e-6)


def test_cold_windows_begin_from_the_initial_state() -> None:
    engine = random_engine()
    parts = [score(engine, one_stream(IDS[start : start + 51])).nats for start in range(0, 399, 50)]
    for batch_size in (1, 3, 64):
        assert_allclose(score(engine, cold_windows(IDS, 50, batch_size)).nats, sum(parts), rtol=1e-5)


@pytest.mark.parametrize("cut", [one_stream, lambda ids: cold_windows(ids, 9), lambda ids: every_line(ids, 0, 4)])
def test_sums_by_block_are_those_of_the_score(cut: Callable[[Ids], Iterable[Chunk]]) -> None:
    engine = random_engine("gru-after")
    blocks = Blocks(len(IDS))
    result = add_up(predict(engine, cut(IDS)), blocks)
    assert result == score(engine, cut(IDS))
    assert blocks.nats_per_character == pytest.approx(result.nats_per_character, rel=1e-12)
    parts = list(predict(engine, cut(IDS)))
    assert result.nats == pytest.approx(sum(float(part.nats.sum()) for part in parts))
    for part in parts:
        probabilities = np.exp(part.logits.astype(np.float64))
        probabilities /= probabilities.sum(axis=1, keepdims=True)
        assert_allclose(part.nats, -np.log(probabilities[np.arange(len(part.ids)), part.ids]), rtol=1e-5, atol=1e-6)
        assert np.array_equal(part.correct, probabilities.argmax(axis=1) == part.ids)


# By line, in its context and alone, for any blocks of the text


ENGINE = random_engine()
NEWLINE = 3
TEXTS = st.lists(st.sampled_from([0, 1, 2, NEWLINE, NEWLINE]), max_size=70)
CUTS = st.lists(st.integers(0, 70), max_size=6)


def in_blocks(tokens: list[int], cuts: list[int]) -> Iterator[Ids]:
    return iter(np.split(np.array(tokens, np.uint8), sorted(cuts)))


def numbered(tokens: list[int]) -> list[tuple[int, list[int]]]:
    """The lines that are not empty, with their numbers from 1."""
    text = "".join(map(str, tokens)).split(str(NEWLINE))
    return [(number, [int(token) for token in line]) for number, line in enumerate(text, 1) if line]


def shown(lines: list[LineScore]) -> list[tuple[int, list[int]]]:
    return [(line.number, line.ids.tolist()) for line in lines]


@given(TEXTS, CUTS)
def test_a_line_in_context_is_scored_after_all_the_text_before_it(tokens: list[int], cuts: list[int]) -> None:
    ids = np.array(tokens, np.uint8)
    lines = list(lines_in_context(ENGINE, in_blocks(tokens, cuts), NEWLINE))
    assert shown(lines) == (numbered(tokens) if len(tokens) > 1 else [])  # of one token nothing is predicted
    parts = list(predict(ENGINE, one_stream(ids)))
    position = 0
    for line in lines:
        begin = next(p for p in range(position, len(ids)) if ids[p] != NEWLINE)
        end = min(begin + len(line.ids) + 1, len(ids))  # its line feed included
        assert line.score.characters == end - max(begin, 1)
        nats, correct = sums_within(parts, begin, end)
        assert line.score.nats == pytest.approx(nats, rel=1e-5, abs=1e-6)
        assert line.score.correct == correct
        position = end


def sums_within(parts: list[Predictions], begin: int, end: int) -> tuple[float, int]:
    chosen = [(part, (part.positions >= begin) & (part.positions < end)) for part in parts]
    nats = sum(float(part.nats[within].sum()) for part, within in chosen)
    return nats, sum(int(part.correct[within].sum()) for part, within in chosen)


@given(TEXTS, CUTS)
def test_a_separate_line_is_scored_as_if_it_were_the_whole_text(tokens: list[int], cuts: list[int]) -> None:
    lines = list(separate_lines(ENGINE, in_blocks(tokens, cuts), NEWLINE))
    assert shown(lines) == numbered(tokens)
    for line in lines:
        alone = score(ENGINE, one_stream(np.array([NEWLINE, *line.ids, NEWLINE])))
        assert (line.score.characters, line.score.correct) == (alone.characters, alone.correct)
        assert line.score.nats == pytest.approx(alone.nats, rel=1e-5)


def test_lines_that_need_several_batches() -> None:
    tokens = np.random.default_rng(0).integers(0, 4, 2000).tolist()
    lines = list(separate_lines(ENGINE, in_blocks(tokens, [700]), NEWLINE))
    assert shown(lines) == numbered(tokens)
    ids = np.array(tokens)
    assert sum(line.score.nats for line in lines) == pytest.approx(score(ENGINE, every_line(ids, NEWLINE, 9)).nats)


def test_a_line_longer_than_any_chunk() -> None:
    tokens = [*np.random.default_rng(0).integers(0, 3, 2600).tolist(), NEWLINE, 1]
    in_context = next(lines_in_context(ENGINE, in_blocks(tokens, []), NEWLINE))
    alone = next(separate_lines(ENGINE, in_blocks(tokens, [1300]), NEWLINE))
    for line, read in ((in_context, tokens[:2601]), (alone, [NEWLINE, *tokens[:2601]])):
        assert (line.number, line.ids.tolist()) == (1, tokens[:2600])
        assert line.score.nats == pytest.approx(score(ENGINE, one_stream(np.array(read))).nats, rel=1e-5)


def test_without_a_line_feed_in_the_vocabulary_the_text_is_one_line() -> None:
    tokens = [0, 1, NEWLINE, 2, 1]
    (line,) = lines_in_context(ENGINE, in_blocks(tokens, [2, 3]), None)
    assert (line.number, line.ids.tolist(), line.score.characters) == (1, tokens, 4)
    assert line.score.nats == pytest.approx(score(ENGINE, one_stream(np.array(tokens))).nats, rel=1e-5)


def test_lines_come_before_the_text_has_ended() -> None:
    def endless() -> Iterator[Ids]:
        while True:
            yield np.array([0, NEWLINE, 1], np.uint8)

    for lines in (lines_in_context(ENGINE, endless(), NEWLINE), separate_lines(ENGINE, endless(), NEWLINE)):
        assert [next(lines).number for _ in range(4)] == [1, 2, 3, 4]


# By character: the texts, their surprisal, and the expected tokens


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
    """The surprisal of each token; the first token is given, so that its surprisal is 0."""
    parts = predict(ENGINES[vocabulary.kind], one_stream(ids))
    return [0.0, *(nats for part in parts for nats in part.nats.tolist())]


@given(st.text(LETTERS.characters, min_size=1, max_size=40), st.integers(0, 9))
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
