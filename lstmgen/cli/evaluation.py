"""The measurements that `lstmgen eval` makes of one checkpoint.

Knows: which texts and which parts of the core each measurement needs. Does not know: the options of the command, or
how results are printed.
"""

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from lstmgen.cli.options import engine_on, note_adaptation
from lstmgen.cli.render import note, printable
from lstmgen.config import Device, DynamicConfig, OnUnknown, TextConfig
from lstmgen.errors import ConfigError, TextError

if TYPE_CHECKING:
    from lstmgen.checkpoint import Checkpoint
    from lstmgen.cli.evaluation_report import Evaluation, EvaluationResult
    from lstmgen.evaluation.baselines import Baseline
    from lstmgen.evaluation.score import Predictions
    from lstmgen.language_model import LanguageModel
    from lstmgen.text.corpus import SplitText
    from lstmgen.text.vocabulary import Ids, Vocabulary


class Writing(NamedTuple):
    """The choices with which a model writes a text whose novelty is measured."""

    symbols: int
    temperature: float
    seed: int

    def __str__(self) -> str:
        return f"temperature {self.temperature:g}, seed {self.seed}"


@dataclass(frozen=True)
class EvaluationChoices:
    """What to measure of each checkpoint, and how to read the text."""

    text: str | None  # None: what the checkpoint's training held out
    window: int | None
    baselines: bool
    dynamic: bool
    adapted_folder: Path | None  # where to save the copy that goes on learning; None: nowhere
    writing: Writing | None  # what the model writes to measure novelty; None: nothing
    encoding: str
    on_unknown: OnUnknown
    device: Device
    threads: int | None
    quiet: bool


class _Texts(NamedTuple):
    """The text to evaluate, and the text of the checkpoint's own run."""

    name: str
    ids: "Ids"  # (symbols,)
    own: "SplitText | None"  # None: not needed, or it cannot be read


def evaluate_checkpoint(path: Path, choices: EvaluationChoices, earlier: "Sequence[Evaluation]") -> "Evaluation":
    """Measure one checkpoint; baselines that `earlier` evaluations hold are not computed again."""
    from lstmgen.checkpoint import checkpoint_name, load_checkpoint
    from lstmgen.cli.evaluation_report import Evaluation
    from lstmgen.evaluation.novelty import compare_copying
    from lstmgen.evaluation.score import predict
    from lstmgen.language_model import LanguageModel
    from lstmgen.text.sources import display_name
    from lstmgen.text.streams import cold_windows

    checkpoint = load_checkpoint(path)
    model = LanguageModel(checkpoint, path, engine_on(choices.device, checkpoint))
    vocabulary, window, quiet = model.vocabulary, choices.window, choices.quiet
    if window is not None and model.lines:
        raise ConfigError(f"--window {window}: this model reads each line by itself; leave it out")
    name, ids, own = _own_texts(model) if choices.text is None else _other_texts(model, choices.text, choices)
    note_adaptation(model.record, quiet=quiet)

    protocol = "each line from the initial state" if model.lines else "one stream, state carried"
    evaluation = Evaluation(
        checkpoint=path,
        name=checkpoint_name(path),
        text=display_name(name),
        unit=vocabulary.unit,
        trained_on=(model.record.text_sha256, model.record.text, vocabulary),
        exact=_result(protocol, predict(model.engine, model.exact_protocol(ids)), ids, vocabulary, quiet=quiet),
    )
    if window is not None:
        protocol = f"windows of {window}, each from a cold start"
        predictions = predict(model.engine, cold_windows(ids, window))
        evaluation.others["window"] = _result(protocol, predictions, ids, vocabulary, quiet=quiet)
    if own and choices.dynamic:
        evaluation.others["dynamic"] = _dynamic_result(checkpoint, own, ids, choices)
    if own and (writing := choices.writing):
        written = model.write(*writing)
        evaluation.novelty = compare_copying(own.training, written, own.held_out, vocabulary, lines=model.lines)
        evaluation.how_written = str(writing)
    if own and choices.baselines:
        evaluation.baselines = _baselines(evaluation, earlier, own, ids, model)
    return evaluation


