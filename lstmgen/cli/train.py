"""`lstmgen train`: its options, and which of them go together."""

import time
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lstmgen.cli.interrupt import StopRequest
from lstmgen.cli.options import (
    Given,
    Json,
    Quiet,
    Threads,
    budget_from,
    config_from,
    config_options,
    given_options,
    option,
    parse_count,
    parse_duration,
)
from lstmgen.cli.progress import ProgressDisplay
from lstmgen.cli.reading_bar import reading_bar
from lstmgen.cli.render import print_json, with_options
from lstmgen.cli.streams import outlive_output
from lstmgen.config import Device, ModelConfig, TextConfig, TrainingConfig
from lstmgen.training.events import Finished, is_logged, to_mapping

if TYPE_CHECKING:
    from lstmgen.training.loop import Preparation
    from lstmgen.training.processes import Processes

EXAMPLES = """Examples:

lstmgen train poems.txt --time 3m

lstmgen train src/ '*.md' --cell gru --layers 3 --epochs 20

lstmgen train names.txt --lines --run names

cat log.txt | lstmgen train - --vocabulary bytes

lstmgen train --resume poems-lstm

lstmgen train --from poems-lstm notes.md --time 1m
"""

_BUDGET, _RUN = "How long to train", "Run"
_STOPPING = "\nfinishing this step, then saving; press Ctrl-C again to leave at once"


