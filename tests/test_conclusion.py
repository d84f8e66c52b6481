"""What a score means compared with its baselines: right for every order of the numbers."""

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lstmgen.cli.conclusion import conclude
from lstmgen.evaluation.baselines import Baseline, BaselineKind
from lstmgen.evaluation.confidence import Interval

CLEARLY_MORE, CLEARLY_LESS, UNCLEAR = Interval(0.01, 0.1), Interval(-0.1, -0.01), Interval(-0.1, 0.1)
NAMES = {
    "6-gram model": (BaselineKind.NGRAMS, "a 6-gram model"),
    "xz": (BaselineKind.COMPRESSOR, "xz"),
    "character frequencies": (BaselineKind.FREQUENCIES, "character frequencies"),
    "uniform, 27 characters": (BaselineKind.UNIFORM, "uniform guessing"),
}
SPOKEN = [spoken for _, spoken in NAMES.values()]


def baseline(name: str, bits: float) -> Baseline:
    return Baseline(NAMES[name][0], name, bits * math.log(2))


def conclusion(
    model: float, ngrams: float, xz: float | None, frequencies: float, uniform: float, difference: Interval | None
) -> str:
    bits = dict(zip(NAMES, (ngrams, xz, frequencies, uniform), strict=True))
    return conclude(model, [baseline(name, b) for name, b in bits.items() if b is not None], difference)


def named(sentence: str, relation: str) -> set[str]:
    """The baselines in each relation to the model: worse than, better than, clear difference between."""
    found = re.search(rf"{relation} (?:it and )?([^:.]*?)(?:, but|:)", sentence)
    return {spoken for spoken in SPOKEN if found and spoken in found[1]}


few_numbers = st.sampled_from([1.0, 1.004, 2.0, 2.5, 3.0])
"""Few, so that there are ties, and pairs that look equal."""
bits = few_numbers | st.floats(0, 20)
intervals = st.none() | st.sampled_from([CLEARLY_MORE, CLEARLY_LESS, UNCLEAR, Interval(0, 0)])


@given(bits, bits, st.none() | bits, bits, bits, intervals)
def test_a_conclusion_follows_from_the_numbers(
    model: float, ngrams: float, xz: float | None, frequencies: float, uniform: float, difference: Interval | None
) -> None:
    sentence = conclusion(model, ngrams, xz, frequencies, uniform, difference)
    numbers = {
        spoken: round(number, 2)
        for spoken, number in zip(SPOKEN, (ngrams, xz, frequencies, uniform), strict=True)
        if number is not None
    }
    shown = round(model, 2)
    better, worse = named(sentence, "better than"), named(sentence, "worse than")
    unclear = difference is not None and difference.low <= 0 <= difference.high
    lower = {spoken for spoken, number in numbers.items() if number < shown}
    equal = {spoken for spoken, number in numbers.items() if number == shown}
    if unclear:
        lower.discard(SPOKEN[0])
        equal.add(SPOKEN[0])
    assert worse == lower  # all that is better is named
    assert named(sentence, "clear difference between") == (set() if lower else equal)
    assert bool(better) == (not lower and not equal)
    assert all(numbers[spoken] > shown for spoken in better)
    assert better <= {SPOKEN[0], SPOKEN[1]}
    assert ("too short" in sentence) == (difference is None)
    for spoken in lower | equal | set(SPOKEN[:2]) & numbers.keys():
        assert f"{spoken} {numbers[spoken]:.2f}" in sentence
    assert f" {model:.2f} " in sentence
    assert ("lstmgen sample" in sentence) == (difference is not None and not lower and not equal)


def test_of_the_compressors_only_the_best_is_compared() -> None:
    compressors = [Baseline(BaselineKind.COMPRESSOR, name, nats) for name, nats in (("bz2", 3), ("xz", 2), ("gzip", 4))]
    sentence = conclude(1, [baseline("6-gram model", 2), *compressors], CLEARLY_MORE)
    assert "xz 2.89" in sentence and "bz2" not in sentence and "gzip" not in sentence


@pytest.mark.parametrize(("order", "article"), [(1, "a"), (6, "a"), (8, "an"), (11, "an"), (12, "a")])
def test_names_and_units(order: int, article: str) -> None:
    ngrams = Baseline(BaselineKind.NGRAMS, f"{order}-gram model", 3 * math.log(2))
    sentence = conclude(2.5, [ngrams], CLEARLY_MORE, name="octets", unit="byte")
    assert all(part in sentence for part in ("octets", "2.50", "byte", f"{article} {order}-gram model 3.00"))
