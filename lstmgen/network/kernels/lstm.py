"""The LSTM and the coupled LSTM: torch's own layer wherever it works."""

from collections.abc import Mapping

import torch
from torch import Tensor

from lstmgen.cells import Cell
from lstmgen.cells.lstm import LSTMState
from lstmgen.network.kernels.fused import fused_lstm, torch_lstm_runs_in_this_precision
from lstmgen.network.kernels.loops import Inputs
from lstmgen.network.kernels.peephole import peephole


def lstm(cell: Cell, weights: Mapping[str, Tensor], inputs: Inputs, state: LSTMState) -> tuple[Tensor, LSTMState]:
    """The LSTM cell over a chunk; equal to `unroll`.

    torch's LSTM is faster than our loop on a CPU too, but some CPUs cannot run it in bfloat16.
    """
    run = fused_lstm if torch_lstm_runs_in_this_precision() else peephole
    return run(cell, weights, inputs, state)


def coupled(cell: Cell, weights: Mapping[str, Tensor], inputs: Inputs, state: LSTMState) -> tuple[Tensor, LSTMState]:
    """The coupled cell over a chunk; equal to `unroll`.

    1 - σ(a) = σ(-a), so it is an LSTM whose rows of the input gate are those of the forget gate, negated. That is a
    third more work than the cell's own equations, but a fast LSTM layer makes up for it.
    """
    rows = cell.hidden_size
    return lstm(cell, {name: torch.cat([-tensor[:rows], tensor]) for name, tensor in weights.items()}, inputs, state)
