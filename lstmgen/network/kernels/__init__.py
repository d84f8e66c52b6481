"""Faster twins of the loop over time, for training.

A kernel is a `LayerRunner` on the same parameters as the cell; a test proves that it equals `unroll`.

Knows: which cell has which kernel on which device; this is the only place that asks.
Does not know: depth, losses or schedules.
"""

from collections.abc import Mapping
from typing import Any

from lstmgen.cells import Cell, CoupledCell, GRUCell, LSTMCell, PeepholeCell, RNNCell
from lstmgen.config import Reset
from lstmgen.network.kernels.derived import (
    derived_coupled,
    derived_gru_after,
    derived_gru_before,
    derived_peephole,
    derived_rnn,
)
from lstmgen.network.kernels.fused import (
    fused_coupled,
    fused_gru,
    fused_lstm,
    fused_rnn,
    torch_lstm_runs_in_this_precision,
)
from lstmgen.network.unroll import LayerRunner, unroll


def fastest_runner(cell: Cell, device: str = "cpu") -> LayerRunner:
    """The fastest way to run one layer of this cell over time: a kernel, or the plain loop.

    On a GPU torch's layers are faster than any loop of small operations. On a CPU torch's GRU and RNN are such loops
    themselves, and ours have fewer operations. torch's LSTM is faster than ours on a CPU, but some processors cannot
    run it in bfloat16.
    """
    on_cpu = device == "cpu"
    match cell:
        case LSTMCell():
            return derived_peephole if on_cpu and not torch_lstm_runs_in_this_precision() else fused_lstm
        case CoupledCell():
            return derived_coupled if on_cpu and not torch_lstm_runs_in_this_precision() else fused_coupled
        case PeepholeCell():
            return derived_peephole
        case GRUCell(reset=Reset.AFTER):
            return derived_gru_after if on_cpu else fused_gru
        case GRUCell(reset=Reset.BEFORE):
            return derived_gru_before
        case RNNCell():
            return derived_rnn if on_cpu else fused_rnn
        case _:
            return unroll


def run_layer(cell: Cell, weights: Mapping[str, Any], inputs: Any, state: Any) -> tuple[Any, Any]:
    """Run one layer over a chunk in the fastest way; equal to `unroll`."""
    return fastest_runner(cell, state.hidden.device.type)(cell, weights, inputs, state)
