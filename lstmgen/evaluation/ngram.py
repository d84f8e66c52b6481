"""An n-gram model of tokens, the baseline for networks: how well mere counting predicts.

Interpolated modified Kneser-Ney smoothing (Chen & Goodman 1999, section 3). Let c(h w) be the count of token w after
the context h, h' the context without its oldest token, and n1, n2, ... the numbers of distinct n-grams with count 1,
2, ...:

    p(w | h) = max(0, c(h w) - D(c(h w))) / c(h) + g(h) p(w | h')
    g(h)     = sum of D(c(h v)) over all v seen after h, / c(h)
    D(c)     = c - (c + 1) Y n(c+1) / n(c) for c = 1, 2, 3;  D(c) = D(3) for c > 3;  Y = n1 / (n1 + 2 n2)

At the highest order, c counts occurrences. At lower orders, c(h w) is the number of distinct tokens seen before h w,
because a lower order is used when the longer context is unknown. For an unseen context, p(w | h) is p(w | h'). The
recursion ends with the uniform probability 1 / vocab.

An n-gram is stored as one 64-bit key with its newest token in the lowest bits, so that sorting the keys puts all
continuations of a context next to each other. Memory holds the distinct n-grams of each order, at most `MAX_NGRAMS` of
the longest order. If a text has more, the longest order is dropped.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lstmgen.text.vocabulary import Ids

MAX_NGRAMS = 1 << 23
MAX_ORDER = 12
BLOCK_TOKENS = 1 << 20
_TUNING_TOKENS = 100_000
_MIN_DISCOUNT, _DEFAULT_DISCOUNT = 0.05, 0.5

Keys = NDArray[np.uint64]
Counts = NDArray[np.int64]
Floats = NDArray[np.float64]


class Alphabet(NamedTuple):
    """The tokens of a text, and how to turn their n-grams into keys."""

    vocab_size: int
    boundary: int | None = None  # no context extends beyond it: the line feed, if each line is an item of its own

    @property
    def bits(self) -> int:
        """The number of bits of one token in a key."""
        return max(1, (self.vocab_size - 1).bit_length())

    def without_oldest(self, keys: Keys, order: int) -> Keys:
        """Reduce longer n-grams to their last `order` tokens."""
        return keys & np.uint64((1 << self.bits * order) - 1)

    def read(self, ids: Ids, start: int, stop: int, order: int) -> Iterator[tuple[list[Keys], Counts]]:
        """The n-grams of orders 1 to `order` that end at each position within [start, stop), block by block.

        Yields the keys of each order, and for each position the length of its context: at most `order` - 1 tokens,
        fewer near the beginning of the text or after a boundary. Longer n-grams reach outside the context.
        """
        for begin in range(start, stop, BLOCK_TOKENS):
            end = min(begin + BLOCK_TOKENS, stop)
            before = ids[max(0, begin - order + 1) : begin]
            padding = np.zeros(order - 1 - len(before), ids.dtype)
            window = np.concatenate([padding, before, ids[begin:end]]).astype(np.uint64)
            context_lengths = np.minimum(np.arange(begin, end), order - 1)
            keys: list[Keys] = []
            for age in range(order):
                tokens = window[order - 1 - age : len(window) - age]
                key = tokens << np.uint64(self.bits * age)
                keys.append(keys[-1] | key if keys else key)
                if age and self.boundary is not None:
                    at_boundary = tokens == self.boundary
                    context_lengths[at_boundary] = np.minimum(context_lengths, age)[at_boundary]
            yield keys, context_lengths


class Ngrams(NamedTuple):
    """The distinct n-grams of one order, sorted, and their counts."""

    keys: Keys  # (ngrams,)
    occurrences: Counts  # (ngrams,)
    continuations: Counts  # (ngrams,): the number of distinct tokens before each, plus its occurrences at a beginning


class NgramCounter:
    """Counts the n-grams of a text, part by part."""

    def __init__(self, alphabet: Alphabet) -> None:
        self.alphabet = alphabet
        self.order = min(MAX_ORDER, 64 // alphabet.bits)  # an n-gram must fit in a key
        self._longest = _KeyCounter()
        # Of orders 1, 2, ...: n-grams at the beginning of the text or of a line, which have no token before them.
        self._initial = [_KeyCounter() for _ in range(self.order - 1)]

    def add(self, ids: Ids, start: int, stop: int) -> None:
        """Count the n-grams that end within [start, stop) of a text, (tokens,)."""
        for keys, context_lengths in self.alphabet.read(ids, start, stop, self.order):
            self._longest.add(keys[self.order - 1][context_lengths >= self.order - 1])
            for order, counter in enumerate(self._initial, 1):
                counter.add(keys[order - 1][context_lengths == order - 1])
            while len(self._longest.merged()[0]) > MAX_NGRAMS and self.order > 1:
                longest, occurrences = self._longest.merged()
                self.order -= 1
                self._longest = self._initial.pop()
                self._longest.add(self.alphabet.without_oldest(longest, self.order), occurrences)

    def ngrams(self) -> list[Ngrams]:
        """The n-grams of each order, lowest order first; the highest order only counts occurrences."""
        keys, occurrences = self._longest.merged()
        found = [Ngrams(keys, occurrences, occurrences)]
        for order in range(self.order - 1, 0, -1):
            longer, initial = found[-1], self._initial[order - 1].merged()
            shortened = self.alphabet.without_oldest(longer.keys, order)
            occurring = _sum_counts([(shortened, longer.occurrences), initial])
            continuing = _sum_counts([(shortened, np.ones(len(shortened), np.int64)), initial])
            found.append(Ngrams(*occurring, continuing[1]))
        return found[::-1]


class _KeyCounter:
    """Distinct keys and their counts. New parts are merged once together they are larger than the first part."""

    def __init__(self) -> None:
        self._parts: list[tuple[Keys, Counts]] = [(np.zeros(0, np.uint64), np.zeros(0, np.int64))]

    def add(self, keys: Keys, counts: Counts | int = 1) -> None:
        """Add keys, each with its count."""
        self._parts.append(_sum_counts([(keys, np.broadcast_to(counts, keys.shape))]))
        first, *new = (len(part) for part, _ in self._parts)
        if sum(new) > first:
            self.merged()

    def merged(self) -> tuple[Keys, Counts]:
        """All keys, sorted, and their counts."""
        if len(self._parts) > 1:
            self._parts = [_sum_counts(self._parts)]
        return self._parts[0]


def _sum_counts(parts: Sequence[tuple[Keys, Counts]]) -> tuple[Keys, Counts]:
    """The distinct keys of all parts, sorted, and the sums of their counts."""
    keys, counts = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    begins = _begins(keys)
    return keys[begins], np.add.reduceat(counts[order], begins)


def _begins(keys: Keys) -> NDArray[np.intp]:
    """Where each run of equal keys begins."""
    return np.flatnonzero(np.append(True, keys[1:] != keys[:-1])[: len(keys)])


class Level:
    """One order of the model: the discounted probabilities of its n-grams, and the weight g(h) of each context."""

    def __init__(self, alphabet: Alphabet, keys: Keys, counts: Counts) -> None:
        self._bits = np.uint64(alphabet.bits)
        self._keys = keys
        contexts = keys >> self._bits
        begins = _begins(contexts)
        self._contexts = contexts[begins]
        discounts = _discounts(counts)[np.minimum(counts, 3)]
        totals = np.add.reduceat(counts, begins).astype(float)
        self._lower_weights = np.add.reduceat(discounts, begins) / totals
        self._discounted = (counts - discounts) / np.repeat(totals, np.diff(begins, append=len(keys)))

    def interpolate(self, keys: Keys, lower: Floats) -> Floats:
        """p(w | h) of n-grams h w, (ngrams,), given `lower`, their p(w | h') from the order below, (ngrams,)."""
        if len(self._keys) == 0:
            return lower
        weights = _look_up(self._contexts, self._lower_weights, keys >> self._bits, missing=1.0)
        return _look_up(self._keys, self._discounted, keys, missing=0.0) + weights * lower


def _look_up(keys: Keys, values: Floats, wanted: Keys, missing: float) -> Floats:
    """The values of the wanted keys, (wanted,), in a table of sorted keys; `missing` if the table lacks a key."""
    indices = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[indices] == wanted, values[indices], missing)


