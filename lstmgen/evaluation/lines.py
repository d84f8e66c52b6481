"""The score of each line of a text."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from lstmgen.evaluation.score import Score, predict
from lstmgen.generation.engine import Engine
from lstmgen.text.lines import line_items
from lstmgen.text.streams import every_line, first_block, stream_of_blocks, whole_lines
from lstmgen.text.vocabulary import Ids

_ROWS = 32


@dataclass(frozen=True)
class LineScore:
    """One line and its score; the line feed at its end is part of the score."""

    number: int  # of the line in the text, from 1; empty lines are counted, but have no score
    ids: Ids  # (tokens,), without its line feed
    score: Score


def lines_in_context(engine: Engine, blocks: Iterable[Ids], newline: int | None) -> Iterator[LineScore]:
    """Score each line of a text that comes in blocks, (tokens,), given all the text before it."""
    head, blocks = first_block(blocks)
    number, ids, characters, nats, correct = 1, [head[:1]], 0, 0.0, 0
    end = -1 if newline is None else newline

    for part in predict(engine, stream_of_blocks(blocks)):
        cuts = np.flatnonzero(part.ids == end) + 1
        for piece in zip(*(np.split(array, cuts) for array in (part.ids, part.nats, part.correct)), strict=True):
            if ids and len(ids[-1]) and ids[-1][-1] == end:  # the line so far is complete
                if (line := np.concatenate(ids)[:-1]).size:
                    yield LineScore(number, line, Score(characters, nats, correct))
                number, ids, characters, nats, correct = number + 1, [], 0, 0.0, 0
            ids.append(piece[0])
            characters += len(piece[0])
            nats += float(piece[1].sum())
            correct += int(piece[2].sum())
    line = np.concatenate([array[array != end] for array in ids])
    if characters and line.size:
        yield LineScore(number, line, Score(characters, nats, correct))


def separate_lines(engine: Engine, blocks: Iterable[Ids], newline: int) -> Iterator[LineScore]:
    """Score each line of a text that comes in blocks, (tokens,), alone: from the initial state, after a line feed."""
    lines_before = 0
    for ids in whole_lines(blocks, newline):
        items = line_items(ids, newline).astype(np.int64)
        count = len(items)
        characters, nats, correct = np.zeros(count, np.int64), np.zeros(count), np.zeros(count, np.int64)
        for part in predict(engine, every_line(ids, newline, _ROWS)):
            item = np.searchsorted(items[:, 1], part.positions)  # (tokens,): the item of each token
            characters += np.bincount(item, minlength=count)
            nats += np.bincount(item, part.nats, count)
            correct += np.bincount(item, part.correct, count).astype(np.int64)
        feeds = np.flatnonzero(ids == newline)
        numbers = lines_before + 1 + np.searchsorted(feeds, items[:, 0])
        sums = zip(characters.tolist(), nats.tolist(), correct.tolist(), strict=True)
        for number, (begin, end), line_sums in zip(numbers.tolist(), items.tolist(), sums, strict=True):
            yield LineScore(number, ids[begin:end], Score(*line_sums))
        lines_before += len(feeds)
