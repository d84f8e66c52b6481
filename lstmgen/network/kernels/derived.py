"""Loops with a backward pass derived by hand, for the cells that torch has no fast layer for on a CPU.

Each loop goes forward step by step and then back step by step. D, the deltas, are the gradient of the loss with respect
to W x + b + R h. What need not be in the loop is one product over all steps: D^T X, D W and the sum of D are left to
autograd, which made the projection; Σ_t D_t^T h_t is computed here. A step is a few dozen small operations. Fewer
operations make it faster, and so do operands that are still in the processor's cache. Therefore nothing is computed for
all steps in advance.

Products are in the type of the projection. That is bfloat16 where autocast asks for it; states, gates and sums stay
float32.

Knows: the derivatives of the tanh RNN, the peephole LSTM (of which the LSTM and the coupled LSTM are special cases) and
the GRU with its reset gate on either side. Does not know: the projection's gradient.
"""

from collections.abc import Iterator, Mapping
from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from lstmgen.cells import Cell
from lstmgen.cells.gru import GRUState
from lstmgen.cells.lstm import LSTMState
from lstmgen.cells.rnn import RNNState
from lstmgen.network.kernels.fused import Inputs, coupled_as_lstm, looked_up
from lstmgen.network.unroll import Embedded

_TABLE_SYMBOLS = 256
"""With more symbols, the products with a table cost more than they save."""


def derived_rnn(_cell: Cell, weights: Mapping[str, Tensor], inputs: Inputs, state: RNNState) -> tuple[Tensor, RNNState]:
    """The tanh RNN over a chunk; equal to `unroll`."""
    outputs = _RNN.apply(_project(weights, inputs), weights["weight_hh"], state.hidden)  # type: ignore[no-untyped-call]
    return outputs.transpose(0, 1), RNNState(outputs[-1].to(state.hidden.dtype))


def derived_peephole(
    cell: Cell, weights: Mapping[str, Tensor], inputs: Inputs, state: LSTMState
) -> tuple[Tensor, LSTMState]:
    """The peephole cell over a chunk; equal to `unroll`.

    It runs the LSTM cell too, which is a peephole cell without peepholes.
    """
    absent = torch.zeros_like(weights["bias"][: cell.hidden_size])
    p_i, p_f, p_o = (weights.get(f"peephole_{gate}", absent) for gate in ("input", "forget", "output"))
    outputs, *last = _Peephole.apply(  # type: ignore[no-untyped-call]
        _project(weights, inputs), weights["weight_hh"], torch.stack([p_i, p_f]), p_o, *state
    )
    return outputs.transpose(0, 1), LSTMState(*last)


def derived_coupled(
    cell: Cell, weights: Mapping[str, Tensor], inputs: Inputs, state: LSTMState
) -> tuple[Tensor, LSTMState]:
    """The coupled cell over a chunk, as an LSTM; equal to `unroll`."""
    return derived_peephole(cell, coupled_as_lstm(cell, weights), inputs, state)


def derived_gru_before(
    _cell: Cell, weights: Mapping[str, Tensor], inputs: Inputs, state: GRUState
) -> tuple[Tensor, GRUState]:
    """The GRU with its reset gate before the product, over a chunk; equal to `unroll`."""
    outputs, last = _GRUBefore.apply(_project(weights, inputs), weights["weight_hh"], state.hidden)  # type: ignore[no-untyped-call]
    return outputs.transpose(0, 1), GRUState(last)


def derived_gru_after(
    _cell: Cell, weights: Mapping[str, Tensor], inputs: Inputs, state: GRUState
) -> tuple[Tensor, GRUState]:
    """The GRU with its reset gate after the product, over a chunk; equal to `unroll`."""
    outputs, last = _GRUAfter.apply(  # type: ignore[no-untyped-call]
        _project(weights, inputs), weights["weight_hh"], weights["bias_candidate"], state.hidden
    )
    return outputs.transpose(0, 1), GRUState(last)


def _project(weights: Mapping[str, Tensor], inputs: Inputs) -> Tensor:
    """W x + b for all steps at once, (time, batch, gates * hidden)."""
    W, b = weights["weight_ih"], weights["bias"]
    if isinstance(inputs, Embedded):
        embedding, ids = cast(Tensor, inputs.embedding), cast(Tensor, inputs.ids)
        if len(embedding) <= min(_TABLE_SYMBOLS, ids.numel()):  # project each symbol once, and not each position
            return _LookUp.apply(functional.linear(embedding, W, b), ids.T)  # type: ignore[no-untyped-call,no-any-return]
    return functional.linear(looked_up(inputs).transpose(0, 1), W, b)


class _LookUp(torch.autograd.Function):
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


