"""Evaluate on held-out text while a network trains.

All evaluations of a run read the same part of it, unless one is cut short for lack of time.
"""

import math
from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from lstmgen.config import Budget, BudgetUnit
from lstmgen.evaluation.score import predict
from lstmgen.generation.torch_engine import TorchEngine
from lstmgen.network.model import Model
from lstmgen.text.streams import Chunk, every_line, overlapping_streams
from lstmgen.text.vocabulary import Ids, has_other_tokens
from lstmgen.training.processes import ALONE, Processes

VALIDATION_LIMIT = 200_000
"""An evaluation in training stops after this many tokens of the held-out text; `lstmgen eval` reads them all."""

_FRACTION_OF_BUDGET = 0.015  # of a time budget, for the first evaluation
_MAX_TIMES_LONGER = 2  # than the first evaluation
_ROWS = 32
_LINES = 4 * _ROWS
_WARM_UP = 100  # tokens that each stream reads before it predicts


Sums = NDArray[np.float64]
"""The running sums of characters and nats in an evaluation, after each chunk of the text, (chunks, 2)."""


class Validation:
    """Scores a network on held-out text."""

    def __init__(
        self,
        validation: Ids,
        newline: int | None,
        budget: Budget,
        clock: Callable[[], float],
        chunks: int | None,
        best: Sums | None = None,
        processes: Processes = ALONE,
    ) -> None:
        """Prepare evaluations on a held-out text, (tokens,), or on its lines, if there is a newline.

        An evaluation reads this number of chunks; None: the first one determines how many it has time for. Each process
        scores its own rows of them.
        """
        self.chunks = chunks
        self.best = best if best is not None and len(best) == chunks else None
        """The sums of the best weights among those evaluated on all chunks; None: there are none yet."""
        self._sums: Sums | None = None  # of the last evaluation
        self._validation = validation if newline is not None else validation[:VALIDATION_LIMIT]
        self._newline = newline
        self._seconds = _FRACTION_OF_BUDGET * budget.amount if budget.unit is BudgetUnit.SECONDS else math.inf
        self._clock = clock
        self._processes = processes

    def nats(self, model: Model, seconds: float = math.inf) -> float | None:
        """The nats per character of the held-out text; None: there is nothing to predict.

        With a time budget, an evaluation is cut short if it takes more than `seconds`, or much longer than the first
        one. Because part of a text can be easier than the whole, the result is then corrected by the difference between
        whole and part for the best weights. So it is below their result exactly if these weights are better on the
        part.
        """
        if self._newline is None:
            if len(self._validation) < 2:
                return None
            chunks = overlapping_streams(self._validation, _ROWS, _WARM_UP)
        else:
            if not has_other_tokens(self._validation, self._newline):
                return None
            chunks = every_line(self._validation, self._newline, _LINES)
        self._sums = self._add_up(model, self._affordable(chunks, seconds))
        nats = _mean(self._sums[-1])
        if self.best is None or len(self._sums) >= len(self.best):
            return nats
        return max(0.0, nats + _mean(self.best[-1]) - _mean(self.best[len(self._sums) - 1]))

    def keep_as_best(self) -> None:
        """Remember the weights of the last evaluation as the best, unless it was cut short."""
        if self.best is None or (self._sums is not None and len(self._sums) >= len(self.best)):
            self.best = self._sums

    def _add_up(self, model: Model, chunks: Iterator[Chunk]) -> Sums:
        """Score chunks; each process scores its own rows of them."""
        sums: list[list[float]] = []  # of each chunk

        def own_rows() -> Iterator[Chunk]:
            for chunk in chunks:
                sums.append([0.0, 0.0])
                own = chunk.rows(self._processes.rows(len(chunk.inputs)))
                if len(own.inputs):
                    yield own

        for part in predict(TorchEngine(model), own_rows()):
            sums[-1][0] += len(part.ids)
            sums[-1][1] += float(part.nats.sum(dtype=np.float64))
        totals = torch.tensor(sums, dtype=torch.float64)
        self._processes.sum(totals)
        return np.cumsum(totals.numpy(), axis=0)

    def _affordable(self, chunks: Iterator[Chunk], seconds: float) -> Iterator[Chunk]:
        """The chunks for an evaluation: the first ones, as many as limit and time allow, but at least one."""
        can_be_cut = self.chunks is None or self.best is not None
        max_seconds = min(seconds, _MAX_TIMES_LONGER * self._seconds) if can_be_cut else math.inf
        max_seconds = self._processes.broadcast(max_seconds)
        started, count, tokens = self._clock(), 0, 0
        for chunk in chunks:
            elapsed = self._processes.broadcast(self._clock() - started)
            if count > 0 and elapsed + elapsed / count > max_seconds:
                break
            may_end = count > 0 and (chunk.reset_state or self._newline is None)  # lines are not cut
            long = elapsed > self._seconds or tokens >= VALIDATION_LIMIT
            if count == self.chunks or (self.chunks is None and may_end and long):
                break
            yield chunk
            count += 1
            tokens += chunk.inputs.size
        self.chunks = self.chunks or count


def _mean(sums: Sums) -> float:
    characters, nats = sums
    return float(nats / characters)
