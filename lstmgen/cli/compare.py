"""`lstmgen compare`.

Knows: its options, and the progress bar. Does not know: how networks are trained and measured (`comparison`), or how
results are printed (`recall_report`).
"""

import sys
from enum import StrEnum
from typing import Annotated, TypeVar

import typer

from lstmgen.cli.options import Json, Quiet, Threads, config_from, limit_threads, option, parse_duration
from lstmgen.config import Budget, BudgetUnit, CellKind, RecallConfig

EXAMPLES = """Examples:

lstmgen compare --task recall

lstmgen compare --task recall --cells rnn,gru --lags 10,100 --seeds 1

lstmgen compare --task recall --cells rnn --attention 0 --steps 2000

lstmgen compare --task recall --json
"""

Value = TypeVar("Value", int, CellKind)


class Task(StrEnum):
    """What the networks learn, if it is no text of the user."""

    RECALL = "recall"


def compare(
    *,
    task: Annotated[
        Task | None,
        typer.Option(help="recall: repeat a letter that was shown --lags characters before.", show_default="none"),
    ] = None,
    lags: Annotated[
        str | None,
        option(
            "What is compared",
            "For --task recall: how far back the letter is, with commas between.",
            ",".join(map(str, RecallConfig.lags)),
            metavar="N,N",
        ),
    ] = None,
    cells: Annotated[
        str | None,
        option("What is compared", "The cells, with commas between.", ",".join(CellKind), metavar="CELL,CELL"),
    ] = None,
    attention: Annotated[
        int | None,
        option(
            "What is compared",
            "One more network: the first cell with attention to its last N outputs; 0: none.",
            "longer than each lag",
            min=0,
            metavar="N",
        ),
    ] = None,
    hidden_size: Annotated[
        int | None, option("What is compared", "Units in each layer.", RecallConfig.hidden_size, min=1, metavar="N")
    ] = None,
    layers: Annotated[
        int | None, option("What is compared", "Recurrent layers.", RecallConfig.num_layers, min=1, metavar="N")
    ] = None,
    seeds: Annotated[
        int | None,
        option("How long", "Train each network with N seeds.", RecallConfig.seeds, min=1, metavar="N"),
    ] = None,
    steps: Annotated[
        int | None,
        option(
            "How long",
            "Updates of the weights, for each network and seed.",
            f"{RecallConfig.budget.amount:.0f}",
            min=1,
            metavar="N",
        ),
    ] = None,
    seconds: Annotated[
        float | None,
        option(
            "How long",
            "Instead of --steps: time to train, for each network and seed: 20s, 1m.",
            "none",
            "--time",
            metavar="TIME",
            parser=parse_duration,
        ),
    ] = None,
    threads: Threads = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train several networks under the same budget, and show them in one table.

    The recall task: among random letters, the one after ! must be repeated after ?, so many characters later.
    All networks learn by the same recipe, each at all lags; then they answer fresh questions.
    With --steps a seed gives the same results again.
    """
    limit_threads(threads)
    if task is None:
        raise typer.BadParameter("give --task recall")
    if steps is not None and seconds is not None:
        raise typer.BadParameter("give one of --steps and --time")
    budgets = [
        Budget(amount, unit)
        for unit, amount in ((BudgetUnit.STEPS, steps), (BudgetUnit.SECONDS, seconds))
        if amount is not None
    ]
    config = config_from(
        RecallConfig,
        {
            "lags": _split("--lags", lags, int, "numbers of characters, such as 10,100"),
            "cells": _split("--cells", cells, CellKind, f"some of {','.join(CellKind)}"),
            "attention": attention,
            "hidden_size": hidden_size,
            "num_layers": layers,
            "seeds": seeds,
            "budget": budgets[0] if budgets else None,
        },
    )
    _recall(config, threads or 1, json=json, quiet=quiet)


def _recall(config: RecallConfig, threads: int, *, json: bool, quiet: bool) -> None:
    """Compare networks on the recall task."""
    from tqdm import tqdm

    from lstmgen.cli.recall_report import describe, network_name, print_recall, recall_json
    from lstmgen.cli.render import print_json
    from lstmgen.comparison.recall import RecallMeasured, compare_recall

    measured: list[RecallMeasured] = []
    with tqdm(
        total=float(len(config.models()) * config.seeds),
        bar_format="{percentage:3.0f}% {bar} {elapsed}<{remaining} {desc}",
        file=sys.stderr,
        disable=quiet or not sys.stderr.isatty(),
        dynamic_ncols=True,
        leave=False,
    ) as bar:
        for event in compare_recall(config, threads=threads):
            if isinstance(event, RecallMeasured):
                measured.append(event)
                if not quiet:
                    tqdm.write(describe(event), file=sys.stderr)
            else:
                bar.set_description_str(
                    f"{network_name(event.model)}, seed {event.seed}: loss {event.nats:.2f}, lags up to "
                    f"{event.longest_lag}",
                    refresh=False,
                )
                bar.update(len(measured) + event.progress - bar.n)
    if json:
        print_json(recall_json(config, measured))
    else:
        print_recall(config, measured)


def _split(name: str, text: str | None, kind: type[Value], expected: str) -> list[Value] | None:
    """Read values with commas between; raises BadParameter."""
    try:
        return None if text is None else [kind(part.strip()) for part in text.split(",")]
    except ValueError as error:
        raise typer.BadParameter(f"{name} {text}: give {expected}") from error
