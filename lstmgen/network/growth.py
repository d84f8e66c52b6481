"""A trained network for a larger vocabulary: old tokens keep their weights, new ones get a beginning.

A new token begins as a mean token: its rows of the embedding and of the head, and its bias, are the means over the
old tokens. So its logit is the mean of theirs, which is far below that of a likely token. A little noise makes two
new tokens differ.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from lstmgen.text.vocabulary import Ids

FloatArray = NDArray[np.float32]

ROWS_OF_TOKENS = ("embedding", "head.weight", "head.bias")
"""The parameters with a row for each token; the second one only where the head is not tied."""

_NOISE = 0.1  # of the deviation of the old rows


def grow(
    weights: Mapping[str, FloatArray], new_ids: Ids, vocab_size: int, generator: np.random.Generator
) -> dict[str, FloatArray]:
    """The parameters of a network for a larger vocabulary.

    `new_ids` are those of the old tokens, (old vocabulary,); the generator draws the noise of new tokens.
    """
    if vocab_size == len(new_ids):
        return dict(weights)
    grown = dict(weights)
    for name in ROWS_OF_TOKENS:
        if name in weights:
            old = weights[name]
            noise = generator.standard_normal((vocab_size, *old.shape[1:])) if old.ndim > 1 else np.zeros(vocab_size)
            rows = (old.mean(axis=0) + _NOISE * old.std(axis=0) * noise).astype(np.float32)
            rows[new_ids] = old
            grown[name] = rows
    return grown
