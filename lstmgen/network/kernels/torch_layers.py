"""The fastest loop over time in torch for each cell, on the cell's own parameters."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from lstmgen.cells import Cell, Parameters, State
from lstmgen.cells.coupled import CoupledCell
from lstmgen.cells.gru import GRUCell
from lstmgen.cells.lstm import LSTMCell
from lstmgen.cells.peephole import PeepholeCell
from lstmgen.cells.rnn import RNNCell
from lstmgen.config import Reset
from lstmgen.network.forward import LayerRunner, unroll
from lstmgen.network.kernels.loops import Inputs, gru, looked_up, peephole, rnn


def lstm(cell: Cell, weights: Parameters, inputs: Inputs, state: State) -> tuple[Tensor, State]:
    """The LSTM: torch's is faster than our loop even on a CPU, but some CPUs cannot run it in bfloat16."""
    run = fused_lstm if torch_lstm_runs_in_this_precision() else peephole
    return run(cell, weights, inputs, state)


def coupled(cell: Cell, weights: Parameters, inputs: Inputs, state: State) -> tuple[Tensor, State]:
    """The coupled LSTM, as an LSTM whose input gate has the rows of the forget gate, negated: 1 - σ(a) = σ(-a).

    That is a third more work than the cell's own equations, but a fast LSTM layer makes up for it.
    """
    rows = cell.hidden_size
    return lstm(cell, {name: torch.cat([-tensor[:rows], tensor]) for name, tensor in weights.items()}, inputs, state)


def fused_lstm(_cell: Cell, weights: Parameters, inputs: Inputs, state: State) -> tuple[Tensor, State]:
    """The LSTM from torch."""
    return _fused(torch.lstm, weights, torch.zeros_like(weights["bias"]), inputs, state)


def fused_gru(cell: GRUCell, weights: Parameters, inputs: Inputs, state: State) -> tuple[Tensor, State]:
    """The GRU from torch, whose reset gate acts after the product; our loop for a reset gate that acts before it."""
    if cell.reset is Reset.BEFORE:
        return gru(cell, weights, inputs, state)
    second_bias = torch.cat([torch.zeros_like(weights["bias"][cell.hidden_size :]), weights["bias_candidate"]])
    return _fused(torch.gru, weights, second_bias, inputs, state)


def fused_rnn(_cell: Cell, weights: Parameters, inputs: Inputs, state: State) -> tuple[Tensor, State]:
    """The tanh RNN from torch."""
    return _fused(torch.rnn_tanh, weights, torch.zeros_like(weights["bias"]), inputs, state)


def _fused(
    layer: Callable[..., Any], weights: Parameters, second_bias: Tensor, inputs: Inputs, state: State
) -> tuple[Tensor, State]:
    """Run the function behind a layer of `torch.nn`; it takes two biases, and the equations have one."""
    before = [field[None].contiguous() for field in state]
    parameters = [weights["weight_ih"], weights["weight_hh"], weights["bias"], second_bias]
    outputs, *after = layer(
        looked_up(inputs),
        before if len(before) > 1 else before[0],
        parameters,
        has_biases=True,
        num_layers=1,
        dropout=0.0,
        train=True,
        bidirectional=False,
        batch_first=True,
    )
    return outputs, type(state)(*(new[0].to(old.dtype) for new, old in zip(after, state, strict=True)))


def torch_lstm_runs_in_this_precision() -> bool:
    """Whether torch's LSTM works on this CPU in the current precision of autocast."""
    return not torch.is_autocast_enabled("cpu") or _torch_lstm_runs_in_autocast(torch.get_autocast_dtype("cpu"))


@lru_cache
def _torch_lstm_runs_in_autocast(precision: torch.dtype) -> bool:
    """Run a layer of one unit forward and backward: torch raises RuntimeError if the processor cannot do it."""
    try:
        with torch.enable_grad(), torch.autocast("cpu", precision):
            outputs, _ = torch.nn.LSTM(1, 1)(torch.zeros(1, 1, 1))
        outputs.sum().backward()
    except RuntimeError:
        return False
    return True


RUNNERS: dict[type[Cell], tuple[LayerRunner, LayerRunner]] = {
    RNNCell: (rnn, fused_rnn),
    LSTMCell: (lstm, lstm),
    PeepholeCell: (peephole, peephole),
    CoupledCell: (coupled, coupled),
    GRUCell: (gru, fused_gru),
}
"""For each cell the fastest runner on a CPU and on a GPU; each equals `unroll`, which runs all other cells.

On a GPU, torch's layers are faster than any loop of small operations. On a CPU, torch's GRU and RNN are such loops
themselves, and ours have fewer operations.
"""


def layer_runner(cell: Cell, device: str) -> LayerRunner:
    """The fastest way to run one layer of this cell over time on a torch device, such as cpu or cuda."""
    return RUNNERS.get(type(cell), (unroll, unroll))[device != "cpu"]


def run_layer(cell: Cell, weights: Parameters, inputs: Any, state: State) -> tuple[Tensor, State]:
    """Run one layer over a chunk in torch, the fastest way; equal to `unroll`."""
    return layer_runner(cell, state.hidden.device.type)(cell, weights, inputs, state)
