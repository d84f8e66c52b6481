"""Which rounding of the weights an exported page can have, by what it costs on held-out text."""

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
"""How much larger the held-out nats may be with rounded weights, as a fraction."""

_MAX_TOKENS, _MIN_TOKENS, _PRODUCTS = 20_000, 2_000, 2e10
"""How many held-out tokens are scored: as many as need this number of products, between the two bounds.

The same tokens are scored with all weights, so that few suffice to compare them.
"""

_NEEDED = "int8 needs a held-out text to be measured on"


@dataclass(frozen=True)
class Choice:
    """How the weights of a checkpoint are rounded, and why."""

    rounding: Rounding
    reason: str = ""  # why nothing was measured
    tokens: int = 0  # how many held-out tokens were scored
    exact_nats: float = 0.0  # per token, with the weights of the checkpoint
    nats: Mapping[Rounding, float] = field(default_factory=dict)  # per token, with each rounding that was tried

    def loss(self, rounding: Rounding) -> float:
        """How much larger the nats are with rounded weights, as a fraction."""
        if self.nats[rounding] == self.exact_nats:  # both can be 0
            return 0.0
        return self.nats[rounding] / self.exact_nats - 1 if self.exact_nats else inf


def choose_rounding(checkpoint: Checkpoint) -> Choice:
    """Choose int8 if the weights are already stored in 8 bits, or the held-out nats stay within `ALLOWED_LOSS`.

    Otherwise, or without a held-out text, float16.

    The model may have learned from that text since: only scores of the same text are compared.
    """
    stored = {name: rounded(array, Rounding.INT8).restored() for name, array in checkpoint.weights.items()}
    if all(np.allclose(stored[name], array, rtol=1e-5, atol=0) for name, array in checkpoint.weights.items()):
        return Choice(Rounding.INT8, "the checkpoint has 8 bits too")
    try:
        ids = read_own_text(checkpoint.record, checkpoint.vocabulary, remedy="use float16").validation
    except TextError as error:
        return Choice(Rounding.FLOAT16, f"{_NEEDED}, and {error}")
    if len(ids) < 2:
        return Choice(Rounding.FLOAT16, f"{_NEEDED}, and training held out only {len(ids)} characters")
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
