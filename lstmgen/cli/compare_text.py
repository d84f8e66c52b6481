"""Compares networks on a text: shows the progress, stops at Ctrl-C, prints the results."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import typer

from lstmgen.cli.compare_report import print_comparison
from lstmgen.cli.interrupt import StopRequest
from lstmgen.cli.progress import ProgressDisplay
from lstmgen.cli.render import budget_in_words, note, plural, print_json, recipe
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
from lstmgen.comparison.report import comparison_json
from lstmgen.printable import readably
from lstmgen.training.events import Stepped
from lstmgen.training.machine import keep_freed_memory

_STOPPING = "\nfinishing this step, then saving; press Ctrl-C again to leave at once"


def compare_on_text(config: ComparisonConfig, run: str | None, *, json: bool, quiet: bool) -> None:
    """Compare networks on a text; with the name of a run they are kept."""
    keep_freed_memory()  # as `lstmgen train` does; it changes the whole process, so no library function calls it
    outlive_output()
    measured: list[Measured] = []
    quiet = quiet or json
    with _opened(config, run) as (comparison, folder):
        note(_plan(comparison, run), quiet=quiet)
        total = len(comparison.networks) * config.seeds
        with (
            ProgressDisplay(quiet, comparison.unit) as display,
            StopRequest(lambda: display.write(_STOPPING)) as stop,
        ):
            for event in compare_networks(comparison, folder, stop):
                if isinstance(event, ComparedRun):
                    display.restart()
                    display.write(f"\n{len(measured) + 1} of {total}: {_named(event)}")
                elif isinstance(event, Measured):
                    measured.append(event)
                    nats = event.result.nats_per_character
                    display.write(f"{_named(event.run)}: {nats:.4f} nats per {comparison.unit}")
                elif isinstance(event, Stepped):
                    display.show(event)
    stopped = len(measured) < total
    if measured and not (stopped and run):  # what is kept is shown when it is complete
        if json:
            print_json(comparison_json(comparison, measured))
        else:
            print_comparison(comparison, measured)
    if stopped:
        remedy = "the same command goes on from here" if run else "give --run NAME to keep the networks, and to go on"
        note(f"\nstopped: {len(measured)} of {total} are trained and measured; {remedy}", quiet=quiet)
        raise typer.Exit(stop.exit_code)


@contextmanager
def _opened(config: ComparisonConfig, run: str | None) -> Iterator[tuple[Comparison, Path]]:
    """Open the comparison of this name; without a name, in a folder that lasts as long as the context."""
    if run is not None:
        yield open_comparison(config, run)
        return
    comparison = plan_comparison(config)
    with TemporaryDirectory(prefix="lstmgen-") as folder:
        yield comparison, Path(folder)


def _plan(comparison: Comparison, run: str | None) -> str:
    """What all networks have in common, and which of them have another learning rate."""
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
        f"run      {'not kept; --run NAME keeps the networks' if run is None else run}"
    )


def _named(run: ComparedRun) -> str:
    return f"{run.name}, seed {run.training.seed}"
