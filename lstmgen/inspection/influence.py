"""How changing any token, or the opener of a pair, affects the predictions some tokens later.

The original and the changed text are read from the same state, just before the change. Double precision keeps rounding
errors out of differences far below 1e-7.
"""

from collections.abc import Iterator, Mapping, Sequence, Set
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lstmgen.checkpoint import Checkpoint
from lstmgen.generation.engine import NumpyEngine, read_text
from lstmgen.inspection.pairs import find_pairs
from lstmgen.inspection.trace import one_character_each
from lstmgen.network.architecture import NetworkState
from lstmgen.text.vocabulary import Ids

DISTANCES = tuple(2**power for power in range(9))
"""How many tokens after a change predictions are compared; a short text has fewer of these distances."""

MIN_EXAMPLES = 10
"""Results from fewer examples are not reported."""

_WORK = 4e10  # multiplications in one measurement; this limits the number of examples
_FEWEST, _MAX = 64, 256  # examples
_NUMBERS = 1 << 20  # outputs of units in memory at once
_ROUNDING = 1e-28  # nats; a smaller divergence cannot be told from 0


class PairMemory(NamedTuple):
    """Whether a network knows that a pair is open, by the number of tokens read since it opened."""

    ratios: dict[int, float]
    """The geometric mean of P(closing | opened) / P(closing | not opened), where there are at least 10 examples."""
    examples: dict[int, int]
    """How many stretches stay open that long."""


def influence(checkpoint: Checkpoint, ids: Ids, *, size: int | None = None, seed: int = 0) -> dict[int, float]:
    """How much changing one token changes the prediction some tokens later, in nats, by distance.

    This is the mean Kullback-Leibler divergence between the predictions, with and without the change, of the token
    `distance` after the changed one. The replacement is drawn from the text, (time,); all other tokens stay. In a
    model of lines both tokens are in the same line, and a distance needs 10 examples. The result is empty for a text
    without two different tokens.

    Networks with fewer parameters in their layers are measured on more examples. Several networks use the same
    examples if they are given the same `size`, which replaces the number of parameters.
    """
    ids = np.asarray(ids, np.int64)
    line_ends = np.flatnonzero(np.append(ids[1:] == checkpoint.end_token, True))  # a line feed begins the next line
    room = line_ends[np.searchsorted(line_ends, np.arange(len(ids)))] - np.arange(len(ids)) + 1
    tokens = ids[ids != checkpoint.end_token]
    most = int(room.max()) if checkpoint.end_token is not None else len(ids) // 2
    distances = [distance for distance in DISTANCES if distance <= most]
    enough = 1 if checkpoint.end_token is not None else max(distances, default=1)
    candidates = np.flatnonzero((ids != checkpoint.end_token) & (room >= enough))
    if not distances or len(np.unique(tokens)) < 2:
        return {}
    positions = _some(checkpoint, size, candidates, distances)
    random = np.random.default_rng(seed)
    changed = [random.choice(tokens[tokens != ids[at]]) for at in positions]
    states = _states_before(checkpoint, ids, set(positions.tolist()))
    known = {}
    others = np.array(changed)[:, None]
    for distance, (kept, other) in _compare(_precise(checkpoint), ids, positions, others, distances, states):
        rows = room[positions] >= distance
        if rows.sum() >= min(MIN_EXAMPLES, len(rows)):
            known[distance] = float(divergence(kept, other)[rows].mean())
    return known


def pair_memory(checkpoint: Checkpoint, ids: Ids, *, size: int | None = None) -> dict[str, PairMemory]:
    """For each kind of pair in a text, (time,), whether the network still knows that one is open.

    The network reads the text once as it is and once with a space in place of the opener. A distance counts only the
    stretches that are still open there, and needs at least 10 of them. See `influence` for `size`.
    """
    ids = np.asarray(ids, np.int64)
    text = one_character_each(checkpoint.vocabulary, ids)
    known, picked = {}, {}
    for name, found in find_pairs(text, lines=checkpoint.end_token is not None).items():
        stretches = np.array(found)
        examples = _examples(stretches)
        known[name] = PairMemory({}, examples)
        if distances := [distance for distance, count in examples.items() if count >= MIN_EXAMPLES]:
            picked[name] = _some(checkpoint, size, stretches, distances)
    states = _states_before(checkpoint, ids, {int(at) for stretches in picked.values() for at in stretches[:, 0]})
    engine = _precise(checkpoint)
    for name, stretches in picked.items():
        (opener, begin, _), examples = stretches[0], _examples(stretches)
        closing = ids[stretches[:, 2]]
        others = np.full((len(stretches), begin - opener), _neutral(checkpoint, ids, closing))
        ratios, steps = {}, [begin - opener + distance for distance, count in examples.items() if count >= MIN_EXAMPLES]
        for step, (opened, not_opened) in _compare(engine, ids, stretches[:, 0], others, steps, states):
            distance = int(step - begin + opener)
            rows = np.flatnonzero(stretches[:, 2] - stretches[:, 1] >= distance)
            ratios[distance] = float(np.exp((opened - not_opened)[rows, closing[rows]].mean()))
        known[name] = PairMemory(ratios, examples)
    return known


