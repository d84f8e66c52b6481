"""All measurements of one model on one text, and the fields of their JSON."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from lstmgen.checkpoint import Checkpoint, checkpoint_name
from lstmgen.config import TextConfig
from lstmgen.errors import ConfigError, TextError
from lstmgen.evaluation.baselines import Baseline, baselines
from lstmgen.evaluation.confidence import LEVEL, RESAMPLES, Blocks
from lstmgen.evaluation.config import DynamicConfig, NoveltyConfig
from lstmgen.evaluation.novelty import Copying, Novelty, compare_copying
from lstmgen.evaluation.own_text import NamedText, adaptation_notes, held_out_text, read_own_text
from lstmgen.evaluation.score import Predictions, Score, add_up, exact_protocol, predict
from lstmgen.evaluation.starter import starter_words
from lstmgen.generation.engine import Engine
from lstmgen.record import HELD_OUT
from lstmgen.text.corpus import SplitText
from lstmgen.text.streams import cold_windows
from lstmgen.text.vocabulary import Ids, Vocabulary

_NAME_A_TEXT = "name a TEXT to evaluate: lstmgen eval CHECKPOINT TEXT"

Watch = Callable[[str, int, Iterator[Predictions]], Iterator[Predictions]]
"""Passes on the predictions of a measurement, given its protocol and the text's length; for progress bars."""


class EvaluatedModel(Protocol):
    """The part of `LanguageModel` that evaluations use."""

    checkpoint: Checkpoint
    path: Path | None
    engine: Engine

    def write(self, tokens: int, temperature: float, seed: int) -> Ids:
        """A text by the model, (tokens,)."""
        ...


@dataclass(frozen=True)
class EvaluationResult:
    """The score of a text under one protocol."""

    protocol: str
    score: Score
    blocks: Blocks = field(repr=False)


@dataclass(frozen=True)
class Evaluation:
    """All measurements of one model; None or empty: not requested."""

    checkpoint: Path | None  # None: the model has no file
    text: str  # its name
    unit: str  # character or byte
    trained_on: tuple[str, TextConfig, Vocabulary] = field(repr=False)  # if equal, so are the baselines of a text
    exact: EvaluationResult
    window: EvaluationResult | None = None
    dynamic: EvaluationResult | None = None
    adapted: Checkpoint | None = field(default=None, repr=False)  # the copy that kept learning for `dynamic`
    novelty: Novelty | None = None
    writing: NoveltyConfig | None = None  # how the model wrote the text for `novelty`
    baselines: Sequence[Baseline] = ()
    notes: tuple[str, ...] = ()  # for the user

    @property
    def name(self) -> str:
        """The name of the model in a comparison of several."""
        return "the model" if self.checkpoint is None else checkpoint_name(self.checkpoint)

    @property
    def score(self) -> Score:
        """The score under the exact protocol."""
        return self.exact.score

    @property
    def others(self) -> dict[str, EvaluationResult]:
        """The results of other protocols, by name."""
        results = {"window": self.window, "dynamic": self.dynamic}
        return {name: result for name, result in results.items() if result is not None}

    @property
    def predicted(self) -> tuple[str, str, int]:
        """What was predicted; evaluations are comparable if this is equal."""
        return self.text, self.exact.protocol, self.score.characters


