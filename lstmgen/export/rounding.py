"""Weights in fewer bits, and what that costs on held-out text.

A matrix is stored row by row: a row is its scale, a float32, times numbers of 8 or 16 bits.

    int8       scale = max |w| / 127; the numbers are the integers from -127 to 127
    float16    scale = max |w|; the numbers are from -1 to 1, so that none is too large for float16

A vector, such as a bias, stays float32: a network has few of them, and they are short.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from math import inf
from typing import NamedTuple

import numpy as np

from lstmgen.checkpoint import AnyArray, Checkpoint, FloatArray
from lstmgen.errors import TextError
from lstmgen.evaluation.own_text import read_own_text
from lstmgen.evaluation.score import exact_protocol, score
from lstmgen.generation.engine import NumpyEngine

ALLOWED_LOSS = 0.005
"""How much larger the held-out nats may be with rounded weights, as a fraction."""

_MAX_TOKENS, _MIN_TOKENS, _PRODUCTS = 20_000, 2_000, 2e10
"""How many held-out tokens are scored: as many as need this number of products, between the two bounds.

The same tokens are scored with all weights, so that few suffice to compare them.
"""


class Rounding(StrEnum):
    """How the numbers of a matrix are stored."""

    INT8 = "int8"
    FLOAT16 = "float16"


class RoundedArray(NamedTuple):
    """One parameter: a matrix in fewer bits, or a vector as it was."""

    stored: AnyArray  # (rows, columns), int8 or float16; for a vector float32
    scales: FloatArray | None  # (rows,); None for a vector

    def restored(self) -> FloatArray:
        """The parameter as a network uses it."""
        values = self.stored.astype(np.float32)
        return values if self.scales is None else values * self.scales[:, None]


def rounded(array: FloatArray, rounding: Rounding) -> RoundedArray:
    """Round a parameter, if it is a matrix."""
    if array.ndim != 2:
        return RoundedArray(array, None)
    largest = np.abs(array).max(axis=1, initial=0)
    largest[largest == 0] = 1  # a row of zeros has any scale
    if rounding is Rounding.INT8:
        scales = (largest / 127).astype(np.float32)
        return RoundedArray(np.clip(np.rint(array / scales[:, None]), -127, 127).astype(np.int8), scales)
    return RoundedArray((array / largest[:, None]).astype(np.float16), largest)


@dataclass(frozen=True)
class Choice:
    """How the weights of a checkpoint are rounded, and why."""

    rounding: Rounding
    problem: str = ""  # why nothing was measured
    tokens: int = 0  # how many held-out tokens were scored
    exact_nats: float = 0.0  # per token, with the weights of the checkpoint
    nats: Mapping[Rounding, float] = field(default_factory=dict)  # per token, with each rounding that was tried

    def loss(self, rounding: Rounding) -> float:
        """How much larger the nats are with rounded weights, as a fraction."""
        if self.nats[rounding] == self.exact_nats:  # both can be 0
            return 0.0
        return self.nats[rounding] / self.exact_nats - 1 if self.exact_nats else inf


def choose_rounding(checkpoint: Checkpoint) -> Choice:
    """Choose int8 if the nats of the held-out text stay within `ALLOWED_LOSS`; otherwise, or without a text, float16.

    The model may have learned from that text since: only scores of the same text are compared.
    """
    try:
        ids = read_own_text(checkpoint.record, checkpoint.vocabulary, remedy="use float16").validation
    except TextError as error:
        return Choice(Rounding.FLOAT16, str(error))
    if len(ids) < 2:
        return Choice(Rounding.FLOAT16, f"training held out only {len(ids)} characters")
    affordable = int(_PRODUCTS / checkpoint.network.parameter_count())
    ids = ids[: min(_MAX_TOKENS, max(_MIN_TOKENS, affordable))]

    def nats(weights: Mapping[str, FloatArray]) -> float:
        engine = NumpyEngine(checkpoint.network, weights)
        return score(engine, exact_protocol(ids, checkpoint.end_token)).nats_per_character

    exact, measured = nats(checkpoint.weights), {}
    for rounding in (Rounding.INT8, Rounding.FLOAT16):
        measured[rounding] = nats(
            {name: rounded(array, rounding).restored() for name, array in checkpoint.weights.items()}
        )
        if measured[rounding] <= exact * (1 + ALLOWED_LOSS):
            break
    return Choice(rounding, "", len(ids), exact, measured)
