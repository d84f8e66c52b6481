"""The engine in torch, for a GPU; it computes the same as the NumPy engine."""

from typing import Any, cast

import torch

from lstmgen.generation.engine import FloatArray
from lstmgen.network.architecture import NetworkState, map_state
from lstmgen.network.forward import step
from lstmgen.network.model import Model
from lstmgen.text.vocabulary import Ids


class TorchEngine:
    """A torch model as an engine: NumPy ids in, NumPy logits out, states on its device; no dropout, no gradient."""

    def __init__(self, model: Model) -> None:
        self.network = model.network
        self._model = model
        self._weights = model.network.arrange(model.parameters)

    def initial_state(self, batch_size: int) -> NetworkState:
        """The state before any text."""
        return self._model.initial_state(batch_size)

    @torch.no_grad()
    def step(self, ids: Ids, state: NetworkState) -> tuple[FloatArray, NetworkState]:
        """Read one token per row: ids (batch,) -> logits (batch, vocab) and the next state."""
        output = step(self.network, self._weights, *self._on_device(ids, state))
        return _to_numpy(output.logits), output.state

    @torch.no_grad()
    def read(self, ids: Ids, state: NetworkState) -> tuple[FloatArray, NetworkState]:
        """Read many tokens per row: ids (batch, time) -> logits after each, (batch, time, vocab), and the state."""
        logits, after = self._model.read(*self._on_device(ids, state))
        return _to_numpy(logits), after

    def _on_device(self, ids: Ids, state: NetworkState) -> tuple[torch.Tensor, NetworkState]:
        device = self._model.device
        return torch.as_tensor(ids, dtype=torch.int64, device=device), map_state(
            lambda field: torch.as_tensor(field, device=device), state
        )


def _to_numpy(logits: Any) -> FloatArray:
    return cast(FloatArray, logits.float().cpu().numpy())
