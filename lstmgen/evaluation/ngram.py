"""An n-gram model of symbols: what counting alone can predict, the yardstick for networks.

Interpolated modified Kneser-Ney (Chen & Goodman 1999, section 3). With c(h w) how often symbol w followed the context
h, h' the context without its oldest symbol, and n1, n2, ... how many different n-grams were seen once, twice, ...:

    p(w | h) = max(0, c(h w) - D(c(h w))) / c(h) + g(h) p(w | h')
    g(h)     = sum of D(c(h v)) over all v seen after h, / c(h)
    D(c)     = c - (c + 1) Y n(c+1) / n(c) for c = 1, 2 and, for all above, 3;  Y = n1 / (n1 + 2 n2)

At the highest order c counts occurrences. Below it, c(h w) is the number of different symbols seen before h w: how
often the shorter context is needed, not how often it occurs. A context that was never seen leaves all to p(w | h'),
and the recursion ends with 1 / vocab.

An n-gram is one 64-bit number, its newest symbol in the lowest bits, so that sorting puts all that follows a context
side by side. Memory holds the different n-grams of each order, and of the longest no more than `MOST_NGRAMS`: where a
text has more, the longest order is given up.

Knows: ids. Does not know: characters, files or networks.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lstmgen.text.vocabulary import Ids

MOST_NGRAMS = 1 << 23
LONGEST_ORDER = 12
_BLOCK = 1 << 20
_TUNING_SYMBOLS = 100_000
_LEAST_DISCOUNT, _USUAL_DISCOUNT = 0.05, 0.5

Keys = NDArray[np.uint64]
Counts = NDArray[np.int64]
Floats = NDArray[np.float64]


class Alphabet(NamedTuple):
    """How symbols become n-grams."""

    vocab_size: int
    boundary: int | None = None  # no context reaches across it: the line feed, where lines are items of their own

    @property
    def bits(self) -> int:
        """How many bits a symbol takes."""
        return max(1, (self.vocab_size - 1).bit_length())

    @property
    def longest_order(self) -> int:
        """How many symbols fit in a key."""
        return min(LONGEST_ORDER, 64 // self.bits)

    def without_oldest(self, keys: Keys, order: int) -> Keys:
        """The last `order` symbols of longer n-grams."""
        return keys & np.uint64((1 << self.bits * order) - 1)

    def contexts(self, keys: Keys) -> Keys:
        """N-grams without their newest symbol."""
        return keys >> np.uint64(self.bits)

    def read(self, ids: Ids, start: int, stop: int, order: int) -> Iterator[tuple[list[Keys], Counts]]:
        """The n-grams of orders 1 to `order` that end at each place within [start, stop), block by block.

        With them comes, for each place, how many symbols before it may be looked at, up to `order` - 1: an n-gram that
        is longer than that holds symbols from elsewhere.
        """
        for begin in range(start, stop, _BLOCK):
            end = min(begin + _BLOCK, stop)
            first = max(0, begin - order + 1)
            window = np.concatenate(
                [np.zeros(order - 1 - (begin - first), np.uint64), ids[first:end].astype(np.uint64)]
            )
            places = np.arange(begin, end)
            reach = np.minimum(places, order - 1)
            keys: list[Keys] = []
            for age in range(order):
                symbols = window[order - 1 - age : len(window) - age]
                key = symbols << np.uint64(self.bits * age)
                keys.append(keys[-1] | key if keys else key)
                if age and self.boundary is not None:
                    reach[symbols == self.boundary] = np.minimum(reach, age)[symbols == self.boundary]
            yield keys, reach


class Ngrams(NamedTuple):
    """The different n-grams of one order, sorted, and how often each counts."""

    keys: Keys  # (ngrams,)
    occurrences: Counts  # (ngrams,)
    continuations: Counts  # (ngrams,): different symbols before each; occurrences, where none can be before it


class NgramCounter:
    """Counts the n-grams of a text, part by part."""

    def __init__(self, alphabet: Alphabet) -> None:
        self.alphabet = alphabet
        self.order = alphabet.longest_order
        self._whole = _Tally()
        self._first = [_Tally() for _ in range(self.order - 1)]  # of orders 1, 2, ...: before them nothing can be

    def add(self, ids: Ids, start: int, stop: int) -> None:
        """Count the n-grams that end within [start, stop) of a text, (symbols,)."""
        for keys, reach in self.alphabet.read(ids, start, stop, self.order):
            self._whole.add(keys[self.order - 1][reach >= self.order - 1])
            for order, tally in enumerate(self._first, 1):
                tally.add(keys[order - 1][reach == order - 1])
            while len(self._whole.merged()[0]) > MOST_NGRAMS and self.order > 1:
                self._give_up_the_longest()

    def _give_up_the_longest(self) -> None:
        longest, occurrences = self._whole.merged()
        self.order -= 1
        self._whole = self._first.pop()
        self._whole.add(self.alphabet.without_oldest(longest, self.order), occurrences)

    def ngrams(self) -> list[Ngrams]:
        """Those of each order, the shortest first; of the longest all counts are of occurrences."""
        keys, occurrences = self._whole.merged()
        found = [Ngrams(keys, occurrences, occurrences)]
        for order in range(self.order - 1, 0, -1):
            longer, first = found[-1], self._first[order - 1].merged()
            ends = self.alphabet.without_oldest(longer.keys, order)
            occurring = _add_up([(ends, longer.occurrences), first])
            continuing = _add_up([(ends, np.ones(len(ends), np.int64)), first])
            found.append(Ngrams(*occurring, continuing[1]))
        return found[::-1]


class _Tally:
    """Different keys and their counts, merged when what is new is as much as what is known."""

    def __init__(self) -> None:
        self._parts: list[tuple[Keys, Counts]] = []
        self._new = 0

    def add(self, keys: Keys, counts: Counts | None = None) -> None:
        """Count keys once, or so many times, each."""
        if len(keys) == 0:
            return
        part = _add_up([(keys, np.ones(len(keys), np.int64) if counts is None else counts)])
        self._parts.append(part)
        if len(self._parts) > 1:
            self._new += len(part[0])
            if self._new > len(self._parts[0][0]):
                self.merged()

    def merged(self) -> tuple[Keys, Counts]:
        """All keys, sorted, and their counts."""
        if len(self._parts) != 1:
            self._parts, self._new = [_add_up(self._parts)], 0
        return self._parts[0]


def _add_up(parts: Sequence[tuple[Keys, Counts]]) -> tuple[Keys, Counts]:
    """The different keys of all parts, sorted, and the sums of their counts."""
    if not parts:
        return np.zeros(0, np.uint64), np.zeros(0, np.int64)
    keys, counts = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    if len(keys) == 0:
        return keys, counts
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    begins = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
    return keys[begins], np.add.reduceat(counts[order], begins)


class Level:
    """One order of the model: what its n-grams add, and what their contexts leave to the order below."""

    def __init__(self, alphabet: Alphabet, keys: Keys, counts: Counts) -> None:
        self._alphabet = alphabet
        self._keys = keys
        contexts = alphabet.contexts(keys)
        begins = (
            np.flatnonzero(np.concatenate([[True], contexts[1:] != contexts[:-1]])) if len(keys) else np.zeros(0, int)
        )
        self._contexts = contexts[begins]
        if len(keys) == 0:
            return
        discounts = _discounts(counts)[np.minimum(counts, 3)]
        totals = np.add.reduceat(counts, begins).astype(float)
        self._left = np.add.reduceat(discounts, begins) / totals
        self._added = (counts - discounts) / np.repeat(totals, np.diff(begins, append=len(keys)))

    def interpolate(self, keys: Keys, lower: Floats) -> Floats:
        """The probabilities of n-grams' newest symbols, given those by the order below, (ngrams,)."""
        if len(self._keys) == 0:
            return lower
        left = _looked_up(self._contexts, self._left, self._alphabet.contexts(keys), missing=1.0)
        return _looked_up(self._keys, self._added, keys, missing=0.0) + left * lower


