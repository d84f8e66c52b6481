"""`lstmgen compare`: its options, and which of them go together."""

from enum import StrEnum
from typing import Annotated, Any, TypeVar

import typer

from lstmgen.cli.options import (
    Given,
    Json,
    Quiet,
    Threads,
    budget_from,
    config_from,
    config_options,
    given_options,
    limit_threads,
    option,
    parse_count,
    parse_duration,
)
from lstmgen.cli.render import with_options
from lstmgen.comparison.config import ComparisonConfig, RecallConfig
from lstmgen.config import CellKind, Device, TextConfig, TrainingConfig

EXAMPLES = """Examples:

lstmgen compare poems.txt

lstmgen compare poems.txt --cells rnn,lstm,gru --time 3m --seeds 3 --run cells

lstmgen compare poems.txt --cells lstm --attention 0,64 --parameters 500k

lstmgen compare --task recall

lstmgen compare --task recall --cells rnn,gru --lags 10,100 --seeds 1
"""

Value = TypeVar("Value", int, CellKind)

_COMPARED, _BUDGET = "What is compared", "How long"


class Task(StrEnum):
    """What the networks learn, if it is no text of the user."""

    RECALL = "recall"


@config_options({"Text": TextConfig, "Training, the same for all": TrainingConfig})
def compare(
    text: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="TEXT",
            help="Files, folders, patterns, .gz files; or a named corpus: python-docs, python-source, shakespeare.",
            show_default="python-docs, the reference text inside every Python",
        ),
    ] = None,
    *,
    task: Annotated[
        Task | None,
        option(None, "Instead of TEXT: recall, to repeat a letter that was shown --lags characters before."),
    ] = None,
    lags: Annotated[
        str | None,
        option(
            _COMPARED,
            "For --task recall: how far back the letter is, with commas between.",
            ",".join(map(str, RecallConfig.lags)),
            metavar="N,N",
        ),
    ] = None,
    cells: Annotated[
        str | None,
        option(_COMPARED, "The cells, with commas between.", ",".join(CellKind), metavar="CELL,CELL"),
    ] = None,
    attention: Annotated[
        str | None,
        option(
            _COMPARED,
            "Attention to the last N outputs; 0: none. For --task recall: of one more network, with the first cell.",
            "0; for --task recall longer than each lag",
            metavar="N,N",
        ),
    ] = None,
    layers: Annotated[
        str | None,
        option(
            _COMPARED,
            "Recurrent layers.",
            f"{ComparisonConfig.num_layers[0]}; {RecallConfig.num_layers} for --task recall",
            metavar="N,N",
        ),
    ] = None,
    hidden_size: Annotated[
        str | None,
        option(
            _COMPARED,
            "Units in each layer, the same for all.",
            f"by --parameters; {RecallConfig.hidden_size} for --task recall",
            metavar="N,N",
        ),
    ] = None,
    parameters: Annotated[
        int | None,
        option(
            _COMPARED,
            "About N parameters in each network: 500k, 2M.",
            "those of the LSTM that is planned for text and budget",
            metavar="N",
            parser=parse_count,
        ),
    ] = None,
    seeds: Annotated[
        int | None,
        option(
            _COMPARED,
            "Train each network with N seeds.",
            f"{ComparisonConfig.seeds}; {RecallConfig.seeds} for --task recall",
            min=1,
            metavar="N",
        ),
    ] = None,
    seconds: Annotated[
        float | None,
        option(
            _BUDGET,
            "Time for each network and seed: 90s, 3m, 1h30m.",
            f"1m; {RecallConfig.budget} for --task recall",
            "--time",
            metavar="TIME",
            parser=parse_duration,
        ),
    ] = None,
    epochs: Annotated[
        float | None, option(_BUDGET, "Instead of --time: read the text X times.", "none", metavar="X")
    ] = None,
    steps: Annotated[
        int | None, option(_BUDGET, "Instead of --time: make N updates of the weights.", "none", min=1, metavar="N")
    ] = None,
    given: Given,
    device: Annotated[Device | None, option(None, "Where to compute; auto takes CUDA if there is one.", "auto")] = None,
    threads: Threads = None,
    run: Annotated[
        str | None,
        option(
            None,
            "Keep the networks in checkpoints/NAME; the same command continues where it stopped.",
            "none is kept",
            *("--run", "-o"),
            metavar="NAME",
        ),
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train several networks under the same budget, and show them in one table.

    Every combination of cells, attention, layers and hidden sizes learns from TEXT.
    All have the same plan but for the learning rate, and unless you choose hidden sizes, about as many parameters.
    Then each predicts the text that was held out, and the command tells which differences are noise.
    The recall task: among random letters, the one after ! must be repeated after ?, --lags characters later.
    All networks learn by the same recipe, each at all lags; then they answer fresh questions.
    With --steps a seed gives the same results again.
    """
    limit_threads(threads)
    budget = budget_from(seconds, epochs, steps)
    asked: dict[str, Any] = {
        "cells": _split("--cells", cells, CellKind, f"some of {','.join(CellKind)}"),
        "attention": _split("--attention", attention, int, "numbers of outputs, such as 0,64"),
        "num_layers": _split("--layers", layers, int, "numbers of layers, such as 1,2"),
        "hidden_size": _split("--hidden-size", hidden_size, int, "numbers of units, such as 64,128"),
        "seeds": seeds,
    }
    if task is not None:
        others = {"TEXT": text, "--parameters": parameters, "--device": device, "--run": run}
        refused = given_options(given, TextConfig, TrainingConfig)
        refused += [name for name, value in others.items() if value is not None]
        if refused:
            raise typer.BadParameter(f"--task recall has its own text and recipe; leave out {', '.join(refused)}")
        single = {name: _single(name, asked[name]) for name in ("attention", "num_layers", "hidden_size")}
        lag_list = _split("--lags", lags, int, "numbers of characters, such as 10,100")
        config = config_from(RecallConfig, {**asked, **single, "lags": lag_list, "budget": budget})
        from lstmgen.cli.compare_recall import compare_on_recall

        compare_on_recall(config, threads or 1, json=json, quiet=quiet)
        return
    if lags is not None:
        raise typer.BadParameter("--lags is for --task recall")
    if hidden_size is not None and parameters is not None:
        raise typer.BadParameter("give one of --hidden-size and --parameters")
    from lstmgen.training.plan import PLANNED

    chosen = {name for name, value in given.items() if value is not None}
    asked |= {
        "text": config_from(TextConfig, given, sources=text),
        "training": config_from(TrainingConfig, given, budget=budget or ComparisonConfig().training.budget),
        "planned": sorted(PLANNED - chosen - {"hidden_size"}),
        "parameters": parameters,
        "device": device,
        "threads": threads,
    }
    from lstmgen.cli.compare_text import compare_on_text

    compare_on_text(config_from(ComparisonConfig, asked), run, json=json, quiet=quiet)


def _split(name: str, text: str | None, kind: type[Value], expected: str) -> list[Value] | None:
    """Read values with commas between; raises BadParameter."""
    try:
        return None if text is None else [kind(part.strip()) for part in text.split(",")]
    except ValueError as error:
        raise typer.BadParameter(f"{name} {text}: give {expected}") from error


def _single(field: str, values: list[int] | None) -> int | None:
    """The only value of an option; raises BadParameter if there are more."""
    if values is not None and len(values) > 1:
        raise typer.BadParameter(with_options(f"--task recall takes one `{field}`, not {len(values)}"))
    return values[0] if values else None
