"""How fast this machine trains and samples, and how close that is to its limits.

Because a machine's speed drifts, each loop takes turns with the one it is compared to. The bare loops are what one
would write with torch alone. They run in a separate process, without this package's settings.
"""

import math
import multiprocessing
import platform
import signal
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import Any, ClassVar, TypeAlias

import numpy as np
import torch
from torch import nn

from lstmgen.config import CellKind, Device, ModelConfig, Precision, Reset, SamplingConfig, TrainingConfig
from lstmgen.generation.engine import NumpyEngine, read_text
from lstmgen.generation.filters.likelihood import temperature
from lstmgen.generation.sampler import draw_tokens
from lstmgen.network.architecture import Network, build_network
from lstmgen.network.initialization import initialize
from lstmgen.network.kernels.torch_layers import torch_lstm_runs_in_this_precision
from lstmgen.network.model import Model
from lstmgen.text.streams import Chunk, ParallelStreams
from lstmgen.training.machine import bfloat16_speed, choose_device, has_fast_bfloat16, require_memory
from lstmgen.training.trainer import Trainer, mixed

VOCAB_SIZE = 65  # tiny-shakespeare's

_CPU = torch.device("cpu")
_MIN_ROUNDS = 2
_ROW_SECONDS = 6.0  # no new round begins after this time
_PEAK_SECONDS = 0.2
_CHUNKS = 50  # of random text; every loop cycles through them
_FAST = 0.5  # bfloat16 is considered if its products reach more than this fraction of float32's speed
_FLOPS_PER_WEIGHT = 6  # a product and a sum for each weight and token, forward once and backward twice

MEASURED: tuple[ModelConfig, ...] = (
    ModelConfig(cell=CellKind.LSTM),
    ModelConfig(cell=CellKind.COUPLED),
    ModelConfig(cell=CellKind.PEEPHOLE),
    ModelConfig(cell=CellKind.GRU, reset=Reset.AFTER),
    ModelConfig(cell=CellKind.GRU, reset=Reset.BEFORE),
    ModelConfig(cell=CellKind.RNN),
)
"""The networks to measure, in each of the requested sizes."""

_BARE = {CellKind.LSTM: nn.LSTM, CellKind.GRU: nn.GRU, CellKind.RNN: nn.RNN}


@dataclass(frozen=True)
class Machine:
    """The machine on which the speeds were measured."""

    measure: ClassVar[str] = "machine"
    processor: str  # or the GPU
    threads: int
    precision: Precision
    bfloat16_is_fast: bool  # whether products in bfloat16 are not much slower than in float32
    peak_gigaflops: float  # billions of operations per second in a large matrix product


@dataclass(frozen=True)
class TrainingSpeed:
    """How fast one network trains: whole steps, from ids to updated weights."""

    measure: ClassVar[str] = "training"
    network: str
    characters_per_second: float
    gigaflops: float  # billions of operations per second, counting only the products with weights
    share_of_peak: float  # `gigaflops` as a fraction of `Machine.peak_gigaflops`
    bare_characters_per_second: float | None  # with torch.nn alone; None: torch has no such layer, or it does not work
    ratio: float | None  # ours / bare, the median over the rounds


@dataclass(frozen=True)
class SamplingSpeed:
    """How fast an LSTM writes, in characters per second over all samples."""

    measure: ClassVar[str] = "sampling"
    network: str
    samples: int
    characters_per_second: float
    lstm_loop: float  # nn.LSTM called for each character, in training's precision if it can
    lstm_cell_loop: float  # nn.LSTMCell, in float32
    ratio: float  # ours / the faster of both


Result: TypeAlias = Machine | TrainingSpeed | SamplingSpeed


@dataclass(frozen=True)
class Effort:
    """How often and how long everything is measured."""

    rounds: int = 5  # fewer on a slow machine
    round_seconds: float = 0.3
    peak_sizes: tuple[int, ...] = (256, 512, 1024, 2048)  # of the matrices whose product gives the machine's peak


_FULL_EFFORT = Effort()


def measure(
    models: Sequence[ModelConfig],
    training: TrainingConfig,
    precision: Precision,
    threads: int | None,
    device: Device = Device.CPU,
    *,
    effort: Effort = _FULL_EFFORT,
) -> Iterator[Result]:
    """Measure the machine, how fast each network trains, and on a CPU how fast the LSTMs among them write.

    `training` gives the batch size and chunk length; dropout is off, because the bare loops have none. With precision
    auto, the one with the faster large product is used. Without a number of threads, torch's default is. If torch's
    LSTM does not work in that precision, the LSTM has no bare training loop, and the bare loops sample in float32.
    Raises ConfigError for a network that needs more memory than this machine has.
    """
    for model in models:
        require_memory(build_network(model, VOCAB_SIZE), training)
    torch.set_num_threads(threads or torch.get_num_threads())
    where = choose_device(device)
    fast = bfloat16_speed() > _FAST if where == _CPU else has_fast_bfloat16(where)
    kinds = [Precision.FLOAT32, *([Precision.BFLOAT16] if fast else [])] if precision is Precision.AUTO else [precision]
    peaks = {kind: _product_peak(kind, where, effort) for kind in kinds}
    precision = max(peaks, key=peaks.__getitem__)
    with mixed(where, precision):
        runs = where != _CPU or torch_lstm_runs_in_this_precision()
    machine = Machine(_processor(where), torch.get_num_threads(), precision, fast, peaks[precision])
    yield machine
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, spawn, _begin_bare_loops, (machine.threads,)) as bare:
        for model in models:
            comparable = model.reset is not Reset.BEFORE and (runs or model.cell is not CellKind.LSTM)
            layer = _BARE.get(model.cell) if comparable else None
            yield _training_speed(model, layer, training, machine, where, bare, effort)
        for model, samples in _sampled(models) if where == _CPU else ():
            yield _sampling_speed(model, samples, precision if runs else Precision.FLOAT32, bare, effort)


