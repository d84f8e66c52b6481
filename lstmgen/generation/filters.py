"""What is done to logits before a symbol is drawn.

A filter takes logits, (batch, vocab), and returns logits of that shape; what must not be drawn becomes -inf.

Knows: NumPy. Does not know: the network, chance or characters.
"""

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]


def sharpen(logits: FloatArray, temperature: float) -> FloatArray:
    """Divide by the temperature: below 1 the likely becomes likelier, above 1 the rare less rare; 0 keeps the best.

    At 0 the first of equally likely symbols is kept.
    """
    if temperature == 1:
        return logits
    if temperature > 0:
        shifted: FloatArray = logits - logits.max(axis=-1, keepdims=True)
        return shifted / np.float32(max(temperature, 1e-6))
    kept = np.full_like(logits, -np.inf)
    best = logits.argmax(axis=-1)
    kept[np.arange(len(logits)), best] = 0
    return kept
