"""The lines of a text as ids, however it is cut into blocks, in memory or in files."""

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
    assert [tuple(item) for item in items.tolist()] == expected


@pytest.mark.parametrize("count", [0, 1, 2, 1000, 70_001])
def test_a_random_order_is_the_permutation_of_the_generator(count: int) -> None:
    """So a run that is resumed continues with the order of lines that it had, whichever version began it."""
    one, other = np.random.default_rng([3, 4]), np.random.default_rng([3, 4])
    assert lines.random_order(one, count).tolist() == other.permutation(count).tolist()
    assert one.random() == other.random()


@given(st.lists(st.integers(0, 99)), st.sampled_from([np.uint8, np.uint16, np.uint32, np.int32, np.int64]))
@settings(deadline=None, max_examples=60)
def test_a_look_up_in_parts_is_indexing(indices: list[int], kind: type[np.integer]) -> None:
    table = np.random.default_rng(0).integers(-9, 9, 100)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lstmgen.text.vocabulary._LOOK_UPS", 7)
        assert look_up(table, np.array(indices, kind)).tolist() == [table[index] for index in indices]
