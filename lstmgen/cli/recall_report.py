"""How the recall of networks is printed: a table, JSON.

Knows: what was measured, and the limits of "holds" and "at chance". Does not know: how it was measured.
"""

from collections.abc import Sequence
from itertools import groupby
from math import sqrt
from statistics import mean
from typing import Any

from rich.table import Table
from rich.text import Text

from lstmgen.cli.render import duration, plural, print_table, put
from lstmgen.comparison.recall import RecallMeasured
from lstmgen.comparison.recall_text import CHANCE, example
from lstmgen.config import BudgetUnit, ModelConfig, RecallConfig

_HOLDS = 0.95
_DEVIATIONS = 3.0  # of guessing: an accuracy up to so many standard deviations above chance is at chance
_MARKS = {True: ("*", "green"), False: ("-", "red"), None: (" ", "")}


def network_name(model: ModelConfig) -> str:
    """The cell, and the window of its attention."""
    return str(model.cell) + (f", attention {model.attention}" if model.attention else "")


def recall_json(config: RecallConfig, measured: Sequence[RecallMeasured]) -> dict[str, Any]:
    """The comparison as values that JSON can hold."""
    return {
        "task": "recall",
        "budget": {"amount": config.budget.amount, "unit": str(config.budget.unit)},
        "networks": [
            {
                "cell": str(model.cell),
                "attention": model.attention,
                "lag": lag,
                "accuracy": mean(accuracies),
                "accuracy_by_seed": accuracies,
                "chance": CHANCE,
                "seeds": len(runs),
                "questions": config.questions * len(runs),
                "parameters": runs[0].parameters,
                "steps": mean(run.steps for run in runs),
                "seconds": mean(run.seconds for run in runs),
            }
            for model, runs in _by_network(measured)
            for lag in config.lags
            if (accuracies := [run.accuracy[lag] for run in runs])
        ],
    }


def print_recall(config: RecallConfig, measured: Sequence[RecallMeasured]) -> None:
    """Print a row for each network and a column for each lag."""
    put(
        f"The letter after ! is asked for by ?, so many characters later: {example(min(config.lags))}\n"
        f"{duration(config.budget.amount) if config.budget.unit is BudgetUnit.SECONDS else config.budget} to learn, "
        f"{plural(config.seeds, 'seed')}, {config.questions:,} fresh questions for each lag and seed; "
        f"guessing reaches {CHANCE:.1%}\n\n"
    )
    table = Table("accuracy at lag", box=None, pad_edge=False)
    for lag in config.lags:
        table.add_column(str(lag), justify="right")
    for title in ("parameters", "steps", "seconds"):
        table.add_column(title, justify="right")
    for model, runs in _by_network(measured):
        table.add_row(
            network_name(model),
            *(_cell([run.accuracy[lag] for run in runs], config.questions) for lag in config.lags),
            f"{runs[0].parameters:,}",
            f"{mean(run.steps for run in runs):,.0f}",
            f"{mean(run.seconds for run in runs):.0f}",
        )
    print_table(table)
    worst = "mean over the seeds, and the worst of them in brackets; steps and " if config.seeds > 1 else ""
    put(
        f"\n{worst}seconds are those of one training\n"
        f"* holds: at least {_HOLDS:.0%}{' with every seed' if config.seeds > 1 else ''}\n"
        "- at chance: no better than guessing\n"
    )


def _by_network(measured: Sequence[RecallMeasured]) -> list[tuple[ModelConfig, list[RecallMeasured]]]:
    """The runs of each network; those of one network follow each other."""
    return [(model, list(runs)) for model, runs in groupby(measured, key=lambda run: run.model)]


def holds(accuracies: Sequence[float], questions: int) -> bool | None:
    """Whether a network holds the letter with every seed (True), is at chance (False), or is between (None).

    Args:
        accuracies: that of each seed.
        questions: how many each seed answered.
    """
    if min(accuracies) >= _HOLDS:
        return True
    deviation = sqrt(CHANCE * (1 - CHANCE) / (questions * len(accuracies)))
    return False if mean(accuracies) <= CHANCE + _DEVIATIONS * deviation else None


def _cell(accuracies: Sequence[float], questions: int) -> Text:
    mark, style = _MARKS[holds(accuracies, questions)]
    worst = f" ({100 * min(accuracies):.1f})" if len(accuracies) > 1 else ""
    return Text(f"{mean(accuracies):.1%}{worst} {mark}", style)
