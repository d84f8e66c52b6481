"""`lstmgen compare`: its options, and which of them can be combined."""

from enum import StrEnum
from typing import Any

import typer

from lstmgen.cli.options import (
    BUDGET,
    EPOCHS,
    JSON,
    QUIET,
    STEPS,
    THREADS,
    Given,
    argument,
    budget_from,
    config_from,
    given_options,
    limit_threads,
    options_from,
    parse_count,
    parse_duration,
)
from lstmgen.cli.render import with_options
from lstmgen.comparison.config import ComparisonConfig, RecallConfig
from lstmgen.config import CellKind, Device, TextConfig, TrainingConfig, option

EXAMPLES = """
lstmgen compare poems.txt
lstmgen compare poems.txt --cells rnn,lstm,gru --time 3m --seeds 3 --run cells
lstmgen compare poems.txt --cells lstm --attention 0,64 --parameters 500k
lstmgen compare --task recall
lstmgen compare --task recall --cells rnn,gru --lags 10,100 --seeds 1
"""

_COMPARED = "What to compare"


class Task(StrEnum):
    """What the networks learn instead of a text."""

    RECALL = "recall"


def compare(
    text: list[str] | None = argument(
        "TEXT",
        "Files, folders, patterns, .gz files; or a named corpus: python-docs, python-source, shakespeare.",
        "python-docs, the reference text inside every Python",
    ),
    task: Task | None = option(None, "Instead of TEXT: recall, to repeat a letter seen --lags characters before."),
    lags: tuple[int, ...] | None = option(
        None,
        "For --task recall: how far back the letter is, separated by commas.",
        shown_default=",".join(map(str, RecallConfig.lags)),
        panel=_COMPARED,
    ),
    cells: tuple[CellKind, ...] | None = option(
        None, "The cells, separated by commas.", shown_default=",".join(CellKind), panel=_COMPARED, metavar="CELL,CELL"
    ),
    attention: tuple[int, ...] | None = option(
        None,
        "Attention to the last N outputs; 0: none. For --task recall: of an extra network with the first cell.",
        shown_default="0; for --task recall longer than each lag",
        panel=_COMPARED,
    ),
    layers: tuple[int, ...] | None = option(
        None,
        "Recurrent layers.",
        shown_default=f"{ComparisonConfig.num_layers[0]}; {RecallConfig.num_layers} for --task recall",
        panel=_COMPARED,
    ),
    hidden_size: tuple[int, ...] | None = option(
        None,
        "Units in each layer, the same for all.",
        shown_default="by --parameters",
        panel=_COMPARED,
    ),
    parameters: int | None = option(
        None,
        "About N parameters in each network: 500k, 2M.",
        shown_default=f"as the LSTM planned for text and budget; {RecallConfig.parameters:,} for --task recall",
        panel=_COMPARED,
        parser=parse_count,
    ),
    seeds: int | None = option(
        None,
        "How many seeds to train each network with.",
        shown_default=f"{ComparisonConfig.seeds}; {RecallConfig.seeds} for --task recall",
        panel=_COMPARED,
        min=1,
    ),
    seconds: float | None = option(
        None,
        "Time for each network and seed: 90s, 3m, 1h30m.",
        "--time",
        shown_default=f"1m; {RecallConfig.budget} for --task recall",
        panel=BUDGET,
        metavar="TIME",
        parser=parse_duration,
    ),
    epochs: float | None = EPOCHS,
    steps: int | None = STEPS,
    given: Given = options_from({"Text": TextConfig, "Training, the same for all": TrainingConfig}),
    device: Device | None = option(None, "Where to compute; auto uses CUDA if available.", shown_default="auto"),
    threads: int | None = THREADS,
    run: str | None = option(
        None,
        "Keep the networks in checkpoints/NAME; running the same command again continues.",
        "--run -o",
        shown_default="not kept",
        metavar="NAME",
    ),
    json: bool = JSON,
    quiet: bool = QUIET,
) -> None:
    """Train several networks with the same budget, and compare them in one table.

    Every combination of cells, attention, layers and hidden sizes learns from TEXT. All share one plan except for the
    learning rate, and unless you choose hidden sizes, they have about as many parameters. Then each predicts the
    held-out text, and the command says which differences are noise.

    The recall task: among random letters, the one after ! must be repeated after ?, --lags characters later. All
    networks have about as many parameters and train in the same way on all lags. Then they answer fresh questions.
    With --steps, the same seed gives the same results.
    """
    limit_threads(threads)
    budget = budget_from(seconds, epochs, steps)
    asked: dict[str, Any] = {
        "cells": cells,
        "attention": attention,
        "num_layers": layers,
        "hidden_size": hidden_size,
        "seeds": seeds,
    }
    if hidden_size is not None and parameters is not None:
        raise typer.BadParameter("give one of --hidden-size and --parameters")
    if task is not None:
        others = {"TEXT": text, "--device": device, "--run": run}
        refused = given_options(given, TextConfig, TrainingConfig)
        refused += [name for name, value in others.items() if value is not None]
        if refused:
            raise typer.BadParameter(f"--task recall has its own text and settings; leave out {', '.join(refused)}")
        single = {name: _single(name, asked[name]) for name in ("attention", "num_layers", "hidden_size")}
        from lstmgen.cli.compare_recall import compare_on_recall

        config = config_from(
            RecallConfig, {**asked, **single, "lags": lags, "parameters": parameters, "budget": budget}
        )
        compare_on_recall(config, threads or 1, json=json, quiet=quiet)
        return
    if lags is not None:
        raise typer.BadParameter("--lags needs --task recall")
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


def _single(field: str, values: tuple[int, ...] | None) -> int | None:
    """The only value of an option; raises BadParameter if there are more."""
    if values is not None and len(values) > 1:
        raise typer.BadParameter(with_options(f"--task recall takes one `{field}`, not {len(values)}"))
    return values[0] if values else None
