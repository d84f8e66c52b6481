"""Train several networks on the same text, under the same budget and plan, one after the other.

The folder of a comparison holds `comparison.json`, with the request and the plan, and one run for each network and
seed, such as `lstm-1`. A run that is trained and measured has a `result.json`, so an interrupted comparison continues
where it stopped.
"""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from lstmgen.checkpoint import LAST, LOG, load_checkpoint, run_folder
from lstmgen.comparison.config import ComparisonConfig
from lstmgen.comparison.measurement import MIN_VALIDATION, RunResult, measure_run
from lstmgen.config import CellKind, ModelConfig, Precision, TextConfig, TrainingConfig, from_mapping
from lstmgen.errors import CheckpointError, ConfigError, TextError, unwritable
from lstmgen.files import replace_file
from lstmgen.network.architecture import build_network
from lstmgen.text.sources import STANDARD_INPUT
from lstmgen.training.events import Event, Finished
from lstmgen.training.learning_curve import LearningCurve, read_log
from lstmgen.training.loop import Preparation
from lstmgen.training.machine import choose_execution
from lstmgen.training.plan import hidden_size_for, learning_rate_for
from lstmgen.training.prepare import prepare, resume

COMPARISON, RESULT = "comparison.json", "result.json"

Stored = TypeVar("Stored")


@dataclass(frozen=True)
class ComparedNetwork:
    """A network, and the fastest way to compute its steps on this machine."""

    model: ModelConfig
    precision: Precision
    threads: int
    learning_rate: float | None = None  # None: the plan's, as in comparisons by an earlier version


@dataclass(frozen=True)
class ComparedRun:
    """One network and seed."""

    folder: str  # its name in the folder of the comparison
    name: str  # of the network
    model: ModelConfig
    training: TrainingConfig
    threads: int


@dataclass(frozen=True)
class Comparison:
    """What to compare, and the plan, which all networks share except for their learning rates."""

    config: ComparisonConfig  # the request
    text: TextConfig
    text_sha256: str
    vocab_size: int
    unit: str  # character or byte
    networks: tuple[ComparedNetwork, ...]
    training: TrainingConfig

    def runs(self) -> Iterator[ComparedRun]:
        """All runs, seed by seed, so that other work on the machine affects all networks alike."""
        for number in range(self.config.seeds):
            seed = self.training.seed + number
            for network, name in zip(self.networks, self.names(), strict=True):
                rate = network.learning_rate or self.training.learning_rate
                training = replace(self.training, seed=seed, precision=network.precision, learning_rate=rate)
                folder = f"{self._short_name(network.model)}-{number + 1}"
                yield ComparedRun(folder, name, network.model, training, network.threads)

    def names(self) -> list[str]:
        """The names of the networks, such as 2 x 256 lstm."""
        return [str(build_network(network.model, self.vocab_size)) for network in self.networks]

    def _short_name(self, model: ModelConfig) -> str:
        """The cell, and whatever else differs between the networks."""
        axes = {"layers": "num_layers", "hidden": "hidden_size", "attention": "attention"}
        varied = (name for name, field in axes.items() if len(getattr(self.config, field)) > 1)
        return "-".join([str(model.cell), *(f"{name}{getattr(model, axes[name])}" for name in varied)])


@dataclass(frozen=True)
class Measured:
    """A run that was trained and measured, now or by an earlier command."""

    run: ComparedRun
    result: RunResult
    curve: LearningCurve


