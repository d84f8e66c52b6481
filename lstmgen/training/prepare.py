"""Prepare a run: read the text, make the plan, build the network. Nothing is written to the disk."""

import re
from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch

from lstmgen.checkpoint import (
    LAST,
    LONGEST_NAME,
    RUNS_FOLDER,
    Checkpoint,
    composed,
    find_checkpoint,
    load_checkpoint,
    run_folder,
)
from lstmgen.config import Budget, Device, ModelConfig, Precision, TextConfig, TrainingConfig
from lstmgen.errors import CheckpointError, ConfigError, TextError, UnknownCharacterError
from lstmgen.network.architecture import build_network
from lstmgen.network.initialization import initialize
from lstmgen.record import TrainingRecord
from lstmgen.text.corpus import Corpus, SplitText, control_notes, read_corpus, read_same_corpus
from lstmgen.text.sources import STANDARD_INPUT, Progress
from lstmgen.text.vocabulary import Ids, Vocabulary, describe_character
from lstmgen.training.events import Planned
from lstmgen.training.fine_tuning import BaseModel, starter_advice
from lstmgen.training.loop import Preparation
from lstmgen.training.machine import (
    Execution,
    characters_per_second,
    choose_device,
    choose_execution,
    has_fast_bfloat16,
    require_memory,
    versions,
)
from lstmgen.training.plan import MODEL_FIELDS, Plan, fit_to_text, fit_to_vocabulary, make_plan
from lstmgen.training.processes import Processes
from lstmgen.training.storage import LOCK, first_free, is_free, refuse_if_in_use
from lstmgen.training.validation import VALIDATION_LIMIT

_MAX_RUNS = 10_000
_ADVISED_ON = 1 << 18  # tokens of a text
_MIN_LINES, _SHORT_LINE = 50, 40.0  # a text may be a list if it has more lines than this, shorter than this on average


