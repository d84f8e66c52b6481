"""Where and how this machine computes fastest, and how fast that is.

For a time budget short trials find out. All trials of a run together take about `TRIAL_FRACTION` of it at most, unless
single steps take longer than that. Beside other work, steps can become fifty times as slow, so trials of several
threads begin only where the processor's cores are free. For a budget of steps or epochs no clock decides: the same
command then computes the same bits on the same machine.
"""

import ctypes
import math
import os
import platform
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import numpy as np
import torch

import lstmgen
from lstmgen.checkpoint import Checkpoint
from lstmgen.config import Budget, BudgetUnit, Device, ModelConfig, Precision, TrainingConfig
from lstmgen.errors import ConfigError
from lstmgen.generation.torch_engine import TorchEngine
from lstmgen.network.architecture import Network, build_network
from lstmgen.network.model import Model, using_threads
from lstmgen.text.streams import Chunk
from lstmgen.training.trainer import Trainer

TRIAL_FRACTION = 0.03
"""The fraction of a time budget that all trials may take together."""

_MIN_SECONDS = 1.5  # that all trials may take together where the budget is short
_WAYS_TO_COMPUTE = 3  # two numbers of threads, and another precision
_MAX_TRIALS = _WAYS_TO_COMPUTE + 4  # the plan asks for the speed of some networks, most of them small
_SHORT_OPERATIONS = 1.5e9  # in the products of a short step: some hundredths of a second on a laptop
_TIMED_STEPS = 3
_SUSTAINED = 0.85
"""Training reaches this fraction of the speed of a few steps: it also evaluates, saves, and shares the machine."""

_CLEARLY_FASTER = 0.85
"""One thread is chosen only if a step takes less than this fraction of the time. A trial can be unlucky."""

_GIVE_UP = 2
"""A way to compute that takes this many times as long as the best so far is given up."""

_SLOW = 1 / _GIVE_UP
"""A precision with at most this fraction of the speed of float32 is not tried."""

_PRODUCT_SIZE, _PRODUCTS = 256, 5
_BYTES_PER_PARAMETER = 16  # the weight, its gradient, and two moments of the optimizer, in float32
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # of malloc.h

_FAST_BFLOAT16 = ("avx512_bf16", "amx_bf16")
"""The processor's instructions with which products in bfloat16 are faster than in float32."""

_SMALL_STEP = 1_000_000  # parameters times rows: with fewer, several threads wait for each other more than they compute

_PROBE_SECONDS, _PROBE_SIZE = 0.03, 1 << 15
_FREE = 0.75  # a core is free if a thread gets at least this fraction of its time


@dataclass(frozen=True)
class Execution:
    """How steps are computed. It is chosen once, and kept when a run is resumed."""

    device: torch.device
    precision: Precision
    threads: int
    max_threads: int  # may compute as soon as other programs leave the processor's cores free


def versions() -> dict[str, str]:
    """What the result of a training step depends on, besides the run itself: versions, and the kind of processor."""
    return {
        "lstmgen": lstmgen.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "processor": f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}",
    }


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
        raise ConfigError("device", wanted, "torch finds none on this machine; leave it out to use the CPU")
    return torch.device(wanted.value)


def torch_engine(checkpoint: Checkpoint, device: Device) -> TorchEngine:
    """An engine that writes on another device; raises ConfigError for one that this machine does not have."""
    return TorchEngine(Model(checkpoint.network, checkpoint.weights, choose_device(device)))


def choose_execution(
    network: Network, config: TrainingConfig, device: Device, threads: int | None, trials: "Trials | None" = None
) -> Execution:
    """Choose how to compute: as the user asked, and otherwise as is fastest for this network.

    For a time budget that is what is fastest here and now. More threads are not always faster. Beside other work they
    wait for each other, and a step can take a hundred times as long as with one thread. So nothing is tried where the
    cores are not free: one thread computes. Otherwise one thread is tried first, and float32 before bfloat16.
    """
    trials = trials or Trials()
    usual = _usual_execution(network, config, choose_device(device), threads, trials)
    if config.budget.unit is not BudgetUnit.SECONDS:
        return usual
    counts = [usual.threads]
    if threads is None and usual.device.type == "cpu" and (most := trials.max_threads()) > 1:
        if not trials.cores_are_free(most):
            return replace(usual, threads=1, max_threads=most)
        counts = [1, most]
    precisions = [config.precision]
    if config.precision is Precision.AUTO:
        precisions = [Precision.FLOAT32, Precision.BFLOAT16]
        if usual.device.type == "mps" or (usual.device.type == "cpu" and trials.bfloat16_speed() <= _SLOW):
            precisions = [Precision.FLOAT32]
    best = replace(usual, precision=precisions[0], threads=counts[0], max_threads=counts[0])
    if len(precisions) == len(counts) == 1:
        return best
    _make_first_step(best.device, trials)
    started, max_seconds = trials.clock(), _max_seconds(config)
    best_time = trials.time_step(network, config, best, max_seconds=max_seconds)
    for count in counts[1:]:
        other = replace(best, threads=count, max_threads=count)
        other_time = trials.time_step(network, config, other, beside=best_time, max_seconds=max_seconds)
        if best_time.whole >= _CLEARLY_FASTER * other_time.whole:
            best, best_time = other, other_time
    for precision in precisions[1:]:
        other = replace(best, precision=precision)
        elapsed = trials.clock() - started
        if elapsed + elapsed / len(counts) > _WAYS_TO_COMPUTE * _allowance(config):
            return other if trials.bfloat16_speed() > 1 / _CLEARLY_FASTER else best  # no time for a trial
        if trials.time_step(network, config, other, beside=best_time).whole < best_time.whole:
            best = other
    return best


