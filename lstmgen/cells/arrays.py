"""The functions that NumPy and torch call differently. With them, an equation is written once for both.

torch is imported only when a function is given a tensor: to generate text on a CPU must not need it.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np


class Array(Protocol):
    """The operations that an equation may use; a NumPy array and a torch tensor have them all."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The length of each axis."""
        ...

    @property
    def dtype(self) -> Any:
        """The type of the elements."""
        ...

    @property
    def T(self) -> Any:  # noqa: N802  # NumPy's name and torch's
        """The transpose."""
        ...

    def __getitem__(self, index: Any, /) -> Any: ...
    def __add__(self, other: Any, /) -> Any: ...
    def __radd__(self, other: Any, /) -> Any: ...
    def __sub__(self, other: Any, /) -> Any: ...
    def __rsub__(self, other: Any, /) -> Any: ...
    def __mul__(self, other: Any, /) -> Any: ...
    def __rmul__(self, other: Any, /) -> Any: ...
    def __matmul__(self, other: Any, /) -> Any: ...


def tanh(x: Any) -> Any:
    """The hyperbolic tangent of each element."""
    return np.tanh(x) if isinstance(x, np.ndarray) else x.tanh()


def sigmoid(x: Any) -> Any:
    """The logistic function of each element; in NumPy it is computed with tanh, which cannot overflow."""
    return 0.5 * np.tanh(0.5 * x) + 0.5 if isinstance(x, np.ndarray) else x.sigmoid()


def softmax(x: Any) -> Any:
    """The softmax along the last axis."""
    if not isinstance(x, np.ndarray):
        return x.softmax(dim=-1)
    exponentials = np.exp(x - x.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def split(x: Any, parts: int) -> Sequence[Any]:
    """Cut the last axis into equal parts."""
    if not isinstance(x, np.ndarray):
        return x.chunk(parts, dim=-1)  # type: ignore[no-any-return]  # its type is known, but not to mypy
    size = x.shape[-1] // parts
    return [x[..., part * size : (part + 1) * size] for part in range(parts)]


def zeros(shape: tuple[int, ...], like: Any) -> Any:
    """An array of zeros, of the same library, type and device as another array."""
    return np.zeros(shape, like.dtype) if isinstance(like, np.ndarray) else like.new_zeros(shape)


def repeat(x: Any, times: int) -> Any:
    """Repeat each row of the first axis `times` times."""
    return x.repeat(times, axis=0) if isinstance(x, np.ndarray) else x.repeat_interleave(times, dim=0)


def concatenate(arrays: Sequence[Any], axis: int) -> Any:
    """Join arrays along an existing axis."""
    if isinstance(arrays[0], np.ndarray):
        return np.concatenate(arrays, axis)
    import torch

    return torch.cat(list(arrays), dim=axis)


def stack(arrays: Sequence[Any], axis: int) -> Any:
    """Join arrays along a new axis."""
    if isinstance(arrays[0], np.ndarray):
        return np.stack(arrays, axis)
    import torch

    return torch.stack(list(arrays), dim=axis)


def einsum(equation: str, *arrays: Any) -> Any:
    """Sum products over the axes that the equation names."""
    if isinstance(arrays[0], np.ndarray):
        return np.einsum(equation, *arrays, optimize=len(arrays) > 1)
    import torch

    return torch.einsum(equation, *arrays)
