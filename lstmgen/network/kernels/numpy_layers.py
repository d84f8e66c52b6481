"""The cells' steps again, faster on NumPy: same parameters, fewer operations.

One step of one text consists of a few matrix-vector products, limited by the speed of reading the matrix, and about a
dozen operations on a few hundred numbers, limited by the speed of Python. Therefore:

- One tanh activates all gates: σ(a) = tanh(a / 2) / 2 + 1/2. The rows of the sigmoid gates are halved in W, R and b
  when the layer is built.
- W and R are joined into one matrix, so that a layer is one product: [x h] [W R]^T. Such a product is also large enough
  for BLAS to share it among threads.

`cells.*.step` takes 1.05 to 1.8 times as long for one text, longest for the LSTM of 256 units.

States are never changed in place, so a caller can keep an old state and return to it.
"""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lstmgen.cells import Cell, State
from lstmgen.cells.base import HiddenState
from lstmgen.cells.coupled import CoupledCell
from lstmgen.cells.gru import GRUCell
from lstmgen.cells.lstm import LSTMCell, LSTMState
from lstmgen.cells.peephole import PeepholeCell
from lstmgen.cells.rnn import RNNCell
from lstmgen.network.forward import LookUp

Floats = NDArray[np.float32]


class NumpyLayer:
    """One layer of any cell, run by the cell's own `step`; subclasses compute the same with fewer operations."""

    def __init__(self, cell: Cell, weights: Mapping[str, Floats]) -> None:
        self.cell = cell
        self.weights = weights
        self._bias = weights["bias"]

    def project(self, inputs: Floats) -> Floats:
        """Compute the W x + b that `advance` takes: (..., input) -> (..., gates * hidden)."""
        projected = np.dot(inputs.reshape(-1, inputs.shape[-1]), self.weights["weight_ih"].T) + self._bias
        return projected.reshape(*inputs.shape[:-1], -1)  # type: ignore[no-any-return]  # its type is known, but not to mypy

    def step(self, inputs: Floats, state: State) -> State:
        """One step from x, (batch, input)."""
        return self.advance(self.project(inputs), state)

    def advance(self, projected: Floats, state: State) -> State:
        """One step from W x + b, (batch, gates * hidden)."""
        return self.cell.step(projected, state, self.weights)[0]


class ScaledLayer(NumpyLayer):
    """A layer that only needs the sum W x + R h + b, a single product, and activates all gates with one tanh."""

    def __init__(self, cell: Cell, weights: Mapping[str, Floats]) -> None:
        self._H = cell.hidden_size
        scale = np.array([1.0 if gate == "candidate" else 0.5 for gate in cell.gate_names], np.float32)
        self._scale = scale.repeat(cell.hidden_size)
        self._offset = (1 - scale).repeat(cell.hidden_size)  # 1/2 for sigmoid gates, 0 for the others
        joined = np.concatenate([weights["weight_ih"], weights["weight_hh"]], axis=1).T
        self._WR = np.ascontiguousarray(joined * self._scale)  # so the two slices W and R are contiguous too
        self._W, self._R = self._WR[: cell.input_size], self._WR[cell.input_size :]
        scaled = {"weight_ih": self._W.T, "weight_hh": self._R.T, "bias": weights["bias"] * self._scale}
        super().__init__(cell, {**weights, **scaled})

    def _activate(self, sums: Floats, gates: slice = slice(None)) -> None:
        """Activate the scaled sums in place: sigmoid for halved sums, tanh for the others."""
        np.tanh(sums, out=sums)
        sums *= self._scale[gates]
        sums += self._offset[gates]

    def step(self, inputs: Floats, state: State) -> State:
        """One step from x, (batch, input)."""
        joined = np.concatenate((inputs, state.hidden), axis=1)
        return self._next_state(np.dot(joined, self._WR) + self._bias, state)

    def advance(self, projected: Floats, state: State) -> State:
        """One step from W x + b, scaled, (batch, gates * hidden)."""
        return self._next_state(np.dot(state.hidden, self._R) + projected, state)

    @abstractmethod
    def _next_state(self, sums: Floats, state: State) -> State:
        """Compute the next state from the scaled sums, (batch, gates * hidden); may overwrite `sums`."""


class RNNLayer(ScaledLayer):
    """h' = tanh(a)."""

    def _next_state(self, sums: Floats, _state: HiddenState) -> HiddenState:
        return HiddenState(np.tanh(sums, out=sums))


