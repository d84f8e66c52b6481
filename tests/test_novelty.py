"""What a text has in common with a training text, by the index and by a search at every position."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lstmgen.config import VocabularyKind
from lstmgen.evaluation.novelty import NGRAM_LENGTHS, Copying, compare_copying, longest_runs, measure_copying, words
from lstmgen.text.suffixes import SuffixIndex
from lstmgen.text.vocabulary import Ids, Vocabulary

TEXTS = st.lists(st.integers(0, 2), max_size=60)
BYTES = Vocabulary(VocabularyKind.BYTES)
LETTERS = Vocabulary(VocabularyKind.CHARACTERS, "\nabcdefghij ")
"""Its line feed has the id 0."""


def as_ids(tokens: Sequence[int]) -> NDArray[np.uint8]:
    return np.array(tokens, np.uint8)


def occurrences(training: Sequence[int], run: Sequence[int]) -> list[int]:
    """The positions where a run begins."""
    return [
        position
        for position in range(len(training) - len(run) + 1)
        if list(training[position : position + len(run)]) == list(run)
    ]


def encoded(text: str) -> Ids:
    return LETTERS.encode(text)


def compared(training: str, written: str, *, lines: bool = False, real: str = "") -> tuple[Copying, str, int]:
    found = compare_copying(encoded(training), encoded(written), encoded(real), LETTERS, lines=lines)
    return found.written, found.longest_run, found.line


@given(TEXTS, TEXTS)
@settings(deadline=None, max_examples=150)
def test_runs_and_fractions_equal_those_of_an_exhaustive_search(training: list[int], text: list[int]) -> None:
    index = SuffixIndex.build(as_ids(training))
    runs = [
        max(
            n for n in range(len(text) - position + 1) if n == 0 or occurrences(training, text[position : position + n])
        )
        for position in range(len(text))
    ]
    assert longest_runs(index, as_ids(text)).tolist() == runs

    copying = measure_copying(index, as_ids(text))
    assert (copying.tokens, copying.longest, copying.lines) == (len(text), max(runs, default=0), None)
    assert list(copying.fractions) == [n for n in NGRAM_LENGTHS if n <= len(text)]
    for n, fraction in copying.fractions.items():
        ngrams = [text[position : position + n] for position in range(len(text) - n + 1)]
        assert fraction == pytest.approx(sum(bool(occurrences(training, ngram)) for ngram in ngrams) / len(ngrams))
    if copying.longest:
        run = text[copying.position : copying.position + copying.longest]
        assert len(run) == copying.longest
        assert copying.training_position == occurrences(training, run)[0]


def test_the_longest_run_is_shown_with_the_line_in_which_it_appears_first() -> None:
    training = "a b c\n\nabc def\nghi\nabc def\n"
    for written, run, line in (
        ("jbc defj", "bc def", 3),
        ("jj\n", "\n", 1),  # at the end of the first line
        ("\n\njj", "\n\n", 1),
        ("i\nabcj", "i\nabc", 4),
        ("ja b c", "a b c", 1),
        ("jjj", "", 1),
        ("", "", 1),
    ):
        copying, longest_run, number = compared(training, written)
        assert (longest_run, number) == (run, line)
        assert copying.longest == len(run)


def test_bytes_are_shown_as_text() -> None:
    training, written = np.array(BYTES.encode("\n\nschöne Grüße")), BYTES.encode("XschöneX")
    found = compare_copying(training, written, written, BYTES, lines=False)
    assert (found.longest_run, found.line, found.written.longest) == ("schöne", 3, len("schöne".encode()))


def test_as_many_tokens_of_real_text_are_compared_as_were_written() -> None:
    training, real = encoded("abc" * 30), encoded("defabcabcabcabcabc")
    found = compare_copying(training, encoded("defab"), real, LETTERS, lines=False)
    assert found.real == found.written
    assert found.written.fractions == {5: 0.0}


def test_of_a_list_lines_from_all_of_it_are_compared() -> None:
    training, real = encoded("abc\n" * 10), encoded("abc\n" * 50 + "def\n" * 50)
    found = compare_copying(training, encoded("ab\n" * 7), real, LETTERS, lines=True)
    assert found.real is not None
    assert found.real.lines == pytest.approx(0.5, abs=0.11)


@pytest.mark.parametrize("damage", ["none", "missing", "another text", "cut", "no index", "positions outside"])
def test_an_index_that_cannot_be_used_is_treated_as_missing(damage: str, tmp_path: Path) -> None:
    path, index = tmp_path / "text.index", SuffixIndex.build(as_ids([1, 2, 3, 1, 2]))
    if damage == "positions outside":
        index = SuffixIndex(as_ids([1, 2, 3]), np.array([0, 1, 7], np.int32))
    index.save(path, "another" if damage == "another text" else "digest")
    content = path.read_bytes()
    path.write_bytes({"cut": content[:-3], "no index": b"abc"}.get(damage, content))
    if damage == "missing":
        path.unlink()
    assert (SuffixIndex.load(path, "digest") is None) == (damage != "none")


# Whole lines


@pytest.mark.parametrize(
    ("written", "fraction"),
    [
        ("abc\n", 1.0),  # the first line of the training text
        ("def\n", 1.0),
        ("ghi\n", 1.0),  # the last
        ("ab\n", 0.0),  # only part of a line
        ("bc\n", 0.0),
        ("abc\ndef\nghi\nj\n", 0.75),
        ("def\n\n\nj\n", 0.5),  # empty lines do not count
        ("j\ndef", 0.0),  # a last line that may be incomplete does not count
        ("def\nde", 1.0),
        ("def", None),
        ("\n\n", None),
        ("", None),
    ],
)
@pytest.mark.parametrize("ending", ["\n", ""])
def test_whole_lines_are_found_wherever_they_stand(written: str, fraction: float | None, ending: str) -> None:
    copying, _, _ = compared("abc\n\ndef\nghi" + ending, written, lines=True)
    assert copying.lines == fraction
    assert compared("abc\n\ndef\nghi" + ending, written)[0].lines is None


def test_without_text_there_is_nothing_to_copy() -> None:
    assert compared("", "abc") == (Copying(3, 0, 0, 0, {}, None, non_words=1.0), "", 1)
    assert compared("abc", "") == (Copying(0, 0, 0, 0, {}, None), "", 1)


def test_non_words_are_in_no_text() -> None:
    training, held_out, written = map(encoded, ("a cab had ", "a dig bid caf a dig ", "a cabb dig had "))
    found = compare_copying(training, written, held_out, LETTERS, lines=False)
    assert found.written.non_words == 1 / 4
    assert found.real is not None
    assert found.real.non_words == 2 / 5  # of the first 15 characters; `dig` comes again after them
    assert compare_copying(training, written, held_out, LETTERS, lines=False, known={"cabb"}).written.non_words == 0
    assert words("He's HE\u2019S x2 caf\u00e9") == {"he's": 2, "x": 1, "caf\u00e9": 1}
