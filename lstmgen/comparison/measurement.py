"""Measure each network of a comparison after its training."""

import time
from dataclasses import dataclass
from pathlib import Path

from lstmgen.checkpoint import BEST, LAST, load_checkpoint
from lstmgen.config import SamplingConfig
from lstmgen.evaluation.confidence import Blocks
from lstmgen.evaluation.own_text import read_own_text
from lstmgen.evaluation.score import add_up, exact_protocol, predict
from lstmgen.generation.sampler import Drawn
from lstmgen.inspection.memory import visible_losses
from lstmgen.inspection.trace import begun
from lstmgen.language_model import LanguageModel

MIN_VALIDATION = 4
"""With fewer held-out tokens, nothing can be measured."""

_SAMPLED = 300  # characters to write for measuring the speed
_ROUNDS = 3  # the fastest counts


@dataclass(frozen=True)
class RunResult:
    """The measurements of one network and seed."""

    seed: int
    parameters: int
    tokens: int  # of the held-out text
    nats: tuple[float, ...]  # of each block of the held-out text, as cut by `evaluation.confidence.Blocks`
    characters: tuple[float, ...]  # predicted in each block
    training_speed: float  # characters read per second of the run, including its start and evaluations
    sampling_speed: float  # characters per second, of one text
    visible_nats: tuple[float, ...]  # per character, if only the last 1, 2, 4 ... tokens are visible

    @property
    def blocks(self) -> Blocks:
        """The sums of the held-out text, for confidence intervals."""
        blocks = Blocks(self.tokens)
        blocks.nats += self.nats
        blocks.characters += self.characters
        return blocks

    @property
    def nats_per_character(self) -> float:
        """The score on the whole held-out text under the exact protocol."""
        return sum(self.nats) / sum(self.characters)


def measure_run(folder: Path) -> RunResult:
    """Measure the best weights of a finished run.

    Raises TextError if its text cannot be read again, and CheckpointError if the run cannot be read.
    """
    newest = load_checkpoint(folder / LAST).record
    checkpoint = load_checkpoint(folder / BEST)
    model = LanguageModel(checkpoint, folder / BEST)
    validation = read_own_text(model.record, model.vocabulary, remedy="compare with another `run`").validation
    read = begun(validation, model.end_token)
    blocks = Blocks(len(validation))
    add_up(predict(model.engine, exact_protocol(validation, model.end_token)), blocks)
    return RunResult(
        seed=model.record.training.seed,
        parameters=checkpoint.network.parameter_count(),
        tokens=len(validation),
        nats=tuple(blocks.nats.tolist()),
        characters=tuple(blocks.characters.tolist()),
        training_speed=newest.position.symbols_read / newest.seconds,
        sampling_speed=sampling_speed(model),
        visible_nats=tuple(visible_losses(checkpoint, read).values()),
    )


def sampling_speed(model: LanguageModel) -> float:
    """How many characters per second the model writes, one text at a time."""
    start, config = model.read_prompt(""), SamplingConfig(length=_SAMPLED)
    speeds = []
    for _ in range(_ROUNDS):
        started, written, seed = time.perf_counter(), 0, 0
        while written < _SAMPLED:  # a model of lines ends each sample with its line
            written += sum(isinstance(event, Drawn) for event in model.draw(start, config, seed))
            seed += 1
        speeds.append(written / (time.perf_counter() - started))
    return max(speeds)