def result_count(models: Sequence[ModelConfig], device: Device = Device.CPU) -> int:
    """How many results `measure` yields for these networks."""
    return 1 + len(models) + (len(_sampled(models)) if choose_device(device) == _CPU else 0)


def _sampled(models: Sequence[ModelConfig]) -> list[tuple[ModelConfig, int]]:
    """The networks to measure sampling with, and the numbers of samples."""
    return [(model, samples) for model in models if model.cell is CellKind.LSTM for samples in (1, 64)]


def _begin_bare_loops(threads: int) -> None:
    """Prepare the process of the bare loops; its parent handles Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(threads)


def _processor(device: torch.device) -> str:
    """The name of the GPU or the processor, as the system reports it."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _product_peak(precision: Precision, device: torch.device, effort: Effort) -> float:
    """Billions of operations per second in a matrix product: the best over growing sizes.

    Stops at a size that takes long: without fast hardware, larger products are no faster.
    """
    kind, best = torch.bfloat16 if precision is Precision.BFLOAT16 else torch.float32, 0.0
    for size in effort.peak_sizes if device == _CPU else [4 * size for size in effort.peak_sizes]:
        factor = torch.ones(size, size, dtype=kind, device=device)
        seconds = min(_seconds(partial(_multiply, factor), effort) for _ in range(_MIN_ROUNDS))
        best = max(best, 2 * size**3 / seconds / 1e9)
        if seconds > _PEAK_SECONDS:
            break
    return best


def _multiply(factor: torch.Tensor) -> float:
    """A product, and one of its numbers: a GPU has computed it when the number is there."""
    return float((factor @ factor)[0, 0])


def _training_speed(
    model: ModelConfig,
    layer: type[nn.RNNBase] | None,
    training: TrainingConfig,
    machine: Machine,
    device: torch.device,
    bare: ProcessPoolExecutor,
    effort: Effort,
) -> TrainingSpeed:
    """Measure training steps of one network, alternating with the bare loop over torch's layer."""
    training = replace(training, dropout=0.0, weight_drop=0.0, state_reset=0.0)
    network = build_network(model, VOCAB_SIZE)
    weights = initialize(network, np.random.default_rng(0))
    trainer, precision = Trainer(Model(network, weights, device), training, machine.precision), machine.precision
    chunks, state = cycle(_chunks(training)), None

    def step() -> None:
        nonlocal state
        _, state = trainer.step(next(chunks), state, training.learning_rate)

    loops = [lambda: _seconds(step, effort)]
    if layer is not None:
        bare_loop = partial(_bare_training_seconds, layer, model, training, precision, device, effort)
        loops.append(lambda: bare.submit(bare_loop).result())
    ours, *theirs = _alternating(loops, effort)
    tokens, seconds = training.batch_size * training.chunk_length, statistics.median(ours)
    gigaflops = _FLOPS_PER_WEIGHT * weights_per_token(network) * tokens / seconds / 1e9
    return TrainingSpeed(
        network=str(network),
        characters_per_second=tokens / seconds,
        gigaflops=gigaflops,
        share_of_peak=gigaflops / machine.peak_gigaflops,
        bare_characters_per_second=tokens / statistics.median(theirs[0]) if theirs else None,
        ratio=statistics.median(t / o for o, t in zip(ours, theirs[0], strict=True)) if theirs else None,
    )


def _sampling_speed(
    model: ModelConfig, samples: int, precision: Precision, bare: ProcessPoolExecutor, effort: Effort
) -> SamplingSpeed:
    """Measure how fast a network writes, alternating with the bare loops; nn.LSTM computes in the given precision."""
    network = build_network(model, VOCAB_SIZE)
    engine = NumpyEngine(network, initialize(network, np.random.default_rng(0)))
    begun = read_text(engine, np.zeros(1, np.int64), engine.initial_state(1))
    endless = draw_tokens(engine, begun, [temperature(SamplingConfig.temperature)], rows=samples, length=-1, seed=0)
    loops = [
        lambda: _seconds(lambda: list(islice(endless, samples)), effort),
        lambda: bare.submit(_bare_sampling_seconds, False, model, samples, precision, effort).result(),
        lambda: bare.submit(_bare_sampling_seconds, True, model, samples, Precision.FLOAT32, effort).result(),
    ]
    ours, whole, cells = (samples / statistics.median(seconds) for seconds in _alternating(loops, effort))
    return SamplingSpeed(str(network), samples, ours, whole, cells, ratio=ours / max(whole, cells))


