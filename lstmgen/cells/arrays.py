"""Functions whose calls differ between NumPy and torch, so that each equation is written only once.

torch is never imported here, because generating text on a CPU must not need it.
"""

import sys
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = Any
"""A NumPy array or a torch tensor."""


def library(x: Array) -> Any:
    """NumPy or torch, whichever made the array; if it is a tensor, torch is already imported."""
    return np if isinstance(x, np.ndarray) else sys.modules["torch"]


def tanh(x: Array) -> Array:
    """The hyperbolic tangent of each element."""
    return library(x).tanh(x)


def sigmoid(x: Array) -> Array:
    """The logistic function of each element; NumPy computes it with tanh, which cannot overflow."""
    return 0.5 * np.tanh(0.5 * x) + 0.5 if isinstance(x, np.ndarray) else x.sigmoid()


def softmax(x: Array) -> Array:
    """The softmax along the last axis."""
    if not isinstance(x, np.ndarray):
        return x.softmax(dim=-1)
    exponentials = np.exp(x - x.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def split(x: Array, parts: int) -> Sequence[Array]:
    """Cut the last axis into equal parts."""
    if not isinstance(x, np.ndarray):
        return x.chunk(parts, dim=-1)  # type: ignore[no-any-return]  # its type is known, but not to mypy
    size = x.shape[-1] // parts
    return [x[..., part * size : (part + 1) * size] for part in range(parts)]


def zeros(shape: tuple[int, ...], like: Array) -> Array:
    """An array of zeros with the library, type and device of another array."""
    return np.zeros(shape, like.dtype) if isinstance(like, np.ndarray) else like.new_zeros(shape)


def concatenate(arrays: Sequence[Array], axis: int) -> Array:
    """Join arrays along an existing axis."""
    return library(arrays[0]).concatenate(arrays, axis)


def stack(arrays: Sequence[Array], axis: int) -> Array:
    """Join arrays along a new axis."""
    return library(arrays[0]).stack(arrays, axis)
