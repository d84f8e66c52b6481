"""A second implementation of the cells' steps, faster on NumPy: same parameters, fewer operations.

One step of one text consists of a few products of a matrix and a vector, whose speed is limited by reading the matrix,
and about a dozen operations on a few hundred numbers, whose speed is limited by Python. Therefore:

- One tanh activates all gates: σ(a) = tanh(a / 2) / 2 + 1/2. The rows of the sigmoid gates are halved in W, R and b
  when the layer is built.
- W and R are stored in one matrix, so that a layer is one product: [x h] [W R]^T.

States are never changed in place, so that a caller can keep an old state and return to it.

Knows: every cell's equations, a second time; a test compares them with the first implementation in `cells`.
Does not know: the embedding, attention or the head.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, cast

import numpy as np
from numpy.typing import NDArray

from lstmgen.cells import Cell, State
from lstmgen.cells.base import gate_names
from lstmgen.cells.coupled import CoupledCell
from lstmgen.cells.gru import GRUCell, GRUState
from lstmgen.cells.lstm import LSTMCell, LSTMState
from lstmgen.cells.peephole import PeepholeCell
from lstmgen.cells.rnn import RNNCell, RNNState
from lstmgen.network.unroll import Embedded

Floats = NDArray[np.float32]


class FastLayer(ABC):
    """One layer with any cell; a subclass implements `advance` for its cell."""

    tanh_gates: ClassVar[frozenset[str]] = frozenset({"candidate"})

    def __init__(self, cell: Cell, weights: Mapping[str, Floats]) -> None:
        gates = gate_names(cell)
        self.hidden_size = cell.hidden_size
        scale = np.array([1.0 if gate in self.tanh_gates else 0.5 for gate in gates], np.float32)
        self._scale = scale.repeat(cell.hidden_size)
        self._offset = (1 - scale).repeat(cell.hidden_size)  # 1/2 for sigmoid gates, 0 for the others
        joined = np.concatenate([weights["weight_ih"], weights["weight_hh"]], axis=1).T
        self._WR = np.ascontiguousarray(joined * self._scale)  # the two slices W and R are then contiguous as well
        self._W, self._R = self._WR[: cell.input_size], self._WR[cell.input_size :]
        self._bias = weights["bias"] * self._scale

    def project(self, inputs: Floats) -> Floats:
        """Compute the scaled W x + b that `advance` takes: (..., input) -> (..., gates * hidden)."""
        flat = np.dot(inputs.reshape(-1, inputs.shape[-1]), self._W) + self._bias
        return flat.reshape(*inputs.shape[:-1], -1)  # type: ignore[no-any-return]

    def step(self, inputs: Floats, state: State) -> State:
        """One step from x, (batch, input)."""
        return self.advance(self.project(inputs), state)

    @abstractmethod
    def advance(self, projected: Floats, state: State) -> State:
        """One step from W x + b, scaled, (batch, gates * hidden)."""

    def _activate(self, sums: Floats, gates: slice = slice(None)) -> None:
        """Activate the scaled sums in place: sigmoid for sums that were halved, tanh for the others."""
        np.tanh(sums, out=sums)
        sums *= self._scale[gates]
        sums += self._offset[gates]


class SummedLayer(FastLayer):
    """A layer whose cell needs only the sum W x + R h + b, which is a single product."""

    def step(self, inputs: Floats, state: State) -> State:
        """One step from x, (batch, input)."""
        return self._next_state(np.dot(np.concatenate((inputs, state.hidden), axis=1), self._WR) + self._bias, state)

    def advance(self, projected: Floats, state: State) -> State:
        """One step from W x + b, scaled, (batch, gates * hidden)."""
        return self._next_state(np.dot(state.hidden, self._R) + projected, state)

    @abstractmethod
    def _next_state(self, sums: Floats, state: State) -> State:
        """Compute the next state from the scaled sums, (batch, gates * hidden); it may overwrite `sums`."""


class FastRNN(SummedLayer):
    """h' = tanh(a)."""

    tanh_gates = frozenset(gate_names(RNNCell(1, 1)))

    def _next_state(self, sums: Floats, _state: RNNState) -> RNNState:
        return RNNState(np.tanh(sums, out=sums))


