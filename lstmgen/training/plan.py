"""What training will do, settled before it begins: sizes that fit the text, a device, a precision.

Knows: how to try a step and time it. Does not know: the loop, files or terminals.
"""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch

from lstmgen.config import Device, Precision, TrainingConfig
from lstmgen.errors import ConfigError
from lstmgen.network.architecture import Network
from lstmgen.network.initialization import FloatArray
from lstmgen.network.model import Model
from lstmgen.text.streams import Chunk, ParallelStreams, ShuffledLines, TrainingText, line_items
from lstmgen.text.vocabulary import Ids
from lstmgen.training.trainer import Trainer

_PROBE_STEPS = 5
_PROBE_LENGTH = 16
_GIVE_UP = 3
"""A step that takes so many times as long as the best so far is not tried again."""


@dataclass(frozen=True)
class Execution:
    """How steps are computed: chosen once, and kept when a run is resumed."""

    precision: Precision
    threads: int


@dataclass(frozen=True)
class Fitted:
    """A training configuration that fits its text, and what had to change for it, in words."""

    config: TrainingConfig
    notes: tuple[str, ...]


def fit_to_text(config: TrainingConfig, symbols: int) -> Fitted:
    """Shrink chunk and batch until a text of so many symbols fills several chunks of every stream."""
    chunk_length = min(config.chunk_length, max(1, (symbols - 1) // 2))
    batch_size = min(config.batch_size, max(1, (symbols - 1) // (2 * chunk_length)))
    notes = []
    if batch_size < config.batch_size or chunk_length < config.chunk_length:
        notes.append(
            f"{symbols:,} symbols are few to learn from: batch size {config.batch_size} -> {batch_size}, "
            f"chunk length {config.chunk_length} -> {chunk_length}"
        )
    return Fitted(replace(config, batch_size=batch_size, chunk_length=chunk_length), tuple(notes))


def fit_to_lines(config: TrainingConfig, ids: Ids, newline: int, batch_size_given: bool) -> Fitted:
    """Put so many lines into a batch that it holds as many symbols as a batch of a running text would."""
    items = line_items(ids, newline)
    if len(items) < 2:
        raise ConfigError(f"--lines: {len(items)} lines to train on; give at least 2, or leave --lines out")
    length = min(config.chunk_length, len(ids) / len(items))
    wanted = config.batch_size if batch_size_given else math.ceil(config.batch_size * config.chunk_length / length)
    batch_size = max(1, min(wanted, len(items) // 4))
    notes = (f"{len(items):,} lines are few to learn from: batch size {wanted} -> {batch_size}",)
    return Fitted(replace(config, batch_size=batch_size), notes if batch_size < wanted else ())


def build_text(config: TrainingConfig, ids: Ids, newline: int | None, lines: bool) -> TrainingText:
    """The training text as streams, or as shuffled lines."""
    if lines and newline is not None:
        return ShuffledLines(ids, newline, config.batch_size, config.chunk_length, config.seed)
    return ParallelStreams(ids, config.batch_size, config.chunk_length, config.seed)


def choose_device(wanted: Device) -> torch.device:
    """The device to train on; raises ConfigError for one that this machine does not have."""
    available = {
        Device.CUDA: torch.cuda.is_available(),
        Device.MPS: torch.backends.mps.is_available(),
        Device.CPU: True,
    }
    if wanted is Device.AUTO:
        return torch.device("cuda" if available[Device.CUDA] else "cpu")
    if not available[wanted]:
        raise ConfigError(f"--device {wanted}: torch finds none on this machine; leave it out to use the CPU")
    return torch.device(wanted.value)


def choose_execution(
    config: TrainingConfig,
    network: Network,
    weights: Mapping[str, FloatArray],
    text: TrainingText,
    device: torch.device,
    threads: int | None,
) -> Execution:
    """What was asked for; for the rest, what is fastest here and now for this very network.

    Steps are tried on copies of the weights. More threads are not always faster: beside other work they wait for each
    other, and a step can take ten times as long as with one thread.
    """
    precisions = [Precision.BFLOAT16, Precision.FLOAT32] if config.precision is Precision.AUTO else [config.precision]
    if device.type == "mps" and config.precision is Precision.AUTO:
        precisions = [Precision.FLOAT32]
    counts = [threads] if threads is not None else sorted({1, torch.get_num_threads()})
    if device.type != "cpu":
        counts = counts[-1:]
    if len(precisions) == len(counts) == 1:
        return Execution(precisions[0], counts[0])
    chunk = next(text.chunks(0))
    chunk = Chunk(chunk.inputs[:, :_PROBE_LENGTH], chunk.targets[:, :_PROBE_LENGTH], fresh=True)
    best, best_seconds = Execution(Precision.FLOAT32, counts[0]), math.inf
    for count in counts:
        for precision in precisions if count == counts[0] else [best.precision]:
            torch.set_num_threads(count)
            trainer = Trainer(Model(network, weights, device), config, precision)
            seconds = _probe(trainer, chunk, give_up=_GIVE_UP * best_seconds)
            if seconds < best_seconds:
                best, best_seconds = Execution(precision, count), seconds
    return best


def _probe(trainer: Trainer, chunk: Chunk, give_up: float) -> float:
    """Seconds a step takes; infinite if the machine cannot do it."""
    best = math.inf
    try:
        for number in range(1 + _PROBE_STEPS):
            begun = time.perf_counter()
            nats, _ = trainer.step(chunk, None, learning_rate=0.0)
            seconds = time.perf_counter() - begun
            if number > 0:  # the first step also prepares
                best = min(best, seconds)
            if give_up < best < math.inf:
                break
    except RuntimeError:  # a processor without these instructions says so only when asked to use them
        return math.inf
    return best if math.isfinite(nats) else math.inf
