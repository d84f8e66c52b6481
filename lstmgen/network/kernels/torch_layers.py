"""Which loop over time runs each cell fastest in torch."""

from collections.abc import Mapping
from typing import Any

from lstmgen.cells import Cell
from lstmgen.cells.coupled import CoupledCell
from lstmgen.cells.gru import GRUCell
from lstmgen.cells.lstm import LSTMCell
from lstmgen.cells.peephole import PeepholeCell
from lstmgen.cells.rnn import RNNCell
from lstmgen.network.kernels.fused import fused_rnn
from lstmgen.network.kernels.gru import gru, gru_on_gpu
from lstmgen.network.kernels.lstm import coupled, lstm
from lstmgen.network.kernels.peephole import peephole
from lstmgen.network.kernels.rnn import rnn
from lstmgen.network.unroll import LayerRunner, unroll

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