def prepare(
    text: TextConfig,
    model: ModelConfig,
    training: TrainingConfig,
    *,
    run: str | None = None,
    folder: Path | None = None,
    device: Device = Device.AUTO,
    threads: int | None = None,
    planned: Set[str] = frozenset(),
    parameters: int | None = None,
    base: BaseModel | None = None,
    processes: int = 1,
    progress: Progress | None = None,
) -> Preparation:
    """Prepare a new run.

    Args:
        text: the text to learn from.
        model: the network; with a base model, its network.
        training: how to train it.
        run: its name; None: a name made from text and cell.
        folder: its folder, if it is not in `checkpoints/` under its name.
        device: where to compute.
        threads: the number of threads; None: the fastest number.
        planned: the fields to choose here, some of `plan.PLANNED`; with a base model, also `vocabulary`.
        parameters: choose the hidden size so that the network has about this many parameters.
        base: the trained network to start from; None: an untrained one.
        processes: how many train together. A given batch size applies to each of them; a planned one is shared.
        progress: called with how much of the text has been read.

    Raises TextError for a text that cannot be used, and ConfigError for choices that cannot work or a run that exists.
    """
    if text.lines and text.held_out_seed is None:
        text = replace(text, held_out_seed=training.seed)
    if base:
        text, planned = base.fit_text(text, planned), planned - MODEL_FIELDS
    _refuse_standard_input(text, processes)
    if "batch_size" not in planned:
        training = replace(training, batch_size=processes * training.batch_size)
    folders = _folders(run, text, model) if folder is None else (folder,)
    first_free(folders)  # fail before the text is read

    corpus = read_corpus(text, progress=progress)
    text = replace(text, sources=corpus.sources)
    if base:
        corpus = corpus.extended(base.checkpoint.vocabulary)
    parts = corpus.split(text)
    _check_preview(training.preview, corpus.vocabulary, text.lines)
    notes = [*corpus.notes, *_advice(parts.training, corpus, text), *control_notes(corpus, text)]
    if base:
        notes += base.notes(text, corpus)

    vocab_size, tokens = len(corpus.vocabulary), len(parts.training)
    plan = Plan(model, training, planned, notes=tuple(notes), unit=corpus.vocabulary.unit)
    plan = fit_to_text(plan, parts.training, newline=corpus.vocabulary.newline if text.lines else None)
    plan = fit_to_vocabulary(plan, parts.training, vocab_size, parameters)
    network = build_network(plan.model, vocab_size)
    require_memory(network, plan.training)
    own = replace(plan.training, batch_size=-(-plan.training.batch_size // processes))  # for one process
    execution = choose_execution(network, own, device, threads)

    def speed(model: ModelConfig) -> float:
        return processes * characters_per_second(build_network(model, vocab_size), own, execution)

    plan = make_plan(plan, tokens, vocab_size, speed, trained=base is not None)
    network, seed = build_network(plan.model, vocab_size), plan.training.seed
    require_memory(network, plan.training)
    if base:
        weights = base.weights(corpus.vocabulary, parts.training, seed)
    else:
        weights = initialize(network, np.random.default_rng(seed))
    checkpoint = Checkpoint(
        plan.model,
        corpus.vocabulary,
        weights,
        TrainingRecord(
            text=text,
            text_sha256=corpus.sha256,
            text_symbols=len(corpus.ids),
            training=plan.training,
            precision=execution.precision,
            device=str(execution.device),
            threads=execution.threads,
            processes=processes,
            adapted_to=base.adapted_to() if base else (),
            started_from=str(base) if base else None,
        ),
    )
    notes = [*plan.notes, *_notes(plan, parts, execution, processes)]
    if base is None and folder is None and planned >= MODEL_FIELDS:
        notes += starter_advice(text, corpus)  # last, because its products would disturb the measurements
    event = _planned(checkpoint, parts, first_free(folders), plan.reasons, notes)
    return Preparation(checkpoint, parts, folders, None, event, execution.max_threads if processes == 1 else 1)


def _advice(ids: Ids, corpus: Corpus, text: TextConfig) -> Iterator[str]:
    """Advice for a text that looks like a list: its lines are short, and none is empty."""
    newline = corpus.vocabulary.newline
    if newline is None or text.lines:
        return
    lengths = np.diff(np.flatnonzero(np.asarray(ids[:_ADVISED_ON]) == newline)) - 1
    if len(lengths) >= _MIN_LINES and lengths.min() > 0 and lengths.mean() < _SHORT_LINE:
        yield "the lines are short: if each one is a separate item, such as a name, train with `lines`"


def _notes(plan: Plan, parts: SplitText, execution: Execution, processes: int) -> Iterator[str]:
    """What the user should know about the text and the machine."""
    if len(parts.validation) < 2:
        yield "no text is held out, so there is no validation loss, and the last weights are kept"
    if len(parts.validation) > VALIDATION_LIMIT:
        yield f"evaluations during training read {VALIDATION_LIMIT:,} held-out {plan.unit}s; lstmgen eval reads all"
    if plan.training.precision is Precision.BFLOAT16 and not has_fast_bfloat16(execution.device):
        yield "this processor is slow in bfloat16; leave out `precision` to train faster"
    if execution.threads < execution.max_threads:
        yield "other programs are using the processor, so training uses one thread until they stop"
    if processes > 1:
        yield f"{processes} processes train together; each reads its share of the {plan.training.batch_size} streams"


def resume(
    run: str,
    *,
    sources: Sequence[str] = (),
    budget: Budget | None = None,
    device: Device = Device.AUTO,
    threads: int | None = None,
    processes: int = 1,
    progress: Progress | None = None,
) -> Preparation:
    """Prepare to resume a run from its last checkpoint.

    Args:
        run: its name, folder or file.
        sources: where its text is now, if it has moved.
        budget: a new budget, counted from the start of the run; None: the original one.
        device: where to compute from now on.
        threads: the number of threads; None: the same as before, or torch's default for another number of processes.
        processes: how many train together from now on.
        progress: called with how much of the text has been read.

    Raises CheckpointError if the run cannot be resumed, TextError if its text cannot be read or has changed, and
    ConfigError for a device that this machine does not have.
    """
    path = _last_checkpoint(run)
    refuse_if_in_use(path.parent)  # before the text is read
    checkpoint = load_checkpoint(path)
    if not checkpoint.extra:
        raise CheckpointError(
            f"{path}: cannot be resumed, because it has no optimizer state; give the run's folder, which has {LAST}"
        )
    notes = [f"resumed at step {checkpoint.record.position.step:,}"]
    text = checkpoint.record.text
    if sources:
        text = replace(text, sources=tuple(sources))
    elif STANDARD_INPUT in text.sources:
        raise TextError(f"{run}: its text came from standard input; pipe it in again: lstmgen train - `resume` {run}")
    _refuse_standard_input(text, processes)
    record, machine_notes = _on_this_machine(checkpoint, device, threads, processes)
    notes += machine_notes
    if budget:
        used = min(1.0, record.seconds / budget.amount)  # only a time budget uses this
        training = replace(record.training, budget=budget, most_epochs=None)
        record = replace(record, training=training, position=replace(record.position, progress=used))
    checkpoint = replace(checkpoint, record=replace(record, text=text))
    remedy = f"name the right one: lstmgen train TEXT `resume` {run}"
    try:
        corpus = _read_again(checkpoint, untrusted=not sources, progress=progress)
    except TextError as error:
        if sources:
            raise
        raise TextError(f"the run's text cannot be read again ({error}); {remedy}") from error
    if corpus is None:
        raise TextError(f"{text.name}: this is not the text that the run was trained on; {remedy}")
    text = replace(text, sources=corpus.sources)
    checkpoint = replace(checkpoint, record=replace(checkpoint.record, text=text))
    parts = corpus.split(text)
    event = _planned(checkpoint, parts, path.parent, (), [*notes, *corpus.notes])
    return Preparation(checkpoint, parts, (), path, event, record.threads if processes == 1 else 1)


def _on_this_machine(
    checkpoint: Checkpoint, device: Device, threads: int | None, processes: int
) -> tuple[TrainingRecord, list[str]]:
    """The record of a run that continues on this machine, and notes on what differs from before."""
    record, notes = checkpoint.record, []
    new_device = str(choose_device(device))
    if new_device != record.device:
        checkpoint.extra.pop("generator", None)
        notes.append(f"on {new_device} instead of {record.device}, so dropout draws new random numbers")
    if threads is None:
        threads = record.threads if processes == record.processes else torch.get_num_threads()
    now = versions() | {"threads": str(threads), "processes": str(processes)}
    before = record.versions | {"threads": str(record.threads), "processes": str(record.processes)}
    differing = [
        f"{name} {now[name]} instead of {before[name]}" for name in now if before.get(name, now[name]) != now[name]
    ]
    if differing:
        notes.append(f"{', '.join(differing)}: the result may differ from an uninterrupted run")
    return replace(record, device=new_device, threads=threads, processes=processes), notes


def _read_again(checkpoint: Checkpoint, *, untrusted: bool = True, progress: Progress | None = None) -> Corpus | None:
    """The text of a run; None if it has changed."""
    record = checkpoint.record
    return read_same_corpus(
        record.text,
        checkpoint.vocabulary,
        record.text_sha256,
        record.text_symbols,
        untrusted=untrusted,
        progress=progress,
    )


def _last_checkpoint(run: str) -> Path:
    """The file to resume a run from; raises CheckpointError, also for a run that has not saved one yet."""
    try:
        return find_checkpoint(run, LAST)
    except CheckpointError:
        for folder in (RUNS_FOLDER / composed(run), Path(run)):
            with suppress(ValueError):  # not a valid file name
                if is_free(folder) and (folder / LOCK).exists():
                    refuse_if_in_use(folder)
        raise


def prepare_together(processes: Processes, prepare: Callable[[], Preparation]) -> Preparation:
    """Let the first process prepare a run; the others adopt its decisions and read the same text.

    Raises TextError if the text differs on this machine, and in the first process the errors of `prepare`.
    """
    own: list[Preparation] = []

    def decide() -> Preparation:
        own.append(prepare())
        nothing = own[0].text.training[:0]
        return replace(own[0], text=SplitText(nothing, nothing))

    decided = processes.on_first(decide)
    if own:
        return own[0]
    corpus = _read_again(decided.checkpoint)
    text = decided.checkpoint.record.text
    if corpus is None:
        raise TextError(f"{text.name}: differs from the first process's text; copy the same files to every machine")
    return replace(decided, text=corpus.split(text))


def _refuse_standard_input(text: TextConfig, processes: int) -> None:
    """Raise TextError if only one of several processes could read the text."""
    if processes > 1 and STANDARD_INPUT in text.sources:
        raise TextError("several processes cannot share standard input; save the text in a file")


def _planned(
    checkpoint: Checkpoint, text: SplitText, folder: Path, reasons: Sequence[str], notes: Sequence[str]
) -> Planned:
    record = checkpoint.record
    return Planned(
        run=str(folder),
        text=list(record.text.sources),
        training_symbols=len(text.training),
        validation_symbols=len(text.validation),
        vocab_size=len(checkpoint.vocabulary),
        parameters=checkpoint.network.parameter_count(),
        layer_parameters=checkpoint.network.layer_parameter_count(),
        model=asdict(checkpoint.model),
        training=asdict(record.training),
        precision=record.precision,
        threads=record.threads,
        device=record.device,
        reasons=list(reasons),
        notes=list(notes),
        started_from=record.started_from,
    )


def _check_preview(preview: str, vocabulary: Vocabulary, lines: bool) -> None:
    """Raise ConfigError now, not at the first evaluation, if the text cannot have this preview."""
    try:
        vocabulary.prompt_ids(preview, lines=lines)
    except UnknownCharacterError as error:
        unknown = next(character for character in preview if character not in vocabulary.characters)
        raise ConfigError("preview", True, f"the text has no {describe_character(unknown)}; leave it out") from error


def _folders(run: str | None, text: TextConfig, model: ModelConfig) -> tuple[Path, ...]:
    """The possible folders of a new run, the best first, from the given name or from text and cell."""
    if run is not None:
        return (run_folder(run, "run"),)
    stem = "stdin" if text.sources[0] == STANDARD_INPUT else Path(text.sources[0]).resolve().name.split(".")[0]
    corpus = re.sub(r"[^\w-]+", "-", composed(stem)).strip("-")[: LONGEST_NAME // 2] or "text"
    name = f"{corpus}-{model.cell}" + ("-attention" if model.attention else "")
    return (RUNS_FOLDER / name, *(RUNS_FOLDER / f"{name}-{number}" for number in range(2, _MAX_RUNS)))
