"""How a comparison of networks on a text is shown: a table, a chart, a few sentences."""

import shutil
import sys
from collections.abc import Sequence
from dataclasses import replace

from lstmgen.cli.render import note, put
from lstmgen.cli.report import print_report
from lstmgen.comparison.networks import Comparison, Measured
from lstmgen.comparison.report import NetworkResult, difference, network_results
from lstmgen.config import BudgetUnit
from lstmgen.errors import missing_package
from lstmgen.inspection.memory import NOTICEABLE
from lstmgen.printable import count
from lstmgen.report import Part, Table
from lstmgen.training.learning_curve import LearningCurve

_SIZE_IN_PIPE = (100, 24)  # columns and lines of a chart that is not written to a terminal


def comparison_report(comparison: Comparison, measured: Sequence[Measured]) -> list[Part]:
    """A table, the best network first, and which differences are real."""
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
    columns = (
        "network",
        "parameters",
        f"nats per\n{unit}{spread}",
        "training\nchars/s",
        "memory\nreach",
        "sampling\nchars/s",
    )
    timed = comparison.training.budget.unit is BudgetUnit.SECONDS
    return [Table(columns, rows), _conclusion(networks, unit, timed)]


def print_comparison(comparison: Comparison, measured: Sequence[Measured]) -> None:
    """Print the report, with a chart of the learning curves between table and conclusion."""
    table, conclusion = comparison_report(comparison, measured)
    print_report([table])
    put(_chart(measured, comparison.unit) + "\n")
    print_report([conclusion])


def _chart(measured: Sequence[Measured], unit: str) -> str:
    """The validation losses over time, of the first seed of each network; empty if no chart can be drawn."""
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
    """Which differences are real, and how that was decided; the best network comes first."""
    best, *others = networks
    lines = [f"The best: {best.name}."] if others else []
    differences = [difference(network, best) for network in others]
    for network, behind in zip(others, differences, strict=True):
        if behind is None:
            lines.append(f"{network.name}: the held-out text is too short to tell what is chance.")
            continue
        real = "a real difference" + ("" if behind.over_seeds else " for this seed")
        lines.append(
            f"{network.name}: {behind.nats:.4f} nats per {unit} more ({behind.low:.4f} to {behind.high:.4f}): "
            f"{real if behind.real else 'noise, they may be equally good'}."
        )
    if any(behind and behind.over_seeds for behind in differences):
        lines.append(
            "Each range is the difference, less and more two standard errors over the seeds; a smaller one is noise."
        )
    elif others:
        lines.append(
            "The ranges are 95% confidence intervals over parts of the held-out text. They do not cover the seed: "
            "another seed can change a small difference; --seeds 3 shows by how much."
        )
    if timed and others:
        lines.append("In a budget of time the speed of a network counts, too, and what else runs on the machine.")
    lines.append(
        f"Memory reach: with only that many {unit}s visible, the loss is within {NOTICEABLE} nats of that with all."
    )
    lines.append("Training speed counts the start and the evaluations, too.")
    if len(best.runs) > 1:
        lines.append("The chart shows the first seed of each network.")
    return lines