class _RNN(torch.autograd.Function):
    """h' = tanh(a), a = W x + b + R h."""

    @staticmethod
    def forward(ctx: Any, projected: Tensor, R: Tensor, h: Tensor) -> Tensor:
        """Hidden states, (time, batch, hidden)."""
        R = R.to(projected.dtype)
        hiddens = _history(h, len(projected), R.dtype)
        for x, h, h_new in _steps(projected, hiddens[:-1], hiddens[1:]):
            torch.addmm(x, h, R.T, out=h_new).tanh_()
        ctx.save_for_backward(R, hiddens)
        return hiddens[1:]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_outputs: Tensor) -> tuple[Tensor, ...]:
        """The deltas D, and what follows from them for every input of `forward`."""
        R, hiddens = ctx.saved_tensors
        deltas = torch.empty_like(hiddens[1:])
        d_h = torch.zeros_like(hiddens[0])
        for d_y, h, D in _steps_back(d_outputs, hiddens[1:], deltas):
            D.copy_(_through_tanh(d_h + d_y, h))
            d_h = D @ R
        return deltas, _over_time(deltas, hiddens[:-1]), d_h


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
        hiddens, cells = _history(h, len(gates), R.dtype), _history(c, len(gates), c.dtype)
        tanhs = torch.empty_like(cells[1:])
        for x, a, a_if, a_ifg, i, f, g, o, h_low, h_new, c, c_new, tanh_c in _steps(
            *(projected, gates, gates_if, gates_ifg, *gates.chunk(4, dim=-1)),
            *(hiddens[:-1], hiddens[1:], cells[:-1], cells[1:], tanhs),
        ):
            a.copy_(torch.addmm(x, h_low, R.T))
            a_if.addcmul_(c[:, None], p_if)
            g.add_(g)
            a_ifg.sigmoid_()
            g.add_(g).sub_(1)  # tanh(a) = 2 σ(2 a) - 1
            torch.mul(f, c, out=c_new).addcmul_(i, g)
            o.addcmul_(p_o, c_new).sigmoid_()
            _tanh_(tanh_c.copy_(c_new))
            h = o * tanh_c
            h_new.copy_(h)
        ctx.save_for_backward(R, p_if, p_o, gates, cells, tanhs, hiddens)
        return hiddens[1:], h, cells[-1].clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_outputs: Tensor, d_h: Tensor, d_c: Tensor) -> tuple[Tensor, ...]:
        """The deltas D, and what follows from them for every input of `forward`."""
        R, p_if, p_o, gates, cells, tanhs, hiddens = ctx.saved_tensors
        p_i, p_f = p_if
        deltas = torch.empty_like(gates, dtype=R.dtype)
        for d_y, i, f, g, o, c, tanh_c, D, D_i, D_f, D_g, D_o in _steps_back(
            *(d_outputs, *gates.chunk(4, dim=-1), cells[:-1], tanhs, deltas, *deltas.chunk(4, dim=-1))
        ):
            d_h = d_h + d_y
            d_o = _through_sigmoid(d_h * tanh_c, o)
            d_c = _through_tanh(d_h * o, tanh_c).add_(d_c).addcmul_(d_o, p_o)
            d_i, d_f = _through_sigmoid(d_c * g, i), _through_sigmoid(d_c * c, f)
            D_g.copy_(_through_tanh(d_c * i, g))
            D_i.copy_(d_i)
            D_f.copy_(d_f)
            D_o.copy_(d_o)
            d_c = (d_c * f).addcmul_(d_i, p_i).addcmul_(d_f, p_f)
            d_h = D @ R
        D_if, _, D_o = torch.split(deltas, [2 * len(p_o), len(p_o), len(p_o)], dim=-1)
        d_p_if = (D_if.view(*D_if.shape[:2], 2, -1) * cells[:-1, :, None]).sum(dim=(0, 1))
        d_p_o = (D_o * cells[1:]).sum(dim=(0, 1))
        return deltas, _over_time(deltas, hiddens[:-1]), d_p_if, d_p_o, d_h, d_c


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
        hiddens = _history(h, len(projected), R.dtype)
        resets = torch.empty_like(hiddens[1:])  # r h
        for x_rz, x_n, rz, r, z, n, h_low, h_new, reset in _steps(
            *torch.split(projected, rows, dim=-1),
            *(gates, *gates.chunk(2, dim=-1), candidates, hiddens[:-1], hiddens[1:], resets),
        ):
            rz.copy_(torch.addmm(x_rz, h_low, R_rz.T)).sigmoid_()
            reset.copy_(r * h)
            _tanh_(n.copy_(torch.addmm(x_n, reset, R_n.T)))
            h = torch.lerp(n, h, z)
            h_new.copy_(h)
        ctx.save_for_backward(R, activations, hiddens, resets)
        return hiddens[1:], h

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_outputs: Tensor, d_h: Tensor) -> tuple[Tensor, ...]:
        """The deltas D, and what follows from them for every input of `forward`."""
        R, activations, hiddens, resets = ctx.saved_tensors
        rows = [2 * R.shape[1], R.shape[1]]
        R_rz, R_n = torch.split(R, rows)
        deltas = torch.empty_like(activations, dtype=R.dtype)
        deltas_rz, deltas_n = torch.split(deltas, rows, dim=-1)
        for d_y, r, z, n, h, D_rz, D_r, D_z, D_n in _steps_back(
            *(d_outputs, *activations.chunk(3, dim=-1), hiddens[:-1], deltas_rz, *deltas.chunk(3, dim=-1))
        ):
            d_h = d_h + d_y
            D_n.copy_(_through_tanh(torch.addcmul(d_h, d_h, z, value=-1), n))
            D_z.copy_(_through_sigmoid((h - n).mul_(d_h), z))
            d_reset = D_n @ R_n
            D_r.copy_(_through_sigmoid(d_reset * h, r))
            d_h = torch.addcmul(D_rz @ R_rz, d_h, z).addcmul_(d_reset, r)
        d_R = torch.cat([_over_time(deltas_rz, hiddens[:-1]), _over_time(deltas_n, resets)])
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
        hiddens = _history(h, len(projected), R.dtype)
        for x, a, a_rz, q, rz, r, z, n, h_low, h_new in _steps(
            *(x_n, sums, *torch.split(sums, rows, dim=-1), gates, *gates.chunk(2, dim=-1), candidates),
            *(hiddens[:-1], hiddens[1:]),
        ):
            a.addmm_(h_low, R.T)
            rz.copy_(a_rz).sigmoid_()
            _tanh_(torch.addcmul(x, r, q, out=n))
            h = torch.lerp(n, h, z)
            h_new.copy_(h)
        ctx.save_for_backward(R, activations, sums, hiddens)
        return hiddens[1:], h

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_outputs: Tensor, d_h: Tensor) -> tuple[Tensor, ...]:
        """The deltas D of W x + b and S of R h, and what follows from them for every input of `forward`."""
        R, activations, sums, hiddens = ctx.saved_tensors
        size = R.shape[1]
        deltas = activations.new_empty(*activations.shape[:2], 4 * size, dtype=R.dtype)  # of r, z, q and n
        recurrent = deltas[..., : 3 * size]
        for d_y, r, z, n, q, h, S, D_r, D_z, D_q, D_n in _steps_back(
            *(d_outputs, *activations.chunk(3, dim=-1), sums[..., 2 * size :], hiddens[:-1]),
            *(recurrent, *deltas.chunk(4, dim=-1)),
        ):
            d_h = d_h + d_y
            d_n = _through_tanh(torch.addcmul(d_h, d_h, z, value=-1), n)
            D_n.copy_(d_n)
            D_q.copy_(d_n * r)
            D_z.copy_(_through_sigmoid((h - n).mul_(d_h), z))
            D_r.copy_(_through_sigmoid(d_n.mul_(q), r))
            d_h = torch.addcmul(S @ R, d_h, z)
        d_projected = torch.cat([deltas[..., : 2 * size], deltas[..., 3 * size :]], dim=-1)
        d_b_n = recurrent[..., 2 * size :].sum(dim=(0, 1), dtype=d_h.dtype)
        return d_projected, _over_time(recurrent, hiddens[:-1]), d_b_n, d_h


