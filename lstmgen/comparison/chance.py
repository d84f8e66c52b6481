"""How large a difference between two of several networks must be to rule out chance.

The more networks are compared, the further ahead the best one gets by luck. So a difference only counts as real if it
exceeds the largest difference among as many equal networks in 95 of 100 comparisons: Tukey's range test (1949). The
equal networks are simulated.
"""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from lstmgen.evaluation.confidence import LEVEL, MIN_BLOCKS, RESAMPLES, Blocks

Floats = NDArray[np.float64]

_DRAWS = 20_000
_PRIOR = 2  # the usual variance of networks counts as much as this many extra seeds


def margins_over_seeds(nats: Sequence[Sequence[float]]) -> Floats:
    """How much two networks can differ by chance because of their seeds, (networks, networks), in nats per character.

    `nats` has the nats per character of each network and seed. At least one network has more than one seed.
    """
    seeds = np.array([len(each) for each in nats])
    variances = np.array([np.var(each, ddof=1) if len(each) > 1 else 0 for each in nats])
    return critical_gap(seeds) * np.sqrt(squared_errors(variances, seeds))


def critical_gap(seeds: NDArray[np.int64]) -> float:
    """How many standard errors the largest difference among equal networks exceeds in 5 of 100 comparisons."""
    generator = np.random.default_rng(0)
    means = generator.standard_normal((_DRAWS, len(seeds))) / np.sqrt(seeds)
    freedom = np.maximum(seeds - 1, 1)  # the variance of a single seed is not used
    variances = generator.chisquare(freedom, means.shape) / freedom
    return float(np.quantile(largest_gap(means, variances, seeds), LEVEL))


def largest_gap(means: Floats, variances: Floats, seeds: NDArray[np.int64]) -> Floats:
    """The largest difference between two means over seeds, (..., networks), in standard errors, (...)."""
    gaps = np.abs(means[..., :, None] - means[..., None, :])
    return np.asarray((gaps / np.sqrt(squared_errors(variances, seeds))).max(axis=(-2, -1)))


def squared_errors(variances: Floats, seeds: NDArray[np.int64]) -> Floats:
    """The squared standard error of the difference between any two networks, (..., networks, networks).

    The variance over a few seeds, (..., networks), is itself uncertain, so it is averaged with the median over all
    networks. A mean would let one network with very different seeds hide the differences among the others.
    """
    usual = np.median(variances[..., seeds > 1], axis=-1, keepdims=True)
    errors = ((seeds - 1) * variances + _PRIOR * usual) / ((seeds - 1 + _PRIOR) * seeds)
    return np.asarray(errors[..., :, None] + errors[..., None, :])


def margins_over_text(networks: Sequence[Blocks]) -> Floats | None:
    """How much two networks can differ by the choice of the text, (networks, networks); None: the text is too short.

    Blocks of the text are drawn with replacement, the same ones for all networks. Each difference is compared with its
    value on the whole text, in standard errors of the drawn sample (Efron & Tibshirani 1993, ch. 12).
    """
    filled = networks[0].characters > 0
    characters, count = networks[0].characters[filled], int(filled.sum())
    if count < MIN_BLOCKS:
        return None
    surprisal = np.array([each.nats[filled] - each.nats_per_character * characters for each in networks])
    drawn = np.random.default_rng(0).multinomial(count, np.full(count, 1 / count), RESAMPLES).astype(float)
    maxima = np.zeros(RESAMPLES)
    for one, other in combinations(surprisal, 2):
        sums, squares = drawn @ (one - other), drawn @ (one - other) ** 2
        variances = np.maximum(squares - sums**2 / count, np.finfo(float).tiny)
        maxima = np.maximum(maxima, np.abs(sums) / np.sqrt(variances))
    errors = np.linalg.norm(surprisal[:, None] - surprisal, axis=-1) / characters.sum()
    return np.asarray(np.quantile(maxima, LEVEL) * errors)