def plan_comparison(config: ComparisonConfig) -> Comparison:
    """Make a plan for an LSTM with the first layers, attention and hidden size, and use it for all networks.

    Unless given, the learning rate is planned for each network, because what suits one cell can harm another. Unless
    given, hidden sizes are chosen so that each network has about as many parameters as that LSTM.

    Raises TextError for a text that cannot be compared on, and ConfigError for choices that cannot work.
    """
    if STANDARD_INPUT in config.text.sources:
        raise TextError("each network reads the text, and standard input can only be read once; name a file")
    reference = replace(config.models(ModelConfig())[0], cell=CellKind.LSTM)
    planned = set(config.planned)
    if not config.hidden_size and config.parameters is None:
        planned.add("hidden_size")
    prepared = prepare(
        config.text,
        reference,
        config.training,
        device=config.device,
        threads=config.threads,
        planned=planned,
        parameters=config.parameters,
    )
    validation = len(prepared.text.validation)
    if validation < MIN_VALIDATION:
        raise TextError(f"{config.text.name}: only {validation} characters are held out; compare on a longer text")
    checkpoint = prepared.checkpoint
    record, vocab_size = checkpoint.record, len(checkpoint.vocabulary)
    parameters = config.parameters or checkpoint.network.parameter_count()

    def network(model: ModelConfig) -> ComparedNetwork:
        if not config.hidden_size:
            model = replace(model, hidden_size=hidden_size_for(parameters, model, vocab_size))
        built = build_network(model, vocab_size)
        execution = choose_execution(built, record.training, config.device, config.threads)
        rate = record.training.learning_rate
        if "learning_rate" in planned:
            rate, _ = learning_rate_for(model, config.training.learning_rate)
        return ComparedNetwork(model, execution.precision, execution.threads, rate)

    return Comparison(
        config=config,
        text=record.text,
        text_sha256=record.text_sha256,
        vocab_size=vocab_size,
        unit=checkpoint.vocabulary.unit,
        networks=tuple(map(network, config.models(checkpoint.model))),
        training=record.training,
    )


def open_comparison(config: ComparisonConfig, run: str) -> tuple[Comparison, Path]:
    """A comparison to keep, and its folder: plan a new one, or continue the one with this name.

    Raises ConfigError if the name is not valid or belongs to something else, and the errors of `plan_comparison`.
    """
    folder = run_folder(run, "run")
    if (folder / COMPARISON).is_file():
        comparison = _read(Comparison, folder / COMPARISON)
        if comparison.config != config:
            remedy = f"{folder} is a comparison with other options; give the same ones, or choose another name"
            raise ConfigError("run", run, remedy)
        return comparison, folder
    if folder.exists():
        raise ConfigError("run", run, f"{folder} exists and is not a comparison; choose another name")
    comparison = plan_comparison(config)
    _write(comparison, folder / COMPARISON)
    return comparison, folder


def compare_networks(
    comparison: Comparison,
    folder: Path,
    should_stop: Callable[[], bool] = lambda: False,
) -> Iterator[ComparedRun | Event | Measured]:
    """Train and measure every network and seed that has no result yet; yield the results of all, in order.

    For a run that begins or continues, this yields the run, then its training events. The comparison ends early, with
    its progress saved, once `should_stop`, called after every training step, returns true.

    Raises the errors of `training.prepare`, of `training.loop` and of `measure_run`.
    """
    for run in comparison.runs():
        path = folder / run.folder
        if not (path / RESULT).is_file():
            if should_stop():
                return
            yield run
            if not (path / LAST).is_file() or load_checkpoint(path / LAST).record.position.progress < 1:
                started = time.perf_counter()
                with _prepare(comparison, run, path).start(started) as session:
                    for event in session.events(should_stop):
                        yield event
                if isinstance(event, Finished) and event.interrupted:
                    return
            _write(measure_run(path), path / RESULT)
        yield Measured(run, _read(RunResult, path / RESULT), read_log(path / LOG))


def _prepare(comparison: Comparison, run: ComparedRun, path: Path) -> Preparation:
    """Prepare a run according to the comparison's plan, or resume it."""
    device = comparison.config.device
    if (path / LAST).is_file():
        return resume(str(path), device=device)
    prepared = prepare(comparison.text, run.model, run.training, folder=path, device=device, threads=run.threads)
    if prepared.checkpoint.record.text_sha256 != comparison.text_sha256:
        name = comparison.text.name
        raise TextError(f"{name}: the text has changed since this comparison began; restore it, or give another `run`")
    return prepared


def _write(value: Any, path: Path) -> None:
    """Write a file, making its folder first; raises CheckpointError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, json.dumps(asdict(value), indent=1).encode())
    except OSError as error:
        with suppress(OSError):  # it is not empty
            path.parent.rmdir()
        raise CheckpointError(f"cannot write {path}: {unwritable(error)}") from error


def _read(kind: type[Stored], path: Path) -> Stored:
    """Read a file written by `_write`; raises CheckpointError."""
    try:
        return from_mapping(kind, json.loads(path.read_bytes()))
    except (AttributeError, ValueError, CheckpointError, ConfigError) as error:
        raise CheckpointError(f"{path}: cannot be read ({error}); delete {path.parent} to start again") from error
