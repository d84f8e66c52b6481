"""Which unit tracks which feature of a text, compared with the same network before training.

The first half of the text chooses the unit of each feature, the feature of each unit, and whether the unit rises or
falls with it. The second half gives the score, from the ranks of the values that the unit remembers. For a binary
feature this is the area under the ROC curve: the probability that the unit is higher at a character with the feature
than at one without (0.5 by chance). For a numeric feature it is the rank correlation (Spearman 1904; 0 by chance).

The features that training made most visible in a unit's colours come first: see `Tracked.order`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lstmgen.checkpoint import Checkpoint
from lstmgen.errors import TextError
from lstmgen.inspection.features import Feature, text_features
from lstmgen.inspection.trace import FloatArray, one_character_each, traces
from lstmgen.inspection.walk import Unit
from lstmgen.network.initialization import initialize
from lstmgen.text.vocabulary import Ids

CHANGES = 20
"""A feature counts if it changes, or a position restarts, at least this many times in each half of the text."""

MIN_TOKENS = 50
"""A binary feature counts if, in each half, at least this many tokens have it and at least this many do not."""

MIN_STRENGTH = 0.2
"""A unit below this strength (an AUC of 0.60, a rank correlation of 0.2) tracks nothing."""

EXCERPT = 1200
"""How many tokens of a text to show in the colours of a unit."""


@dataclass(frozen=True)
class Finding:
    """A unit and a feature that it tracks."""

    unit: Unit
    feature: str
    binary: bool
    score: float  # on the second half: the area under the ROC curve of a binary feature, or the rank correlation

    @property
    def strength(self) -> float:
        """The score on a scale that both kinds share: 1 is perfect, 0 is chance, and below 0 is worse than chance."""
        return 2 * self.score - 1 if self.binary else self.score

    def __str__(self) -> str:
        return f"{'AUC' if self.binary else 'r'} {self.score:.2f}" if self.strength > 0 else "none"


@dataclass(frozen=True)
class Tracked:
    """A feature, the unit that tracks it best, and the best unit of the same network before training."""

    found: Finding
    untrained: Finding
    contrast: float
    """How much the colours of tokens with and without the feature differ in the excerpt, from 0 to 1.

    This is half the difference in mean activity; a numeric feature counts as present above its median.
    """

    @property
    def gain(self) -> float:
        """How much training raised the strength; a strength below chance counts as 0."""
        return max(self.found.strength, 0) - max(self.untrained.strength, 0)

    @property
    def order(self) -> float:
        """How much training made the feature visible."""
        return self.gain * (self.contrast if self.gain > 0 else 1)


@dataclass(frozen=True)
class Units:
    """What the units of a network track."""

    features: tuple[Tracked, ...]  # each with its best unit; the one that training made most visible comes first
    untracked: tuple[str, ...]  # the features that no unit tracks
    excerpts: dict[str, slice]  # for each feature, a part of the second half of the text that is rich in it
    units: tuple[Finding, ...]  # the best feature for each unit, strongest first
    tokens: int  # how many were read
    activity: FloatArray  # (layers, time, hidden): what each unit remembers, tanh(c), or h for GRU and RNN


def find_units(checkpoint: Checkpoint, ids: Ids) -> Units:
    """Find the features of a text, (time,), that the units of a network track, now and before training.

    Raises TextError if the text has no feature that varies enough.
    """
    network, record = checkpoint.network, checkpoint.record
    text = one_character_each(checkpoint.vocabulary, ids)
    features = {name: feature for name, feature in text_features(text).items() if _varies(feature)}
    if not features:
        raise TextError(
            f"the text ({len(ids):,} {checkpoint.vocabulary.unit}s) has no feature that changes {CHANGES} times in "
            "each half; give a longer text"
        )
    before = initialize(network, np.random.default_rng(record.training.seed))
    memory, activity = _read(checkpoint, checkpoint.weights, ids)
    best_units, best_features = _search(memory, features)
    untrained, _ = _search(_read(checkpoint, before, ids)[0], features)
    excerpts = {name: excerpt(feature, text) for name, feature in features.items()}
    contrasts = (_contrast(each, features[each.feature], excerpts[each.feature], activity) for each in best_units)
    found = sorted(map(Tracked, best_units, untrained, contrasts), key=lambda each: -each.order)
    return Units(
        features=tuple(each for each in found if each.found.strength >= MIN_STRENGTH),
        untracked=tuple(each.found.feature for each in found if each.found.strength < MIN_STRENGTH),
        excerpts=excerpts,
        units=tuple(sorted(best_features, key=lambda each: -each.strength)),
        tokens=len(ids),
        activity=activity,
    )


def _read(checkpoint: Checkpoint, weights: Mapping[str, FloatArray], ids: Ids) -> FloatArray:
    """The memory and the activity of all units, (2, layers, time, hidden)."""
    pieces = traces(checkpoint.network, weights, ids, end_token=checkpoint.end_token)
    return np.concatenate(
        [
            [[layer.after[layer.memory_name] for layer in piece.layers], [layer.activity for layer in piece.layers]]
            for piece in pieces
        ],
        axis=2,
    )


def _halves(values: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    middle = len(values) // 2
    return values[:middle], values[middle:]


def _varies(feature: Feature) -> bool:
    return all(
        _changes(half, feature.binary).sum() >= CHANGES
        and (not feature.binary or MIN_TOKENS <= half.sum() <= len(half) - MIN_TOKENS)
        for half in _halves(feature.values)
    )


def _changes(values: NDArray[np.float64], binary: bool) -> NDArray[np.bool_]:
    """For every value but the first, whether a binary feature changes or a numeric one restarts."""
    steps = np.diff(values)
    return steps != 0 if binary else steps < 0


def excerpt(feature: Feature, text: str) -> slice:
    """The part of the second half of a text that is richest in a feature; it begins at a line if there are lines.

    The feature changes often there, and a binary one is both present and absent often.
    """
    length, middle = min(EXCERPT, len(text) - len(text) // 2), len(text) // 2
    begins = [at for at in range(middle, len(text) - length + 1) if text[at - 1] == "\n"]
    starts = np.array(begins or range(middle, len(text) - length + 1))
    changes = _within(starts, length - 1, _changes(feature.values, feature.binary))
    with_it = _within(starts, length, feature.values != 0)
    start = int(starts[np.argmax(changes * np.minimum(with_it, length - with_it) if feature.binary else changes)])
    return slice(start, start + length)


def _within(starts: NDArray[np.int64], length: int, values: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Count the true values in each part of this length."""
    sums = np.concatenate([[0], values.cumsum()])
    return sums[starts + length] - sums[starts]  # type: ignore[no-any-return]  # its type is known, but not to mypy


