"""Loops over time with a hand-derived backward pass: the tanh RNN, the peephole LSTM, and both forms of the GRU.

Each loop runs forward step by step and then backward step by step. D, the deltas, are the gradient of the loss with
respect to W x + b + R h. `backward` returns them, and the gradients of the other inputs of `forward` that follow from
them. Whatever need not be in the loop is one product over all steps: autograd, which made the projection, computes
D^T X, D W and the sum of D; `over_time` computes Σ_t D_t^T h_t. A step is up to twenty small operations. It is faster
with fewer operations, and with operands that are still in the processor's cache; therefore nothing is computed for all
steps in advance.

Products have the type of the projection, which is bfloat16 under autocast; states, gates and sums stay float32.
"""

from collections.abc import Iterator
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from lstmgen.cells import Cell, Parameters
from lstmgen.cells.base import HiddenState
from lstmgen.cells.gru import GRUCell
from lstmgen.cells.lstm import LSTMState
from lstmgen.config import Reset
from lstmgen.network.forward import LookUp

Inputs: TypeAlias = Tensor | LookUp

_TABLE_TOKENS = 256
"""With more tokens, projecting a whole table costs more than it saves."""

_MINUS_ONE = torch.tensor(-1.0)  # an operation with a Python number takes a microsecond longer

through_sigmoid = torch.ops.aten.sigmoid_backward.grad_input
"""For y = σ(a), turn the gradient with respect to y into the gradient with respect to a: d_y y (1 - y)."""

through_tanh = torch.ops.aten.tanh_backward.grad_input
"""For y = tanh(a), turn the gradient with respect to y into the gradient with respect to a: d_y (1 - y²)."""


def looked_up(inputs: Inputs) -> Tensor:
    """Look up the inputs. `functional.embedding` sums the gradients four times as fast as indexing does."""
    if not isinstance(inputs, LookUp):
        return inputs
    return functional.embedding(inputs.ids, inputs.embedding)


def project_over_time(weights: Parameters, inputs: Inputs) -> Tensor:
    """W x + b for all steps at once, (time, batch, gates * hidden)."""
    W, b = weights["weight_ih"], weights["bias"]
    if isinstance(inputs, LookUp):
        embedding, ids = inputs
        if len(embedding) <= min(_TABLE_TOKENS, ids.numel()):  # project each token once instead of each position
            return _Rows.apply(functional.linear(embedding, W, b), ids.T)  # type: ignore[no-untyped-call,no-any-return]  # torch has no types for it
    return functional.linear(looked_up(inputs).transpose(0, 1), W, b)


class _Rows(torch.autograd.Function):
    """Look up rows of a table.

    The backward pass adds up the gradients of each row as one matrix product, which sums in float32. Adding them one by
    one in bfloat16 would lose the small ones.
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
    """Memory for the state before the first step and after each step, (time + 1, batch, hidden)."""
    states = first.new_empty(time + 1, *first.shape, dtype=kind)
    states[0] = first
    return states


def steps(*histories: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """The time steps of several tensors together; making all views at once is cheaper than indexing in each step."""
    return zip(*(history.unbind() for history in histories), strict=True)


def steps_back(*histories: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """The time steps from the last to the first."""
    return zip(*(reversed(history.unbind()) for history in histories), strict=True)


def tanh(x: Tensor, out: Tensor) -> Tensor:
    """The hyperbolic tangent as 2 σ(2 x) - 1: on a CPU, torch's tanh takes three to five times as long as its σ."""
    return to_tanh_(torch.add(x, x, out=out).sigmoid_())


def to_tanh_(sigmoid: Tensor) -> Tensor:
    """Turn σ(2 a) into tanh(a) = 2 σ(2 a) - 1, in place."""
    return torch.sub(_MINUS_ONE, sigmoid, alpha=-2, out=sigmoid)


def over_time(deltas: Tensor, states: Tensor) -> Tensor:
    """The gradient of R: Σ_t D_t^T h_t as one product."""
    return deltas.flatten(0, 1).T @ states.flatten(0, 1)


