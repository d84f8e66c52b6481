"""Intervals of the block bootstrap: what they contain, how often, and what makes them narrow."""

from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from lstmgen.evaluation.confidence import LEVEL, Blocks, Interval

TOKENS = 6000


def correlated(seed: int, tokens: int = TOKENS, memory: float = 0.9) -> NDArray[np.float64]:
    """Autoregressive noise around 2 nats: like a hard word or a hard scene, a high value raises the next ones too."""
    shocks = np.random.default_rng(seed).normal(0, (1 - memory**2) ** 0.5, tokens + 200)
    age = np.arange(200)
    return 2 + np.convolve(shocks, memory**age, "valid")[:tokens]


def blocks_of(nats: NDArray[np.float64]) -> Blocks:
    blocks = Blocks(len(nats) + 1)
    blocks.add(np.arange(1, len(nats) + 1), nats)
    return blocks


def interval_of(nats: NDArray[np.float64], reference: NDArray[np.float64] | None = None) -> Interval:
    interval = blocks_of(nats).interval(None if reference is None else blocks_of(reference))
    assert interval is not None
    return interval


def width(interval: Interval) -> float:
    return interval.high - interval.low


@pytest.mark.parametrize("seed", range(5))
def test_the_interval_contains_the_mean_of_the_text(seed: int) -> None:
    nats = correlated(seed)
    interval = interval_of(nats)
    assert blocks_of(nats).nats_per_character == pytest.approx(nats.mean())
    assert interval.low < nats.mean() < interval.high
    assert interval == interval_of(nats)  # the resampling has a fixed seed


def test_the_interval_covers_the_true_mean_as_often_as_its_level_says() -> None:
    """Each text is another sample of the same process, whose mean is 2."""
    intervals = [interval_of(correlated(seed)) for seed in range(200)]
    covered = np.mean([interval.low <= 2 <= interval.high for interval in intervals])
    assert LEVEL == 0.95
    assert 0.88 <= covered <= 0.99


def test_a_longer_text_has_a_narrower_interval() -> None:
    widths = [width(interval_of(correlated(1, tokens))) for tokens in (4000, 40_000, 400_000)]
    for wide, narrow in pairwise(widths):
        assert narrow == pytest.approx(wide / 10**0.5, rel=0.35)


def test_the_difference_of_two_models_on_one_text_has_a_narrower_interval_than_either() -> None:
    one = correlated(2)
    other = one + 0.05 + np.random.default_rng(0).normal(0, 0.1, TOKENS)
    apart, together = interval_of(other), interval_of(other, reference=one)
    assert apart.low < one.mean()  # the single interval does not show a difference
    assert together.low > 0
    assert together.low < (other - one).mean() < together.high
    assert width(together) < 0.1 * width(apart)
    back = interval_of(one, reference=other)
    assert back == pytest.approx((-together.high, -together.low), abs=1e-3)
    assert interval_of(one, reference=one) == (0, 0)


@pytest.mark.parametrize("tokens", [0, 1, 99, 1899])
def test_a_short_text_has_no_interval(tokens: int) -> None:
    blocks = blocks_of(correlated(3, max(1, tokens))[:tokens])
    assert blocks.interval() is None
    assert blocks.interval(other=blocks) is None


def test_blocks_without_predictions_are_not_drawn() -> None:
    """If only a few characters of a long text were predicted, it counts as a short text."""
    blocks = Blocks(100_000)
    for position in range(0, 19_000, 1000):
        blocks.add(np.array([position]), np.array([1.0]))
    assert blocks.interval() is None
    blocks.add(np.array([19_000]), np.array([3.0]))
    assert blocks.nats_per_character == pytest.approx(1.1)
    interval = blocks.interval()
    assert interval is not None
    assert interval.low >= 1
    assert interval.high <= 1.4


@pytest.mark.parametrize("tokens", [1, 99, 100, 101, 9900, 9999, 10_000, 10_001, 1_000_000])
def test_a_line_may_end_one_position_after_the_text(tokens: int) -> None:
    blocks = Blocks(tokens)
    blocks.add(np.array([0, tokens]), np.array([1.0, 2.0]))
    assert blocks.nats_per_character == 1.5
