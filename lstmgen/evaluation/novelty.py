"""How much of a text is copied from another: its longest verbatim run, and how many of its n-grams stand there.

What real text shares with the training text is the measure of what a model may share with it: a language has words
and turns of phrase that anyone repeats.

Knows: ids, and an index of the training text. Does not know: characters or networks.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lstmgen.text.suffixes import SuffixIndex
from lstmgen.text.vocabulary import Ids, Vocabulary, as_string

NGRAM_LENGTHS = (5, 10, 15, 20, 25, 30, 40, 50)


@dataclass(frozen=True)
class Copying:
    """What a text has in common with a training text."""

    symbols: int  # of the text
    longest: int  # symbols of its longest run that stands in the training text too
    position: int  # where that run begins in the text
    training_position: int  # where it begins in the training text, the first time
    fractions: dict[int, float]  # by n-gram length: the share of the text's n-grams that stand in the training text
    lines: float | None  # where lines are items: the share of the text's whole lines that stand in the training text


def measure_copying(index: SuffixIndex, ids: Ids, newline: int | None = None) -> Copying:
    """Compare a text, (symbols,), with an indexed training text; with a line feed, line by line too."""
    runs = longest_runs(index, ids)
    longest = int(runs.max(initial=0))
    place = int(runs.argmax()) if longest else 0
    where = index.positions(index.find(as_string(ids[place : place + longest]))) if longest else np.zeros(1)
    shares = {n: float((runs[: len(runs) - n + 1] >= n).mean()) for n in NGRAM_LENGTHS if n <= len(runs)}
    lines = None if newline is None else _share_of_lines(index.text, as_string(ids), chr(newline))
    return Copying(len(ids), longest, place, int(where.min()), shares, lines)


def _share_of_lines(training: str, text: str, newline: str) -> float | None:
    known = set(training.split(newline))
    lines = [line for line in text.split(newline)[:-1] if line]  # what follows the last line feed may be cut short
    return sum(line in known for line in lines) / len(lines) if lines else None


@dataclass(frozen=True)
class Novelty:
    """How much of what a model wrote stands in its training text, beside real text that does not."""

    written: Copying
    real: Copying | None
    longest_run: str  # of what was written
    line: int  # of the training text, from 1, in which that run begins


def compare_copying(training: Ids, written: Ids, real: Ids, vocabulary: Vocabulary, *, lines: bool) -> Novelty:
    """Compare what a model wrote, and as much of real text that was held out, with the training text.

    All are symbols, (symbols,); where there is no real text, what was written stands alone.
    """
    index, newline = SuffixIndex.build(training), vocabulary.newline if lines else None
    copied = measure_copying(index, written, newline)
    line_feeds = 0 if vocabulary.newline is None else (training[: copied.training_position] == vocabulary.newline).sum()
    return Novelty(
        written=copied,
        real=measure_copying(index, real[: len(written)], newline) if len(real) else None,
        longest_run=vocabulary.decode(written[copied.position : copied.position + copied.longest]),
        line=int(line_feeds) + 1,
    )


def longest_runs(index: SuffixIndex, ids: Ids) -> NDArray[np.int64]:
    """For each place of a text, (symbols,), how many symbols from there on stand in the indexed text in a row.

    A run without its first symbol is a run too, so that each place goes on where the one before ended.
    """
    text, runs, end = as_string(ids), np.zeros(len(ids), np.int64), 0
    for place in range(len(text)):
        end = max(end, place)
        while end < len(text) and index.find(text[place : end + 1]):
            end += 1
        runs[place] = end - place
    return runs