def rnn(_cell: Cell, weights: Parameters, inputs: Inputs, state: HiddenState) -> tuple[Tensor, HiddenState]:
    """The tanh RNN over a chunk; equal to `unroll`."""
    projected = project_over_time(weights, inputs)
    outputs = _RNN.apply(projected, weights["weight_hh"], state.hidden)  # type: ignore[no-untyped-call]  # torch has no types for it
    return outputs.transpose(0, 1), HiddenState(outputs[-1].to(state.hidden.dtype))


class _RNN(torch.autograd.Function):
    """h' = tanh(a), a = W x + b + R h."""

    @staticmethod
    def forward(ctx: Any, projected: Tensor, R: Tensor, h: Tensor) -> Tensor:
        """Hidden states, (time, batch, hidden)."""
        R = R.to(projected.dtype)
        hiddens = history(h, len(projected), R.dtype)
        for x, h, h_new in steps(projected, hiddens[:-1], hiddens[1:]):
            torch.tanh(torch.addmm(x, h, R.T), out=h_new)
        ctx.save_for_backward(R, hiddens)
        return hiddens[1:]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_outputs: Tensor) -> tuple[Tensor, ...]:
        R, hiddens = ctx.saved_tensors
        deltas = torch.empty_like(hiddens[1:])
        d_h = torch.zeros_like(hiddens[0])
        for d_y, h, D in steps_back(d_outputs, hiddens[1:], deltas):
            through_tanh(d_h + d_y, h, grad_input=D)
            d_h = D @ R
        return deltas, over_time(deltas, hiddens[:-1]), d_h


def peephole(cell: Cell, weights: Parameters, inputs: Inputs, state: LSTMState) -> tuple[Tensor, LSTMState]:
    """The peephole cell over a chunk; equal to `unroll`.

    Also runs the LSTM cell, which is a peephole cell without peepholes.
    """
    absent = torch.zeros_like(weights["bias"][: cell.hidden_size])
    p_i, p_f, p_o = (weights.get(f"peephole_{gate}", absent) for gate in ("input", "forget", "output"))
    projected = project_over_time(weights, inputs)
    outputs, *last = _Peephole.apply(  # type: ignore[no-untyped-call]  # torch has no types for it
        projected, weights["weight_hh"], torch.stack([p_i, p_f]), p_o, *state
    )
    return outputs.transpose(0, 1), LSTMState(*last)


