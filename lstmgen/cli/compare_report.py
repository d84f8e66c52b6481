"""How networks on a text are shown beside each other: progress, a table, a chart, a few sentences, JSON.

Knows: what was measured. Does not know: how it was measured.
"""

import shutil
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

from rich.table import Table

from lstmgen.cli.progress import ProgressDisplay
from lstmgen.cli.render import count, duration, note, plural, print_table, put
from lstmgen.comparison.measurement import NOTICEABLE
from lstmgen.comparison.networks import Begun, Comparison, Measured
from lstmgen.comparison.summary import Difference, NetworkResult, best_of, difference
from lstmgen.config import Budget, BudgetUnit
from lstmgen.training.log import LearningCurve

_SIZE_IN_PIPE = (100, 24)  # columns and lines of a chart that is not written to a terminal


# Progress


def show_plan(comparison: Comparison, run: str | None, quiet: bool) -> None:
    """Show what all networks have in common."""
    training, config = comparison.training, comparison.config
    weight_drop = f", weight drop {training.weight_drop:g}" if training.weight_drop else ""
    smoothing = f", label smoothing {training.label_smoothing:g}" if training.label_smoothing else ""
    note(
        f"text     {', '.join(config.text.sources)}: {config.text.held_out_part} held out\n"
        f"networks {'; '.join(comparison.names())}\n"
        f"training each {_budget(training.budget)}, {plural(config.seeds, 'seed')}, batch {training.batch_size} x "
        f"{training.chunk_length}, learning rate {training.learning_rate:g}, weight decay {training.weight_decay:g}, "
        f"dropout {training.dropout:g}{weight_drop}{smoothing}\n"
        f"run      {'not kept; --run NAME keeps the networks' if run is None else run}",
        quiet=quiet,
    )


def show_begin(event: Begun, number: int, total: int, display: ProgressDisplay) -> None:
    """Show which run begins."""
    display.restart()
    display.write(f"\n{number} of {total}: {_named(event)}")


def show_result(event: Measured, unit: str, display: ProgressDisplay) -> None:
    """Show the result of one run."""
    display.write(f"{_named(event)}: {event.result.nats_per_character:.4f} nats per {unit}")


def _named(event: Begun | Measured) -> str:
    return f"{event.run.name}, seed {event.run.training.seed}"


def _budget(budget: Budget) -> str:
    return duration(budget.amount) if budget.unit is BudgetUnit.SECONDS else str(budget)


# Results


def _networks(measured: Sequence[Measured]) -> list[NetworkResult]:
    """The networks that have been measured, in the order of the comparison."""
    by_network = (list(events) for _, events in groupby(measured, key=lambda event: event.run.name))
    return [
        NetworkResult(events[0].run.name, events[0].run.model, tuple(event.result for event in events))
        for events in by_network
    ]


def comparison_json(comparison: Comparison, measured: Sequence[Measured]) -> dict[str, Any]:
    """The comparison as values that JSON can hold."""
    networks = _networks(measured)
    best = best_of(networks)
    return {
        "text": list(comparison.config.text.sources),
        "budget": {"amount": comparison.training.budget.amount, "unit": str(comparison.training.budget.unit)},
        "networks": [_network_json(network, difference(network, best)) for network in networks],
    }


def _network_json(network: NetworkResult, behind: Difference | None) -> dict[str, Any]:
    return {
        "cell": str(network.model.cell),
        "attention": network.model.attention,
        "layers": network.model.num_layers,
        "hidden_size": network.model.hidden_size,
        "parameters": network.parameters,
        "seeds": len(network.runs),
        "nats_per_character": network.nats_per_character,
        "nats_per_character_by_seed": [run.nats_per_character for run in network.runs],
        "spread": network.spread,
        "behind_best": None if behind is None else {"nats": behind.nats, "low": behind.low, "high": behind.high},
        "characters_per_second": network.training_speed,
        "sampling_characters_per_second": network.sampling_speed,
        "memory_reach": network.memory_reach,
    }


def print_comparison(comparison: Comparison, measured: Sequence[Measured]) -> None:
    """Print a table, the best network first, then a chart, then which differences are real."""
    networks = sorted(_networks(measured), key=lambda network: network.nats_per_character)
    unit = comparison.unit
    several = any(network.spread is not None for network in networks)
    table = Table("network", box=None, pad_edge=False)
    spread = " ± spread" if several else ""
    for title in ("parameters", f"nats per\n{unit}{spread}", "training\nchars/s", "memory\nreach", "sampling\nchars/s"):
        table.add_column(title, justify="right")
    for network in networks:
        table.add_row(
            network.name,
            count(network.parameters),
            f"{network.nats_per_character:.4f}" + ("" if network.spread is None else f" ± {network.spread:.4f}"),
            count(network.training_speed),
            f"{network.memory_reach:,}",
            count(network.sampling_speed),
        )
    print_table(table)
    put(_chart(measured, unit))
    columns = shutil.get_terminal_size().columns if sys.stdout.isatty() else sys.maxsize
    put("\n" + "\n".join(textwrap.fill(line, columns) for line in _conclusion(networks, unit)) + "\n")


def _chart(measured: Sequence[Measured], unit: str) -> str:
    """The validation losses over time, of the first seed of each network; empty if no chart can be drawn."""
    curves: dict[str, LearningCurve] = {}
    for event in measured:
        if event.curve.validation:
            curves.setdefault(event.run.name, replace(event.curve, training=()))
    try:
        from lstmgen.cli.terminal_chart import terminal_chart

        size = shutil.get_terminal_size(_SIZE_IN_PIPE) if sys.stdout.isatty() else _SIZE_IN_PIPE
        return "\n" + terminal_chart(curves, unit, *size, over="seconds") if curves else ""
    except ModuleNotFoundError as error:
        note(f"no chart: {error.name} is not installed; pip install {error.name}")
        return ""


def _conclusion(networks: Sequence[NetworkResult], unit: str) -> list[str]:
    """Which differences are real, and how that was decided; the best network comes first."""
    best, *others = networks
    lines = [f"The best: {best.name}."] if others else []
    several = False
    for network in others:
        behind = difference(network, best)
        if behind is None:
            lines.append(f"{network.name}: the held-out text is too short to say what is chance.")
            continue
        several = several or None not in (network.spread, best.spread)
        found = "a real difference" if behind.real else "noise, they may be equally good"
        lines.append(
            f"{network.name}: {behind.nats:.4f} nats per {unit} more ({behind.low:.4f} to {behind.high:.4f}): {found}."
        )
    if several:
        lines.append("A difference of less than two standard errors over the seeds counts as noise.")
    elif others:
        lines.append(
            "The ranges are 95% confidence intervals over parts of the held-out text. They do not cover the seed: "
            "another seed can change a small difference; --seeds 3 shows by how much."
        )
    return [
        *lines,
        f"Memory reach: with only that many {unit}s visible, the loss is within {NOTICEABLE} nats of that with all.",
        "Training speed counts the start and the evaluations, too. The chart shows the first seed of each network."
        if len(networks[0].runs) > 1
        else "Training speed counts the start and the evaluations, too.",
    ]
