"""What the loops with a backward pass derived by hand have in common.

Each loop goes forward step by step and then back step by step. D, the deltas, are the gradient of the loss with respect
to W x + b + R h. What need not be in the loop is one product over all steps: D^T X, D W and the sum of D are left to
autograd, which made the projection; Σ_t D_t^T h_t is computed by `over_time`. A step is up to twenty small operations.
Fewer operations make it faster, and so do operands that are still in the processor's cache. Therefore nothing is
computed for all steps in advance.

Products are in the type of the projection. That is bfloat16 where autocast asks for it; states, gates and sums stay
float32.
"""

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from lstmgen.network.unroll import LookUp

Inputs: TypeAlias = Tensor | LookUp

_TABLE_TOKENS = 256
"""With more tokens, the products with a table cost more than they save."""

_MINUS_ONE = torch.tensor(-1.0)  # an operation with a number of Python takes a microsecond longer
_through_sigmoid = torch.ops.aten.sigmoid_backward.grad_input
_through_tanh = torch.ops.aten.tanh_backward.grad_input


def looked_up(inputs: Inputs) -> Tensor:
    """Look up the inputs. `functional.embedding` adds up the gradients four times as fast as an index does."""
    if not isinstance(inputs, LookUp):
        return inputs
    return functional.embedding(cast(Tensor, inputs.ids), cast(Tensor, inputs.embedding))


def project_over_time(weights: Mapping[str, Tensor], inputs: Inputs) -> Tensor:
    """W x + b for all steps at once, (time, batch, gates * hidden)."""
    W, b = weights["weight_ih"], weights["bias"]
    if isinstance(inputs, LookUp):
        embedding, ids = cast(Tensor, inputs.embedding), cast(Tensor, inputs.ids)
        if len(embedding) <= min(_TABLE_TOKENS, ids.numel()):  # project each token once, and not each position
            return _Rows.apply(functional.linear(embedding, W, b), ids.T)  # type: ignore[no-untyped-call,no-any-return]  # torch has no types for it
    return functional.linear(looked_up(inputs).transpose(0, 1), W, b)


class _Rows(torch.autograd.Function):
    """Look up rows of a table.

    The backward pass adds up the gradients of each row as one matrix product, which sums in float32. To add them one by
    one in bfloat16 would lose small ones.
    """

    @staticmethod
    def forward(ctx: Any, table: Tensor, ids: Tensor) -> Tensor:
        """The rows, (*ids, columns)."""
        ctx.save_for_backward(ids)
        ctx.rows = len(table)
        return table[ids]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, deltas: Tensor) -> tuple[Tensor, None]:
        """The sum of the gradients of each row, (rows, columns)."""
        (ids,) = ctx.saved_tensors
        chosen = deltas.new_zeros(ctx.rows, ids.numel()).scatter_(0, ids.reshape(1, -1), 1.0)
        return chosen @ deltas.flatten(0, 1), None


def history(first: Tensor, time: int, kind: torch.dtype) -> Tensor:
    """Room for a state before the first step and after each of them, (time + 1, batch, hidden)."""
    states = first.new_empty(time + 1, *first.shape, dtype=kind)
    states[0] = first
    return states


def steps(*histories: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """The time steps of several tensors together; views made at once are cheaper than an index in each step."""
    return zip(*(history.unbind() for history in histories), strict=True)


def steps_back(*histories: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """The time steps from the last to the first."""
    return zip(*(reversed(history.unbind()) for history in histories), strict=True)


def tanh(x: Tensor, out: Tensor) -> Tensor:
    """The hyperbolic tangent, as 2 σ(2 x) - 1: torch's own takes three to five times as long as its σ on a CPU."""
    return to_tanh_(torch.add(x, x, out=out).sigmoid_())


def to_tanh_(sigmoid: Tensor) -> Tensor:
    """2 σ - 1, in place: tanh(a), where σ is that of 2 a."""
    return torch.sub(_MINUS_ONE, sigmoid, alpha=-2, out=sigmoid)


def through_sigmoid(d_y: Tensor, y: Tensor, out: Tensor) -> Tensor:
    """The gradient by a, of y = σ(a): d_y y (1 - y)."""
    return _through_sigmoid(d_y, y, grad_input=out)  # type: ignore[no-any-return]  # torch has no types for it


def through_tanh(d_y: Tensor, y: Tensor, out: Tensor) -> Tensor:
    """The gradient by a, of y = tanh(a): d_y (1 - y²)."""
    return _through_tanh(d_y, y, grad_input=out)  # type: ignore[no-any-return]  # torch has no types for it


def over_time(deltas: Tensor, states: Tensor) -> Tensor:
    """The gradient of R: Σ_t D_t^T h_t as one product."""
    return deltas.flatten(0, 1).T @ states.flatten(0, 1)
