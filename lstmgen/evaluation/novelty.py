"""How much of a text is copied from the training text, and how many of its words do not exist.

Real text also shares words and phrases with the training text, because every language repeats them. Therefore a model's
text is compared with real held-out text.
"""

import re
from collections import Counter
from collections.abc import Set
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lstmgen.text.lines import line_items
from lstmgen.text.suffixes import SuffixIndex
from lstmgen.text.vocabulary import Ids, Vocabulary, as_string

NGRAM_LENGTHS = (5, 10, 15, 20, 25, 30, 40, 50)

_WORD = re.compile(r"[^\W\d_]+(?:['\u2019][^\W\d_]+)*")


@dataclass(frozen=True)
class Copying:
    """How much a text shares with a training text."""

    tokens: int  # of the text
    longest: int  # the length of its longest run that also occurs in the training text
    position: int  # where that run begins in the text
    training_position: int  # where that run first occurs in the training text
    fractions: dict[int, float]  # by n-gram length: the fraction of the text's n-grams that occur in the training text
    lines: float | None  # for texts of lines: the fraction of its complete lines that occur in the training text
    non_words: float | None = None  # the fraction of its words found in no text; None: it has no words


def measure_copying(index: SuffixIndex, ids: Ids, newline: int | None = None) -> Copying:
    """Compare a text, (tokens,), with an indexed training text; given the id of the line feed, also line by line."""
    text, runs = as_string(ids), longest_runs(index, ids)
    longest = int(runs.max(initial=0))
    position = int(runs.argmax()) if longest else 0
    found = index.positions(index.find(text[position : position + longest])) if longest else np.zeros(1)
    fractions = {n: float((runs[: len(runs) - n + 1] >= n).mean()) for n in NGRAM_LENGTHS if n <= len(runs)}
    copied = None
    if newline is not None:
        known = set(index.text.split(chr(newline)))
        lines = [line in known for line in text.split(chr(newline))[:-1] if line]  # the last one may be incomplete
        copied = sum(lines) / len(lines) if lines else None
    return Copying(len(ids), longest, position, int(found.min()), fractions, copied)


@dataclass(frozen=True)
class Novelty:
    """How much a model copies from its training text, compared with real held-out text."""

    written: Copying  # of the model's text
    real: Copying | None  # of the held-out text, if there is any
    longest_run: str  # the longest copied run of the model's text
    line: int  # the line of the training text, from 1, in which that run begins


def compare_copying(
    training: Ids, written: Ids, validation: Ids, vocabulary: Vocabulary, *, lines: bool, known: Set[str] = frozenset()
) -> Novelty:
    """Compare a model's text, and the same number of tokens of held-out text, with the training text.

    All three are (tokens,), and the held-out text may be empty. With `lines` each line is a separate item, and whole
    lines are compared too. A word is a non-word if its lower-case form is neither in the training text, nor in (the
    rest of) the held-out text, nor among the `known` words.
    """
    index, newline = SuffixIndex.build(training), vocabulary.newline if lines else None
    real = validation[: len(written)] if newline is None else _spread_lines(validation, newline, len(written))
    copied = measure_copying(index, written, newline)
    learned = known | words(vocabulary.decode(training)).keys()
    others = words(vocabulary.decode(validation))
    in_written, in_real = words(vocabulary.decode(written)), words(vocabulary.decode(real))
    line_feeds = 0 if vocabulary.newline is None else (training[: copied.training_position] == vocabulary.newline).sum()
    return Novelty(
        written=replace(copied, non_words=_fraction_outside(in_written, learned | others.keys())),
        real=replace(
            measure_copying(index, real, newline),
            non_words=_fraction_outside(in_real, learned | (others - in_real).keys()),
        )
        if len(real)
        else None,
        longest_run=vocabulary.decode(written[copied.position : copied.position + copied.longest]),
        line=int(line_feeds) + 1,
    )


def words(text: str) -> Counter[str]:
    """The words of a text in lower case, with straight apostrophes, and how often each occurs."""
    return Counter(word.lower().replace("\u2019", "'") for word in _WORD.findall(text))


def _fraction_outside(found: Counter[str], known: Set[str]) -> float | None:
    """The fraction of words that are not known; None: there are no words."""
    total = found.total()
    return sum(count for word, count in found.items() if word not in known) / total if total else None


def _spread_lines(ids: Ids, newline: int, tokens: int) -> Ids:
    """About `tokens` tokens of lines from all over a list, (tokens,), because neighbours in a sorted list are alike."""
    lines = line_items(ids, newline).astype(np.int64)
    count = min(len(lines), round(len(lines) * tokens / max(1, len(ids))))
    chosen = lines[np.linspace(0, len(lines) - 1, count).round().astype(np.int64)]
    return np.concatenate([ids[:0], *(np.append(ids[begin:end], newline) for begin, end in chosen)])


def longest_runs(index: SuffixIndex, ids: Ids) -> NDArray[np.int64]:
    """The length of the longest run that begins at each position of a text and occurs in the indexed text.

    Shape: (tokens,) -> (tokens,). Because a run without its first token also occurs there, the search at each position
    continues where the previous one ended.
    """
    text, runs, end = as_string(ids), np.zeros(len(ids), np.int64), 0
    for position in range(len(text)):
        end = max(end, position)
        while end < len(text) and index.find(text[position : end + 1]):
            end += 1
        runs[position] = end - position
    return runs