def _history(first: Tensor, time: int, kind: torch.dtype) -> Tensor:
    """Room for a state before the first step and after each of them, (time + 1, batch, hidden)."""
    states = first.new_empty(time + 1, *first.shape, dtype=kind)
    states[0] = first
    return states


def _steps(*histories: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """The time steps of several tensors together; views made at once are cheaper than an index in each step."""
    return zip(*(history.unbind() for history in histories), strict=True)


def _steps_back(*histories: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """The time steps from the last to the first."""
    return zip(*(reversed(history.unbind()) for history in histories), strict=True)


def _tanh_(x: Tensor) -> Tensor:
    """tanh(x) = 2 σ(2 x) - 1, in place: torch's tanh takes three to five times as long as its σ on a CPU."""
    x.add_(x).sigmoid_()
    return x.add_(x).sub_(1)


def _through_sigmoid(d_y: Tensor, y: Tensor) -> Tensor:
    """The gradient by a, of y = σ(a): d_y y (1 - y)."""
    slope = d_y * y
    return torch.addcmul(slope, slope, y, value=-1)


def _through_tanh(d_y: Tensor, y: Tensor) -> Tensor:
    """The gradient by a, of y = tanh(a): d_y (1 - y²)."""
    return torch.addcmul(d_y, d_y * y, y, value=-1)


def _over_time(deltas: Tensor, states: Tensor) -> Tensor:
    """The gradient of R: Σ_t D_t^T h_t as one product."""
    return deltas.flatten(0, 1).T @ states.flatten(0, 1)
