"""Where and how this machine computes fastest, and how fast that is.

A time budget uses short trials, which take at most about `_TRIAL_FRACTION` of it in all, unless single steps take
longer than that. If other programs use the processor, a step with several threads can take a hundred times as long as
with one, because the threads wait for each other; so several threads are tried only if the cores are free. A budget in
steps or epochs uses no clock, so the same command computes the same bits on the same machine.
"""

import ctypes
import math
import os
import platform
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

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

_TRIAL_FRACTION = 0.03  # of a time budget, for all trials together
_MIN_SECONDS = 1.5  # for all trials together with a short budget
_MAX_TRIALS = 7  # two numbers of threads, another precision, and a few, mostly small networks for the plan
_WAYS_FRACTION = 3 / _MAX_TRIALS * _TRIAL_FRACTION  # for the first three
_SHORT_OPERATIONS = 1.5e9  # in the products of a short step: a few hundredths of a second on a laptop
_TIMED_STEPS = 3
_SUSTAINED = 0.85  # of the speed of a few steps: training also evaluates, saves, and shares the machine
_CLEARLY_FASTER = 0.85  # choose one thread only if a step takes less than this fraction of the time
_SLOW = 0.5  # do not try a precision with at most this fraction of float32's speed
_PRODUCT_SIZE, _PRODUCTS = 256, 5
_BYTES_PER_PARAMETER = 16  # the weight, its gradient, and two moments of the optimizer, in float32
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # of malloc.h
_FAST_BFLOAT16 = ("avx512_bf16", "amx_bf16")  # instructions that make products faster than in float32
_SMALL_STEP = 1_000_000  # parameters times rows: below this, several threads wait for each other more than they compute
_PROBE_SECONDS, _PROBE_SIZE = 0.03, 1 << 15
_FREE = 0.75  # a core is free if a thread gets at least this fraction of its time
_TIMES_SLOWER = 4.0
_FIRST_PAUSE, _MAX_PAUSE = 5.0, 60.0  # a multiple of `max_seconds`, and seconds


@dataclass(frozen=True)
class Execution:
    """How to compute steps. It is chosen once, and kept when a run is resumed."""

    device: torch.device
    precision: Precision
    threads: int
    max_threads: int  # for when other programs leave the processor's cores free


def versions() -> dict[str, str]:
    """What the result of a training step depends on apart from the run: versions, and the kind of processor."""
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
        raise ConfigError("device", wanted, "torch finds no such device here; leave it out to use the CPU")
    return torch.device(wanted.value)


def torch_engine(checkpoint: Checkpoint, device: Device) -> TorchEngine:
    """An engine that computes on another device; raises ConfigError for one that this machine does not have."""
    return TorchEngine(Model(checkpoint.network, checkpoint.weights, choose_device(device)))


def choose_execution(network: Network, config: TrainingConfig, device: Device, threads: int | None) -> Execution:
    """Choose how to compute: as the user asked, otherwise the fastest way for this network.

    For a time budget, try what is fastest right now: one thread, then all of them; float32, then bfloat16. If other
    programs use the cores, use one thread without a trial.
    """
    usual = _usual_execution(network, config, choose_device(device), threads)
    if config.budget.unit is not BudgetUnit.SECONDS:
        return usual
    on_cpu, max_threads = usual.device.type == "cpu", torch.get_num_threads()
    try_threads = threads is None and on_cpu and max_threads > 1
    if try_threads and not cores_are_free(max_threads):
        return replace(usual, threads=1, max_threads=max_threads)
    try_bfloat16, precision = False, config.precision
    if precision is Precision.AUTO:
        try_bfloat16 = usual.device.type != "mps" and not (on_cpu and bfloat16_speed() <= _SLOW)
        precision = Precision.FLOAT32
    count = 1 if try_threads else usual.threads
    best = replace(usual, precision=precision, threads=count, max_threads=count)
    if not (try_threads or try_bfloat16):
        return best
    _make_first_step(best.device)
    started = time.perf_counter()
    best_time = time_step(network, config, best)
    if try_threads:
        other = replace(best, threads=max_threads, max_threads=max_threads)
        other_time = time_step(network, config, other)
        if best_time >= _CLEARLY_FASTER * other_time:  # a trial can be unlucky
            best, best_time = other, other_time
    if try_bfloat16:
        other = replace(best, precision=Precision.BFLOAT16)
        elapsed = time.perf_counter() - started
        left = _WAYS_FRACTION * config.budget.amount - elapsed
        if left < elapsed / (2 if try_threads else 1):
            is_faster = bfloat16_speed() > 1 / _CLEARLY_FASTER  # no time for a trial
        else:
            is_faster = time_step(network, config, other) < best_time
        best = other if is_faster else best
    return best


