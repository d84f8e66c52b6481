"""The score of each line, in its context and alone, for any blocks of the text."""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lstmgen.evaluation.score import LineScore, Predictions, lines_in_context, predict, score, separate_lines
from lstmgen.generation.engine import NumpyEngine
from lstmgen.text.streams import every_line, one_stream
from lstmgen.text.vocabulary import Ids
from tests.conftest import CELLS, random_weights, single, small_network

NETWORK = small_network(CELLS["lstm"])
ENGINE = NumpyEngine(NETWORK, single(random_weights(NETWORK)))
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
@settings(deadline=None, max_examples=100)
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
@settings(deadline=None, max_examples=60)
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
