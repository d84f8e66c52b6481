"""The index finds what a search through the text finds."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from lstmgen.text.suffixes import SuffixIndex
from lstmgen.text.vocabulary import as_string

texts = st.lists(st.integers(0, 3), max_size=60) | st.lists(st.sampled_from([0, 255, 256, 55_296, 65_535]), max_size=40)


def as_ids(numbers: list[int]) -> NDArray[np.integer[Any]]:
    kind = np.uint8 if max(numbers, default=0) < 256 else np.uint16
    return np.array(numbers, kind)


@given(numbers=texts, run=st.lists(st.sampled_from([0, 1, 2, 3, 255, 256, 55_296]), max_size=4))
def test_runs_are_found_at_all_their_positions(numbers: list[int], run: list[int]) -> None:
    ids = as_ids(numbers)
    index, text, sought = SuffixIndex.build(ids), as_string(ids), "".join(map(chr, run))
    ranks = index.find(sought)
    starts = [start for start in range(len(text)) if text.startswith(sought, start)]
    assert sorted(index.positions(ranks).tolist()) == starts
    followers = {text[start + len(sought)] for start in starts if start + len(sought) < len(text)}
    assert sorted(index.followers(sought)) == sorted(map(ord, followers))


def test_a_saved_index_is_loaded_unchanged(tmp_path: Path) -> None:
    path = tmp_path / "text.index"
    index = SuffixIndex.build(as_ids([1, 2, 3, 1, 2]))
    index.save(path, "digest")
    again = SuffixIndex.load(path, "digest")
    assert again is not None
    assert sorted(again.followers("\x01\x02")) == [3]
    assert [file.name for file in tmp_path.iterdir()] == ["text.index"]


@pytest.mark.parametrize("damage", ["missing", "other", "cut", "text"])
def test_an_index_that_cannot_be_used_is_treated_as_missing(damage: str, tmp_path: Path) -> None:
    path = tmp_path / "text.index"
    SuffixIndex.build(as_ids([1, 2, 3, 1, 2])).save(path, "digest")
    if damage == "missing":
        path.unlink()
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-3])
    if damage == "text":
        path.write_bytes(b"abc")
    assert SuffixIndex.load(path, "other" if damage == "other" else "digest") is None


def test_an_index_with_positions_outside_its_text_is_treated_as_missing(tmp_path: Path) -> None:
    path = tmp_path / "text.index"
    SuffixIndex(as_ids([1, 2, 3]), np.array([0, 1, 7], np.int32)).save(path, "digest")
    assert SuffixIndex.load(path, "digest") is None