def _examples(stretches: NDArray[np.int64]) -> dict[int, int]:
    """Count the stretches, (stretches, 3), that stay open for at least each distance."""
    lengths = stretches[:, 2] - stretches[:, 1]
    counts = {distance: int((lengths >= distance).sum()) for distance in DISTANCES}
    return {distance: count for distance, count in counts.items() if count}


def divergence(true: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """The Kullback-Leibler divergence between log-probabilities, (..., tokens), in nats; below 1e-28 it is 0.

    Each term p (q/p - 1 - log(q/p)) is at least 0, so small ones are not lost among large ones. The terms add up to
    the usual sum of p log(p/q), because p and q each add up to 1.
    """
    logarithms = other - true
    excess = np.where(np.abs(logarithms) < 1e-5, logarithms**2 / 2, np.expm1(logarithms) - logarithms)
    nats = (np.exp(true) * excess).sum(axis=-1)
    return np.where(nats < _ROUNDING, 0, nats)


def evenly(candidates: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Pick at most `count` of the candidates, evenly spaced from the first to the last."""
    count = min(count, len(candidates))
    return candidates[np.linspace(0, len(candidates) - 1, count).round().astype(np.int64)]


def _some(
    checkpoint: Checkpoint, size: int | None, candidates: NDArray[np.int64], distances: Sequence[int]
) -> NDArray[np.int64]:
    """Pick as many candidates as the work allows; the network reads each of them twice."""
    work = 2 * max(distances) * (size or checkpoint.network.layer_parameter_count())
    return evenly(candidates, int(np.clip(_WORK / work, _FEWEST, _MAX)))


def _neutral(checkpoint: Checkpoint, ids: Ids, closing: Ids) -> int:
    """The space or, if the model does not know it, the most common token that closes nothing."""
    names = checkpoint.vocabulary.characters_by_id()
    if " " in names:
        return names.index(" ")
    counts = np.bincount(ids, minlength=len(names))
    counts[[*closing, *([] if checkpoint.end_token is None else [checkpoint.end_token])]] = -1
    return int(counts.argmax())


def _precise(checkpoint: Checkpoint) -> NumpyEngine:
    """An engine that computes in double precision."""
    weights = {name: array.astype(np.float64) for name, array in checkpoint.weights.items()}
    return NumpyEngine(checkpoint.network, weights)


def _compare(
    engine: NumpyEngine,
    ids: Ids,
    positions: NDArray[np.int64],
    others: Ids,
    steps: Sequence[int],
    states: Mapping[int, NetworkState],
) -> Iterator[tuple[int, NDArray[np.float64]]]:
    """Compare the predictions for a text as it is and with some of its tokens replaced.

    From each position on, a row of `others`, (positions, tokens), replaces the tokens of the text; `states` has the
    state before each position. For each number of steps from there, in rising order, this yields the number and the
    log-probabilities, (2, positions, vocab): first of the text as it is, then of the changed one.
    """
    rows, width = others.shape
    as_it_is = ids[np.minimum(positions[:, None] + np.arange(max(steps)), len(ids) - 1)]
    changed = np.concatenate([others, as_it_is[:, width:]], axis=1)
    inputs = np.concatenate([as_it_is, changed])
    state = _joined([states[int(at)] for at in positions] * 2)
    piece, at = max(1, _NUMBERS // (2 * rows * engine.network.hidden_size)), 0
    for step in steps:
        while at < step:
            outputs, state = engine.read_before_head(inputs[:, at : min(step, at + piece)], state)
            at = min(step, at + piece)
        logits = engine.predict(outputs[:, -1])
        last = logits - logits.max(axis=-1, keepdims=True)
        normalized = last - np.log(np.exp(last).sum(axis=-1, keepdims=True))
        yield step, normalized.reshape(2, rows, -1)


def _states_before(checkpoint: Checkpoint, ids: Ids, positions: Set[int]) -> dict[int, NetworkState]:
    """The state before each position of a text."""
    engine = NumpyEngine(checkpoint.network, checkpoint.weights)
    initial = state = engine.initial_state(1)
    begins = {int(at) for at in np.flatnonzero(ids == checkpoint.end_token) if at <= max(positions, default=-1)}
    at, states = 0, {}
    for stop in sorted(positions | begins):
        if stop > at:
            state, at = read_text(engine, ids[at:stop], state).state, stop
        if stop in begins:
            state = initial
        if stop in positions:
            states[stop] = state
    return states


def _joined(states: Sequence[NetworkState]) -> NetworkState:
    """Join states into one that has a row for each."""
    layers = tuple(
        type(fields[0])(*map(np.concatenate, zip(*fields, strict=True)))
        for fields in zip(*(each.layers for each in states), strict=True)
    )
    return NetworkState(layers, None if states[0].memory is None else np.concatenate([each.memory for each in states]))
