"""How large a difference between two of several networks must be, so that chance hardly explains it.

The more networks are compared, the further the best of them is ahead by luck. So a difference counts as real only if it
is larger than the largest difference among as many equal networks in 95 of 100 comparisons: the range test of Tukey
(1949). What equal networks do is simulated.
"""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from lstmgen.evaluation.confidence import LEVEL, MIN_BLOCKS, RESAMPLES, Blocks

Floats = NDArray[np.float64]

_DRAWS = 20_000
_PRIOR = 2  # the variance that networks usually have counts as much as this many seeds more


def margins_over_seeds(nats: Sequence[Sequence[float]]) -> Floats:
    """How much two networks differ by the chance of their seeds, (networks, networks), in nats per character.

    Each network has the nats per character of each of its seeds. At least one network has more seeds than one.
    """
    seeds = np.array([len(each) for each in nats])
    variances = np.array([np.var(each, ddof=1) if len(each) > 1 else 0 for each in nats])
    return critical_gap(seeds) * np.sqrt(squared_errors(variances, seeds))


def critical_gap(seeds: NDArray[np.int64]) -> float:
    """How many standard errors the largest difference among equal networks stays below in 95 of 100 comparisons."""
    generator = np.random.default_rng(0)
    means = generator.standard_normal((_DRAWS, len(seeds))) / np.sqrt(seeds)
    freedom = np.maximum(seeds - 1, 1)  # of one seed the variance is not used
    variances = generator.chisquare(freedom, means.shape) / freedom
    return float(np.quantile(largest_gap(means, variances, seeds), LEVEL))


def largest_gap(means: Floats, variances: Floats, seeds: NDArray[np.int64]) -> Floats:
    """The largest difference between two networks in standard errors, (...), of means over seeds, (..., networks)."""
    gaps = np.abs(means[..., :, None] - means[..., None, :])
    return np.asarray((gaps / np.sqrt(squared_errors(variances, seeds))).max(axis=(-2, -1)))


def squared_errors(variances: Floats, seeds: NDArray[np.int64]) -> Floats:
    """The squared standard error of the difference between each two networks, (..., networks, networks).

    The variance over so few seeds, (..., networks), is itself uncertain, so it is averaged with the median of all
    networks. Not with their mean, because then one network whose seeds differ much would hide what the others differ.
    """
    usual = np.median(variances[..., seeds > 1], axis=-1, keepdims=True)
    errors = ((seeds - 1) * variances + _PRIOR * usual) / ((seeds - 1 + _PRIOR) * seeds)
    return np.asarray(errors[..., :, None] + errors[..., None, :])


def margins_over_text(networks: Sequence[Blocks]) -> Floats | None:
    """How much two networks differ by the choice of the text, (networks, networks); None if it is too short to tell.

    Blocks of the text are drawn with replacement, the same ones for all networks. What counts is how far a difference
    then is from its value on the whole text, in standard errors of what was drawn (Efron & Tibshirani 1993, ch. 12).
    """
    filled = networks[0].characters > 0
    characters, count = networks[0].characters[filled], int(filled.sum())
    if count < MIN_BLOCKS:
        return None
    surprise = np.array([each.nats[filled] - each.nats_per_character * characters for each in networks])
    drawn = np.random.default_rng(0).multinomial(count, np.full(count, 1 / count), RESAMPLES).astype(float)
    largest = np.zeros(RESAMPLES)
    for one, other in combinations(surprise, 2):
        sums, squares = drawn @ (one - other), drawn @ (one - other) ** 2
        variances = np.maximum(squares - sums**2 / count, np.finfo(float).tiny)
        largest = np.maximum(largest, np.abs(sums) / np.sqrt(variances))
    errors = np.linalg.norm(surprise[:, None] - surprise, axis=-1) / characters.sum()
    return np.asarray(np.quantile(largest, LEVEL) * errors)
