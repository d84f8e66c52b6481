"""Where and how this machine computes fastest, and how fast that is: found by short trials.

All trials of a run together take less than `TRIAL_FRACTION` of a time budget, unless a single step of a large network
takes longer than that.

Knows: how to time a training step. Does not know: what follows from its speed (`plan`).
"""

import math
import time
from dataclasses import dataclass

import numpy as np
import torch

from lstmgen.checkpoint import Checkpoint
from lstmgen.config import BudgetUnit, Device, Precision, TrainingConfig
from lstmgen.errors import ConfigError
from lstmgen.generation.torch_engine import TorchEngine
from lstmgen.network.architecture import Network
from lstmgen.network.model import Model
from lstmgen.text.streams import Chunk
from lstmgen.training.trainer import Trainer

TRIAL_FRACTION = 0.03
"""The fraction of a time budget that all trials may take together."""

_TRIAL_SECONDS = 3.0  # the same where the budget counts steps or epochs
_WAYS_TO_COMPUTE = 3  # two precisions, and fewer threads
_MOST_TRIALS = _WAYS_TO_COMPUTE + 9  # the plan asks for the speed of up to nine networks
_SHORT_OPERATIONS = 3e9  # in the products of a short step: some hundredths of a second on a laptop
_TIMED_STEPS = 3
_SUSTAINED = 0.85
"""Training reaches this fraction of the speed of a few steps: it also evaluates, saves, and shares the machine."""

_CLEARLY_FASTER = 0.85
"""Fewer threads are chosen only if a step takes less than this fraction of the time. A trial can be unlucky."""

_GIVE_UP = 2
"""A step that takes this many times as long as the best so far is not timed again."""

_PRODUCT_SIZE, _PRODUCTS = 256, 5


@dataclass(frozen=True)
class Execution:
    """How steps are computed. It is chosen once, and kept when a run is resumed."""

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
    """Choose how to compute: as the user asked, and otherwise as is fastest here and now for this network.

    More threads are not always faster. Beside other work they wait for each other, and a step can take ten times as
    long as with one thread. Where one trial takes long, the others are left out.
    """
    chosen = choose_device(device)
    counts = [threads] if threads is not None else sorted({1, torch.get_num_threads()}, reverse=True)
    if chosen.type != "cpu":
        counts = counts[:1]
    precisions = [config.precision]
    if config.precision is Precision.AUTO:
        precisions = [Precision.FLOAT32, Precision.BFLOAT16]
        if chosen.type == "mps" or (chosen.type == "cpu" and not bfloat16_is_fast()):
            precisions = [Precision.FLOAT32]
    best = Execution(chosen, precisions[0], counts[0])
    if len(precisions) == len(counts) == 1:
        return best
    started = time.perf_counter()
    best_seconds = _step_seconds(network, config, best, give_up=math.inf)
    trial_seconds = time.perf_counter() - started

    def is_faster(other: Execution, than: float) -> float | None:
        """How long a step takes in another way, if that is less; None: it is not, or there is no time to try."""
        if time.perf_counter() - started + trial_seconds > _WAYS_TO_COMPUTE * _allowance(config):
            return None
        seconds = _step_seconds(network, config, other, give_up=_GIVE_UP * best_seconds)
        return seconds if seconds < than else None

    for precision in precisions[1:]:
        other = Execution(chosen, precision, counts[0])
        if seconds := is_faster(other, best_seconds):
            best, best_seconds = other, seconds
    for count in counts[1:]:
        other = Execution(chosen, best.precision, count)
        if is_faster(other, _CLEARLY_FASTER * best_seconds):
            best = other
    return best


def bfloat16_is_fast() -> bool:
    """Whether this processor multiplies bfloat16 about as fast as float32, or faster.

    Small products show it: in milliseconds where it is, in a tenth of a second on a processor without instructions for
    bfloat16, which is 40 times as slow.
    """
    factors = {kind: torch.ones(_PRODUCT_SIZE, _PRODUCT_SIZE, dtype=kind) for kind in (torch.float32, torch.bfloat16)}
    best = dict.fromkeys(factors, math.inf)
    for _ in range(_PRODUCTS):
        for kind, factor in factors.items():
            begun = time.perf_counter()
            factor @ factor
            best[kind] = min(best[kind], time.perf_counter() - begun)
    return best[torch.bfloat16] < _GIVE_UP * best[torch.float32]


def characters_per_second(network: Network, config: TrainingConfig, execution: Execution) -> float:
    """How many symbols training will read in a second, found by a few steps."""
    seconds = _step_seconds(network, config, execution, give_up=math.inf)
    return _SUSTAINED * config.batch_size * config.chunk_length / seconds


def _allowance(config: TrainingConfig) -> float:
    """Seconds that one trial may take."""
    timed = config.budget.unit is BudgetUnit.SECONDS
    return (TRIAL_FRACTION * config.budget.amount if timed else _TRIAL_SECONDS) / _MOST_TRIALS


def _step_seconds(network: Network, config: TrainingConfig, execution: Execution, give_up: float) -> float:
    """Seconds that a training step takes, on random symbols: the best of a few steps.

    Two short steps of different lengths are timed first. From both follows the time of a whole step, because the
    optimizer takes the same time after a step of any length. Whole steps follow if the allowance has room for them.
    """
    torch.set_num_threads(execution.threads)
    begun = time.perf_counter()
    weights = {name: np.full(shape, 0.01, np.float32) for name, shape in network.shapes().items()}
    trainer = Trainer(Model(network, weights, execution.device), config, execution.precision)
    generator = np.random.default_rng(0)

    def seconds_of_step(length: int) -> float:
        ids = generator.integers(network.vocab_size, size=(config.batch_size, length + 1))
        chunk = Chunk(ids[:, :-1], ids[:, 1:], np.ones(len(ids), np.int64), reset_state=True)
        begun = time.perf_counter()
        trainer.step(chunk, None, learning_rate=0.0)
        return time.perf_counter() - begun

    whole = config.chunk_length
    affordable = _SHORT_OPERATIONS / (6 * network.parameter_count() * config.batch_size)
    short = max(1, min(whole // 2, int(affordable)))
    if execution.device.type == "cpu" and short < whole:
        times = []
        for length in (short, 2 * short):
            seconds_of_step(length)  # the first step of a length also prepares
            times.append(seconds_of_step(length))
        best = times[0] + max(0.0, times[1] - times[0]) * (whole - short) / short
    else:
        seconds_of_step(whole)
        best = seconds_of_step(whole)
    for _ in range(_TIMED_STEPS):
        if best > give_up or time.perf_counter() - begun + best > _allowance(config):
            break
        best = min(best, seconds_of_step(whole))
    return best
