"""torch's own fused layers, run on our parameters.

torch's layers have two biases where the equations have one; the second is given as zeros.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn

from lstmgen.cells import Cell
from lstmgen.cells.gru import GRUState
from lstmgen.cells.lstm import LSTMState
from lstmgen.cells.rnn import RNNState
from lstmgen.network.kernels.loops import Inputs, looked_up

_Layer = Callable[..., nn.RNNBase]


def fused_lstm(cell: Cell, weights: Mapping[str, Tensor], inputs: Inputs, state: LSTMState) -> tuple[Tensor, LSTMState]:
    """`torch.nn.LSTM` for the LSTM cell; equal to `unroll`."""
    before = tuple(_layered(part) for part in state)
    outputs, after = _run(nn.LSTM, cell, _with_second_bias(weights), inputs, before)
    return outputs, LSTMState(*(new[0].to(old.dtype) for new, old in zip(after, state, strict=True)))


def torch_lstm_runs_in_this_precision() -> bool:
    """Whether torch's LSTM works on this CPU in the precision that autocast asks for now."""
    return not torch.is_autocast_enabled("cpu") or _torch_lstm_runs_in_autocast(torch.get_autocast_dtype("cpu"))


@lru_cache
def _torch_lstm_runs_in_autocast(precision: torch.dtype) -> bool:
    """Run a layer of one unit forward and back: torch raises RuntimeError if the processor cannot do it."""
    try:
        with torch.enable_grad(), torch.autocast("cpu", precision):
            outputs, _ = nn.LSTM(1, 1)(torch.zeros(1, 1, 1))
        outputs.sum().backward()
    except RuntimeError:
        return False
    return True


def fused_gru(cell: Cell, weights: Mapping[str, Tensor], inputs: Inputs, state: GRUState) -> tuple[Tensor, GRUState]:
    """`torch.nn.GRU` for the GRU with its reset gate after the product; equal to `unroll`."""
    parameters = _with_second_bias(weights)
    gates = parameters["bias_hh"][cell.hidden_size :]
    parameters["bias_hh"] = torch.cat([gates, weights["bias_candidate"]])
    outputs, after = _run(nn.GRU, cell, parameters, inputs, _layered(state.hidden))
    return outputs, GRUState(after[0].to(state.hidden.dtype))


def fused_rnn(cell: Cell, weights: Mapping[str, Tensor], inputs: Inputs, state: RNNState) -> tuple[Tensor, RNNState]:
    """`torch.nn.RNN` for the tanh RNN; equal to `unroll`."""
    outputs, after = _run(nn.RNN, cell, _with_second_bias(weights), inputs, _layered(state.hidden))
    return outputs, RNNState(after[0].to(state.hidden.dtype))


def _run(layer: _Layer, cell: Cell, parameters: Mapping[str, Tensor], inputs: Inputs, state: Any) -> tuple[Tensor, Any]:
    named = {f"{name}_l0": tensor for name, tensor in parameters.items()}
    outputs, after = torch.func.functional_call(
        _empty_layer(layer, cell.input_size, cell.hidden_size), named, (looked_up(inputs), state)
    )
    return outputs, after


@lru_cache
def _empty_layer(layer: _Layer, input_size: int, hidden_size: int) -> nn.Module:
    """A layer without parameters of its own."""
    return layer(input_size, hidden_size, batch_first=True, device="meta")


def _layered(part: Any) -> Tensor:
    """A state's field as torch wants it, (1, batch, hidden)."""
    return part[None].contiguous()  # type: ignore[no-any-return]  # its type is known, but not to mypy


def _with_second_bias(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {
        "weight_ih": weights["weight_ih"],
        "weight_hh": weights["weight_hh"],
        "bias_ih": weights["bias"],
        "bias_hh": torch.zeros_like(weights["bias"]),
    }
