"""Attention: every step looks back at the last N outputs, weighting some more than others.

Causal dot-product attention above the recurrent layers (Luong, Pham & Manning 2015, the "general" score of
eq. 8 with a local window; scaled as in Vaswani et al. 2017, eq. 1):

    q_t = Q y_t                             query: what step t looks for
    s_tj = q_t · y_{t-j} / √H               score of the output j steps before, j = 1 .. N
    a_t = softmax(s_t)                      attention weights
    r_t = Σ_j a_tj y_{t-j}                  what is recalled: the weighted mean of past outputs
    y_t + C r_t                             output

Before a text begins, the past is N outputs of zeros. Looking at one of them adds nothing.
"""

from dataclasses import dataclass

import numpy as np

from lstmgen.cells.arrays import Array, concatenate, softmax
from lstmgen.cells.base import Parameters


@dataclass(frozen=True)
class Attention:
    """Attention over a window of past outputs."""

    hidden_size: int
    window: int

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """`query` Q and `combine` C, both (hidden, hidden)."""
        return dict.fromkeys(("query", "combine"), (self.hidden_size, self.hidden_size))

    def step(self, output: Array, memory: Array, weights: Parameters) -> tuple[Array, Array, Array]:
        """Look back from one step with output y_t, (batch, hidden), to the outputs before it, the oldest first.

        Returns the output; the memory for the next step, (batch, window, hidden); a_t, (batch, window).
        """
        query = output @ weights["query"].T * self.hidden_size**-0.5
        attention = softmax((query[:, None] @ memory.swapaxes(1, 2))[:, 0])
        recalled = (attention[:, None] @ memory)[:, 0]
        memory = concatenate([memory[:, 1:], output[:, None]], axis=1)
        return output + recalled @ weights["combine"].T, memory, attention

    def chunk(self, outputs: Array, memory: Array, weights: Parameters) -> tuple[Array, Array, Array]:
        """Look back from every step of a chunk at once, with its outputs y, (batch, time, hidden).

        Returns the outputs; the memory after the chunk; the weight of each output of the memory and the chunk,
        (batch, time, window + time), 0 outside the window of a step.
        """
        time = outputs.shape[1]
        past = concatenate([memory, outputs], axis=1)  # (batch, window + time, hidden)
        query = outputs @ weights["query"].T * self.hidden_size**-0.5
        scores = query @ past.swapaxes(1, 2)
        attention = softmax(scores + self._outside_window(time, like=scores))
        recalled = attention @ past
        return outputs + recalled @ weights["combine"].T, past[:, time:], attention

    def _outside_window(self, time: int, like: Array) -> Array:
        """What to add to (time, window + time) scores: 0 where step t may look, at t .. t + window - 1, else -inf."""
        ahead = np.arange(self.window + time)[None] - np.arange(time)[:, None]
        mask = np.where((ahead >= 0) & (ahead < self.window), 0.0, -np.inf).astype(np.float32)
        return mask if isinstance(like, np.ndarray) else like.new_tensor(mask)
