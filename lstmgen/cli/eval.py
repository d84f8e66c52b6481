"""`lstmgen eval`: its options and progress bar. `evaluation.evaluate` measures, and `evaluation_report` presents."""

from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from lstmgen.cli.options import (
    ENCODING,
    JSON,
    ON_UNKNOWN,
    QUIET,
    READING_DEVICE,
    THREADS,
    argument,
    checkpoints_and_text,
    config_from,
    engine_on,
    find_model,
    limit_threads,
)
from lstmgen.cli.render import note, print_json
from lstmgen.config import Device, OnUnknown, option
from lstmgen.errors import ConfigError, TextError, unwritable
from lstmgen.evaluation.config import NoveltyConfig
from lstmgen.printable import message_line

if TYPE_CHECKING:
    from lstmgen.checkpoint import Checkpoint
    from lstmgen.evaluation.score import Predictions

EXAMPLES = """
lstmgen eval
lstmgen eval poems-lstm other-poems.txt
lstmgen eval poems-lstm poems-gru
lstmgen eval --window 256 --json
lstmgen eval poems-lstm --dynamic --save-adapted poems-adapted
lstmgen eval --novelty --temp 0.5
"""

_DYNAMIC = "Dynamic evaluation"
_NOVELTY = "Novelty"


def evaluate(
    words: list[str] | None = argument(
        "[CHECKPOINT]... [TEXT]",
        "Names, folders or files of runs; then a text, as for train.",
        "the newest run, and its own held-out text",
    ),
    window: int | None = option(
        None, "Also score windows of N characters, each from the initial state; not for models of lines.", min=1
    ),
    no_baselines: bool = option(False, "Leave out the baselines: n-grams, compressors, frequencies."),
    dynamic: bool = option(
        False,
        "Also score a copy that keeps learning as it reads: from each piece of the text after scoring it.",
        panel=_DYNAMIC,
    ),
    save_adapted: str | None = option(
        None, "Save that copy as a new run at the end.", shown_default="not saved", panel=_DYNAMIC, metavar="NAME"
    ),
    novelty: bool = option(
        False, "Let the model write, and measure how much it copies from its training text.", panel=_NOVELTY
    ),
    length: int | None = option(
        None,
        "How many characters the model writes.",
        "--length -n",
        shown_default=f"{NoveltyConfig.length:,}",
        panel=_NOVELTY,
        min=1,
    ),
    temperature: float | None = option(
        None,
        "The temperature for writing.",
        "--temp --temperature",
        shown_default=str(NoveltyConfig.temperature),
        panel=_NOVELTY,
    ),
    seed: int | None = option(
        None, "The same seed writes the same text.", shown_default=str(NoveltyConfig.seed), panel=_NOVELTY, min=0
    ),
    encoding: str = ENCODING,
    on_unknown: OnUnknown = ON_UNKNOWN,
    device: Device = READING_DEVICE,
    threads: int | None = THREADS,
    json: bool = JSON,
    quiet: bool = QUIET,
) -> None:
    """Measure how well a network predicts text: its own held-out text, or any TEXT.

    The protocol is exact: the model reads the whole text as one stream with carried state, predicts every character
    but the first once, and the sum is divided by their number. A model of lines reads each line from its initial state.

    The result is compared with baselines that know the same training text. Intervals are from a block bootstrap over
    the text. --dynamic always computes on the CPU.
    """
    limit_threads(threads)
    references, text = checkpoints_and_text("eval", words or [])
    if save_adapted is not None and (not dynamic or len(references) > 1):
        raise typer.BadParameter("--save-adapted needs --dynamic and a single checkpoint")
    if not novelty and (length, temperature, seed) != (None, None, None):
        raise typer.BadParameter("--length, --temp and --seed need --novelty")
    from lstmgen.checkpoint import load_checkpoint, new_run_folder, run_name
    from lstmgen.cli.evaluation_report import evaluations_report
    from lstmgen.cli.report import print_report
    from lstmgen.evaluation.evaluate import Evaluation, evaluate_model, evaluation_json
    from lstmgen.evaluation.own_text import read_named_text
    from lstmgen.language_model import LanguageModel
    from lstmgen.text.sources import STANDARD_INPUT

    if text == STANDARD_INPUT and len(references) > 1:
        raise TextError("-: standard input can only be read once; save it to a file to compare checkpoints on it")
    folder = None if save_adapted is None else new_run_folder(save_adapted, "save_adapted")
    writing = config_from(NoveltyConfig, {"length": length, "temperature": temperature, "seed": seed})
    evaluations: list[Evaluation] = []
    for path in [find_model(reference, quiet=quiet) for reference in references]:
        checkpoint = load_checkpoint(path)
        evaluation = evaluate_model(
            LanguageModel(checkpoint, path, engine_on(device, checkpoint)),
            None if text is None else read_named_text(text, checkpoint, encoding=encoding, on_unknown=on_unknown),
            window=window,
            baselines=not no_baselines,
            dynamic=dynamic,
            novelty=writing if novelty else None,
            threads=threads or 1,
            earlier=evaluations,
            watch=partial(_with_bar, unit=f" {checkpoint.vocabulary.unit}s", quiet=quiet),
        )
        evaluations.append(evaluation)
        for line in evaluation.notes:
            note(f"note: {message_line(line)}", quiet=quiet)
        if folder is not None and evaluation.adapted is not None:
            _save_new_run(evaluation.adapted, folder)
        if json:
            print_json(evaluation_json(evaluation))
    if not json:
        print_report(evaluations_report(evaluations))
    if folder is not None:
        note(f"the adapted model is saved in {folder}; write with it: lstmgen sample {run_name(folder)}", quiet=quiet)


def _save_new_run(checkpoint: "Checkpoint", folder: Path) -> None:
    """Save a checkpoint as a new run; if that fails, remove its folder."""
    from lstmgen.checkpoint import BEST, save_checkpoint

    try:
        folder.mkdir(parents=True)
        try:
            save_checkpoint(checkpoint, folder / BEST)
        except BaseException:
            with suppress(OSError):  # the checkpoint was written
                folder.rmdir()
            raise
    except OSError as error:
        raise ConfigError("save_adapted", folder, unwritable(error)) from error


def _with_bar(
    protocol: str, tokens: int, predictions: "Iterator[Predictions]", *, unit: str, quiet: bool
) -> "Iterator[Predictions]":
    """Yield the same predictions, and show how many tokens have been predicted so far."""
    from lstmgen.cli.reading_bar import progress_bar

    with progress_bar(quiet=quiet, total=tokens, desc=protocol, unit=unit, unit_scale=True) as bar:
        for part in predictions:
            yield part
            bar.update(len(part.ids))
