"""The tanh RNN on a CPU: a loop with a backward pass derived by hand; see `loops`."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from lstmgen.cells import Cell
from lstmgen.cells.rnn import RNNState
from lstmgen.network.kernels.loops import (
    Inputs,
    history,
    over_time,
    project_over_time,
    steps,
    steps_back,
    through_tanh,
)


def rnn(_cell: Cell, weights: Mapping[str, Tensor], inputs: Inputs, state: RNNState) -> tuple[Tensor, RNNState]:
    """The tanh RNN over a chunk; equal to `unroll`."""
    projected = project_over_time(weights, inputs)
    outputs = _RNN.apply(projected, weights["weight_hh"], state.hidden)  # type: ignore[no-untyped-call]  # torch has no types for it
    return outputs.transpose(0, 1), RNNState(outputs[-1].to(state.hidden.dtype))


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
        """The deltas D, and what follows from them for every input of `forward`."""
        R, hiddens = ctx.saved_tensors
        deltas = torch.empty_like(hiddens[1:])
        d_h = torch.zeros_like(hiddens[0])
        for d_y, h, D in steps_back(d_outputs, hiddens[1:], deltas):
            through_tanh(d_h + d_y, h, out=D)
            d_h = D @ R
        return deltas, over_time(deltas, hiddens[:-1]), d_h