def _discounts(counts: Counts) -> Floats:
    """D(0) to D(3), (4,): how much to subtract from a count in favour of unseen n-grams."""
    n = [int((counts == count).sum()) for count in range(5)]
    if 0 in n[1:]:  # a short text, or an order with few n-grams: the formula cannot be computed
        return np.array([0, *[_DEFAULT_DISCOUNT] * 3])
    y = n[1] / (n[1] + 2 * n[2])
    estimates = [c - (c + 1) * y * n[c + 1] / n[c] for c in (1, 2, 3)]
    return np.array([0, *(min(max(value, _MIN_DISCOUNT), c) for c, value in enumerate(estimates, 1))])


class NgramModel(NamedTuple):
    """Predicts each token from the tokens before it."""

    alphabet: Alphabet
    levels: Sequence[Level]

    @property
    def order(self) -> int:
        """The number of tokens of the longest n-grams."""
        return len(self.levels)

    def nats(self, ids: Ids, start: int, stop: int) -> Iterator[Floats]:
        """The surprisal, -log p, of each token within [start, stop) of a text, (tokens,), block by block."""
        for keys, context_lengths in self.alphabet.read(ids, start, stop, self.order):
            probabilities = np.full(len(context_lengths), 1 / self.alphabet.vocab_size)
            for order, level in enumerate(self.levels, 1):
                valid = context_lengths >= order - 1
                probabilities[valid] = level.interpolate(keys[order - 1][valid], probabilities[valid])
            yield -np.log(probabilities)


def models(counter: NgramCounter) -> Iterator[NgramModel]:
    """The model of each order, the lowest order first."""
    alphabet, lower = counter.alphabet, list[Level]()
    for ngrams in counter.ngrams():
        yield NgramModel(alphabet, [*lower, Level(alphabet, ngrams.keys, ngrams.occurrences)])
        lower.append(Level(alphabet, ngrams.keys, ngrams.continuations))


def fit(ids: Ids, alphabet: Alphabet) -> NgramModel:
    """Fit a model to a text, (tokens,).

    Its order is the one that best predicts the last tenth of the text (at most `_TUNING_TOKENS` tokens) from counts of
    the rest. Then the whole text is counted.
    """
    counter = NgramCounter(alphabet)
    tuning_start = len(ids) - min(len(ids) // 10, _TUNING_TOKENS)
    counter.add(ids, 0, tuning_start)
    totals = [sum(float(part.sum()) for part in model.nats(ids, tuning_start, len(ids))) for model in models(counter)]
    best_order = 1 + totals.index(min(totals))
    counter.add(ids, tuning_start, len(ids))  # this may drop the best order, if it now has too many n-grams
    return next(model for model in models(counter) if model.order == min(best_order, counter.order))
