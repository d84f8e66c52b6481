"""What is measured of each network of a comparison after its training.

Knows: one run. Does not know: the other networks, or how results are shown.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lstmgen.checkpoint import BEST, LAST, load_checkpoint
from lstmgen.config import SamplingConfig
from lstmgen.evaluation.confidence import Blocks
from lstmgen.evaluation.own_text import read_own_text
from lstmgen.evaluation.score import Reader, add_up, exact_protocol, predict, score
from lstmgen.generation.sampler import Drawn
from lstmgen.language_model import LanguageModel
from lstmgen.text.streams import IGNORED, Chunk
from lstmgen.text.vocabulary import Ids

MOST_VISIBLE = 512
NOTICEABLE = 0.01
"""Nats per character; a smaller difference does not count for the memory reach."""

FEWEST_HELD_OUT = 4
"""With fewer held-out symbols nothing can be measured."""

_WORK = 1e11  # multiplications of all predictions of `visible_nats`; it decides how many positions are affordable
_FEWEST, _MOST = 64, 512  # positions
_SAMPLED = 300  # characters, written to measure the speed
_ROUNDS = 3  # the fastest counts


@dataclass(frozen=True)
class RunResult:
    """What was measured of one network and seed."""

    seed: int
    parameters: int
    symbols: int  # of the held-out text
    nats: tuple[float, ...]  # of each block of the held-out text, as `evaluation.confidence.Blocks` cuts it
    characters: tuple[float, ...]  # that were predicted in each block
    training_speed: float  # characters read per second of the run, its start and its evaluations included
    sampling_speed: float  # characters per second, of one text
    visible_nats: tuple[float, ...]  # see `visible_nats`

    @property
    def blocks(self) -> Blocks:
        """The sums of the held-out text, for confidence intervals."""
        blocks = Blocks(self.symbols)
        blocks.nats += self.nats
        blocks.characters += self.characters
        return blocks

    @property
    def nats_per_character(self) -> float:
        """The score of the whole held-out text by the exact protocol."""
        return sum(self.nats) / sum(self.characters)


def measure_run(folder: Path) -> RunResult:
    """Measure the best weights of a run that is trained.

    Raises TextError if its text cannot be read again, and CheckpointError if the run cannot be read.
    """
    newest = load_checkpoint(folder / LAST).record
    model = LanguageModel(load_checkpoint(folder / BEST), folder / BEST)
    held_out = read_own_text(model.record, model.vocabulary, remedy="compare with another `run`").held_out
    blocks = Blocks(len(held_out))
    add_up(predict(model.engine, exact_protocol(held_out, model.item_end)), blocks)
    return RunResult(
        seed=model.record.training.seed,
        parameters=model.checkpoint.network.parameter_count(),
        symbols=len(held_out),
        nats=tuple(blocks.nats.tolist()),
        characters=tuple(blocks.characters.tolist()),
        training_speed=newest.position.symbols_read / newest.seconds,
        sampling_speed=sampling_speed(model),
        visible_nats=visible_nats(model.engine, held_out, model.item_end),
    )


def sampling_speed(model: LanguageModel, clock: Callable[[], float] = time.perf_counter) -> float:
    """How many characters per second the model writes of one text."""
    start, config = model.read_prompt(""), SamplingConfig(length=_SAMPLED)
    speeds = []
    for _ in range(_ROUNDS):
        begun, written, seed = clock(), 0, 0
        while written < _SAMPLED:  # a model of lines ends each sample with its line
            written += sum(isinstance(event, Drawn) for event in model.draw(start, config, seed))
            seed += 1
        speeds.append(written / max(1e-9, clock() - begun))
    return max(speeds)


def visible_nats(reader: Reader, ids: Ids, newline: int | None) -> tuple[float, ...]:
    """The nats per character if only the last 1, 2, 4 ... up to 512 symbols are visible; fewer in a short text.

    All are measured at the same positions of the text, (symbols,), and each prediction starts from the initial state.
    With the id of the line feed, no prediction sees more than its own line and the line feed before it.
    """
    begins = np.zeros(len(ids), np.int64)
    if newline is not None:  # a line feed is predicted from its own line
        begins[1:] = np.maximum.accumulate(np.where(ids == newline, np.arange(len(ids)), 0))[:-1]
    lengths = np.arange(len(ids)) - begins
    longest = min(MOST_VISIBLE, len(ids) // 2 if newline is None else int(lengths.max()))
    visible = [1 << power for power in range(longest.bit_length())]
    possible = np.flatnonzero(lengths >= (visible[-1] if newline is None else 1))
    affordable = _WORK / (reader.network.layer_parameter_count() * sum(visible))
    count = min(len(possible), int(np.clip(affordable, _FEWEST, _MOST)))
    positions = possible[np.linspace(0, len(possible) - 1, count).astype(np.int64)].astype(np.int64)
    chunks = (_visible_chunk(ids, positions, begins[positions], most) for most in visible)
    return tuple(score(reader, [chunk]).nats_per_character for chunk in chunks)


def _visible_chunk(ids: Ids, positions: NDArray[np.int64], begins: NDArray[np.int64], visible: int) -> Chunk:
    """A row for each position, (rows,), that predicts only this symbol, from the last ones before it.

    No row starts before its beginning, (rows,).
    """
    starts = np.maximum(begins, positions - visible)
    last = positions - starts - 1
    columns = starts[:, None] + np.arange(last.max() + 1)
    targets = np.full(columns.shape, IGNORED, np.int64)
    targets[np.arange(len(last)), last] = ids[positions]
    return Chunk(np.asarray(ids[np.minimum(columns, len(ids) - 1)], np.int64), targets, starts + 1, reset_state=True)


def memory_reach(nats: NDArray[Any]) -> int:
    """The fewest visible symbols with which the loss is within 0.01 nats of that with the most.

    Args:
        nats: from `visible_nats`, (powers,).
    """
    return int(2 ** np.flatnonzero(nats <= nats[-1] + NOTICEABLE)[0])
