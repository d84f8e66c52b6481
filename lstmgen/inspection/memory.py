"""How far back a network looks: four measures, each as a plain function of a checkpoint and a text.

- The loss when it sees only the last k tokens, from the initial state, at the same positions for every k.
- The influence of one token on the prediction d tokens later.
- Whether it knows that a pair is open. `influence.py` measures this and the influence.
- The norm of the gradient of the loss with respect to the embedding at distance d; the last token read is at 1.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lstmgen.checkpoint import Checkpoint
from lstmgen.errors import TextError
from lstmgen.generation.engine import NumpyEngine
from lstmgen.generation.sampler import negative_log_likelihood
from lstmgen.inspection.influence import DISTANCES, PairMemory, evenly, influence, pair_memory
from lstmgen.inspection.trace import line_starts
from lstmgen.network.forward import forward, head
from lstmgen.text.vocabulary import Ids

MAX_VISIBLE = 1024
REACH = DISTANCES[-1]
"""The largest distance of the gradient."""

NOTICEABLE = 0.01
"""Nats per character; a smaller difference does not count."""

Watch: TypeAlias = Callable[[Sequence[int | str]], Iterable[int | str]]

_WORK = 2e11  # multiplications in all predictions together; this limits the number of positions
_FEWEST, _MAX = 64, 1024  # positions
_NUMBERS = 1 << 20  # outputs of units in memory at once
_GRADIENT_POSITIONS = 64


@dataclass(frozen=True)
class Memory:
    """How far back a network looks."""

    positions: int  # how many predictions each loss is averaged over
    nats_per_character: dict[int, float]  # the loss by the number of visible tokens
    influence: dict[int, float]  # nats by distance
    reach: NDArray[np.float64]  # the mean gradient norm, (distances,), beginning with the last token read
    pairs: dict[str, PairMemory]  # every kind in the text, including those with too few examples

    @property
    def gradient(self) -> dict[int, float]:
        """The mean gradient norm at the distances that the influence is measured at."""
        return {distance: float(self.reach[distance - 1]) for distance in DISTANCES if distance <= len(self.reach)}


class Context(NamedTuple):
    """What a network may see before each of several predictions."""

    inputs: Ids  # (positions, time): the last tokens before each target, followed by arbitrary ones
    last: NDArray[np.int64]  # (positions,): the column of the last token before each target
    targets: Ids  # (positions,)


def memory_reach(nats: Mapping[int, float]) -> int:
    """The smallest number of visible tokens whose loss is within 0.01 nats of the loss with the most tokens.

    `nats` has the losses by the number of visible tokens, in rising order.
    """
    *_, last = nats.values()
    return next(visible for visible, loss in nats.items() if loss <= last + NOTICEABLE)


def measure_memory(
    checkpoint: Checkpoint,
    ids: Ids,
    watch: Watch = lambda measured: measured,
    *,
    size: int | None = None,
) -> Memory:
    """Measure in all four ways how far back a network looks in a text, (time,).

    `watch` iterates over the measurements and passes them on, as a progress bar does. Smaller networks are measured on
    more predictions. Several networks use the same ones if they are given the same `size`, which replaces the number
    of parameters in their layers.

    Raises TextError if the text has fewer than 4 tokens.
    """
    begins, losses = context_begins(ids, checkpoint.end_token), {}
    size = size or checkpoint.network.layer_parameter_count()
    visible, positions = _visible(checkpoint, ids, begins, size)
    found: dict[str, Any] = {}
    for measured in watch([*visible, *_OTHERS]):
        if isinstance(measured, int):
            losses[measured] = _loss(checkpoint, context(ids, positions, begins, measured))
        else:
            found[measured] = _OTHERS[measured](checkpoint, ids, size=size)
    return Memory(len(positions), losses, **found)


def visible_losses(checkpoint: Checkpoint, ids: Ids) -> dict[int, float]:
    """The mean loss of the same predictions in a text, (time,), by the number of visible tokens, in nats.

    Raises TextError if the text has fewer than 4 tokens.
    """
    begins = context_begins(ids, checkpoint.end_token)
    visible, positions = _visible(checkpoint, ids, begins, checkpoint.network.layer_parameter_count())
    return {count: _loss(checkpoint, context(ids, positions, begins, count)) for count in visible}


def _visible(
    checkpoint: Checkpoint, ids: Ids, begins: NDArray[np.int64], size: int
) -> tuple[list[int], NDArray[np.int64]]:
    """How many tokens to make visible, in rising order, and the positions of the tokens to predict."""
    if len(ids) < 4:
        raise TextError("the text is too short to measure memory; give a text with at least 4 characters")
    lengths = np.arange(len(ids)) - begins
    if checkpoint.end_token is None:  # every prediction has the same number of tokens before it
        most = min(MAX_VISIBLE, len(ids) // 2)
        visible = [2**power for power in range(most.bit_length())]
        possible = np.flatnonzero(lengths >= visible[-1])
    else:  # a prediction sees at most its own line; the last number covers the longest line
        most = min(MAX_VISIBLE, int(lengths.max()))
        visible = [2**power for power in range((most - 1).bit_length() + 1)]
        possible = np.flatnonzero(lengths >= 1)
    affordable = _WORK / (size * sum(visible))
    return visible, evenly(possible, int(np.clip(affordable, _FEWEST, _MAX)))


def mean_gradient(checkpoint: Checkpoint, ids: Ids, *, size: int | None = None) -> NDArray[np.float64]:
    """The mean gradient norm over some positions of a text, (time,). `size`: see `measure_memory`."""
    begins = context_begins(ids, checkpoint.end_token)
    _, positions = _visible(checkpoint, ids, begins, size or checkpoint.network.layer_parameter_count())
    far = context(ids, evenly(positions, _GRADIENT_POSITIONS), begins, 2 * REACH)
    return gradient_reach(checkpoint, far)[:REACH]


_OTHERS: dict[str, Callable[..., Any]] = {
    "influence": influence,
    "reach": mean_gradient,
    "pairs": pair_memory,
}
"""The measures besides the loss, by the fields of `Memory`."""


def context_begins(ids: Ids, end_token: int | None) -> NDArray[np.int64]:
    """Where the context of each token begins, (time,); a line feed is predicted from its own line."""
    return np.concatenate([[0], line_starts(ids, end_token)[:-1]])


def context(ids: Ids, positions: NDArray[np.int64], begins: NDArray[np.int64], visible: int) -> Context:
    """The last `visible` tokens before each position, (positions,), but none from before the context begins."""
    starts = np.maximum(begins[positions], positions - visible)
    lengths = positions - starts
    columns = starts[:, None] + np.arange(lengths.max())
    ids = np.asarray(ids, np.int64)
    return Context(ids[np.minimum(columns, len(ids) - 1)], lengths - 1, ids[positions])


def _loss(checkpoint: Checkpoint, seen: Context) -> float:
    """The mean loss of the predictions in nats; each starts from the initial state."""
    engine = NumpyEngine(checkpoint.network, checkpoint.weights)
    rows = np.arange(len(seen.inputs))
    steps = max(1, _NUMBERS // (len(rows) * engine.network.hidden_size))
    state, total = engine.initial_state(len(rows)), 0.0
    for start in range(0, seen.inputs.shape[1], steps):
        outputs, state = engine.read_before_head(seen.inputs[:, start : start + steps], state)
        ends = rows[(seen.last >= start) & (seen.last < start + steps)]
        logits = engine.predict(outputs[ends, seen.last[ends] - start])
        total += float(negative_log_likelihood(logits, seen.targets[ends]).sum())
    return total / len(rows)


def gradient_reach(checkpoint: Checkpoint, seen: Context) -> NDArray[np.float64]:
    """The mean norm of the gradient of the loss with respect to the embedding of each earlier token, (distances,).

    The first entry belongs to the last token before the prediction.
    """
    import torch

    from lstmgen.network.kernels.torch_layers import run_layer

    network = checkpoint.network
    doubles = {name: torch.from_numpy(array).double() for name, array in checkpoint.weights.items()}
    weights = network.arrange(doubles)  # in single precision, small gradients would become 0
    rows, time = seen.inputs.shape
    # Each input gets a row of its own in the table of embeddings, so that each has its own gradient.
    embedded = weights.embedding[torch.from_numpy(seen.inputs.reshape(-1))].requires_grad_()
    numbers = torch.arange(rows * time).reshape(rows, time)
    state = network.initial_state(rows, like=embedded.detach())
    outputs = forward(network, weights._replace(embedding=embedded), numbers, state, run_layer)
    logits = head(outputs.head_inputs[torch.arange(rows), torch.from_numpy(seen.last)], weights)
    torch.nn.functional.cross_entropy(logits, torch.from_numpy(seen.targets), reduction="sum").backward()  # type: ignore[no-untyped-call]  # torch has no types for it
    norms = embedded.grad.reshape(rows, time, -1).norm(dim=-1).numpy()
    sums, counts = np.zeros((2, time))
    for row, column in zip(norms, seen.last, strict=True):
        sums[: column + 1] += row[column::-1]
        counts[: column + 1] += 1
    return sums / np.maximum(counts, 1)
