"""`lstmgen eval`.

Knows: its options, and which measurements they ask for. Does not know: how these are made, or how they look.
"""

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lstmgen.cli.options import (
    Encoding,
    Json,
    OnUnknownCharacter,
    Quiet,
    ReadingDevice,
    Threads,
    checkpoints_and_text,
    engine_on,
    limit_threads,
    note_adaptation,
    option,
)
from lstmgen.cli.render import note, print_json, printable
from lstmgen.config import Device, DynamicConfig, OnUnknown, SamplingConfig, TextConfig
from lstmgen.errors import ConfigError, TextError

if TYPE_CHECKING:
    from lstmgen.checkpoint import Checkpoint
    from lstmgen.cli.evaluation_report import Reading
    from lstmgen.evaluation.own_text import OwnText
    from lstmgen.evaluation.score import Predictions
    from lstmgen.language_model import LanguageModel
    from lstmgen.text.vocabulary import Ids

EXAMPLES = """Examples:

lstmgen eval

lstmgen eval poems-lstm other-poems.txt

lstmgen eval poems-lstm poems-gru

lstmgen eval --window 256 --json

lstmgen eval poems-lstm --dynamic --save-adapted poems-adapted

lstmgen eval --novelty --temp 0.5
"""

_WRITTEN_SYMBOLS = 20_000
_DYNAMIC = "Going on learning"
_NOVELTY = "What is copied"


def evaluate(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[CHECKPOINT]... [TEXT]",
            help="Runs' names, runs' folders or files, and a text, as for train.",
            show_default="the newest run, and what its training held out",
        ),
    ] = None,
    window: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Score also in windows of N characters, each from a cold start; not for a model of lines.",
            show_default="none",
        ),
    ] = None,
    no_baselines: Annotated[
        bool, typer.Option("--no-baselines", help="Leave out the yardsticks: n-grams, compressors, frequencies.")
    ] = False,
    dynamic: Annotated[
        bool,
        typer.Option(
            "--dynamic",
            help="Score also a copy that goes on learning: each piece of the text once it is scored.",
            rich_help_panel=_DYNAMIC,
        ),
    ] = False,
    save_adapted: Annotated[
        str | None,
        option(_DYNAMIC, "Save what that copy has become as a new run.", "not saved", "--save-adapted", metavar="NAME"),
    ] = None,
    novelty: Annotated[
        bool,
        typer.Option(
            "--novelty",
            help="Measure how much of what the model writes stands in its training text.",
            rich_help_panel=_NOVELTY,
        ),
    ] = False,
    length: Annotated[
        int | None,
        option(_NOVELTY, "Characters it writes.", f"{_WRITTEN_SYMBOLS:,}", "--length", "-n", min=1, metavar="N"),
    ] = None,
    temperature: Annotated[
        float | None,
        option(_NOVELTY, "How bold it writes.", SamplingConfig.temperature, "--temp", "--temperature", metavar="X"),
    ] = None,
    seed: Annotated[
        int | None,
        option(_NOVELTY, "The same seed writes the same text.", 0, "--seed", min=0, metavar="N"),
    ] = None,
    encoding: Encoding = TextConfig.encoding,
    on_unknown: OnUnknownCharacter = OnUnknown.ERROR,
    device: ReadingDevice = Device.AUTO,
    threads: Threads = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """How well a network predicts text: that its training held out, or any TEXT.

    The protocol is exact: one stream over the whole text with carried state,
    every character but the first predicted once, sums divided by their count.
    A model of lines reads each line from its initial state.
    Yardsticks that know the same training text stand beside it; intervals come
    from a block bootstrap over the text. --dynamic always computes on the CPU.
    """
    limit_threads(threads)
    references, text = checkpoints_and_text(words or [])
    if save_adapted is not None and (not dynamic or len(references) > 1):
        raise typer.BadParameter("--save-adapted takes --dynamic and a single checkpoint")
    if not novelty and (length, temperature, seed) != (None, None, None):
        raise typer.BadParameter("--length, --temp and --seed are for --novelty")
    bold = (SamplingConfig() if temperature is None else SamplingConfig(temperature=temperature)).temperature
    from lstmgen.checkpoint import checkpoint_name, find_checkpoint, load_checkpoint, new_run_folder, run_name
    from lstmgen.cli.evaluation_report import Evaluation, evaluation_json, print_evaluations
    from lstmgen.evaluation.baselines import baselines
    from lstmgen.evaluation.novelty import compare_copying
    from lstmgen.evaluation.own_text import NAME_A_TEXT, read_own_text, require_held_out
    from lstmgen.evaluation.score import predict
    from lstmgen.language_model import LanguageModel
    from lstmgen.text.sources import STANDARD_INPUT, spoken_name
    from lstmgen.text.streams import cold_windows

    if text == STANDARD_INPUT and len(references) > 1:
        raise ConfigError("-: standard input can be read only once; save it to a file to compare checkpoints on it")
    folder = None if save_adapted is None else new_run_folder(save_adapted, "--save-adapted")
    evaluations: list[Evaluation] = []
    own: OwnText | None
    for path in [find_checkpoint(reference) for reference in references]:
        checkpoint = load_checkpoint(path)
        model = LanguageModel(checkpoint, path, engine_on(device, checkpoint))
        if window is not None and model.lines:
            raise ConfigError(f"--window {window}: this model reads each line by itself; leave it out")
        if text is None:
            whole = read_own_text(model.record, model.vocabulary, remedy=NAME_A_TEXT)
            name = f"{', '.join(model.record.text.sources)}: the last {100 * model.record.text.validation:g}%, held out"
            own, ids = whole, require_held_out(whole, model.record)
        else:
            name, ids = text, _given(model, text, encoding, on_unknown, quiet)
            own = _own_text_beside(model, required=dynamic or novelty, wanted=not no_baselines, quiet=quiet)
        note_adaptation(model.record, quiet=quiet)
        protocol = "each line from the initial state" if model.lines else "one stream, state carried"
        exact = _read(protocol, predict(model.engine, model.exact_protocol(ids)), ids, quiet)
        known = (model.record.text_sha256, model.record.text, model.vocabulary)
        evaluation = Evaluation(path, checkpoint_name(path), spoken_name(name), known, exact)
        if window is not None:
            cold = predict(model.engine, cold_windows(ids, window))
            evaluation.others["window"] = _read(f"windows of {window}, each from a cold start", cold, ids, quiet)
        if own and dynamic:
            evaluation.others["dynamic"] = _read_and_adapt(checkpoint, own, ids, text, folder, threads, quiet)
        if own and novelty:
            written = model.write(length or _WRITTEN_SYMBOLS, bold, seed or 0)
            evaluation.novelty = compare_copying(
                own.training, written, own.held_out, model.vocabulary, lines=model.lines
            )
            evaluation.how_written = f"temperature {bold:g}, seed {seed or 0}"
        if own and not no_baselines:
            alike = [other.baselines for other in evaluations if other.has_yardsticks_of(evaluation)]
            yardsticks = baselines(own.training, ids, model.vocabulary, lines=model.lines)
            evaluation.baselines = alike[0] if alike else list(yardsticks)
        evaluations.append(evaluation)
        if json:
            print_json(evaluation_json(evaluation))
    if not json:
        print_evaluations(evaluations)
    if folder is not None:
        note(f"the adapted model is {folder}; now: lstmgen sample {run_name(folder)}", quiet=quiet)


