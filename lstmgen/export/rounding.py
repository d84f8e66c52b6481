"""Choose how to round the weights of an exported page, by the cost on held-out text."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf

import numpy as np

from lstmgen.checkpoint import Checkpoint, FloatArray
from lstmgen.errors import TextError
from lstmgen.evaluation.own_text import read_own_text
from lstmgen.evaluation.score import exact_protocol, score
from lstmgen.generation.engine import NumpyEngine
from lstmgen.network.rounding import Rounding, rounded

ALLOWED_LOSS = 0.005
"""The largest acceptable increase of the held-out nats by rounding the weights, as a fraction."""

_MAX_TOKENS, _MIN_TOKENS, _PRODUCTS = 20_000, 2_000, 2e10
"""How many held-out tokens to score: as many as this number of products allows, within the two bounds.

A few suffice, because every rounding is scored on the same tokens.
"""

_UNCHECKED = "int8 cannot be checked on held-out text"


@dataclass(frozen=True)
class Choice:
    """How to round the weights of a checkpoint, and why."""

    rounding: Rounding
    reason: str = ""  # why nothing was measured
    tokens: int = 0  # how many held-out tokens were scored
    exact_nats: float = 0.0  # per token, with the weights of the checkpoint
    nats: Mapping[Rounding, float] = field(default_factory=dict)  # per token, with each rounding tried

    def loss(self, rounding: Rounding) -> float:
        """The increase of the nats by rounding the weights, as a fraction."""
        if self.nats[rounding] == self.exact_nats:  # both can be 0
            return 0.0
        return self.nats[rounding] / self.exact_nats - 1 if self.exact_nats else inf


def choose_rounding(checkpoint: Checkpoint) -> Choice:
    """Choose int8 if the weights are stored in 8 bits already, or the held-out nats increase by at most `ALLOWED_LOSS`.

    Otherwise, or without a held-out text, choose float16.

    It does not matter if the model has learned from that text since, because all scores are on the same text.
    """

    def restored(rounding: Rounding) -> dict[str, FloatArray]:
        return {name: rounded(array, rounding).restored() for name, array in checkpoint.weights.items()}

    in_8_bits = restored(Rounding.INT8)
    if all(np.allclose(in_8_bits[name], array, rtol=1e-5, atol=0) for name, array in checkpoint.weights.items()):
        return Choice(Rounding.INT8, "the checkpoint stores them so")
    try:
        ids = read_own_text(checkpoint.record, checkpoint.vocabulary, remedy="use float16").validation
    except TextError as error:
        return Choice(Rounding.FLOAT16, f"{_UNCHECKED}: {error}")
    if len(ids) < 2:
        return Choice(Rounding.FLOAT16, f"{_UNCHECKED}: training held out only {len(ids)} characters")
    affordable = int(_PRODUCTS / checkpoint.network.parameter_count())
    ids = ids[: min(_MAX_TOKENS, max(_MIN_TOKENS, affordable))]

    def nats(weights: Mapping[str, FloatArray]) -> float:
        engine = NumpyEngine(checkpoint.network, weights)
        return score(engine, exact_protocol(ids, checkpoint.end_token)).nats_per_character

    exact, choice, measured = nats(checkpoint.weights), Rounding.INT8, {Rounding.INT8: nats(in_8_bits)}
    if not measured[choice] <= exact * (1 + ALLOWED_LOSS):  # also if it is NaN
        choice = Rounding.FLOAT16
        measured[choice] = nats(restored(choice))
    return Choice(choice, "", len(ids), exact, measured)