class FastLSTM(SummedLayer):
    """c' = f c + i g, h' = o tanh(c')."""

    def _next_state(self, sums: Floats, state: LSTMState) -> LSTMState:
        self._activate(sums)
        H = self.hidden_size
        c = sums[:, H : 2 * H] * state.cell
        c += np.multiply(sums[:, :H], sums[:, 2 * H : 3 * H], out=sums[:, :H])
        h = np.tanh(c)
        h *= sums[:, 3 * H :]
        return LSTMState(h, c)


class FastPeephole(SummedLayer):
    """c' = f c + i g, h' = o tanh(c'); the gates i and f also see c, and the gate o also sees c'."""

    def __init__(self, cell: Cell, weights: Mapping[str, Floats]) -> None:
        super().__init__(cell, weights)
        zeros = np.zeros(cell.hidden_size, np.float32)  # for peepholes that the cell does not have
        halved = [0.5 * weights.get(f"peephole_{gate}", zeros) for gate in ("input", "forget", "output")]
        self._p_i, self._p_f, self._p_o = halved

    def _next_state(self, sums: Floats, state: LSTMState) -> LSTMState:
        H = self.hidden_size
        sums[:, :H] += self._p_i * state.cell
        sums[:, H : 2 * H] += self._p_f * state.cell
        self._activate(sums[:, : 3 * H], slice(3 * H))
        c = sums[:, H : 2 * H] * state.cell
        c += np.multiply(sums[:, :H], sums[:, 2 * H : 3 * H], out=sums[:, :H])
        o = sums[:, 3 * H :]
        o += self._p_o * c
        self._activate(o, slice(3 * H, None))
        h = np.tanh(c)
        h *= o
        return LSTMState(h, c)


class FastCoupled(SummedLayer):
    """c' = f c + (1 - f) g = g + f (c - g), h' = o tanh(c')."""

    def _next_state(self, sums: Floats, state: LSTMState) -> LSTMState:
        self._activate(sums)
        H = self.hidden_size
        g = sums[:, H : 2 * H]
        c = state.cell - g
        c *= sums[:, :H]
        c += g
        h = np.tanh(c)
        h *= sums[:, 2 * H :]
        return LSTMState(h, c)


class FastGRU(FastLayer):
    """h' = n + z (h - n); the candidate n needs W x and R h separately, so there is no single sum."""

    def __init__(self, cell: Cell, weights: Mapping[str, Floats]) -> None:
        super().__init__(cell, weights)
        self._b_n = weights.get("bias_candidate")
        self._R_rz, self._R_n = (
            np.ascontiguousarray(self._R[:, : 2 * cell.hidden_size]),
            self._R[:, -cell.hidden_size :],
        )

    def advance(self, projected: Floats, state: GRUState) -> GRUState:
        """One step from W x + b, scaled, (batch, gates * hidden)."""
        h: Floats = state.hidden  # type: ignore[assignment]
        H = self.hidden_size
        if self._b_n is not None:
            product = np.dot(h, self._R)
            gates = projected[:, : 2 * H] + product[:, : 2 * H]
            self._activate(gates, slice(2 * H))
            n = product[:, 2 * H :]
            n += self._b_n
            n *= gates[:, :H]
        else:
            gates = np.dot(h, self._R_rz)
            gates += projected[:, : 2 * H]
            self._activate(gates, slice(2 * H))
            n = np.dot(gates[:, :H] * h, self._R_n)
        n += projected[:, 2 * H :]
        np.tanh(n, out=n)
        after = h - n
        after *= gates[:, H:]
        after += n
        return GRUState(after)


_LAYERS: dict[type[Any], type[FastLayer]] = {
    RNNCell: FastRNN,
    LSTMCell: FastLSTM,
    PeepholeCell: FastPeephole,
    CoupledCell: FastCoupled,
    GRUCell: FastGRU,
}


def fast_layer(cell: Cell, weights: Mapping[str, Floats]) -> FastLayer:
    """Build the fast implementation of a layer from its cell and its parameters."""
    return _LAYERS[type(cell)](cell, weights)


def run_layer(_cell: Cell, layer: FastLayer, inputs: Floats | Embedded, state: State) -> tuple[Floats, State]:
    """Run one layer over a chunk: (batch, time, input) -> (batch, time, hidden) and the last state.

    It computes the same as `network.unroll.unroll`.
    """
    projected = layer.project(cast(Floats, inputs.looked_up() if isinstance(inputs, Embedded) else inputs))
    outputs = np.empty((*projected.shape[:2], layer.hidden_size), np.float32)
    for time in range(projected.shape[1]):
        state = layer.advance(projected[:, time], state)
        outputs[:, time] = state.hidden
    return outputs, state