def evaluate_model(
    model: EvaluatedModel,
    text: NamedText | None = None,
    *,
    window: int | None = None,
    baselines: bool = True,
    dynamic: bool = False,
    novelty: NoveltyConfig | None = None,
    threads: int = 1,
    earlier: Sequence[Evaluation] = (),
    watch: Watch = lambda _protocol, _tokens, predictions: predictions,
) -> Evaluation:
    """Measure a model with the exact protocol and whatever else is requested; see `LanguageModel.evaluate`.

    `dynamic` uses this number of `threads`; the products of a single stream are too small for several. Baselines of
    `earlier` evaluations are reused if they are the same. `watch` gets the predictions of each measurement.
    """
    checkpoint = model.checkpoint
    record, vocabulary, lines = checkpoint.record, checkpoint.vocabulary, checkpoint.record.text.lines
    if window is not None:
        if window < 1:
            raise ConfigError("window", window, "give a number of characters, at least 1")
        if lines:
            raise ConfigError("window", window, "this model reads each line separately; leave it out")
    adapts_to = HELD_OUT if text is None else text.name
    text, own = _texts(checkpoint, text, required=dynamic or novelty is not None, baselines=baselines)
    ids = text.ids

    def measure(protocol: str, predictions: Iterator[Predictions]) -> EvaluationResult:
        blocks = Blocks(len(ids))
        return EvaluationResult(protocol, add_up(watch(protocol, len(ids), predictions), blocks), blocks)

    protocol = "each line from the initial state" if lines else "one stream, state carried"
    evaluation = Evaluation(
        checkpoint=model.path,
        text=text.name,
        unit=vocabulary.unit,
        trained_on=(record.text_sha256, record.text, vocabulary),
        exact=measure(protocol, predict(model.engine, exact_protocol(ids, checkpoint.end_token))),
        notes=(*adaptation_notes(record), *text.notes),
    )
    if window is not None:
        protocol = f"windows of {window}, each from a cold start"
        evaluation = replace(evaluation, window=measure(protocol, predict(model.engine, cold_windows(ids, window))))
    if own and novelty:
        written = model.write(novelty.length, novelty.temperature, novelty.seed)
        known = starter_words(record.started_from)
        copying = compare_copying(own.training, written, own.validation, vocabulary, lines=lines, known=known)
        evaluation = replace(evaluation, novelty=copying, writing=novelty)
    if own and baselines:
        evaluation = replace(evaluation, baselines=_baselines(evaluation, earlier, own.training, ids))
    if own and dynamic:  # last, so that interrupting another measurement cannot lose the adapted copy
        from lstmgen.evaluation.dynamic import AdaptingModel
        from lstmgen.network.model import using_threads

        with using_threads(threads):
            adapting = AdaptingModel(checkpoint, own.training, DynamicConfig())
            learned = measure("dynamic evaluation", adapting.predict(ids))
        evaluation = replace(evaluation, dynamic=learned, adapted=adapting.adapted(adapts_to))
    return evaluation


def _texts(
    checkpoint: Checkpoint, text: NamedText | None, *, required: bool, baselines: bool
) -> tuple[NamedText, SplitText | None]:
    """The text to evaluate, and the model's own text if it is needed.

    If its own text cannot be read, raises TextError, or adds a note if only the baselines need it.
    """
    record, vocabulary = checkpoint.record, checkpoint.vocabulary
    if text is None:
        own = read_own_text(record, vocabulary, remedy=_NAME_A_TEXT)
        if HELD_OUT in record.adapted_to:
            remedy = "name another run, or a TEXT that the model has not seen"
            raise TextError(f"{record.text.name}: the model has learned from the held-out part of this text; {remedy}")
        return held_out_text(own, record, remedy=_NAME_A_TEXT), own
    if required:
        return text, read_own_text(record, vocabulary, remedy="leave out `dynamic` and `novelty`, which need it")
    if baselines:
        try:
            return text, read_own_text(record, vocabulary, remedy="restore that text to see them")
        except TextError as error:
            text = text._replace(notes=(*text.notes, f"no baselines: {error}"))
    return text, None


def _baselines(evaluation: Evaluation, earlier: Sequence[Evaluation], training: Ids, ids: Ids) -> Sequence[Baseline]:
    """The baselines of an earlier evaluation if they are the same, otherwise new ones."""
    for other in earlier:
        same = (other.trained_on, other.predicted) == (evaluation.trained_on, evaluation.predicted)
        if other.baselines and same:
            return other.baselines
    _, config, vocabulary = evaluation.trained_on
    return tuple(baselines(training, ids, vocabulary, lines=config.lines))


def evaluation_json(evaluation: Evaluation) -> dict[str, Any]:
    """An evaluation as JSON values."""
    found = {"checkpoint": str(evaluation.checkpoint), "text": evaluation.text, **_result_json(evaluation.exact)}
    names = ("name", "nats_per_character", "bits_per_character")
    found["baselines"] = [{name: getattr(baseline, name) for name in names} for baseline in evaluation.baselines]
    found |= {name: _result_json(result) for name, result in evaluation.others.items()}
    if (novelty := evaluation.novelty) is not None:
        found["novelty"] = {
            "how": str(evaluation.writing),
            "longest_run": {"text": novelty.longest_run, "line": novelty.line},
            "written": _copying_json(novelty.written),
            "held_out": novelty.real and _copying_json(novelty.real),
        }
    return found


def _result_json(result: EvaluationResult) -> dict[str, Any]:
    interval = result.blocks.interval()
    return {
        "protocol": result.protocol,
        **result.score.to_mapping(),
        "confidence": interval
        and {
            "level": LEVEL,
            "nats_per_character": list(interval),
            "bits_per_character": [nats / math.log(2) for nats in interval],
            "method": "block bootstrap",
            "block_length": result.blocks.length,
            "resamples": RESAMPLES,
        },
    }


def _copying_json(copying: Copying) -> dict[str, Any]:
    return {
        "characters": copying.tokens,
        "longest_run": copying.longest,
        "found_in_training": {str(length): fraction for length, fraction in copying.fractions.items()},
        "lines_found_in_training": copying.lines,
        "non_words": copying.non_words,
    }
