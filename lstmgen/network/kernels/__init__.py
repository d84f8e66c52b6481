"""Faster twins of the loop over time, for training.

A kernel is a `LayerRunner` on the same parameters as the cell; a test proves that it equals `unroll`.

Knows: which cell has which kernel; this is the only place that asks.
Does not know: depth, losses or schedules.
"""

from collections.abc import Mapping
from typing import Any

from lstmgen.cells import Cell, CoupledCell, GRUCell, LSTMCell, PeepholeCell, RNNCell
from lstmgen.config import Reset
from lstmgen.network.kernels.derived import derived_gru, derived_peephole
from lstmgen.network.kernels.fused import fused_coupled, fused_gru, fused_lstm, fused_rnn
from lstmgen.network.unroll import LayerRunner, unroll


def fastest_runner(cell: Cell) -> LayerRunner:
    """The fastest way to run one layer of this cell over time: a kernel, or the plain loop."""
    match cell:
        case LSTMCell():
            return fused_lstm
        case CoupledCell():
            return fused_coupled
        case PeepholeCell():
            return derived_peephole
        case GRUCell(reset=Reset.AFTER):
            return fused_gru
        case GRUCell(reset=Reset.BEFORE):
            return derived_gru
        case RNNCell():
            return fused_rnn
        case _:
            return unroll


def run_layer(cell: Cell, weights: Mapping[str, Any], inputs: Any, state: Any) -> tuple[Any, Any]:
    """Run one layer over a chunk in the fastest way; equal to `unroll`."""
    return fastest_runner(cell)(cell, weights, inputs, state)
