"""What this machine can do: where it computes, in which way, and how fast that is.

Knows: how to try a step and time it. Does not know: what follows from it (`plan`).
"""

import math
import time
from dataclasses import dataclass

import numpy as np
import torch

from lstmgen.checkpoint import Checkpoint
from lstmgen.config import Device, Precision, TrainingConfig
from lstmgen.errors import ConfigError
from lstmgen.generation.torch_engine import TorchEngine
from lstmgen.network.architecture import Network
from lstmgen.network.model import Model
from lstmgen.text.streams import Chunk
from lstmgen.training.trainer import Trainer

_TRIAL_STEPS = 5
_TIMED_STEPS = 3
_SUSTAINED = 0.85
"""What is left of the speed of a few steps when evaluations, saving and other work have had their share."""

_CLEARLY = 0.85
"""Fewer threads are taken only if a step with them takes less than such a share of the time: a trial can be unlucky."""

_GIVE_UP = 2
"""A step that takes so many times as long as the best so far is not tried again."""


@dataclass(frozen=True)
class Execution:
    """How steps are computed: chosen once, and kept when a run is resumed."""

    device: torch.device
    precision: Precision
    threads: int


def choose_device(wanted: Device) -> torch.device:
    """The device to compute on; raises ConfigError for one that this machine does not have."""
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


def torch_engine(checkpoint: Checkpoint, device: Device) -> TorchEngine:
    """An engine that writes on another device; raises ConfigError for one that this machine does not have."""
    return TorchEngine(Model(checkpoint.network, checkpoint.weights, choose_device(device)))


def choose_execution(network: Network, config: TrainingConfig, device: Device, threads: int | None) -> Execution:
    """What was asked for; for the rest, what is fastest here and now for a network like this one.

    More threads are not always faster: beside other work they wait for each other, and a step can take ten times as
    long as with one thread.
    """
    chosen = choose_device(device)
    precisions = [Precision.BFLOAT16, Precision.FLOAT32] if config.precision is Precision.AUTO else [config.precision]
    if chosen.type == "mps" and config.precision is Precision.AUTO:
        precisions = [Precision.FLOAT32]
    counts = [threads] if threads is not None else sorted({1, torch.get_num_threads()})
    if chosen.type != "cpu":
        counts = counts[-1:]
    if len(precisions) == len(counts) == 1:
        return Execution(chosen, precisions[0], counts[0])
    best, best_seconds = Execution(chosen, Precision.FLOAT32, counts[0]), math.inf
    for count in counts:
        for precision in precisions if count == counts[0] else [best.precision]:
            execution = Execution(chosen, precision, count)
            seconds = _step_seconds(network, config, execution, _TRIAL_STEPS, give_up=_GIVE_UP * best_seconds)
            if count > best.threads:
                seconds *= _CLEARLY
            if seconds < best_seconds:
                best, best_seconds = execution, seconds
    return best


def characters_per_second(network: Network, config: TrainingConfig, execution: Execution) -> float:
    """How many symbols training will read in a second, found by trying a few steps."""
    seconds = _step_seconds(network, config, execution, _TIMED_STEPS, give_up=math.inf)
    return _SUSTAINED * config.batch_size * config.chunk_length / seconds


def _step_seconds(network: Network, config: TrainingConfig, execution: Execution, steps: int, give_up: float) -> float:
    """Seconds that a step takes, the best of a few on random numbers; infinite if the machine cannot do it."""
    torch.set_num_threads(execution.threads)
    generator = np.random.default_rng(0)
    weights = {name: generator.normal(0, 0.05, shape).astype(np.float32) for name, shape in network.shapes().items()}
    ids = generator.integers(network.vocab_size, size=(config.batch_size, config.chunk_length + 1))
    chunk = Chunk(ids[:, :-1], ids[:, 1:], np.ones(len(ids), np.int64), reset_state=True)
    best = math.inf
    try:
        trainer = Trainer(Model(network, weights, execution.device), config, execution.precision)
        for number in range(1 + steps):
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
