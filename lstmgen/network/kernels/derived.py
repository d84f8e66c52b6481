"""Loops over time with their backward pass derived by hand, for cells that torch has no layer for.

What autograd would do step by step is done for all steps at once where the recursion allows: the factors of the deltas
before the loop back in time, the gradient of R after it, as one product. Matrix products take the precision of
autocast; states, gates and deltas stay float32.

Notation: time first. a: pre-activations; d: gradients with respect to states; D: with respect to pre-activations.

Knows: the derivatives of the peephole cell and of the GRU with its reset gate before the product.
Does not know: the projection W x + b, whose gradient autograd takes, or any other cell.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from lstmgen.cells import Cell
from lstmgen.cells.gru import GRUState
from lstmgen.cells.lstm import LSTMState


def derived_peephole(
    cell: Cell, weights: Mapping[str, Tensor], inputs: Tensor, state: LSTMState
) -> tuple[Tensor, LSTMState]:
    """The peephole cell over a chunk; equal to `unroll`."""
    absent = torch.zeros_like(weights["bias"][: cell.hidden_size])
    peepholes = [weights.get(f"peephole_{gate}", absent) for gate in ("input", "forget", "output")]
    projected = _project(weights, inputs)
    outputs, last = _Peephole.apply(projected, weights["weight_hh"], *peepholes, *state)  # type: ignore[no-untyped-call]
    return outputs.transpose(0, 1), LSTMState(outputs[-1], last)


def derived_gru(_cell: Cell, weights: Mapping[str, Tensor], inputs: Tensor, state: GRUState) -> tuple[Tensor, GRUState]:
    """The GRU with its reset gate before the product, over a chunk; equal to `unroll`."""
    projected = _project(weights, inputs)
    outputs = _GRU.apply(projected, weights["weight_hh"], state.hidden)  # type: ignore[no-untyped-call]
    return outputs.transpose(0, 1), GRUState(outputs[-1])


def _project(weights: Mapping[str, Tensor], inputs: Tensor) -> Tensor:
    """W x + b for all steps at once, (time, batch, gates * hidden)."""
    projected = functional.linear(inputs.transpose(0, 1), weights["weight_ih"], weights["bias"])
    return projected.to(weights["bias"].dtype)


def _product_type(like: Tensor) -> torch.dtype:
    """The type in which autocast wants matrix products."""
    kind = like.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else like.dtype


class _Peephole(torch.autograd.Function):
    """c' = f c + i g, h' = o tanh(c'), with i and f seeing c, and o seeing c'."""

    @staticmethod
    def forward(
        ctx: Any, projected: Tensor, R: Tensor, p_i: Tensor, p_f: Tensor, p_o: Tensor, h: Tensor, c: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Hidden states, (time, batch, hidden), and the last cell state, (batch, hidden)."""
        low = R.to(_product_type(R))
        gates = projected.clone()
        hiddens = torch.cat([h[None], h.new_empty(len(gates), *h.shape)])
        cells = torch.cat([c[None], c.new_empty(len(gates), *c.shape)])
        tanhs = torch.empty_like(cells[1:])
        for a, h, h_new, c, c_new, tanh_c in zip(
            gates, hiddens[:-1], hiddens[1:], cells[:-1], cells[1:], tanhs, strict=True
        ):
            a += h.to(low.dtype) @ low.T
            i, f, g, o = a.chunk(4, dim=-1)
            i.addcmul_(p_i, c).sigmoid_()
            f.addcmul_(p_f, c).sigmoid_()
            g.tanh_()
            torch.mul(f, c, out=c_new).addcmul_(i, g)
            o.addcmul_(p_o, c_new).sigmoid_()
            torch.mul(o, torch.tanh(c_new, out=tanh_c), out=h_new)
        ctx.save_for_backward(low, p_i, p_f, p_o, gates, hiddens, cells, tanhs)
        return hiddens[1:].clone(), cells[-1].clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_outputs: Tensor, d_last: Tensor) -> tuple[Tensor, ...]:
        """The deltas D, and what follows from them for every input of `forward`."""
        low, p_i, p_f, p_o, gates, hiddens, cells, tanhs = ctx.saved_tensors
        i, f, g, o = gates.chunk(4, dim=-1)
        before = cells[:-1]
        deltas = torch.cat([g * i * (1 - i), before * f * (1 - f), i * (1 - g * g), tanhs * o * (1 - o)], dim=-1)
        through_h = o * (1 - tanhs * tanhs)
        d_h, d_c = torch.zeros_like(hiddens[0]), d_last.clone()
        for time in reversed(range(len(gates))):
            d_h = d_h + d_outputs[time]
            D_i, D_f, D_g, D_o = deltas[time].chunk(4, dim=-1)  # so far without what comes from above
            D_o *= d_h
            d_c = d_c.addcmul(d_h, through_h[time]).addcmul_(D_o, p_o)
            D_i *= d_c
            D_f *= d_c
            D_g *= d_c
            d_c = (d_c * f[time]).addcmul_(D_i, p_i).addcmul_(D_f, p_f)
            d_h = (deltas[time].to(low.dtype) @ low).to(d_h.dtype)
        D_i, D_f, _, D_o = deltas.chunk(4, dim=-1)
        seen = ((D_i, before), (D_f, before), (D_o, cells[1:]))
        d_peepholes = [(D * cell).sum(dim=(0, 1)) for D, cell in seen]
        return deltas, _over_time(deltas, hiddens[:-1], low.dtype), *d_peepholes, d_h, d_c


