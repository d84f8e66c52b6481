"""How the recall of networks is shown: a table."""

from collections.abc import Sequence
from math import sqrt
from statistics import mean

from lstmgen.cli.render import budget_in_words, plural
from lstmgen.comparison.config import RecallConfig
from lstmgen.comparison.recall import CHANCE, RecallMeasured, example
from lstmgen.comparison.report import by_network
from lstmgen.config import ModelConfig
from lstmgen.report import Marked, Part, Table

_HOLDS = 0.95
_DEVIATIONS = 3.0  # of guessing: an accuracy up to this many standard deviations above chance is at chance
_MARKS = {True: ("*", "green"), False: ("-", "red"), None: (" ", "")}


def network_name(model: ModelConfig) -> str:
    """The cell, and the window of its attention."""
    return str(model.cell) + (f", attention {model.attention}" if model.attention else "")


def describe(run: RecallMeasured) -> str:
    """One network with one seed, in a line."""
    accuracies = ", ".join(f"{accuracy:.1%} at {lag}" for lag, accuracy in run.accuracy.items())
    return f"{network_name(run.model)}, seed {run.seed}: {accuracies}; {run.seconds:.0f} s"


def recall_report(config: RecallConfig, measured: Sequence[RecallMeasured]) -> list[Part]:
    """A row for each network and a column for each lag."""
    lag, rows = min(config.lags), []
    for model, runs in by_network(measured):
        by_lag = [[run.accuracy[lag] for run in runs] for lag in config.lags]
        seconds = f"{mean(run.seconds for run in runs):.0f}"
        marked = [_marked(accuracies, config.questions) for accuracies in by_lag]
        rows.append((network_name(model), *marked, f"{runs[0].parameters:,}", seconds))
        if len(runs) > 1:
            rows.append(("  worst seed", *(_percent(min(accuracies)) + "  " for accuracies in by_lag)))
    return [
        [
            f"The answer after ? repeats the letter after !, here {lag:,} characters later: {example(lag)}",
            f"{budget_in_words(config.budget)} to learn, "
            f"{plural(config.seeds, 'seed')}, {config.questions:,} fresh questions for each seed and lag; "
            f"guessing reaches {CHANCE:.1%}",
        ],
        Table(("% right at lag", *map(str, config.lags), "parameters", "seconds"), rows),
        [
            f"* holds: at least {_HOLDS:.0%} with every seed",
            "- at chance: no better than guessing",
            "seconds: to train one network with one seed",
        ],
    ]


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


def _marked(accuracies: Sequence[float], questions: int) -> Marked:
    """The mean with its mark."""
    mark, style = _MARKS[holds(accuracies, questions)]
    return Marked(f"{_percent(mean(accuracies))} {mark}", style)


def _percent(accuracy: float) -> str:
    return f"{100 * accuracy:.1f}".replace("100.0", "100")