def _own_texts(model: "LanguageModel") -> _Texts:
    """Return what the model's training held out. Raises TextError if it cannot be read or nothing was held out."""
    from lstmgen.evaluation.own_text import NAME_A_TEXT, read_own_text, require_held_out

    own = read_own_text(model.record, model.vocabulary, remedy=NAME_A_TEXT)
    config = model.record.text
    return _Texts(
        f"{', '.join(config.sources)}: {config.held_out_part}, held out", require_held_out(own, model.record), own
    )


def _other_texts(model: "LanguageModel", text: str, choices: EvaluationChoices) -> _Texts:
    """Read the text that was named, and the text of the model's own run if it is needed."""
    from lstmgen.text.corpus import read_corpus

    config = TextConfig(sources=(text,), encoding=choices.encoding, lines=model.lines)
    corpus = read_corpus(config, model.vocabulary, choices.on_unknown)
    for line in corpus.notes:
        note(f"note: {line}", quiet=choices.quiet)
    return _Texts(text, corpus.ids, _own_text_if_needed(model, choices))


def _own_text_if_needed(model: "LanguageModel", choices: EvaluationChoices) -> "SplitText | None":
    """Read the text of the model's own run, which most measurements need.

    If it cannot be read, --dynamic and --novelty raise TextError; baselines alone are left out with a note.
    """
    from lstmgen.evaluation.own_text import read_own_text

    required = choices.dynamic or choices.writing is not None
    if not required and not choices.baselines:
        return None
    remedy = "leave out --dynamic and --novelty, which need it" if required else "--no-baselines leaves them out"
    try:
        return read_own_text(model.record, model.vocabulary, remedy=remedy)
    except TextError as error:
        if required:
            raise
        note(f"note: no baselines: {printable(str(error), single_line=True)}", quiet=choices.quiet)
        return None


def _baselines(
    evaluation: "Evaluation", earlier: "Sequence[Evaluation]", own: "SplitText", ids: "Ids", model: "LanguageModel"
) -> "list[Baseline]":
    """Return the baselines of an earlier evaluation if they are the same; otherwise compute them."""
    from lstmgen.evaluation.baselines import baselines

    for other in earlier:
        if other.has_baselines_for(evaluation):
            return other.baselines
    return list(baselines(own.training, ids, model.vocabulary, lines=model.lines))


def _result(
    protocol: str, predictions: "Iterable[Predictions]", ids: "Ids", vocabulary: "Vocabulary", *, quiet: bool
) -> "EvaluationResult":
    """Add up the predictions of a text, and show a progress bar."""
    from tqdm import tqdm

    from lstmgen.cli.evaluation_report import EvaluationResult
    from lstmgen.evaluation.confidence import Blocks
    from lstmgen.evaluation.score import add_up

    hidden = quiet or not sys.stderr.isatty()
    unit = f" {vocabulary.unit}s"
    bar = tqdm(total=len(ids), desc=protocol, unit=unit, unit_scale=True, leave=False, disable=hidden)

    def with_progress() -> "Iterator[Predictions]":
        for part in predictions:
            yield part
            bar.update(len(part.ids))

    blocks = Blocks(len(ids))
    with bar:
        return EvaluationResult(protocol, add_up(with_progress(), blocks), blocks)


def _dynamic_result(
    checkpoint: "Checkpoint", own: "SplitText", ids: "Ids", choices: EvaluationChoices
) -> "EvaluationResult":
    """Score a copy of the model that goes on learning, and save the copy if there is a folder for it."""
    import torch

    from lstmgen.checkpoint import BEST, save_checkpoint
    from lstmgen.evaluation.dynamic import AdaptingModel
    from lstmgen.record import HELD_OUT

    torch.set_num_threads(choices.threads or 1)  # the products of a single stream are too small for several threads
    adapting = AdaptingModel(checkpoint, own.training, DynamicConfig())
    predictions = adapting.predict(ids)
    result = _result("going on learning", predictions, ids, checkpoint.vocabulary, quiet=choices.quiet)
    if (folder := choices.adapted_folder) is not None:
        folder.mkdir(parents=True)
        save_checkpoint(adapting.adapted(HELD_OUT if choices.text is None else choices.text), folder / BEST)
    return result