def _contrast(finding: Finding, feature: Feature, part: slice, activity: FloatArray) -> float:
    values, shown = feature.values[part], activity[finding.unit.layer - 1, part, finding.unit.unit - 1]
    with_it = values > (0 if feature.binary else np.median(values))
    if with_it.all() or not with_it.any():
        return 0.0
    return float(abs(shown[with_it].mean() - shown[~with_it].mean()) / 2)


def strengths(
    units: NDArray[np.floating[Any]], features: NDArray[np.float64], binary: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """How well each unit tracks each feature, from -1 to 1: (time, units) and (time, features) -> (units, features).

    For a binary feature it is 2 * AUC - 1, which is the difference of the unit's mean ranks with and without the
    feature, divided by its largest possible value, time / 2. For a numeric feature it is the correlation of the ranks.
    """
    time = len(units)
    unit_ranks = ranks(units)
    values = np.where(binary, features, ranks(features))
    unit_ranks -= unit_ranks.mean(axis=0)
    values -= values.mean(axis=0)
    covariance = unit_ranks.T @ values / time
    of_correlation = unit_ranks.std(axis=0)[:, None] * values.std(axis=0)
    scale = np.where(binary, values.var(axis=0) * time / 2, of_correlation)
    found = covariance / np.maximum(scale, 1e-12)  # 0 for a unit that never varies
    return np.clip(found, -1, 1)  # type: ignore[no-any-return]  # without rounding errors


def ranks(columns: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """The rank of each value in its column, from 1; equal values share their mean rank."""
    return np.stack([_ranks(column) for column in columns.T], axis=1)


def _ranks(column: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    _, which, counts = np.unique(column, return_inverse=True, return_counts=True)
    return (counts.cumsum() - (counts - 1) / 2)[which]  # type: ignore[no-any-return]  # its type is known, but not to mypy


def _search(memory: FloatArray, features: Mapping[str, Feature]) -> tuple[list[Finding], list[Finding]]:
    """The best unit for each feature and the best feature for each unit, given the memory, (layers, time, hidden)."""
    names, binary = list(features), np.array([feature.binary for feature in features.values()])
    values = np.stack([feature.values for feature in features.values()], axis=1)
    halves = zip(_halves(np.concatenate(memory, axis=1)), _halves(values), strict=True)
    first, second = (strengths(units, half, binary) for units, half in halves)
    chosen_by, scored = np.abs(first), np.where(first < 0, -second, second)  # (units, features)

    def finding(row: int, column: int) -> Finding:
        layer, unit = divmod(int(row), memory.shape[-1])
        strength = float(scored[row, column])
        score = (strength + 1) / 2 if binary[column] else strength
        return Finding(Unit(layer + 1, unit + 1), names[column], bool(binary[column]), score)

    return (
        [finding(row, column) for column, row in enumerate(chosen_by.argmax(axis=0))],
        [finding(row, column) for row, column in enumerate(chosen_by.argmax(axis=1))],
    )