def _looked_up(keys: Keys, values: Floats, wanted: Keys, missing: float) -> Floats:
    places = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[places] == wanted, values[places], missing)


def _discounts(counts: Counts) -> Floats:
    """D(0) to D(3): how much of a count is given to what was not seen."""
    seen = [int((counts == number).sum()) for number in range(1, 5)]
    if 0 in seen:  # a text too short, or an order with few n-grams
        return np.array([0, *[_USUAL_DISCOUNT] * 3])
    share = seen[0] / (seen[0] + 2 * seen[1])
    estimates = [c - (c + 1) * share * seen[c] / seen[c - 1] for c in (1, 2, 3)]
    return np.array([0, *(min(max(value, _LEAST_DISCOUNT), c) for c, value in enumerate(estimates, 1))])


class NgramModel:
    """Predicts each symbol from those before it."""

    def __init__(self, alphabet: Alphabet, levels: Sequence[Level]) -> None:
        self.alphabet = alphabet
        self._levels = levels

    @property
    def order(self) -> int:
        """How many symbols its longest n-grams have."""
        return len(self._levels)

    def nats(self, ids: Ids, start: int, stop: int) -> Iterator[Floats]:
        """The surprise of each symbol within [start, stop) of a text, (symbols,), block by block."""
        for keys, reach in self.alphabet.read(ids, start, stop, self.order):
            probabilities = np.full(len(reach), 1 / self.alphabet.vocab_size)
            for order, level in enumerate(self._levels, 1):
                known = reach >= order - 1
                probabilities[known] = level.interpolate(keys[order - 1][known], probabilities[known])
            yield -np.log(probabilities)


def models(counter: NgramCounter) -> Iterator[NgramModel]:
    """The model of each order, the shortest first."""
    alphabet, lower = counter.alphabet, list[Level]()
    for ngrams in counter.ngrams():
        yield NgramModel(alphabet, [*lower, Level(alphabet, ngrams.keys, ngrams.occurrences)])
        lower.append(Level(alphabet, ngrams.keys, ngrams.continuations))


def fit(ids: Ids, alphabet: Alphabet) -> NgramModel:
    """The model of a text, (symbols,), of the order that predicts its last part best from the rest."""
    counter = NgramCounter(alphabet)
    tuning = len(ids) - min(len(ids) // 10, _TUNING_SYMBOLS)
    counter.add(ids, 0, tuning)
    tried = ((sum(float(part.sum()) for part in m.nats(ids, tuning, len(ids))), m.order) for m in models(counter))
    _, best = min(tried)
    counter.add(ids, tuning, len(ids))  # which may be too much for that order
    return next(model for model in models(counter) if model.order == min(best, counter.order))