class _Peephole(torch.autograd.Function):
    """c' = f c + i g, h' = o tanh(c'), with i and f seeing c, and o seeing c'."""

    @staticmethod
    def forward(
        ctx: Any, projected: Tensor, R: Tensor, p_if: Tensor, p_o: Tensor, h: Tensor, c: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Hidden states, (time, batch, hidden), the last of them in full precision, and the last cell state."""
        R = R.to(projected.dtype)
        size = h.shape[-1]
        gates = h.new_empty(projected.shape)
        gates_if, gates_ifg = gates.view(*gates.shape[:2], 4, size)[:, :, :2], gates[..., : 3 * size]
        hiddens, cells = history(h, len(gates), R.dtype), history(c, len(gates), c.dtype)
        tanhs = torch.empty_like(cells[1:])
        for x, a, a_if, a_ifg, i, f, g, o, h_low, h_new, c, c_new, tanh_c in steps(
            *(projected, gates, gates_if, gates_ifg, *gates.chunk(4, dim=-1)),
            *(hiddens[:-1], hiddens[1:], cells[:-1], cells[1:], tanhs),
        ):
            a.copy_(torch.addmm(x, h_low, R.T))
            a_if.addcmul_(c[:, None], p_if)
            g.add_(g)
            a_ifg.sigmoid_()
            to_tanh_(g)
            torch.mul(f, c, out=c_new).addcmul_(i, g)
            o.addcmul_(p_o, c_new).sigmoid_()
            h = o * tanh(c_new, out=tanh_c)
            h_new.copy_(h)
        ctx.save_for_backward(R, p_if, p_o, gates, cells, tanhs, hiddens)
        return hiddens[1:], h, cells[-1].clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_outputs: Tensor, d_h: Tensor, d_c: Tensor) -> tuple[Tensor, ...]:
        R, p_if, p_o, gates, cells, tanhs, hiddens = ctx.saved_tensors
        p_i, p_f = p_if
        deltas = torch.empty_like(gates, dtype=R.dtype)
        d_a = torch.empty_like(gates[0])  # D of one step, in full precision
        d_i, d_f, d_g, d_o = d_a.chunk(4, dim=-1)
        for d_y, i, f, g, o, c, tanh_c, D in steps_back(
            *(d_outputs, *gates.chunk(4, dim=-1), cells[:-1], tanhs, deltas)
        ):
            d_h = d_h + d_y
            through_sigmoid(d_h * tanh_c, o, grad_input=d_o)
            d_tanh_c = d_h * o
            d_c = through_tanh(d_tanh_c, tanh_c, grad_input=d_tanh_c).add_(d_c).addcmul_(d_o, p_o)
            through_sigmoid(d_c * g, i, grad_input=d_i)
            through_sigmoid(d_c * c, f, grad_input=d_f)
            through_tanh(d_c * i, g, grad_input=d_g)
            D.copy_(d_a)
            d_c = d_c.mul_(f).addcmul_(d_i, p_i).addcmul_(d_f, p_f)
            d_h = D @ R
        D_if, _, D_o = torch.split(deltas, [2 * len(p_o), len(p_o), len(p_o)], dim=-1)
        d_p_if = (D_if.view(*D_if.shape[:2], 2, -1) * cells[:-1, :, None]).sum(dim=(0, 1))
        d_p_o = (D_o * cells[1:]).sum(dim=(0, 1))
        return deltas, over_time(deltas, hiddens[:-1]), d_p_if, d_p_o, d_h, d_c


def gru(cell: GRUCell, weights: Parameters, inputs: Inputs, state: HiddenState) -> tuple[Tensor, HiddenState]:
    """The GRU over a chunk; equal to `unroll`."""
    projected, R = project_over_time(weights, inputs), weights["weight_hh"]
    if cell.reset is Reset.AFTER:
        outputs, last = _GRUAfter.apply(projected, R, weights["bias_candidate"], state.hidden)  # type: ignore[no-untyped-call]  # torch has no types for it
    else:
        outputs, last = _GRUBefore.apply(projected, R, state.hidden)  # type: ignore[no-untyped-call]  # torch has no types for it
    return outputs.transpose(0, 1), HiddenState(last)


class _GRUBefore(torch.autograd.Function):
    """h' = (1 - z) n + z h, n = tanh(W x + b + R_n (r h))."""

    @staticmethod
    def forward(ctx: Any, projected: Tensor, R: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """Hidden states, (time, batch, hidden), and the last of them in full precision."""
        R = R.to(projected.dtype)
        rows = [2 * h.shape[-1], h.shape[-1]]
        R_rz, R_n = torch.split(R, rows)
        activations = h.new_empty(projected.shape)  # r, z and n
        gates, candidates = torch.split(activations, rows, dim=-1)
        hiddens = history(h, len(projected), R.dtype)
        resets = torch.empty_like(hiddens[1:])  # r h
        for x_rz, x_n, rz, r, z, n, h_low, h_new, reset in steps(
            *torch.split(projected, rows, dim=-1),
            *(gates, *gates.chunk(2, dim=-1), candidates, hiddens[:-1], hiddens[1:], resets),
        ):
            rz.copy_(torch.addmm(x_rz, h_low, R_rz.T)).sigmoid_()
            reset.copy_(r * h)
            tanh(torch.addmm(x_n, reset, R_n.T), out=n)
            h = torch.lerp(n, h, z)
            h_new.copy_(h)
        ctx.save_for_backward(R, activations, hiddens, resets)
        return hiddens[1:], h

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_outputs: Tensor, d_h: Tensor) -> tuple[Tensor, ...]:
        R, activations, hiddens, resets = ctx.saved_tensors
        rows = [2 * R.shape[1], R.shape[1]]
        R_rz, R_n = torch.split(R, rows)
        deltas = torch.empty_like(activations, dtype=R.dtype)
        deltas_rz, deltas_n = torch.split(deltas, rows, dim=-1)
        d_rz = torch.empty_like(activations[0, :, : rows[0]])  # D of one step, in full precision
        d_r, d_z = d_rz.chunk(2, dim=-1)
        for d_y, r, z, n, h, D_rz, D_n in steps_back(
            *(d_outputs, *activations.chunk(3, dim=-1), hiddens[:-1], deltas_rz, deltas_n)
        ):
            d_h = d_h + d_y
            d_n = torch.addcmul(d_h, d_h, z, value=-1)
            D_n.copy_(through_tanh(d_n, n, grad_input=d_n))
            through_sigmoid((h - n).mul_(d_h), z, grad_input=d_z)
            d_reset = D_n @ R_n
            through_sigmoid(d_reset * h, r, grad_input=d_r)
            D_rz.copy_(d_rz)
            d_h = torch.addcmul(D_rz @ R_rz, d_h, z).addcmul_(d_reset, r)
        d_R = torch.cat([over_time(deltas_rz, hiddens[:-1]), over_time(deltas_n, resets)])
        return deltas, d_R, d_h


class _GRUAfter(torch.autograd.Function):
    """h' = (1 - z) n + z h, n = tanh(W x + b + r q), q = R_n h + b_n."""

    @staticmethod
    def forward(ctx: Any, projected: Tensor, R: Tensor, b_n: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """Hidden states, (time, batch, hidden), and the last of them in full precision."""
        R = R.to(projected.dtype)
        rows = [2 * len(b_n), len(b_n)]
        x_rz, x_n = torch.split(projected, rows, dim=-1)
        sums = torch.cat([x_rz, b_n.to(R.dtype).expand_as(x_n)], dim=-1)  # what R h is added to: gates, and q
        activations = h.new_empty(projected.shape)  # r, z and n
        gates, candidates = torch.split(activations, rows, dim=-1)
        hiddens = history(h, len(projected), R.dtype)
        for x, a, a_rz, q, rz, r, z, n, h_low, h_new in steps(
            *(x_n, sums, *torch.split(sums, rows, dim=-1), gates, *gates.chunk(2, dim=-1), candidates),
            *(hiddens[:-1], hiddens[1:]),
        ):
            a.copy_(torch.addmm(a, h_low, R.T))
            rz.copy_(a_rz).sigmoid_()
            tanh(torch.addcmul(x, r, q, out=n), out=n)
            h = torch.lerp(n, h, z)
            h_new.copy_(h)
        ctx.save_for_backward(R, activations, sums, hiddens)
        return hiddens[1:], h

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_outputs: Tensor, d_h: Tensor) -> tuple[Tensor, ...]:
        """The deltas D of W x + b and S of R h, and the gradients of the other inputs that follow from them."""
        R, activations, sums, hiddens = ctx.saved_tensors
        size = R.shape[1]
        deltas = activations.new_empty(*activations.shape[:2], 4 * size, dtype=R.dtype)  # of r, z, q and n
        d_a = activations.new_empty(deltas.shape[1:])  # one step, in full precision
        d_r, d_z, d_q, d_n = d_a.chunk(4, dim=-1)
        recurrent = deltas[..., : 3 * size]
        for d_y, r, z, n, q, h, D, S in steps_back(
            *(d_outputs, *activations.chunk(3, dim=-1), sums[..., 2 * size :], hiddens[:-1], deltas, recurrent)
        ):
            d_h = d_h + d_y
            through_tanh(torch.addcmul(d_h, d_h, z, value=-1), n, grad_input=d_n)
            torch.mul(d_n, r, out=d_q)
            through_sigmoid((h - n).mul_(d_h), z, grad_input=d_z)
            through_sigmoid(d_n * q, r, grad_input=d_r)
            D.copy_(d_a)
            d_h = torch.addcmul(S @ R, d_h, z)
        d_projected = torch.cat([deltas[..., : 2 * size], deltas[..., 3 * size :]], dim=-1)
        d_b_n = recurrent[..., 2 * size :].sum(dim=(0, 1), dtype=d_h.dtype)
        return d_projected, over_time(recurrent, hiddens[:-1]), d_b_n, d_h
