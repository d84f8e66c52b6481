"""Which loop over time runs each cell fastest in torch."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from lstmgen.cells import Cell
from lstmgen.cells.coupled import CoupledCell
from lstmgen.cells.gru import GRUCell
from lstmgen.cells.lstm import LSTMCell, LSTMState
from lstmgen.cells.peephole import PeepholeCell
from lstmgen.cells.rnn import RNNCell
from lstmgen.network.kernels.fused import fused_lstm, fused_rnn, torch_lstm_runs_in_this_precision
from lstmgen.network.kernels.gru import gru, gru_on_gpu
from lstmgen.network.kernels.loops import Inputs
from lstmgen.network.kernels.peephole import peephole
from lstmgen.network.kernels.rnn import rnn
from lstmgen.network.unroll import LayerRunner, unroll


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


RUNNERS: dict[type[Cell], tuple[LayerRunner, LayerRunner]] = {
    RNNCell: (rnn, fused_rnn),
    LSTMCell: (lstm, lstm),
    PeepholeCell: (peephole, peephole),
    CoupledCell: (coupled, coupled),
    GRUCell: (gru, gru_on_gpu),
}
"""For each cell the fastest runner on a CPU and the fastest on a GPU.

On a GPU torch's layers are faster than any loop of small operations. On a CPU torch's GRU and RNN are such loops
themselves, and ours have fewer operations.
"""


def layer_runner(cell: Cell, device: str) -> LayerRunner:
    """The fastest way to run one layer of this cell over time on a device of torch, such as cpu or cuda."""
    runner: LayerRunner = RUNNERS.get(type(cell), (unroll, unroll))[device != "cpu"]
    return runner


def run_layer(cell: Cell, weights: Mapping[str, Any], inputs: Any, state: Any) -> tuple[Any, Any]:
    """Run one layer over a chunk in torch, in the fastest way; equal to `unroll`."""
    return layer_runner(cell, state.hidden.device.type)(cell, weights, inputs, state)
