"""Store weights in fewer bits.

Each row of a matrix is stored as a float32 scale times numbers of 8 or 16 bits.

    int8       scale = max |w| / 127; the numbers are the integers from -127 to 127
    float16    scale = max |w|; the numbers are from -1 to 1, so none of them overflows float16

Vectors, such as biases, stay float32 because they are few and short.
"""

from enum import StrEnum
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]


class Rounding(StrEnum):
    """How the numbers of a matrix are stored."""

    INT8 = "int8"
    FLOAT16 = "float16"


class RoundedArray(NamedTuple):
    """One parameter: a matrix in fewer bits, or an unchanged vector."""

    stored: NDArray[Any]  # (rows, columns), int8 or float16; for a vector float32
    scales: FloatArray | None  # (rows,); None for a vector

    def restored(self) -> FloatArray:
        """The parameter in the form that a network uses."""
        values = self.stored.astype(np.float32)
        return values if self.scales is None else values * self.scales[:, None]


def rounded(array: FloatArray, rounding: Rounding) -> RoundedArray:
    """Round a parameter if it is a matrix; `restored` turns it back into float32."""
    if array.ndim != 2:
        return RoundedArray(array, None)
    maxima = np.abs(array).max(axis=1, initial=0)
    maxima[maxima == 0] = 1  # any scale suits a row of zeros
    if rounding is Rounding.INT8:
        scales = (maxima / 127).astype(np.float32)
        return RoundedArray(np.clip(np.rint(array / scales[:, None]), -127, 127).astype(np.int8), scales)
    return RoundedArray((array / maxima[:, None]).astype(np.float16), maxima)
