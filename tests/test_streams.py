"""What a network reads at a time: contiguous streams and shuffled lines for training, every token once for scoring."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lstmgen.config import ModelConfig, TrainingConfig
from lstmgen.text.lines import random_order
from lstmgen.text.streams import (
    IGNORED,
    Chunk,
    ParallelStreams,
    ShuffledLines,
    TrainingText,
    cold_windows,
    every_line,
    lines_in_order,
    one_stream,
    overlapping_streams,
    stream_of_blocks,
    whole_lines,
)
from lstmgen.training.plan import Plan, fit_to_text

NEWLINE = 0
LINES = st.lists(st.lists(st.integers(1, 9), max_size=12), min_size=1, max_size=40)
"""Lines of ids; some of them are empty."""


def joined(lines: list[list[int]], final_newline: bool) -> NDArray[np.uint8]:
    """Lines as one text of ids."""
    tokens = [token for line in lines for token in (*line, NEWLINE)]
    return np.array(tokens if final_newline else tokens[:-1], np.uint8)


def sequences(chunks: Iterable[Chunk]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """The inputs and targets of every row from an initial state to the next, chunks joined."""
    runs: list[list[Chunk]] = []
    for chunk in chunks:
        assert chunk.inputs.shape == chunk.targets.shape
        assert chunk.inputs.dtype == chunk.targets.dtype == np.int64
        if chunk.reset_state:
            runs.append([])
        runs[-1].append(chunk)
    for run in runs:
        inputs = np.concatenate([chunk.inputs for chunk in run], axis=1)
        targets = np.concatenate([chunk.targets for chunk in run], axis=1)
        yield from zip(inputs, targets, strict=True)


def items(chunks: Iterable[Chunk]) -> list[tuple[int, ...]]:
    """The lines in the order of reading; each is read from one line feed until the next is predicted, then padded."""
    found = []
    for inputs, targets in sequences(chunks):
        length = int((targets != IGNORED).sum())
        read, predicted = inputs[:length].tolist(), targets[:length].tolist()
        assert IGNORED not in predicted
        assert (read[0], predicted[-1]) == (NEWLINE, NEWLINE)
        assert read[1:] == predicted[:-1]
        found.append(tuple(predicted[:-1]))
    return found


def predicted_positions(chunks: Iterable[Chunk], text: NDArray[Any]) -> list[int]:
    """The positions of all predicted tokens, in order; a line that the text does not end has a line feed after it."""
    ended, found = np.append(text, NEWLINE), list[int]()
    for chunk in chunks:
        rows, columns = np.nonzero(chunk.targets != IGNORED)
        positions = chunk.positions[rows] + columns
        assert np.array_equal(ended[positions], chunk.targets[rows, columns])
        found += positions.tolist()
    return sorted(found)


def assert_every_token_is_predicted_once(chunks: list[Chunk], tokens: int) -> None:
    """The text is 0, 1, 2, ..., so that each token is equal to its position."""
    for inputs, targets in sequences(chunks):
        scored = targets != IGNORED
        assert np.array_equal(inputs[scored] + 1, targets[scored])
    assert predicted_positions(chunks, np.arange(tokens)) == list(range(1, tokens))


def assert_every_line_is_predicted_once(chunks: list[Chunk], text: NDArray[np.uint8], lines: list[list[int]]) -> None:
    """Every token and every end of a line that is not empty."""
    assert sorted(items(chunks)) == sorted(tuple(line) for line in lines if line)
    ended, before = np.append(text, NEWLINE), np.concatenate([[NEWLINE], text])
    assert predicted_positions(chunks, text) == np.flatnonzero((ended != NEWLINE) | (before != NEWLINE)).tolist()


def assert_resumes_anywhere(text: TrainingText, epoch: int) -> None:
    whole = list(text.chunks(epoch))
    assert len(whole) == text.chunk_count(epoch)
    for start in range(len(whole) + 1):
        rest = list(text.chunks(epoch, start))
        assert len(rest) == len(whole) - start
        for resumed, chunk in zip(rest, whole[start:], strict=True):
            assert np.array_equal(resumed.inputs, chunk.inputs)
            assert np.array_equal(resumed.targets, chunk.targets)
            assert resumed.reset_state == chunk.reset_state


@given(
    tokens=st.integers(2, 150),
    batch_size=st.integers(1, 9),
    chunk_length=st.integers(1, 20),
    seed=st.integers(0, 5),
    epoch=st.integers(0, 5),
    fitted=st.booleans(),
)
@settings(deadline=None, max_examples=150)
def test_parallel_streams_read_one_contiguous_text_however_small(
    tokens: int, batch_size: int, chunk_length: int, seed: int, epoch: int, fitted: bool
) -> None:
    if fitted or tokens <= batch_size:
        asked = Plan(ModelConfig(), TrainingConfig(batch_size=batch_size, chunk_length=chunk_length))
        config = fit_to_text(asked, np.zeros(tokens, np.uint8)).training
        assert config.batch_size <= batch_size
        assert config.chunk_length <= chunk_length
        batch_size, chunk_length = config.batch_size, config.chunk_length
    text = ParallelStreams(np.arange(tokens, dtype=np.int32), batch_size, chunk_length, seed)
    assert_resumes_anywhere(text, epoch)

    chunks = list(text.chunks(epoch))
    widths = [chunk.inputs.shape[1] for chunk in chunks]
    assert min(widths) >= 1
    assert max(widths) - min(widths) <= 1
    assert [chunk.reset_state for chunk in chunks] == [True] + [False] * (len(chunks) - 1)
    whole = Chunk.joined(chunks)
    assert whole.reset_state
    assert np.array_equal(whole.positions, chunks[0].positions)
    inputs, targets = whole.inputs, whole.targets
    assert len(inputs) == batch_size
    first = int(inputs[0, 0])
    assert np.array_equal(inputs.ravel(), np.arange(first, first + inputs.size))  # each row continues in the next
    assert np.array_equal(targets, inputs + 1)
    assert predicted_positions(chunks, np.arange(tokens)) == targets.ravel().tolist()
    assert 0 <= first < chunk_length
    assert 0 <= tokens - 1 - targets[-1, -1] < batch_size  # the rest is too short for one more step


def test_parallel_streams_begin_at_another_offset_in_each_epoch_and_with_each_seed() -> None:
    def begins(seed: int) -> list[int]:
        text = ParallelStreams(np.arange(10_000), batch_size=4, chunk_length=100, seed=seed)
        return [int(next(text.chunks(epoch)).inputs[0, 0]) for epoch in range(8)]

    assert len(set(begins(0))) > 4
    assert begins(0) == begins(0)
    assert begins(0) != begins(1)


@given(LINES, st.booleans(), st.integers(1, 6), st.integers(1, 8), st.integers(0, 3))
def test_shuffled_lines_read_every_line_that_is_not_empty_once_an_epoch(
    lines: list[list[int]], final_newline: bool, batch_size: int, chunk_length: int, epoch: int
) -> None:
    ids = joined(lines, final_newline)
    text = ShuffledLines(ids, NEWLINE, batch_size, chunk_length, seed=1)
    chunks = list(text.chunks(epoch))
    assert_every_line_is_predicted_once(chunks, ids, lines)
    assert all(len(each.inputs) <= batch_size and 1 <= each.inputs.shape[1] <= chunk_length for each in chunks)
    assert_resumes_anywhere(text, epoch)


def test_shuffled_lines_have_another_order_in_each_epoch_and_with_each_seed() -> None:
    lines = [[1 + number // 9, 1 + number % 9] for number in range(80)]

    def order(seed: int, epoch: int) -> list[tuple[int, ...]]:
        return items(ShuffledLines(joined(lines, True), NEWLINE, batch_size=8, chunk_length=4, seed=seed).chunks(epoch))

    orders = [order(0, 0), order(0, 1), order(1, 0)]
    assert len({tuple(each) for each in orders}) == 3
    assert order(0, 1) == orders[1]
    batches = [{frozenset(each[start : start + 8]) for start in range(0, 80, 8)} for each in orders]
    assert batches[0].isdisjoint(batches[1])  # the lines of each batch change, not only the order of the batches


def test_lines_of_similar_length_share_a_batch_so_that_there_is_little_padding() -> None:
    lengths = np.random.default_rng(0).integers(1, 60, 1000)
    ids = joined([[1] * length for length in lengths.tolist()], True)
    targets = [chunk.targets for chunk in ShuffledLines(ids, NEWLINE, 16, 32, seed=0).chunks(0)]
    padding = sum(int((each == IGNORED).sum()) for each in targets)
    assert padding < 0.05 * sum(each.size for each in targets)


@given(LINES, st.booleans(), st.integers(1, 6), st.integers(1, 8), st.sampled_from([1, 2, 7, 1 << 20]))
def test_scoring_lines_predicts_every_token_and_every_end_once(
    lines: list[list[int]], final_newline: bool, batch_size: int, chunk_length: int, block: int
) -> None:
    """However the text is cut into blocks while its lines are looked for."""
    ids = joined(lines, final_newline)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lstmgen.text.storage.BLOCK", block)
        for chunks in (every_line(ids, NEWLINE, batch_size, chunk_length), lines_in_order(ids, NEWLINE, chunk_length)):
            assert_every_line_is_predicted_once(list(chunks), ids, lines)


@given(
    tokens=st.integers(1, 400),
    batch_size=st.integers(1, 9),
    warm_up=st.integers(0, 12),
    chunk_length=st.integers(1, 50),
)
@settings(deadline=None, max_examples=150)
def test_overlapping_streams_predict_all_once(tokens: int, batch_size: int, warm_up: int, chunk_length: int) -> None:
    ids = np.arange(tokens, dtype=np.int32)
    chunks = list(overlapping_streams(ids, batch_size, warm_up, chunk_length))
    assert_every_token_is_predicted_once(chunks, tokens)
    assert [chunk.reset_state for chunk in chunks] == [True] * bool(chunks) + [False] * (len(chunks) - 1)
    assert all(len(chunk.inputs) <= batch_size and chunk.inputs.shape[1] <= chunk_length for chunk in chunks)
    for row, (inputs, targets) in enumerate(sequences(chunks)):
        (scored,) = np.nonzero(targets != IGNORED)
        if len(scored):  # one contiguous text, from the warm-up's first token to the last one predicted
            assert scored[0] == (warm_up if row else 0)
            assert np.array_equal(inputs[: scored[-1] + 1], inputs[0] + np.arange(scored[-1] + 1))


@given(st.integers(0, 200), st.lists(st.integers(0, 200), max_size=8), st.integers(1, 50))
def test_one_stream_predicts_every_token_in_order(tokens: int, cuts: list[int], chunk_length: int) -> None:
    ids = np.arange(tokens, dtype=np.uint8)
    blocks = np.split(ids, sorted(cuts))  # empty ones among them
    for chunks in (list(stream_of_blocks(iter(blocks), chunk_length)), list(one_stream(ids, chunk_length))):
        assert [token for chunk in chunks for token in chunk.targets.ravel()] == list(range(1, tokens))
        assert [token for chunk in chunks for token in chunk.inputs.ravel()] == list(range(tokens - 1))
        assert [int(chunk.positions[0]) for chunk in chunks] == [int(chunk.targets[0, 0]) for chunk in chunks]
        assert [chunk.reset_state for chunk in chunks] == [True] * bool(chunks) + [False] * (len(chunks) - 1)
        assert all(1 <= chunk.inputs.shape[1] <= chunk_length for chunk in chunks)


@given(LINES, st.booleans(), st.lists(st.integers(0, 300), max_size=9), st.integers(1, 8))
def test_blocks_of_whole_lines(lines: list[list[int]], final_newline: bool, cuts: list[int], chunk_length: int) -> None:
    ids = joined(lines, final_newline)
    blocks = list(whole_lines(iter(np.split(ids, sorted(cuts))), NEWLINE))
    assert np.array_equal(np.concatenate([*blocks, ids[:0]]), ids)
    assert all(len(block) for block in blocks)
    assert all(block[-1] == NEWLINE for block in blocks[:-1])
    in_order = [item for block in blocks for item in items(lines_in_order(block, NEWLINE, chunk_length))]
    assert in_order == [tuple(line) for line in lines if line]


@given(st.integers(1, 300), st.integers(1, 50), st.integers(1, 9))
def test_cold_windows_predict_every_token_from_the_initial_state(tokens: int, window: int, batch_size: int) -> None:
    chunks = list(cold_windows(np.arange(tokens), window, batch_size))
    assert_every_token_is_predicted_once(chunks, tokens)
    assert all(chunk.reset_state and len(chunk.inputs) <= batch_size for chunk in chunks)
    firsts = [int(inputs[0]) for inputs, _ in sequences(chunks)]
    assert firsts == list(range(0, tokens - 1, window))  # so no window is longer than `window`


@pytest.mark.parametrize(
    "cut", [one_stream, lambda ids: overlapping_streams(ids, 2, 3), lambda ids: cold_windows(ids, 4)]
)
def test_the_smallest_type_of_ids_holds_all_that_is_read(cut: Callable[[NDArray[np.uint8]], Iterator[Chunk]]) -> None:
    ids = np.array([255, 0] * 60, np.uint8)
    predicted = [target for _, targets in sequences(cut(ids)) for target in targets[targets != IGNORED]]
    assert sorted(predicted) == [0] * 60 + [255] * 59


@given(st.integers(8, 3000), st.integers(1, 4), st.integers(1, 40), st.integers(0, 3))
def test_chunks_are_as_long_as_a_linear_division(tokens: int, batch_size: int, chunk_length: int, epoch: int) -> None:
    """So a run that is resumed continues with the chunks that it had, whichever version began it."""
    text = ParallelStreams(np.zeros(tokens, np.uint8), batch_size, chunk_length, seed=0)
    lengths = [chunk.inputs.shape[1] for chunk in text.chunks(epoch)]
    assert len(lengths) == text.chunk_count(epoch)
    cuts = np.linspace(0, sum(lengths), len(lengths) + 1).round().astype(np.int64)
    assert lengths == np.diff(cuts).tolist()


@pytest.mark.parametrize("count", [0, 1, 2, 1000, 70_001])
def test_a_random_order_is_the_permutation_of_the_generator(count: int) -> None:
    """So a run that is resumed continues with the order of lines that it had, whichever version began it."""
    one, other = np.random.default_rng([3, 4]), np.random.default_rng([3, 4])
    assert random_order(one, count).tolist() == other.permutation(count).tolist()
    assert one.random() == other.random()
