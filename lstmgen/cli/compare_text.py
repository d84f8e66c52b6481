"""Compare networks on a text: show the progress, stop at Ctrl-C, then print a table, a chart and conclusions."""

import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import typer

from lstmgen.cli.interrupt import STOPPING, StopRequest
from lstmgen.cli.progress import ProgressDisplay
from lstmgen.cli.render import budget_in_words, note, plural, print_json, put, recipe
from lstmgen.cli.report import print_report
from lstmgen.cli.streams import outlive_output
from lstmgen.comparison.config import ComparisonConfig
from lstmgen.comparison.networks import (
    ComparedRun,
    Comparison,
    Measured,
    compare_networks,
    open_comparison,
    plan_comparison,
)
from lstmgen.comparison.report import NetworkResult, comparison_json, differences, network_results, over_seeds
from lstmgen.config import BudgetUnit
from lstmgen.errors import missing_package
from lstmgen.inspection.memory import NOTICEABLE
from lstmgen.printable import count, readably
from lstmgen.report import Table
from lstmgen.training.events import Finished, Stepped
from lstmgen.training.learning_curve import LearningCurve
from lstmgen.training.machine import keep_freed_memory

_SIZE_IN_PIPE = (100, 24)  # columns and lines of a chart that is not written to a terminal


def compare_on_text(config: ComparisonConfig, run: str | None, *, json: bool, quiet: bool) -> None:
    """Compare networks on a text, and keep them if `run` is given."""
    keep_freed_memory()  # as `lstmgen train` does; it changes the whole process, so no library function calls it
    outlive_output()
    measured: list[Measured] = []
    quiet = quiet or json
    with _opened(config, run) as (comparison, folder):
        note(_plan(comparison, run), quiet=quiet)
        total = len(comparison.networks) * config.seeds
        with (
            ProgressDisplay(quiet, comparison.unit) as display,
            StopRequest(lambda: display.write(STOPPING)) as stop,
        ):
            for event in compare_networks(comparison, folder, stop):
                if isinstance(event, ComparedRun):
                    display.restart()
                    display.write(f"\n{len(measured) + 1} of {total}: {_named(event)}")
                elif isinstance(event, Measured):
                    measured.append(event)
                    nats = event.result.nats_per_character
                    display.write(f"{_named(event.run)}: {nats:.4f} nats per {comparison.unit}")
                elif isinstance(event, Finished) and not event.interrupted:
                    display.announce("measuring: held-out text · memory · speed")
                elif isinstance(event, Stepped):
                    display.show(event)
    stopped = len(measured) < total
    if measured and not (stopped and run):  # a comparison that is kept is shown once it is complete
        if json:
            print_json(comparison_json(comparison, measured))
        else:
            _print(comparison, measured)
    if stopped:
        remedy = "run the same command to continue" if run else "use --run NAME to be able to continue"
        note(f"\nstopped: {len(measured)} of {total} trained and measured; {remedy}", quiet=quiet)
        raise typer.Exit(stop.exit_code)


@contextmanager
def _opened(config: ComparisonConfig, run: str | None) -> Iterator[tuple[Comparison, Path]]:
    """Open the comparison of this name; without a name, use a folder that is removed at the end of the context."""
    if run is not None:
        yield open_comparison(config, run)
        return
    comparison = plan_comparison(config)
    with TemporaryDirectory(prefix="lstmgen-", ignore_cleanup_errors=True) as folder:
        yield comparison, Path(folder)


def _plan(comparison: Comparison, run: str | None) -> str:
    """What all networks have in common, and any learning rates that differ."""
    training, config = comparison.training, comparison.config
    rates = [network.learning_rate for network in comparison.networks]
    networks = [
        name + (f", learning rate {readably(rate)}" if rate and rate != training.learning_rate else "")
        for name, rate in zip(comparison.names(), rates, strict=True)
    ]
    return (
        f"text     {config.text.name}: {config.text.validation_part} held out\n"
        f"networks {'; '.join(networks)}\n"
        f"training each {budget_in_words(training.budget)}, {plural(config.seeds, 'seed')}, {recipe(training)}\n"
        f"then     measures each network's score, memory and speed, which takes extra time\n"
        f"run      {'not kept; --run NAME keeps the networks' if run is None else run}"
    )


def _named(run: ComparedRun) -> str:
    return f"{run.name}, seed {run.training.seed}"


def _print(comparison: Comparison, measured: Sequence[Measured]) -> None:
    """A table with the best network first, the learning curves, and which differences are real."""
    networks = sorted(network_results(measured), key=lambda network: network.nats_per_character)
    unit = comparison.unit
    spread = " ± spread" if any(network.spread is not None for network in networks) else ""
    rows = [
        (
            network.name,
            count(network.runs[0].parameters),
            f"{network.nats_per_character:.4f}" + ("" if network.spread is None else f" ± {network.spread:.4f}"),
            count(network.training_speed),
            f"{network.memory_reach:,}",
            count(network.sampling_speed),
        )
        for network in networks
    ]
    nats = f"nats per\n{unit}{spread}"
    columns = ("network", "parameters", nats, "training\nchars/s", "memory\nreach", "sampling\nchars/s")
    print_report([Table(columns, rows)])
    put(_chart(measured, unit) + "\n")
    timed = comparison.training.budget.unit is BudgetUnit.SECONDS
    print_report([_conclusion(networks, unit, timed)])


def _chart(measured: Sequence[Measured], unit: str) -> str:
    """The validation losses over time for the first seed of each network; empty if no chart can be drawn."""
    curves: dict[str, LearningCurve] = {}
    for event in measured:
        if event.curve.validation:
            curves.setdefault(event.run.name, replace(event.curve, training=()))
    try:
        from lstmgen.cli.chart import terminal_chart

        size = shutil.get_terminal_size(_SIZE_IN_PIPE) if sys.stdout.isatty() else _SIZE_IN_PIPE
        return "\n" + terminal_chart(curves, unit, *size, over="seconds") if curves else ""
    except ModuleNotFoundError as error:
        note(f"no chart: {missing_package(error, 'plot')}")
        return ""


def _conclusion(networks: Sequence[NetworkResult], unit: str, timed: bool) -> list[str]:
    """Which differences are real, and how we can tell; the best network comes first."""
    best, *others = networks
    lines = [f"The best: {best.name}."] if others else []
    found, seeds = differences(networks), over_seeds(networks)
    if others and found is None:
        lines.append("The held-out text is too short to rule out chance.")
    elif others and found:
        for network, behind in zip(others, found[1:], strict=True):
            real = "a real difference" + ("" if seeds else " for this seed")
            lines.append(
                f"{network.name}: {behind.nats:.4f} nats per {unit} more ({behind.low:.4f} to {behind.high:.4f}): "
                f"{real if behind.real else 'noise, they may be equally good'}."
            )
        lines.append(
            f"The ranges allow for chance and for picking the best of {len(networks)}: "
            "if all were equally good, 95 of 100 such comparisons would call every difference noise."
        )
        if not seeds:
            lines.append(
                "Chance here means the choice of the held-out text. Another seed can also change a small difference; "
                "--seeds 3 shows by how much."
            )
    if timed and others:
        lines.append("With a time budget, the speed of each network matters, and so do other programs on the machine.")
    lines.append(
        f"Memory reach: how many {unit}s a network must see for its loss to be within {NOTICEABLE} nats of seeing all."
    )
    lines.append("Training speed includes the start and the evaluations.")
    if len(best.runs) > 1:
        lines.append("The chart shows the first seed of each network.")
    return lines
