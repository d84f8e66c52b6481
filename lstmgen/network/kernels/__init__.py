"""Faster twins of the cells, on the same parameters: steps for NumPy, and loops over time for torch.

A cell without a twin runs its own `step`, with every library and on every device. A test proves that each twin equals
the cell. A twin is imported at its first use, so that NumPy's need no torch.

Knows: which cell has which twin; this is the only place that asks. Does not know: depth, losses or schedules.
"""

from collections.abc import Mapping
from functools import lru_cache
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any, NamedTuple

from lstmgen.cells import Cell
from lstmgen.cells.coupled import CoupledCell
from lstmgen.cells.gru import GRUCell
from lstmgen.cells.lstm import LSTMCell
from lstmgen.cells.peephole import PeepholeCell
from lstmgen.cells.rnn import RNNCell
from lstmgen.network.unroll import LayerRunner

if TYPE_CHECKING:
    from lstmgen.network.kernels.numpy_layers import NumpyLayer


class Twins(NamedTuple):
    """Where a cell's faster twins are, below `lstmgen.network`; by default there is the readable code for every cell.

    On a GPU torch's layers are faster than any loop of small operations. On a CPU torch's GRU and RNN are such loops
    themselves, and ours have fewer operations.
    """

    numpy: str = "kernels.numpy_layers:NumpyLayer"
    cpu: str = "unroll:unroll"
    gpu: str = "unroll:unroll"


TWINS: dict[type[Cell], Twins] = {
    RNNCell: Twins("kernels.numpy_layers:RNNLayer", "kernels.rnn:rnn", "kernels.fused:fused_rnn"),
    LSTMCell: Twins("kernels.numpy_layers:LSTMLayer", "kernels.lstm:lstm", "kernels.lstm:lstm"),
    PeepholeCell: Twins("kernels.numpy_layers:PeepholeLayer", "kernels.peephole:peephole", "kernels.peephole:peephole"),
    CoupledCell: Twins("kernels.numpy_layers:CoupledLayer", "kernels.lstm:coupled", "kernels.lstm:coupled"),
    GRUCell: Twins("kernels.numpy_layers:GRULayer", "kernels.gru:gru", "kernels.gru:gru_on_gpu"),
}


def numpy_layer(cell: Cell, weights: Mapping[str, Any]) -> "NumpyLayer":
    """Build a layer for NumPy from its cell and its parameters."""
    layer: NumpyLayer = _resolve(_twins(cell).numpy)(cell, weights)
    return layer


def layer_runner(cell: Cell, device: str) -> LayerRunner:
    """The fastest way to run one layer of this cell over time on a device of torch, such as cpu or cuda."""
    twins = _twins(cell)
    runner: LayerRunner = _resolve(twins.cpu if device == "cpu" else twins.gpu)
    return runner


def run_layer(cell: Cell, weights: Mapping[str, Any], inputs: Any, state: Any) -> tuple[Any, Any]:
    """Run one layer over a chunk in torch, in the fastest way; equal to `unroll`."""
    return layer_runner(cell, state.hidden.device.type)(cell, weights, inputs, state)


def _twins(cell: Cell) -> Twins:
    return TWINS.get(type(cell), Twins())


@lru_cache
def _resolve(name: str) -> Any:
    return resolve_name(f"lstmgen.network.{name}")