@config_options({"Text": TextConfig, "Network": ModelConfig, "Training": TrainingConfig})
def train(
    text: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="TEXT",
            help="Files, folders, patterns, .gz files, - for standard input; or a named corpus: python-docs, "
            "python-source, shakespeare.",
            show_default="python-docs, the reference text inside every Python",
        ),
    ] = None,
    *,
    seconds: Annotated[
        float | None,
        option(
            _BUDGET,
            "Time for everything, start included: 90s, 3m, 1h30m.",
            "5m",
            "--time",
            metavar="TIME",
            parser=parse_duration,
        ),
    ] = None,
    epochs: Annotated[
        float | None, option(_BUDGET, "Instead of --time: read the text X times.", "none", metavar="X")
    ] = None,
    steps: Annotated[
        int | None, option(_BUDGET, "Instead of --time: make N updates of the weights.", "none", metavar="N")
    ] = None,
    given: Given,
    parameters: Annotated[
        int | None,
        option(
            "Network",
            "Instead of --hidden-size: about N parameters in all: 500k, 2M.",
            "none",
            metavar="N",
            parser=parse_count,
        ),
    ] = None,
    device: Annotated[
        Device,
        typer.Option(help="Where to compute; auto takes CUDA if there is one.", rich_help_panel="Training"),
    ] = Device.AUTO,
    threads: Threads = None,
    run: Annotated[
        str | None,
        option(_RUN, "Name of the run; no run is overwritten.", "from text and cell", "--run", "-o", metavar="NAME"),
    ] = None,
    resume: Annotated[
        str | None,
        option(
            _RUN,
            "Continue a run where it stopped; no other option is needed, a budget may be given.",
            "none",
            metavar="RUN",
        ),
    ] = None,
    start: Annotated[
        str | None,
        option(
            _RUN,
            "Fine-tune: a new run that starts with the network of a run, folder or file. Characters of TEXT are added.",
            "none",
            "--from",
            metavar="CHECKPOINT",
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan and stop.", rich_help_panel=_RUN)] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train a network to write like a text."""
    started = time.monotonic()
    budget = budget_from(seconds, epochs, steps)
    if resume is not None:
        _refuse_with_resume(given, parameters=parameters, run=run, start=start)
    given |= {"sources": text, "budget": budget}
    prepare_run = _new_run if start is None else partial(_fine_tuned_run, start)

    from lstmgen.checkpoint import LAST
    from lstmgen.errors import CheckpointError, TrainingError
    from lstmgen.training.machine import keep_freed_memory
    from lstmgen.training.prepare import prepare_together
    from lstmgen.training.prepare import resume as resume_run
    from lstmgen.training.processes import EndedElsewhereError, joined_processes, remembered_run

    keep_freed_memory()  # before the speed is measured; it changes the whole process, so no library function calls it
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
            earlier = remembered_run()  # the launcher has started this command again
            if earlier is not None and (earlier / LAST).is_file():
                return resume_run(str(earlier), **machine)
            return prepare_run(given, parameters, run=run, **machine)

        try:
            with reading_bar(quiet or json) as progress:
                prepared = prepare_together(processes, prepare)
            if dry_run:
                _show_plan(prepared, json=json, quiet=quiet)
            else:
                _train(prepared, processes, started, json=json, quiet=quiet or json)
        except (CheckpointError, EndedElsewhereError, TrainingError):
            if processes.is_first:
                raise
            raise typer.Exit(1) from None  # the first process says why


def _show_plan(prepared: "Preparation", *, json: bool, quiet: bool) -> None:
    """Show the plan of a run that is not trained now."""
    if json:
        print_json(to_mapping(prepared.planned))
        return
    with ProgressDisplay(quiet, prepared.checkpoint.vocabulary.unit) as display:
        display.show(prepared.planned)


def _new_run(given: Given, parameters: int | None, *, run: str | None, **machine: Any) -> "Preparation":
    """Prepare a run with what was given, and with what `prepare` wants to know of the machine; the rest is planned."""
    if given["hidden_size"] is not None and parameters is not None:
        raise typer.BadParameter("give one of --hidden-size and --parameters")
    _refuse_unused(given)
    configs = config_from(TextConfig, given), config_from(ModelConfig, given), config_from(TrainingConfig, given)
    chosen = {name for name, value in given.items() if value is not None}
    if parameters is not None:
        chosen.add("hidden_size")

    from lstmgen.training.plan import PLANNED
    from lstmgen.training.prepare import prepare

    return prepare(
        *configs,
        run=run,
        planned=PLANNED - chosen,
        parameters=parameters,
        **machine,
    )


def _fine_tuned_run(
    start: str, given: Given, parameters: int | None, *, run: str | None, **machine: Any
) -> "Preparation":
    """Prepare a run that starts with the network of a checkpoint, else like `_new_run`."""
    refused = given_options(given, ModelConfig) + (["--parameters"] if parameters is not None else [])
    if refused:
        raise typer.BadParameter(f"--from keeps the network of its checkpoint; leave out {', '.join(refused)}")
    if not given["sources"]:
        raise typer.BadParameter(
            f"--from needs a TEXT to learn from; for more of the same text: lstmgen train --resume {start} --time TIME"
        )

    from lstmgen.training.fine_tuning import find_base_model
    from lstmgen.training.plan import PLANNED
    from lstmgen.training.prepare import prepare

    base = find_base_model(start)
    chosen = {name for name, value in given.items() if value is not None}
    return prepare(
        config_from(TextConfig, given),
        base.checkpoint.model,
        config_from(TrainingConfig, given),
        run=run,
        planned=(PLANNED | {"vocabulary"}) - chosen,
        base=base,
        **machine,
    )


def _train(prepared: "Preparation", processes: "Processes", started: float, *, json: bool, quiet: bool) -> None:
    """Train to the end, or until the user stops it, and show what happens."""
    outlive_output()
    with (
        ProgressDisplay(quiet, prepared.checkpoint.vocabulary.unit) as display,
        StopRequest(lambda: display.write(_STOPPING)) as stop,
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
    if isinstance(event, Finished) and event.interrupted:
        raise typer.Exit(stop.exit_code)


def _refuse_with_resume(given: Given, *, parameters: int | None, run: str | None, start: str | None) -> None:
    """Raise BadParameter for an option that would change the run."""
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
                message = f"`{name}` is for `cell` {other}; this is `cell` {chosen}"
                raise typer.BadParameter(with_options(message))
