"""Compare networks on the recall task: show the progress, then print a table."""

import sys
from collections.abc import Sequence
from math import sqrt
from statistics import mean, median

from tqdm import tqdm

from lstmgen.cli.reading_bar import SEPARATOR, progress_bar
from lstmgen.cli.render import budget_in_words, plural, print_json
from lstmgen.cli.report import print_report
from lstmgen.cli.streams import outlive_output
from lstmgen.comparison.config import RecallConfig
from lstmgen.comparison.recall import CHANCE, HOLDS, RecallMeasured, RecallStepped, compare_recall, example
from lstmgen.comparison.report import by_network, recall_json, updates_needed
from lstmgen.config import ModelConfig
from lstmgen.report import Marked, Part, Table

_DEVIATIONS = 3.0  # an accuracy up to this many standard deviations above chance counts as guessing
_MARKS = {True: ("*", "green"), False: ("-", "red"), None: (" ", "")}


def compare_on_recall(config: RecallConfig, threads: int, *, json: bool, quiet: bool) -> None:
    """Compare networks on the recall task."""
    outlive_output()
    measured: list[RecallMeasured] = []
    total = float(len(config.models()) * config.seeds)
    with progress_bar(quiet=quiet, total=total) as bar:
        for event in compare_recall(config, threads=threads):
            if isinstance(event, RecallMeasured):
                measured.append(event)
                if not quiet:
                    accuracies = ", ".join(f"{accuracy:.1%} at {lag}" for lag, accuracy in event.accuracy.items())
                    tqdm.write(f"{_named(event)}: {accuracies}; {event.seconds:.0f} s", file=sys.stderr)
            else:
                description = SEPARATOR.join([f"{_named(event)}: loss {event.nats:.2f}", f"lags up to {event.growing}"])
                bar.set_description_str(description, refresh=False)
                bar.update(len(measured) + event.progress - bar.n)
    if json:
        print_json(recall_json(config, measured))
    else:
        print_report(recall_report(config, measured))


def recall_report(config: RecallConfig, measured: Sequence[RecallMeasured]) -> list[Part]:
    """A few rows for each network with a column for each lag, then the sizes of the networks."""
    lag, rows, sizes = min(config.lags), [], []
    for model, runs in by_network(measured):
        by_lag = [[run.accuracy[lag] for run in runs] for lag in config.lags]
        rows.append((_name(model), *(_marked(accuracies, config.questions) for accuracies in by_lag)))
        if len(runs) > 1:
            rows += [
                (f"  seed {run.seed}", *(f"{_percent(run.accuracy[lag])}  " for lag in config.lags)) for run in runs
            ]
        updates = [updates_needed(runs, lag) for lag in config.lags]
        rows.append((f"  updates until {HOLDS:.0%}", *(f"{count:,}  " if count else "never  " for count in updates)))
        rows.append(("  gradient", *(f"{median(run.gradient[lag] for run in runs):.0e}  " for lag in config.lags)))
        longest, seconds = min(run.longest_lag for run in runs), mean(run.seconds for run in runs)
        sizes.append((_name(model), model.hidden_size, f"{runs[0].parameters:,}", longest, f"{seconds:.0f}"))
    return [
        [
            f"The answer after ? repeats the letter after !, here {lag:,} characters later: {example(lag)}",
            f"{budget_in_words(config.budget)} to learn, "
            f"{plural(config.seeds, 'seed')}, {config.questions:,} fresh questions for each seed and lag; "
            f"guessing reaches {CHANCE:.1%}",
        ],
        Table(("% right at lag", *(f"{lag:,}  " for lag in config.lags)), rows),
        [
            f"* holds: at least {HOLDS:.0%} with every seed",
            "- at chance: no better than guessing",
            f"updates until {HOLDS:.0%}: until every seed had answered {HOLDS:.0%} of "
            f"{config.checked:,} fresh questions correctly at some point",
            "gradient: the norm of d logit of the right answer / d embedding of the letter, after training (median)",
            "If it is near 0 although the answers are right, the network latches: each letter leads it into a lasting "
            "state. Otherwise it carries the letter along, or attention finds it.",
        ],
        Table(("network", "units", "parameters", "longest lag\nin training", "seconds\nper seed"), sizes),
    ]


def holds(accuracies: Sequence[float], questions: int) -> bool | None:
    """Whether a network holds the letter with every seed (True), is at chance (False), or in between (None).

    `accuracies` has one value per seed, each from this number of questions.
    """
    if min(accuracies) >= HOLDS:
        return True
    deviation = sqrt(CHANCE * (1 - CHANCE) / (questions * len(accuracies)))
    return False if mean(accuracies) <= CHANCE + _DEVIATIONS * deviation else None


def _marked(accuracies: Sequence[float], questions: int) -> Marked:
    """The mean accuracy with its mark."""
    mark, style = _MARKS[holds(accuracies, questions)]
    return Marked(f"{_percent(mean(accuracies))} {mark}", style)


def _percent(accuracy: float) -> str:
    return f"{100 * accuracy:.1f}".replace("100.0", "100")


def _name(model: ModelConfig) -> str:
    return str(model.cell) + (f", attention {model.attention}" if model.attention else "")


def _named(event: RecallMeasured | RecallStepped) -> str:
    return f"{_name(event.model)}, seed {event.seed}"