class _GRU(torch.autograd.Function):
    """h' = (1 - z) n + z h, n = tanh(W x + b + R_n (r h))."""

    @staticmethod
    def forward(ctx: Any, projected: Tensor, R: Tensor, h: Tensor) -> Tensor:
        """Hidden states, (time, batch, hidden)."""
        size = h.shape[-1]
        low = R.to(_product_type(R))
        R_rz, R_n = low[: 2 * size], low[2 * size :]
        gates = projected.clone()
        hiddens = torch.cat([h[None], h.new_empty(len(gates), *h.shape)])
        resets = torch.empty_like(hiddens[1:])  # r h
        for a, h, h_new, reset in zip(gates, hiddens[:-1], hiddens[1:], resets, strict=True):
            rz, n = a[:, : 2 * size], a[:, 2 * size :]
            rz += h.to(low.dtype) @ R_rz.T
            r, z = rz.sigmoid_().chunk(2, dim=-1)
            n += torch.mul(r, h, out=reset).to(low.dtype) @ R_n.T
            torch.lerp(n.tanh_(), h, z, out=h_new)
        ctx.save_for_backward(low, gates, hiddens, resets)
        return hiddens[1:].clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_outputs: Tensor) -> tuple[Tensor, ...]:
        """The deltas D, and what follows from them for every input of `forward`."""
        low, gates, hiddens, resets = ctx.saved_tensors
        size = hiddens.shape[-1]
        R_rz, R_n = low[: 2 * size], low[2 * size :]
        before = hiddens[:-1]
        r, z, n = gates.chunk(3, dim=-1)
        deltas = torch.cat([before * r * (1 - r), (before - n) * z * (1 - z), (1 - z) * (1 - n * n)], dim=-1)
        d_h = torch.zeros_like(hiddens[0])
        for time in reversed(range(len(gates))):
            d_h = d_h + d_outputs[time]
            D_r, D_z, D_n = deltas[time].chunk(3, dim=-1)  # so far without what comes from above
            D_n *= d_h
            D_z *= d_h
            d_reset = (D_n.to(low.dtype) @ R_n).to(d_h.dtype)
            D_r *= d_reset
            through_gates = deltas[time, :, : 2 * size].to(low.dtype) @ R_rz
            d_h = (d_h * z[time]).addcmul_(d_reset, r[time]).add_(through_gates)
        d_R = torch.cat(
            [
                _over_time(deltas[..., : 2 * size], before, low.dtype),
                _over_time(deltas[..., 2 * size :], resets, low.dtype),
            ]
        )
        return deltas, d_R, d_h


def _over_time(deltas: Tensor, states: Tensor, kind: torch.dtype) -> Tensor:
    """The gradient of R: Σ_t D_t^T h_t as one product."""
    product = deltas.flatten(0, 1).to(kind).T @ states.flatten(0, 1).to(kind)
    return product.to(deltas.dtype)
