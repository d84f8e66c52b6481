"""Products of the same matrix with a few rows, again and again: those in a loop over time.

`torch.mm` rearranges the matrix for each product. With 32 rows that can take as long as the product itself. oneDNN can
rearrange it once for all products. torch offers this only through operations that it made for torch.compile, and they
are not public. Where they are missing, `torch.addmm` and `@` compute the same.
"""

import platform
from functools import lru_cache
from typing import Protocol, cast

import torch
from torch import Tensor

_LARGE = 1 << 18
"""From this number of elements on (1 MB) it is faster to rearrange a matrix; in bfloat16 it never was."""


class Multiply(Protocol):
    """Computes x M, or y + x M if y is given; without a gradient."""

    def __call__(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """x: (rows, inputs); y and the result: (rows, outputs)."""


def multiplier(M: Tensor, rows: int) -> Multiply:
    """Prepare for many products with M, (inputs, outputs).

    Args:
        M: the matrix. It must not change as long as the products are computed.
        rows: the number of rows that x will have; others are possible.
    """
    if M.device.type != "cpu" or M.dtype is not torch.float32 or M.numel() < _LARGE or not _can_rearrange():
        return lambda x, y=None: x @ M if y is None else torch.addmm(y, x, M)
    rearranged = torch.ops.mkldnn._reorder_linear_weight(M.T, rows)
    linear = torch.ops.mkldnn._linear_pointwise

    def multiply(x: Tensor, y: Tensor | None = None) -> Tensor:
        if y is None:
            return cast(Tensor, linear.default(x, rearranged, None, "none", [], ""))
        return cast(Tensor, linear.binary(x, y, rearranged, None, "add"))

    return multiply


@lru_cache
def _can_rearrange() -> bool:
    """Whether this torch has the operations. Only x86 was measured."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return False
    one = torch.ones(1, 1)
    try:
        rearranged = torch.ops.mkldnn._reorder_linear_weight(one, 1)
        torch.ops.mkldnn._linear_pointwise.binary(one, one, rearranged, None, "add")
    except (AttributeError, RuntimeError):
        return False
    return True
