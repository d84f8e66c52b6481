"""How far back a network looks: its loss when it may see only the last k tokens, and its gradient reach.

Both are measured at the same positions of a text for every k. A prediction with k visible tokens starts from the
initial state, k tokens before. The gradient reach at distance k is the norm of d loss_t / d x_(t-k), the gradient by
the embedding of the token k before the last one that was read, mean over the positions t.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lstmgen.checkpoint import Checkpoint
from lstmgen.errors import TextError
from lstmgen.generation.engine import NumpyEngine
from lstmgen.generation.sampler import negative_log_likelihood
from lstmgen.inspection.trace import line_starts
from lstmgen.network.forward import forward, head
from lstmgen.text.vocabulary import Ids

MAX_VISIBLE = 1024
REACH = 200
"""The largest distance of the gradient reach."""

NOTICEABLE = 0.01
"""Nats per character; a smaller difference does not count."""

_WORK = 2e11  # multiplications of all predictions together; it decides how many positions are affordable
_FEWEST, _MAX = 64, 1024  # positions
_LOGITS = 1 << 20  # how many logits exist at once
_GRADIENT_POSITIONS = 64


@dataclass(frozen=True)
class Memory:
    """How far back a network looks."""

    positions: int  # how many predictions each loss is the mean of
    nats_per_character: dict[int, float]  # the loss by the number of visible tokens
    reach: NDArray[np.float64]
    """The mean norm of the gradient by distance, (distances,), empty if it was not asked for.

    Distance 0 is the last token that was read.
    """


class Context(NamedTuple):
    """What a network may see before it predicts each of some tokens."""

    inputs: Ids  # (positions, time): the last tokens before each, and after them any tokens
    last: NDArray[np.int64]  # (positions,): the column of the last token before each
    targets: Ids  # (positions,)


def memory_reach(nats: Mapping[int, float]) -> int:
    """The fewest visible tokens with which the loss is within 0.01 nats of its value with the most.

    The losses come by the number of visible tokens, in rising order.
    """
    *_, last = nats.values()
    return next(visible for visible, loss in nats.items() if loss <= last + NOTICEABLE)


def measure_memory(
    checkpoint: Checkpoint,
    ids: Ids,
    watch: Callable[[Sequence[int]], Iterable[int]] = lambda visible: visible,
    *,
    gradients: bool = True,
) -> Memory:
    """Measure how far back a network looks in a text, (time,).

    `watch` is given the numbers of visible tokens, and passes them on: for a progress bar. The gradient reach is
    left out unless `gradients`.

    Raises TextError if the text has fewer than 4 tokens.
    """
    network, begins = checkpoint.network, context_begins(ids, checkpoint.end_token)
    if len(ids) < 4:
        raise TextError("the text is too short to measure memory; give a text with at least 4 characters")
    lengths = np.arange(len(ids)) - begins
    if checkpoint.end_token is None:  # every prediction has as many tokens before it
        most = min(MAX_VISIBLE, len(ids) // 2)
        visible = [2**power for power in range(most.bit_length())]
        possible = np.flatnonzero(lengths >= visible[-1])
    else:  # every prediction sees at most its line; the last number is as long as the longest
        most = min(MAX_VISIBLE, int(lengths.max()))
        visible = [2**power for power in range((most - 1).bit_length() + 1)]
        possible = np.flatnonzero(lengths >= 1)
    affordable = _WORK / (network.layer_parameter_count() * sum(visible))
    positions = _evenly(possible, int(np.clip(affordable, _FEWEST, _MAX)))
    losses = {count: _loss(checkpoint, context(ids, positions, begins, count)) for count in watch(visible)}
    if not gradients:
        return Memory(len(positions), losses, np.zeros(0))
    far = context(ids, _evenly(possible, _GRADIENT_POSITIONS), begins, 2 * REACH)
    return Memory(len(positions), losses, gradient_reach(checkpoint, far)[: REACH + 1])


def context_begins(ids: Ids, end_token: int | None) -> NDArray[np.int64]:
    """Where the context of each token begins, (time,); a line feed is predicted from its own line."""
    return np.concatenate([[0], line_starts(ids, end_token)[:-1]])


def context(ids: Ids, positions: NDArray[np.int64], begins: NDArray[np.int64], visible: int) -> Context:
    """The last `visible` tokens before each position, (positions,), but none before its beginning."""
    starts = np.maximum(begins[positions], positions - visible)
    lengths = positions - starts
    columns = starts[:, None] + np.arange(lengths.max())
    ids = np.asarray(ids, np.int64)
    return Context(ids[np.minimum(columns, len(ids) - 1)], lengths - 1, ids[positions])


def _evenly(candidates: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    count = min(count, len(candidates))
    return candidates[np.linspace(0, len(candidates) - 1, count).round().astype(np.int64)]


def _loss(checkpoint: Checkpoint, seen: Context) -> float:
    """The mean loss of the predictions, in nats, each from the initial state."""
    engine = NumpyEngine(checkpoint.network, checkpoint.weights)
    rows = np.arange(len(seen.inputs))
    steps = max(1, _LOGITS // (len(rows) * engine.network.vocab_size))
    state, total = engine.initial_state(len(rows)), 0.0
    for start in range(0, seen.inputs.shape[1], steps):
        logits, state = engine.read(seen.inputs[:, start : start + steps], state)
        ends = rows[(seen.last >= start) & (seen.last < start + steps)]
        total += float(negative_log_likelihood(logits[ends, seen.last[ends] - start], seen.targets[ends]).sum())
    return total / len(rows)


def gradient_reach(checkpoint: Checkpoint, seen: Context) -> NDArray[np.float64]:
    """The mean norm of the gradient of a prediction's loss by the embedding of each token before it, (distances,).

    The first entry is that of the last token before the prediction.
    """
    import torch

    from lstmgen.network.kernels.torch_layers import run_layer

    network = checkpoint.network
    weights = network.arrange({name: torch.from_numpy(array) for name, array in checkpoint.weights.items()})
    rows, time = seen.inputs.shape
    # Each input gets a row of its own in the table of embeddings, so that each has its own gradient.
    embedded = weights.embedding[torch.from_numpy(seen.inputs.reshape(-1))].requires_grad_()
    numbers = torch.arange(rows * time).reshape(rows, time)
    state = network.initial_state(rows, like=embedded.detach())
    outputs = forward(network, weights._replace(embedding=embedded), numbers, state, run_layer)
    logits = head(outputs.head_inputs[torch.arange(rows), torch.from_numpy(seen.last)], weights)
    torch.nn.functional.cross_entropy(logits, torch.from_numpy(seen.targets), reduction="sum").backward()  # type: ignore[no-untyped-call]  # torch has no types for it
    norms = embedded.grad.reshape(rows, time, -1).norm(dim=-1).double().numpy()
    sums, counts = np.zeros((2, time))
    for row, column in zip(norms, seen.last, strict=True):
        sums[: column + 1] += row[column::-1]
        counts[: column + 1] += 1
    return sums / np.maximum(counts, 1)