def _usual_execution(network: Network, config: TrainingConfig, device: torch.device, threads: int | None) -> Execution:
    """How to compute, judging only by the network and the kind of processor."""
    precision = config.precision
    if precision is Precision.AUTO:
        precision = Precision.BFLOAT16 if has_fast_bfloat16(device) else Precision.FLOAT32
    if threads is None:
        small = device.type == "cpu" and network.parameter_count() * config.batch_size < _SMALL_STEP
        threads = 1 if small else torch.get_num_threads()
    return Execution(device, precision, threads, threads)


def has_fast_bfloat16(device: torch.device) -> bool:
    """Whether this kind of processor has instructions that make bfloat16 products faster than float32 ones."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    instructions, allowed = torch.cpu.get_capabilities(), os.environ.get("ONEDNN_MAX_CPU_ISA", "ALL").upper()
    held_back = allowed not in ("ALL", "DEFAULT") and not any(name in allowed for name in ("BF16", "AMX", "AVX10"))
    return device.type == "cpu" and not held_back and any(instructions.get(name) for name in _FAST_BFLOAT16)


def cores_are_free(count: int) -> bool:
    """Whether this many threads can compute at once without waiting for other programs.

    Each thread computes for a few hundredths of a second, which takes several times as long if the cores are in use.
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


class Slowdown:
    """Reduces the threads while other programs slow training down, and restores them afterwards."""

    def __init__(self, threads: int, max_threads: int, max_seconds: float) -> None:
        """Begin with `threads` of at most `max_threads`; ignore slow phases of up to `max_seconds`."""
        self.threads = threads
        """How many threads compute the next step."""
        self._all = max_threads
        self._max_seconds = max_seconds
        self._fastest = math.inf  # seconds per token, with all threads
        self._slow_seconds = 0.0  # of consecutive slow steps, or with one thread since the last check of the cores
        self._pause = min(_FIRST_PAUSE * max_seconds, _MAX_PAUSE)

    def notice(self, seconds: float, tokens: int) -> bool:
        """Record a step; return whether the number of threads changes after it.

        If steps are several times slower than the fastest one for too long, one thread takes over. From then on, at
        growing intervals, check whether the cores are free again.
        """
        if self._all == 1:
            return False
        if self.threads == 1:
            self._slow_seconds += seconds
            if self._slow_seconds < self._pause:
                return False
            self._slow_seconds, self._pause = 0.0, min(2 * self._pause, _MAX_PAUSE)
            if not cores_are_free(self._all):
                return False
            self.threads = self._all
            return True
        self._fastest = min(self._fastest, seconds / tokens)
        slow = seconds / tokens > _TIMES_SLOWER * self._fastest
        self._slow_seconds = self._slow_seconds + seconds if slow else 0.0
        if self._slow_seconds <= self._max_seconds:
            return False
        self.threads, self._slow_seconds = 1, 0.0
        return True


def _make_first_step(device: torch.device) -> None:
    """Run a step of a tiny network, because the first step makes torch load parts of itself for about a second."""
    tiny = build_network(ModelConfig(hidden_size=1, num_layers=1, embedding_size=1), vocab_size=2)
    config = TrainingConfig(batch_size=1, chunk_length=1, budget=Budget(1, BudgetUnit.STEPS))
    time_step(tiny, config, Execution(device, Precision.FLOAT32, threads=1, max_threads=1))


