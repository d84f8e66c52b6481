"""The peephole LSTM: a loop with a backward pass derived by hand; see `loops`."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from lstmgen.cells import Cell
from lstmgen.cells.lstm import LSTMState
from lstmgen.network.kernels.loops import (
    Inputs,
    history,
    over_time,
    project_over_time,
    steps,
    steps_back,
    tanh,
    through_sigmoid,
    through_tanh,
    to_tanh_,
)


def peephole(cell: Cell, weights: Mapping[str, Tensor], inputs: Inputs, state: LSTMState) -> tuple[Tensor, LSTMState]:
    """The peephole cell over a chunk; equal to `unroll`.

    It runs the LSTM cell too, which is a peephole cell without peepholes.
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
        """The deltas D, and what follows from them for every input of `forward`."""
        R, p_if, p_o, gates, cells, tanhs, hiddens = ctx.saved_tensors
        p_i, p_f = p_if
        deltas = torch.empty_like(gates, dtype=R.dtype)
        d_a = torch.empty_like(gates[0])  # D of one step, in full precision
        d_i, d_f, d_g, d_o = d_a.chunk(4, dim=-1)
        for d_y, i, f, g, o, c, tanh_c, D in steps_back(
            *(d_outputs, *gates.chunk(4, dim=-1), cells[:-1], tanhs, deltas)
        ):
            d_h = d_h + d_y
            through_sigmoid(d_h * tanh_c, o, out=d_o)
            d_tanh_c = d_h * o
            d_c = through_tanh(d_tanh_c, tanh_c, out=d_tanh_c).add_(d_c).addcmul_(d_o, p_o)
            through_sigmoid(d_c * g, i, out=d_i)
            through_sigmoid(d_c * c, f, out=d_f)
            through_tanh(d_c * i, g, out=d_g)
            D.copy_(d_a)
            d_c = d_c.mul_(f).addcmul_(d_i, p_i).addcmul_(d_f, p_f)
            d_h = D @ R
        D_if, _, D_o = torch.split(deltas, [2 * len(p_o), len(p_o), len(p_o)], dim=-1)
        d_p_if = (D_if.view(*D_if.shape[:2], 2, -1) * cells[:-1, :, None]).sum(dim=(0, 1))
        d_p_o = (D_o * cells[1:]).sum(dim=(0, 1))
        return deltas, over_time(deltas, hiddens[:-1]), d_p_if, d_p_o, d_h, d_c
