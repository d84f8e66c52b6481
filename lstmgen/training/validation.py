"""Evaluating on held-out text while a network trains.

Knows: how much of the text an evaluation reads, and how long it may take. Does not know: what follows from the score.
"""

from collections.abc import Callable, Iterator

from lstmgen.config import Budget, BudgetUnit
from lstmgen.evaluation.score import score
from lstmgen.generation.torch_engine import TorchEngine
from lstmgen.network.model import Model
from lstmgen.text.streams import Chunk, every_line, overlapping_streams
from lstmgen.text.vocabulary import Ids, has_other_symbols

VALIDATION_LIMIT = 200_000
"""An evaluation in training stops after this many symbols of the held-out text; `lstmgen eval` reads them all."""

_FRACTION_OF_BUDGET = 0.015  # of a time budget, for one evaluation
_ROWS = 32
_LINES = 4 * _ROWS
_WARM_UP = 100  # symbols that each stream reads before it predicts


class Validation:
    """Scores a network on held-out text, always on the same part of it."""

    def __init__(
        self, held_out: Ids, newline: int | None, budget: Budget, clock: Callable[[], float], chunks: int | None
    ) -> None:
        """Prepare evaluations.

        Args:
            held_out: the held-out text, (symbols,).
            newline: the line feed, where each line is an item; None for running text.
            budget: a time budget limits how much an evaluation reads.
            clock: seconds that never go back.
            chunks: how many chunks an evaluation reads; None: the first one finds out how many it has time for.
        """
        self.chunks = chunks
        self._held_out = held_out if newline is not None else held_out[:VALIDATION_LIMIT]
        self._newline = newline
        self._seconds = _FRACTION_OF_BUDGET * budget.amount if budget.unit is BudgetUnit.SECONDS else None
        self._clock = clock

    def nats(self, model: Model) -> float | None:
        """The nats per character of the held-out text; None: there is nothing to predict."""
        if self._newline is None:
            if len(self._held_out) < 2:
                return None
            chunks = overlapping_streams(self._held_out, _ROWS, _WARM_UP)
        else:
            if not has_other_symbols(self._held_out, self._newline):
                return None
            chunks = every_line(self._held_out, self._newline, _LINES)
        return score(TorchEngine(model), self._affordable(chunks)).nats_per_character

    def _affordable(self, chunks: Iterator[Chunk]) -> Iterator[Chunk]:
        """The chunks that an evaluation reads: the first ones, as many as limit and time allow."""
        started, count, symbols = self._clock(), 0, 0
        for chunk in chunks:
            may_end = count > 0 and (chunk.reset_state or self._newline is None)  # lines are not cut
            late = self._seconds is not None and self._clock() - started > self._seconds
            if may_end and (late or symbols >= VALIDATION_LIMIT if self.chunks is None else count >= self.chunks):
                break
            yield chunk
            count += 1
            symbols += chunk.inputs.size
        self.chunks = count