def bfloat16_speed() -> float:
    """The speed of a small product in bfloat16, as a multiple of its speed in float32.

    Measuring takes milliseconds, or a tenth of a second on a processor without instructions for bfloat16, which is 40
    times slower in it.
    """
    factors = {kind: torch.ones(_PRODUCT_SIZE, _PRODUCT_SIZE, dtype=kind) for kind in (torch.float32, torch.bfloat16)}
    best = dict.fromkeys(factors, math.inf)
    for _ in range(_PRODUCTS):
        for kind, factor in factors.items():
            begun = time.perf_counter()
            factor @ factor
            best[kind] = min(best[kind], time.perf_counter() - begun)
    return best[torch.float32] / best[torch.bfloat16]


def characters_per_second(network: Network, config: TrainingConfig, execution: Execution) -> float:
    """How many tokens per second training will read, measured with a few steps."""
    return _SUSTAINED * config.batch_size * config.chunk_length / time_step(network, config, execution)


def time_step(network: Network, config: TrainingConfig, execution: Execution) -> float:
    """Time training steps on random tokens; return the seconds per step of the configured length.

    Two short steps of different lengths come first. They give an estimate for a whole step, because the optimizer takes
    the same time after a step of any length. If the allowance permits, whole steps follow, and the fastest counts. If
    even short steps are slow, there are no others, and the estimate is rough.
    """
    clock = time.perf_counter
    allowance = _TRIAL_FRACTION * config.budget.amount / _MAX_TRIALS  # seconds
    max_seconds = 2 * max(_MIN_SECONDS / _MAX_TRIALS, allowance)
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
        short = seconds_of_step(length)  # the first step of each length is a warm-up
        if short <= max_seconds:
            short = min(seconds_of_step(length) for _ in range(2))
        if clock() - started > max_seconds:
            return short * whole / length
        estimate = short
        if length < whole:
            longer = min(4 * length, whole)  # much longer, because the difference is multiplied
            seconds_of_step(longer)
            more = min(seconds_of_step(longer) for _ in range(2)) - short
            estimate += max(0.0, more) * (whole - length) / (longer - length)
        timed: list[float] = []
        while len(timed) < _TIMED_STEPS and clock() - started + min(timed, default=estimate) <= allowance:
            timed.append(seconds_of_step(whole))
        return min(timed, default=estimate)  # if other programs are running, the estimate can be far too low


def require_memory(network: Network, config: TrainingConfig) -> None:
    """Raise ConfigError, before allocating anything, if training this network needs more memory than this machine has.

    This counts the minimum that a step keeps: four numbers per parameter, and for each token of a chunk the embedding,
    the outputs of all layers, attention's weights and the logits.
    """
    window = network.attention.window if network.attention else 0
    outputs = len(network.cells) * network.hidden_size
    per_token = network.embedding_size + outputs + window + network.vocab_size
    activations = 4 * config.batch_size * config.chunk_length * config.chunk_growth * per_token
    needed = _BYTES_PER_PARAMETER * network.parameter_count() + activations
    if (memory := _machine_memory()) is not None and needed > memory:
        remedy = f"training {network} needs at least {needed / 1e9:,.0f} GB of memory, and this machine has "
        remedy += f"{memory / 1e9:,.0f}; give a smaller `hidden_size`, `num_layers`, `batch_size` or `chunk_length`"
        raise ConfigError("hidden_size", network.hidden_size, remedy)


def _machine_memory() -> int | None:
    """The memory of this machine in bytes; None: the system does not report it."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None


def keep_freed_memory() -> None:
    """Let this process keep the memory that it frees, so that the next step can reuse it.

    The activations of a step are a few large blocks. When they are freed, glibc returns them to the system; the next
    step gets them back page by page, and the system clears each page. For a 2 x 512 LSTM, that takes a quarter of the
    time of a step. Systems without glibc are left alone.
    """
    if not sys.platform.startswith("linux"):
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library than glibc
        return
    mallopt(_MMAP_MAX, 0)
    mallopt(_TRIM_THRESHOLD, 2**31 - 1)
