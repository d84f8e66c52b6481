"""`lstmgen train`: its options, and which of them can be combined."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from lstmgen.cli.interrupt import STOPPING, StopRequest
from lstmgen.cli.options import (
    BUDGET,
    EPOCHS,
    JSON,
    STEPS,
    THREADS,
    Given,
    argument,
    budget_from,
    config_from,
    find_model,
    given_options,
    options_from,
    parse_count,
    parse_duration,
)
from lstmgen.cli.render import print_json, with_options
from lstmgen.cli.streams import outlive_output
from lstmgen.config import Device, ModelConfig, TextConfig, TrainingConfig, option
from lstmgen.training.events import Finished, is_logged, to_mapping

if TYPE_CHECKING:
    from lstmgen.training.loop import Preparation
    from lstmgen.training.processes import Processes

EXAMPLES = """
lstmgen train poems.txt --time 3m
lstmgen train src/ '*.md' --cell gru --layers 3 --epochs 20
lstmgen train names.txt --lines --run names
cat log.txt | lstmgen train - --vocabulary bytes
lstmgen train --resume poems-lstm
lstmgen train --from poems-lstm notes.md --time 1m
"""

_RUN = "Run"


def train(
    text: list[str] | None = argument(
        "TEXT",
        "Files, folders, patterns, .gz files, - for standard input; or a named corpus: "
        "python-docs, python-source, shakespeare.",
        "python-docs, the reference text inside every Python",
    ),
    seconds: float | None = option(
        None,
        "Total time, including the start: 90s, 3m, 1h30m.",
        "--time",
        shown_default="5m",
        panel=BUDGET,
        metavar="TIME",
        parser=parse_duration,
    ),
    epochs: float | None = EPOCHS,
    steps: int | None = STEPS,
    given: Given = options_from({"Text": TextConfig, "Network": ModelConfig, "Training": TrainingConfig}),
    parameters: int | None = option(
        None,
        "Instead of --hidden-size: about N parameters in total: 500k, 2M.",
        panel="Network",
        parser=parse_count,
    ),
    device: Device = option(Device.AUTO, "Where to compute; auto uses CUDA if available.", panel="Training"),
    threads: int | None = THREADS,
    run: str | None = option(
        None,
        "Name of the run; runs are never overwritten.",
        "--run -o",
        shown_default="from text and cell",
        panel=_RUN,
        metavar="NAME",
    ),
    resume: str | None = option(
        None,
        "Continue a run where it stopped. No other option is needed, but you may give a new budget.",
        panel=_RUN,
        metavar="RUN",
    ),
    start: str | None = option(
        None,
        "Fine-tune: start a new run from the network of a run, folder or file. New characters of TEXT are added.",
        "--from",
        panel=_RUN,
        metavar="CHECKPOINT",
    ),
    dry_run: bool = option(False, "Show the plan with its reasons, and stop.", panel=_RUN),
    verbose: bool = option(False, "Show the reasons for the plan.", "--verbose -v"),
    json: bool = JSON,
    quiet: bool = option(False, "Only write the name of the run, its result, and errors.", "--quiet -q"),
) -> None:
    """Train a network to write like a text."""
    started = time.perf_counter()
    budget = budget_from(seconds, epochs, steps)
    if resume is not None:
        _refuse_with_resume(given, parameters=parameters, run=run, start=start)
    given |= {"sources": text, "budget": budget}

    from lstmgen.checkpoint import LAST
    from lstmgen.cli.progress import ProgressDisplay
    from lstmgen.cli.reading_bar import reading_bar
    from lstmgen.errors import CheckpointError, TrainingError
    from lstmgen.training.machine import keep_freed_memory
    from lstmgen.training.prepare import prepare_together
    from lstmgen.training.prepare import resume as resume_run
    from lstmgen.training.processes import EndedElsewhereError, joined_processes, remembered_run

    keep_freed_memory()  # before measuring the speed; it changes the whole process, so no library function calls it
    with joined_processes(device) as processes:
        quiet, json = quiet or not processes.is_first, json and processes.is_first

        def prepare() -> "Preparation":
            machine: dict[str, Any] = {
                "device": device,
                "threads": threads,
                "processes": processes.size,
                "progress": progress,
            }
            if resume is not None:
                return resume_run(resume, sources=text or (), budget=budget, **machine)
            earlier = remembered_run()  # if the launcher has restarted this command
            if earlier is not None and (earlier / LAST).is_file():
                return resume_run(str(earlier), **machine)
            return _new_run(given, parameters, base, run=run, **machine)

        try:
            base = None if start is None else find_model(start, quiet=quiet or json)
            with reading_bar(quiet or json) as progress:
                prepared = prepare_together(processes, prepare)
            if not dry_run:
                _train(prepared, processes, started, json=json, quiet=quiet or json, verbose=verbose)
            elif json:
                print_json(to_mapping(prepared.planned))
            else:
                with ProgressDisplay(quiet, prepared.checkpoint.vocabulary.unit, verbose=True) as display:
                    display.show(prepared.planned)
        except (CheckpointError, EndedElsewhereError, TrainingError):
            if processes.is_first:
                raise
            raise typer.Exit(1) from None  # the first process reports why


def _new_run(
    given: Given, parameters: int | None, start: Path | None, *, run: str | None, **machine: Any
) -> "Preparation":
    """Prepare a run with the given options; the rest is planned, or comes from the checkpoint to start from."""
    if start is None:
        if given["hidden_size"] is not None and parameters is not None:
            raise typer.BadParameter("give one of --hidden-size and --parameters")
        _refuse_unused(given)
    else:
        refused = given_options(given, ModelConfig) + (["--parameters"] if parameters is not None else [])
        if refused:
            raise typer.BadParameter(f"--from keeps the network of its checkpoint; leave out {', '.join(refused)}")
        if not given["sources"]:
            from lstmgen.checkpoint import checkpoint_name

            remedy = f"to continue on the same text: lstmgen train --resume {checkpoint_name(start)} --time TIME"
            raise typer.BadParameter(f"--from needs a TEXT to train on; {remedy}")
    text, training = config_from(TextConfig, given), config_from(TrainingConfig, given)
    chosen = {name for name, value in given.items() if value is not None}
    if parameters is not None:
        chosen.add("hidden_size")

    from lstmgen.training.fine_tuning import load_base_model
    from lstmgen.training.plan import PLANNED
    from lstmgen.training.prepare import prepare

    if start is None:
        model = config_from(ModelConfig, given)
        return prepare(text, model, training, run=run, planned=PLANNED - chosen, parameters=parameters, **machine)
    base = load_base_model(start)
    planned = (PLANNED | {"vocabulary"}) - chosen
    return prepare(text, base.checkpoint.model, training, run=run, planned=planned, base=base, **machine)


def _train(
    prepared: "Preparation", processes: "Processes", started: float, *, json: bool, quiet: bool, verbose: bool
) -> None:
    """Train to the end, or until the user stops it, and show the progress."""
    from lstmgen.cli.progress import ProgressDisplay

    outlive_output()
    with (
        ProgressDisplay(quiet, prepared.checkpoint.vocabulary.unit, verbose=verbose) as display,
        StopRequest(lambda: display.write(STOPPING)) as stop,
        prepared.start(started, processes=processes) as session,
    ):
        for event in session.events(stop):
            if session.complete:
                if isinstance(event, Finished):
                    display.show_complete(event, prepared.checkpoint.record.training.budget)
            else:
                display.show(event)
            if json and is_logged(event):
                print_json(to_mapping(event))
    if isinstance(event, Finished) and quiet and not json and processes.is_first:
        display.put_result(event)
    if isinstance(event, Finished) and event.interrupted:
        raise typer.Exit(stop.exit_code)


def _refuse_with_resume(given: Given, *, parameters: int | None, run: str | None, start: str | None) -> None:
    """Raise BadParameter for options that would change the run."""
    refused = given_options(given, TextConfig, ModelConfig, TrainingConfig)
    others = {"--parameters": parameters, "--run": run, "--from": start}
    refused += [name for name, value in others.items() if value is not None]
    if refused:
        raise typer.BadParameter(f"--resume continues the run as it is; leave out {', '.join(refused)}")


def _refuse_unused(given: Given) -> None:
    """Raise BadParameter for an option that the chosen cell would ignore."""
    from lstmgen.cells import CELLS, cell_options

    chosen = given["cell"] or ModelConfig.cell
    for other, kind in CELLS.items():
        for name in set(cell_options(kind)) - set(cell_options(CELLS[chosen])):
            if given[name] is not None:
                message = f"`{name}` needs `cell` {other}; this is `cell` {chosen}"
                raise typer.BadParameter(with_options(message))