def _usual_execution(
    network: Network, config: TrainingConfig, device: torch.device, threads: int | None, trials: "Trials"
) -> Execution:
    """How to compute as far as the network and the kind of processor tell, without a clock."""
    precision = config.precision
    if precision is Precision.AUTO:
        fast = trials.has_fast_bfloat16(device)
        precision = Precision.BFLOAT16 if fast else Precision.FLOAT32
    if threads is None:
        small = device.type == "cpu" and network.parameter_count() * config.batch_size < _SMALL_STEP
        threads = 1 if small else trials.max_threads()
    return Execution(device, precision, threads, threads)


def has_fast_bfloat16(device: torch.device) -> bool:
    """Whether this kind of processor has instructions that make products in bfloat16 faster than in float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    instructions, allowed = torch.cpu.get_capabilities(), os.environ.get("ONEDNN_MAX_CPU_ISA", "ALL").upper()
    held_back = allowed not in ("ALL", "DEFAULT") and not any(name in allowed for name in ("BF16", "AMX", "AVX10"))
    return device.type == "cpu" and not held_back and any(instructions.get(name) for name in _FAST_BFLOAT16)


def cores_are_free(count: int) -> bool:
    """Whether this many threads can compute at once without waiting for other programs.

    Each thread computes for some hundredths of a second. Next to other work it takes several times as long for that.
    """
    numbers = np.full(_PROBE_SIZE, 0.5, np.float32)

    def share_of_a_core(_: int) -> float:
        begun, computed = time.perf_counter(), 0.0
        before = time.thread_time()
        while computed < _PROBE_SECONDS:
            np.tanh(numbers)
            computed = time.thread_time() - before
        return computed / (time.perf_counter() - begun)

    with ThreadPoolExecutor(count) as pool:
        return min(pool.map(share_of_a_core, range(count))) >= _FREE


def _make_first_step(device: torch.device, trials: "Trials") -> None:
    """Make one step of a tiny network: torch loads parts of itself at the first one, for about a second."""
    tiny = build_network(ModelConfig(hidden_size=1, num_layers=1, embedding_size=1), vocab_size=2)
    config = TrainingConfig(batch_size=1, chunk_length=1, budget=Budget(1, BudgetUnit.STEPS))
    trials.time_step(tiny, config, Execution(device, Precision.FLOAT32, threads=1, max_threads=1))


def bfloat16_is_fast() -> bool:
    """Whether this processor multiplies bfloat16 about as fast as float32, or faster."""
    return bfloat16_speed() > _SLOW


def bfloat16_speed() -> float:
    """The speed of a small product in bfloat16, as a multiple of that in float32.

    It is found in milliseconds, or in a tenth of a second on a processor without instructions for bfloat16, which is
    40 times as slow in it.
    """
    factors = {kind: torch.ones(_PRODUCT_SIZE, _PRODUCT_SIZE, dtype=kind) for kind in (torch.float32, torch.bfloat16)}
    best = dict.fromkeys(factors, math.inf)
    for _ in range(_PRODUCTS):
        for kind, factor in factors.items():
            begun = time.perf_counter()
            factor @ factor
            best[kind] = min(best[kind], time.perf_counter() - begun)
    return best[torch.float32] / best[torch.bfloat16]


def characters_per_second(
    network: Network, config: TrainingConfig, execution: Execution, trials: "Trials | None" = None
) -> float:
    """How many tokens training will read in a second, found by a few steps."""
    trials = trials or Trials(partial(time_step, max_seconds=2 * _max_seconds(config) / _MAX_TRIALS))
    seconds = trials.time_step(network, config, execution).whole
    return _SUSTAINED * config.batch_size * config.chunk_length / seconds


def _max_seconds(config: TrainingConfig) -> float:
    """Seconds that all trials may take together."""
    return max(_MIN_SECONDS, _MAX_TRIALS * _allowance(config))


def _allowance(config: TrainingConfig) -> float:
    """Seconds that one trial may take."""
    return TRIAL_FRACTION * config.budget.amount / _MAX_TRIALS


class StepTime(NamedTuple):
    """Seconds that a training step takes."""

    short: float  # a step over a few tokens of each stream
    whole: float  # a step of the configured length


def time_step(
    network: Network,
    config: TrainingConfig,
    execution: Execution,
    *,
    beside: StepTime | None = None,
    max_seconds: float = math.inf,
    clock: Callable[[], float] = time.perf_counter,
) -> StepTime:
    """Time training steps on random tokens.

    Two short steps of different lengths are timed first. From both follows the time of a whole step, because the
    optimizer takes the same time after a step of any length. Whole steps follow if the allowance has room for them, and
    then the fastest of them counts.

    Args:
        network: the network.
        config: how it is trained.
        execution: how to compute.
        beside: the times of another way. If this way is much slower, it is given up, and its whole steps are infinite.
        max_seconds: if short steps take longer together, there are no others, and the estimate is rough.
        clock: gives the time in seconds.
    """
    with using_threads(execution.threads):
        started = clock()
        weights = {name: np.full(shape, 0.01, np.float32) for name, shape in network.shapes().items()}
        trainer = Trainer(Model(network, weights, execution.device), config, execution.precision)
        generator = np.random.default_rng(0)

        def seconds_of_step(length: int) -> float:
            ids = generator.integers(network.vocab_size, size=(config.batch_size, length + 1))
            chunk = Chunk(ids[:, :-1], ids[:, 1:], np.ones(len(ids), np.int64), reset_state=True)
            begun = clock()
            trainer.step(chunk, None, learning_rate=0.0)
            return clock() - begun

        whole = config.chunk_length
        affordable = _SHORT_OPERATIONS / (6 * network.parameter_count() * config.batch_size)
        length = max(1, min(whole // 2, int(affordable))) if execution.device.type == "cpu" else whole
        short = seconds_of_step(length)  # the first step of a length also prepares
        if short <= max_seconds:
            short = seconds_of_step(length)
        if beside and short > _GIVE_UP * beside.short:
            return StepTime(short, math.inf)
        if clock() - started > max_seconds:
            return StepTime(short, short * whole / length)
        estimate = short
        if length < whole:
            seconds_of_step(2 * length)
            estimate += max(0.0, seconds_of_step(2 * length) - short) * (whole - length) / length
        timed: list[float] = []
        while len(timed) < _TIMED_STEPS and clock() - started + min(timed, default=estimate) <= _allowance(config):
            timed.append(seconds_of_step(whole))
        return StepTime(short, min(timed, default=estimate))  # beside other work the estimate can be far too low


@dataclass(frozen=True)
class Trials:
    """What is measured before it is chosen how to compute; a test can give known numbers instead."""

    time_step: Callable[..., StepTime] = time_step
    bfloat16_speed: Callable[[], float] = bfloat16_speed
    has_fast_bfloat16: Callable[[torch.device], bool] = has_fast_bfloat16
    cores_are_free: Callable[[int], bool] = cores_are_free
    max_threads: Callable[[], int] = torch.get_num_threads
    clock: Callable[[], float] = time.perf_counter


def require_memory(network: Network, config: TrainingConfig) -> None:
    """Raise ConfigError if training this network needs more memory than this machine has; call it before any is taken.

    What is counted is the least that a step keeps: four numbers for each parameter, and for each token of a chunk the
    embedding, the outputs of all layers, attention's weights and the logits.
    """
    window = network.attention.window if network.attention else 0
    outputs = len(network.cells) * network.hidden_size
    per_token = network.embedding_size + outputs + window + network.vocab_size
    activations = 4 * config.batch_size * config.chunk_length * config.chunk_growth * per_token
    needed = _BYTES_PER_PARAMETER * network.parameter_count() + activations
    if (memory := _machine_memory()) is not None and needed > memory:
        remedy = f"to train {network} takes at least {needed / 1e9:,.0f} GB of memory, and this machine has "
        remedy += f"{memory / 1e9:,.0f}; give a smaller `hidden_size`, `num_layers`, `batch_size` or `chunk_length`"
        raise ConfigError("hidden_size", network.hidden_size, remedy)


def _machine_memory() -> int | None:
    """The memory of this machine in bytes; None: the system does not tell."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None


def keep_freed_memory() -> None:
    """Let this process keep the memory that it frees, so that the next step can use it again.

    The activations of a step are some large blocks. glibc gives such blocks back to the system when they are freed. The
    next step then gets them again page by page, and the system clears each page. That takes a quarter of the time of a
    step of a 2 x 512 LSTM. Nothing is changed on systems without glibc.
    """
    if not sys.platform.startswith("linux"):
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library than glibc
        return
    mallopt(_MMAP_MAX, 0)
    mallopt(_TRIM_THRESHOLD, 2**31 - 1)