def weights_per_token(network: Network) -> int:
    """How many weights each token is multiplied with: all matrices except the embedding, which is looked up."""
    return sum(math.prod(shape) for name, shape in network.shapes().items() if len(shape) > 1 and name != "embedding")


def _alternating(loops: Sequence[Callable[[], float]], effort: Effort) -> list[tuple[float, ...]]:
    """The seconds of each loop in every round; a slow machine makes fewer rounds."""
    begun, rounds = time.perf_counter(), list[list[float]]()
    while len(rounds) < effort.rounds:
        if len(rounds) >= _MIN_ROUNDS and time.perf_counter() - begun > _ROW_SECONDS:
            break
        rounds.append([loop() for loop in loops])
    return list(zip(*rounds, strict=True))


def _seconds(step: Callable[[], Any], effort: Effort) -> float:
    """Mean seconds per step over a round, after one step to warm up."""
    step()
    begun, steps = time.perf_counter(), 0
    while steps == 0 or time.perf_counter() - begun < effort.round_seconds:
        step()
        steps += 1
    return (time.perf_counter() - begun) / steps


def _chunks(training: TrainingConfig) -> list[Chunk]:
    """Chunks of random text."""
    tokens = training.batch_size * training.chunk_length * (_CHUNKS + 1)
    text = np.random.default_rng(0).integers(0, VOCAB_SIZE, tokens).astype(np.uint8)
    streams = ParallelStreams(text, training.batch_size, training.chunk_length, seed=0)
    return list(islice(streams.chunks(0), _CHUNKS))


class _Bare(nn.Module):
    """Embedding, torch's layers, head."""

    def __init__(self, layer: type[nn.RNNBase], model: ModelConfig) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCAB_SIZE, model.embedding_size)
        self.layers = layer(model.embedding_size, model.hidden_size, model.num_layers, batch_first=True)  # type: ignore[arg-type]  # the subclasses' arguments
        self.head = nn.Linear(model.hidden_size, VOCAB_SIZE)

    def forward(self, ids: torch.Tensor, state: Any) -> tuple[torch.Tensor, Any]:
        """Logits, and the state."""
        outputs, state = self.layers(self.embedding(ids), state)
        return self.head(outputs), state


def _bare_training_seconds(
    layer: type[nn.RNNBase],
    model: ModelConfig,
    training: TrainingConfig,
    precision: Precision,
    device: torch.device,
    effort: Effort,
) -> float:
    """Seconds per step of the bare loop: carried state, clipped gradients, AdamW."""
    network = _Bare(layer, model).to(device)
    optimizer = torch.optim.AdamW(network.parameters(), training.learning_rate, fused=True)
    chunks = cycle(
        [tuple(torch.from_numpy(ids).to(device) for ids in (c.inputs, c.targets)) for c in _chunks(training)]
    )
    state: Any = None

    def step() -> None:
        nonlocal state
        inputs, targets = next(chunks)
        with mixed(device, precision):
            logits, state = network(inputs, state)
        loss = nn.functional.cross_entropy(logits.flatten(0, 1).float(), targets.flatten())
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch has no types for it
        nn.utils.clip_grad_norm_(network.parameters(), training.clip)
        optimizer.step()
        state = tuple(part.detach() for part in state) if isinstance(state, tuple) else state.detach()
        loss.item()

    return _seconds(step, effort)


def _bare_sampling_seconds(
    cells: bool, model: ModelConfig, samples: int, precision: Precision, effort: Effort
) -> float:
    """Seconds per character of all samples in the usual loop, which calls the layers once per character."""
    embedding, head = nn.Embedding(VOCAB_SIZE, model.embedding_size), nn.Linear(model.hidden_size, VOCAB_SIZE)
    layers = nn.LSTM(model.embedding_size, model.hidden_size, model.num_layers, batch_first=True)
    chain = [nn.LSTMCell(cell.input_size, cell.hidden_size) for cell in build_network(model, VOCAB_SIZE).cells]
    ids = torch.zeros(samples, dtype=torch.int64)
    state: Any = None if not cells else [None] * len(chain)

    def step() -> None:
        nonlocal ids, state
        outputs = embedding(ids)
        if cells:
            for number, cell in enumerate(chain):
                state[number] = cell(outputs, state[number])
                outputs = state[number][0]
        else:
            outputs, state = layers(outputs[:, None], state)
            outputs = outputs[:, 0]
        probabilities = torch.softmax(head(outputs).float() / 0.8, dim=-1)
        ids = torch.multinomial(probabilities, 1)[:, 0]

    with torch.no_grad(), mixed(_CPU, precision):
        return _seconds(step, effort)
