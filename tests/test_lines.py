"""The lines of a text as ids, however it is cut into blocks, in memory or in files."""

import mmap

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lstmgen.text import lines, storage
from lstmgen.text.vocabulary import look_up

NEWLINE = 0
TEXTS = st.lists(st.integers(0, 2), max_size=40)


@given(TEXTS, st.integers(1, 7), st.sampled_from([0, 1 << 20]))
@settings(deadline=None, max_examples=200)
def test_the_items_of_a_text_are_its_lines_that_are_not_empty(text: list[int], block: int, in_memory: int) -> None:
    expected, begin = [], 0
    for position, token in enumerate([*text, NEWLINE]):
        if token == NEWLINE:
            expected += [(begin, position)] * (position > begin)
            begin = position + 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(storage, "BLOCK", block)
        patch.setattr(storage, "IN_MEMORY_BYTES", in_memory)
        items = lines.line_items(np.array(text, np.uint8), NEWLINE)
        longest = lines.longest_line(items)
    assert [tuple(item) for item in items.tolist()] == expected
    assert longest == max((end - begin for begin, end in expected), default=0)


@pytest.mark.parametrize("count", [0, 1, 2, 1000, 70_001])
@pytest.mark.parametrize("in_memory", [0, 1 << 30])
def test_a_random_order_is_the_permutation_of_the_generator(
    count: int, in_memory: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So a run goes on with the order of lines that it had, whatever holds it."""
    monkeypatch.setattr(storage, "IN_MEMORY_BYTES", in_memory)
    monkeypatch.setattr(storage, "BLOCK", 999)
    one, other = np.random.default_rng([3, 4]), np.random.default_rng([3, 4])
    assert lines.random_order(one, count).tolist() == other.permutation(count).tolist()
    assert one.random() == other.random()


def test_a_large_array_is_mapped_from_a_file_and_keeps_its_numbers_when_it_is_released(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(storage, "IN_MEMORY_BYTES", 100)
    assert isinstance(storage.scratch_array(25, np.int32), np.ndarray)
    array = storage.scratch_array(100_000, np.int32)
    assert isinstance(getattr(array.base, "obj", array.base), mmap.mmap)
    assert not array.any()
    array[:] = np.arange(100_000)
    for part in (array, array[5:], array[70_000:70_001].reshape(1, 1), np.arange(3)):
        storage.release(part)
        assert array.tolist() == list(range(100_000))


@given(st.lists(st.integers(0, 99)), st.sampled_from([np.uint8, np.uint16, np.uint32, np.int32, np.int64]))
@settings(deadline=None, max_examples=60)
def test_a_look_up_in_parts_is_indexing(indices: list[int], kind: type[np.integer]) -> None:
    table = np.random.default_rng(0).integers(-9, 9, 100)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lstmgen.text.vocabulary._LOOK_UPS", 7)
        assert look_up(table, np.array(indices, kind)).tolist() == [table[index] for index in indices]
