"""The GRU with its reset gate before or after the product: loops with a backward pass derived by hand; see `loops`."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from lstmgen.cells.gru import GRUCell, GRUState
from lstmgen.config import Reset
from lstmgen.network.kernels.fused import fused_gru
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
)


def gru(cell: GRUCell, weights: Mapping[str, Tensor], inputs: Inputs, state: GRUState) -> tuple[Tensor, GRUState]:
    """The GRU over a chunk; equal to `unroll`."""
    projected, R = project_over_time(weights, inputs), weights["weight_hh"]
    if cell.reset is Reset.AFTER:
        outputs, last = _GRUAfter.apply(projected, R, weights["bias_candidate"], state.hidden)  # type: ignore[no-untyped-call]  # torch has no types for it
    else:
        outputs, last = _GRUBefore.apply(projected, R, state.hidden)  # type: ignore[no-untyped-call]  # torch has no types for it
    return outputs.transpose(0, 1), GRUState(last)


def gru_on_gpu(
    cell: GRUCell, weights: Mapping[str, Tensor], inputs: Inputs, state: GRUState
) -> tuple[Tensor, GRUState]:
    """The GRU over a chunk by torch's own layer, which has its reset gate after the product, or by our loop."""
    run = fused_gru if cell.reset is Reset.AFTER else gru
    return run(cell, weights, inputs, state)


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
        """The deltas D, and what follows from them for every input of `forward`."""
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
            D_n.copy_(through_tanh(d_n, n, out=d_n))
            through_sigmoid((h - n).mul_(d_h), z, out=d_z)
            d_reset = D_n @ R_n
            through_sigmoid(d_reset * h, r, out=d_r)
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
        """The deltas D of W x + b and S of R h, and what follows from them for every input of `forward`."""
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
            through_tanh(torch.addcmul(d_h, d_h, z, value=-1), n, out=d_n)
            torch.mul(d_n, r, out=d_q)
            through_sigmoid((h - n).mul_(d_h), z, out=d_z)
            through_sigmoid(d_n * q, r, out=d_r)
            D.copy_(d_a)
            d_h = torch.addcmul(S @ R, d_h, z)
        d_projected = torch.cat([deltas[..., : 2 * size], deltas[..., 3 * size :]], dim=-1)
        d_b_n = recurrent[..., 2 * size :].sum(dim=(0, 1), dtype=d_h.dtype)
        return d_projected, over_time(recurrent, hiddens[:-1]), d_b_n, d_h