class LSTMLayer(ScaledLayer):
    """c' = f c + i g, h' = o tanh(c')."""

    def _next_state(self, sums: Floats, state: LSTMState) -> LSTMState:
        self._activate(sums)
        H = self._H
        i, f, g, o = sums[:, :H], sums[:, H : 2 * H], sums[:, 2 * H : 3 * H], sums[:, 3 * H :]
        c = f * state.cell
        i *= g
        c += i
        h = np.tanh(c)
        h *= o
        return LSTMState(h, c)


class PeepholeLayer(ScaledLayer):
    """c' = f c + i g, h' = o tanh(c'); the gates i and f also see c, the gate o also sees c'."""

    def __init__(self, cell: Cell, weights: Mapping[str, Floats]) -> None:
        super().__init__(cell, weights)
        absent = np.zeros(cell.hidden_size, np.float32)
        halved = [0.5 * weights.get(f"peephole_{gate}", absent) for gate in ("input", "forget", "output")]
        self._p_i, self._p_f, self._p_o = halved

    def _next_state(self, sums: Floats, state: LSTMState) -> LSTMState:
        H = self._H
        i, f, g, o = sums[:, :H], sums[:, H : 2 * H], sums[:, 2 * H : 3 * H], sums[:, 3 * H :]
        i += self._p_i * state.cell
        f += self._p_f * state.cell
        self._activate(sums[:, : 3 * H], slice(3 * H))
        c = f * state.cell
        i *= g
        c += i
        o += self._p_o * c
        self._activate(o, slice(3 * H, None))
        h = np.tanh(c)
        h *= o
        return LSTMState(h, c)


class CoupledLayer(ScaledLayer):
    """c' = f c + (1 - f) g = g + f (c - g), h' = o tanh(c')."""

    def _next_state(self, sums: Floats, state: LSTMState) -> LSTMState:
        self._activate(sums)
        H = self._H
        f, g, o = sums[:, :H], sums[:, H : 2 * H], sums[:, 2 * H :]
        c = state.cell - g
        c *= f
        c += g
        h = np.tanh(c)
        h *= o
        return LSTMState(h, c)


class GRULayer(ScaledLayer):
    """h' = n + z (h - n); the candidate n needs W x and R h separately, so there is no single sum."""

    step = NumpyLayer.step

    def __init__(self, cell: Cell, weights: Mapping[str, Floats]) -> None:
        super().__init__(cell, weights)
        self._R_rz, self._R_n = (np.ascontiguousarray(R) for R in np.split(self._R, [2 * self._H], axis=1))
        self._b_n = weights.get("bias_candidate")

    def advance(self, projected: Floats, state: HiddenState) -> HiddenState:
        """One step from W x + b, scaled, (batch, gates * hidden)."""
        h: Floats = state.hidden
        gates, candidate = slice(2 * self._H), slice(2 * self._H, None)
        product = np.dot(h, self._R if self._b_n is not None else self._R_rz)
        rz = product[:, gates] + projected[:, gates]
        self._activate(rz, gates)
        r, z = rz[:, : self._H], rz[:, self._H :]
        if self._b_n is not None:
            n = product[:, candidate]
            n += self._b_n
            n *= r
        else:
            n = np.dot(r * h, self._R_n)
        n += projected[:, candidate]
        np.tanh(n, out=n)
        after = h - n
        after *= z
        after += n
        return HiddenState(after)


LAYERS: dict[type[Cell], type[NumpyLayer]] = {
    RNNCell: RNNLayer,
    LSTMCell: LSTMLayer,
    PeepholeCell: PeepholeLayer,
    CoupledCell: CoupledLayer,
    GRUCell: GRULayer,
}


def numpy_layer(cell: Cell, weights: Mapping[str, Floats]) -> NumpyLayer:
    """Build the fastest layer for a cell from its parameters."""
    return LAYERS.get(type(cell), NumpyLayer)(cell, weights)


def run_step(_cell: Cell, layer: NumpyLayer, inputs: Any, state: State) -> tuple[Floats, State]:
    """Run one layer for one step: (batch, input) -> (batch, hidden) and the next state.

    The first layer's `LookUp` reads a table of W x + b instead of x: every token is projected only once.
    """
    after = layer.advance(inputs.embedding[inputs.ids], state) if type(inputs) is LookUp else layer.step(inputs, state)
    return after.hidden, after


def run_chunk(cell: Cell, layer: NumpyLayer, inputs: Any, state: State) -> tuple[Floats, State]:
    """Run one layer over a chunk: (batch, time, input) -> (batch, time, hidden) and the last state; see `run_step`."""
    projected = inputs.embedding[inputs.ids] if type(inputs) is LookUp else layer.project(inputs)
    outputs = np.empty((*projected.shape[:2], cell.hidden_size), projected.dtype)
    for time in range(projected.shape[1]):
        state = layer.advance(projected[:, time], state)
        outputs[:, time] = state.hidden
    return outputs, state