def _own_text_beside(model: "LanguageModel", *, required: bool, wanted: bool, quiet: bool) -> "OwnText | None":
    """The text of the model's run, where another one is evaluated; if it is only wanted, that it is missing is said."""
    from lstmgen.evaluation.own_text import read_own_text

    if not required and not wanted:
        return None
    remedy = "leave out --dynamic and --novelty, which need it" if required else "--no-baselines leaves them out"
    try:
        return read_own_text(model.record, model.vocabulary, remedy=remedy)
    except TextError as error:
        if required:
            raise
        note(f"note: no yardsticks: {printable(str(error), single_line=True)}", quiet=quiet)
        return None


def _given(model: "LanguageModel", text: str, encoding: str, on_unknown: OnUnknown, quiet: bool) -> "Ids":
    from lstmgen.text.corpus import read_corpus

    config = TextConfig(sources=(text,), encoding=encoding, lines=model.lines)
    corpus = read_corpus(config, model.vocabulary, on_unknown)
    for line in corpus.notes:
        note(f"note: {line}", quiet=quiet)
    return corpus.ids


def _read(protocol: str, predictions: "Iterable[Predictions]", ids: "Ids", quiet: bool) -> "Reading":
    """Add up what is predicted of a text, with a bar."""
    from tqdm import tqdm

    from lstmgen.cli.evaluation_report import Reading
    from lstmgen.evaluation.confidence import Blocks
    from lstmgen.evaluation.score import add_up

    hidden = quiet or not sys.stderr.isatty()
    bar = tqdm(total=len(ids), desc=protocol, unit=" chars", unit_scale=True, leave=False, disable=hidden)

    def watched() -> "Iterator[Predictions]":
        for part in predictions:
            yield part
            bar.update(len(part.ids))

    blocks = Blocks(len(ids))
    with bar:
        return Reading(protocol, add_up(watched(), blocks), blocks)


def _read_and_adapt(
    checkpoint: "Checkpoint",
    own: "OwnText",
    ids: "Ids",
    text: str | None,
    folder: Path | None,
    threads: int | None,
    quiet: bool,
) -> "Reading":
    """Read with a copy that goes on learning, and save it if there is a folder for it."""
    import torch

    from lstmgen.checkpoint import BEST, HELD_OUT, save_checkpoint
    from lstmgen.evaluation.dynamic import AdaptingModel

    torch.set_num_threads(threads or 1)  # the products of a single text are too small to share
    adapting = AdaptingModel(checkpoint, own.training, DynamicConfig())
    reading = _read("going on learning", adapting.predict(ids), ids, quiet)
    if folder is not None:
        folder.mkdir(parents=True)
        save_checkpoint(adapting.adapted(HELD_OUT if text is None else text), folder / BEST)
    return reading
