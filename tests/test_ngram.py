"""The n-gram model: hand-computed probabilities, as exact fractions, and properties of every such model."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from numpy.typing import NDArray

from lstmgen.evaluation import ngram
from lstmgen.evaluation.ngram import Alphabet, NgramCounter, NgramModel, fit, models

TEXTS = st.lists(st.integers(0, 3), max_size=80)
LONG_TEXT = (np.random.default_rng(3).geometric(0.4, 600).clip(1, 5) - 1).tolist()
"""It has counts of one to four in every order, so that discounts follow from them."""
Gram = tuple[int, ...]


def as_ids(tokens: Sequence[int]) -> NDArray[np.int32]:
    return np.array(tokens, np.int32)


def counted(text: Sequence[int], alphabet: Alphabet) -> NgramCounter:
    counter = NgramCounter(alphabet)
    counter.add(as_ids(text), 0, len(text))
    return counter


def model_of(text: Sequence[int], order: int, alphabet: Alphabet) -> NgramModel:
    return list(models(counted(text, alphabet)))[order - 1]


def surprises(model: NgramModel, text: Sequence[int]) -> NDArray[np.float64]:
    """The surprisal of each token of a text."""
    return np.concatenate([np.zeros(0), *model.nats(as_ids(text), 0, len(text))])


def probabilities_after(model: NgramModel, context: Sequence[int]) -> list[float]:
    """The probability of every token after a context."""
    return [math.exp(-surprises(model, [*context, token])[-1]) for token in range(model.alphabet.vocab_size)]


# The formulas with exact fractions


def context_of(text: Sequence[int], position: int, longest: int, boundary: int | None) -> Gram:
    """The context of a position: the tokens back to the nearest boundary, at most `longest`."""
    context: list[int] = []
    for token in reversed(text[max(0, position - longest) : position]):
        context.insert(0, token)
        if token == boundary:
            break
    return tuple(context)


def slow_counts(text: Sequence[int], order: int, boundary: int | None) -> Iterator[Counter[Gram]]:
    """The counts of orders 1 to `order`: occurrences at the highest, distinct tokens before each n-gram below it."""
    whole = [(*context_of(text, position, order - 1, boundary), token) for position, token in enumerate(text)]
    for length in range(1, order):
        longer = {gram[-length - 1 :] for gram in whole if len(gram) > length}
        initial = [gram for gram in whole if len(gram) == length]
        yield Counter(gram[1:] for gram in longer) + Counter(initial)
    yield Counter(gram for gram in whole if len(gram) == order)


def slow_discounts(counts: Counter[Gram]) -> dict[int, Fraction]:
    n = [sum(count == number for count in counts.values()) for number in range(5)]
    if 0 in n[1:]:
        return dict.fromkeys((1, 2, 3), Fraction(1, 2))
    y = Fraction(n[1], n[1] + 2 * n[2])
    return {c: min(max(c - (c + 1) * y * Fraction(n[c + 1], n[c]), Fraction(1, 20)), Fraction(c)) for c in (1, 2, 3)}


def slow_probability(levels: Sequence[Counter[Gram]], vocab_size: int, context: Gram, token: int) -> Fraction:
    probability = Fraction(1, vocab_size)
    for counts, length in zip(levels, range(len(context) + 1), strict=False):
        discounts, h = slow_discounts(counts), context[len(context) - length :]
        after = {gram[-1]: count for gram, count in counts.items() if gram[:-1] == h}
        if after:
            discounted = sum((discounts[min(count, 3)] for count in after.values()), Fraction(0))
            count = after.get(token, 0)
            kept = count - discounts[min(count, 3)] if count else Fraction(0)
            probability = (kept + discounted * probability) / sum(after.values())
    return probability


# The model equals the formulas


@given(TEXTS, TEXTS, st.integers(1, 4), st.sampled_from([None, 0, 2]))
@example(LONG_TEXT, LONG_TEXT[:100], 3, None)
@example(LONG_TEXT, LONG_TEXT[:100], 3, 0)
def test_probabilities_equal_the_formulas(text: list[int], read: list[int], order: int, boundary: int | None) -> None:
    levels = list(slow_counts(text, order, boundary))
    expected = [
        slow_probability(levels, 6, context_of(read, position, order - 1, boundary), token)
        for position, token in enumerate(read)
    ]
    model = model_of(text, order, Alphabet(6, boundary))
    assert_allclose(surprises(model, read), [-math.log(probability) for probability in expected], rtol=1e-9)


@given(TEXTS, st.lists(st.integers(0, 4), max_size=8), st.integers(1, 9), st.sampled_from([None, 0]))
def test_probabilities_sum_to_one(text: list[int], context: list[int], order: int, boundary: int | None) -> None:
    model = model_of(text, order, Alphabet(5, boundary))  # 4 is in no text
    for shown in (context, [], text[:order], text[-order:], [*text, 0], [4, 4]):
        probabilities = probabilities_after(model, shown)
        assert min(probabilities) > 0
        assert math.fsum(probabilities) == pytest.approx(1, rel=1e-12)


# The way of counting does not matter


@given(TEXTS, st.lists(st.integers(0, 80), max_size=4), st.integers(1, 90), st.sampled_from([None, 0]))
def test_parts_and_blocks_count_alike(text: list[int], cuts: list[int], block: int, boundary: int | None) -> None:
    alphabet = Alphabet(4, boundary)
    whole = counted(text, alphabet)
    expected = surprises(list(models(whole))[3], text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ngram, "BLOCK_TOKENS", block)
        counter, ends = NgramCounter(alphabet), sorted({min(cut, len(text)) for cut in cuts} | {len(text)})
        for start, stop in zip([0, *ends], ends, strict=False):
            counter.add(as_ids(text), start, stop)
        assert_same_ngrams(counter, whole)
        model = list(models(counter))[3]
        assert np.array_equal(surprises(model, text), expected)
        middle = len(text) // 2
        assert_allclose(np.concatenate([np.zeros(0), *model.nats(as_ids(text), middle, len(text))]), expected[middle:])


def assert_same_ngrams(counter: NgramCounter, other: NgramCounter) -> None:
    assert counter.order == other.order
    for ours, theirs in zip(counter.ngrams(), other.ngrams(), strict=True):
        assert all(map(np.array_equal, ours, theirs))


@given(TEXTS, st.integers(1, 60), st.integers(1, 40), st.sampled_from([None, 0]))
def test_a_dropped_order_leaves_the_other_counts(text: list[int], most: int, block: int, boundary: int | None) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ngram, "BLOCK_TOKENS", block)
        patch.setattr(ngram, "MAX_NGRAMS", most)
        counter = counted(text, Alphabet(4, boundary))
        assert len(counter.ngrams()[-1].keys) <= most or counter.order == 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ngram, "MAX_ORDER", counter.order)
        assert_same_ngrams(counter, counted(text, Alphabet(4, boundary)))


@pytest.mark.parametrize(("vocab_size", "longest"), [(1, 12), (2, 12), (33, 10), (256, 8), (70_000, 3), (1 << 20, 3)])
def test_large_vocabularies_have_fewer_orders(vocab_size: int, longest: int) -> None:
    alphabet = Alphabet(vocab_size)
    last = vocab_size - 1
    text = [0, last, last // 2, last, 0] * 20
    model = list(models(counted(text, alphabet)))[-1]
    assert model.order == longest
    assert surprises(model, text)[20:].max() < 0.1
    unseen = math.exp(-surprises(model, [*text, last // 3])[-1])
    assert vocab_size < 3 or 0 < unseen < 2 / vocab_size


# The choice of the order


def best_order(text: Sequence[int], alphabet: Alphabet) -> int:
    """The best order, found by trying all of them."""
    cut = len(text) - len(text) // 10
    tried = [surprises(model, text)[cut:].sum() for model in models(counted(text[:cut], alphabet))]
    return 1 + int(np.argmin(tried))


@pytest.mark.parametrize("boundary", [None, 0])
@pytest.mark.parametrize("period", [1, 2, 3, 5])
def test_the_order_is_the_one_that_predicts_the_last_tenth_best(period: int, boundary: int | None) -> None:
    generator, alphabet = np.random.default_rng(period), Alphabet(4, boundary)
    text = generator.integers(0, 4, 2000).tolist()
    for position in range(period, len(text)):  # mostly the token `period` positions before, plus 1
        if generator.random() < 0.8:
            text[position] = (text[position - period] + 1) % 4
    model = fit(as_ids(text), alphabet)
    assert model.order == best_order(text, alphabet)
    assert np.array_equal(surprises(model, text), surprises(model_of(text, model.order, alphabet), text))


@pytest.mark.parametrize("text", [[], [1], [1, 2], list(range(4)) * 3])
def test_a_text_of_a_few_tokens_has_a_model(text: list[int]) -> None:
    model = fit(as_ids(text), Alphabet(4))
    assert math.fsum(probabilities_after(model, text)) == pytest.approx(1)


def test_the_best_order_may_be_dropped_when_the_last_tenth_is_counted_too(monkeypatch: pytest.MonkeyPatch) -> None:
    text, alphabet = [0, 0, 1, 1, 2, 2, 3, 3] * 30, Alphabet(4)
    text[-3:] = [1, 3, 0]
    best = fit(as_ids(text), alphabet).order
    assert best > 1
    monkeypatch.setattr(ngram, "MAX_NGRAMS", len(counted(text, alphabet).ngrams()[best - 1].keys) - 1)
    assert fit(as_ids(text), alphabet).order < best
