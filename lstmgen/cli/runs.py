"""`lstmgen runs`."""

import shutil
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import typer

from lstmgen.cli.options import JSON, argument
from lstmgen.cli.render import duration, note, print_json, put
from lstmgen.cli.report import print_report
from lstmgen.config import option
from lstmgen.errors import CheckpointError, ConfigError, missing_package, unwritable
from lstmgen.printable import count, message_line
from lstmgen.report import Table

EXAMPLES = """
lstmgen runs
lstmgen runs --json
lstmgen runs --plot
lstmgen runs poems-lstm poems-gru --plot -o curves.png
lstmgen runs rename poems-lstm poems
lstmgen runs rm poems-gru --yes
"""

_SIZE_IN_PIPE = (100, 30)  # columns and lines of a chart that is not written to a terminal


def runs(
    run: list[str] | None = argument(
        "RUN... | rm RUN... | rename RUN NAME",
        "Names or folders of runs. rm removes runs; rename gives a run another name.",
        "all; with --plot the newest",
    ),
    plot: bool = option(False, "Draw the training and validation losses in one chart."),
    output: Path | None = option(
        None,
        "With --plot: write the chart to a new .png or .svg file.",
        "--output -o",
        shown_default="the terminal",
    ),
    yes: bool = option(False, "With rm: do not ask for confirmation.", "--yes -y"),
    json: bool = JSON,
) -> None:
    """List the runs in checkpoints/, the newest last, or draw their learning curves; remove or rename runs.

    If the environment variable LSTMGEN_HOME is set, it names the folder of the runs instead.
    """
    match run:
        case ["rm", *names] if names and not (plot or json):
            _remove(names, yes)
            return
        case ["rename", old, new] if not (plot or json or yes):
            _rename(old, new)
            return
        case ["rm" | "rename", *_]:
            raise typer.BadParameter("write: lstmgen runs rm RUN... [--yes], or: lstmgen runs rename RUN NAME")
    if yes:
        raise typer.BadParameter("--yes needs rm")
    if output is not None and not plot:
        raise typer.BadParameter("--output needs --plot")
    if json and plot:
        raise typer.BadParameter("give one of --json and --plot")
    from lstmgen.checkpoint import RUNS_FOLDER, find_checkpoint, list_runs

    named = [find_checkpoint(name) for name in run or ()]
    if plot:
        _draw(named or [find_checkpoint(None)], output)
    elif folders := [path.parent for path in named] or list_runs():
        _list(folders, json)
    elif not json:
        note(f"no runs in {RUNS_FOLDER}; train one: lstmgen train")


def _remove(names: Sequence[str], yes: bool) -> None:
    """Remove runs, or none of them if one cannot be removed."""
    from lstmgen.training.storage import remove_run, unused_run

    folders = list(dict.fromkeys(map(unused_run, names)))
    if not yes:
        if sys.stdin is None or not sys.stdin.isatty():
            raise typer.BadParameter("give --yes to remove runs without a terminal to ask on")
        typer.confirm(f"Remove {message_line(', '.join(map(str, folders)))}?", abort=True, err=True)
    for folder in folders:
        remove_run(folder)
        note(message_line(f"removed {folder}"))


def _rename(old: str, new: str) -> None:
    from lstmgen.checkpoint import new_run_folder
    from lstmgen.training.storage import unused_run

    folder = unused_run(old)
    try:
        target = new_run_folder(new, "name")
        folder.rename(target)
    except ConfigError as error:
        raise CheckpointError(str(error).removeprefix("`name` ")) from error
    except OSError as error:
        raise CheckpointError(f"cannot rename {folder}: {unwritable(error)}") from error
    note(message_line(f"{folder} is now {target}"))


def _list(folders: Sequence[Path], json: bool) -> None:
    from lstmgen.checkpoint import LAST, file_of_run, load_checkpoint, run_name

    rows = []
    for run in folders:
        try:
            best = file_of_run(run)
            checkpoint = load_checkpoint(best, tensors=False)
            newest = load_checkpoint(run / LAST, tensors=False) if (run / LAST).exists() else checkpoint
        except CheckpointError as error:
            note(f"lstmgen: {error}")
            continue
        record, position = newest.record, newest.record.position
        saved = datetime.fromtimestamp(best.stat().st_mtime).astimezone()
        parameters = checkpoint.network.parameter_count()
        per_byte = " per byte" if checkpoint.vocabulary.unit == "byte" else ""
        if json:
            print_json(
                {
                    "run": run_name(run),
                    "checkpoint": str(best),
                    "network": str(checkpoint.network),
                    "parameters": parameters,
                    "text": list(record.text.sources),
                    "step": position.step,
                    "seconds": record.seconds,
                    "validation_nats": position.best_nats,
                    "saved": saved.isoformat(timespec="seconds"),
                }
            )
            continue
        rows.append(
            (
                run_name(run),
                checkpoint.network,
                count(parameters),
                record.text.name,
                f"{position.step:,}",
                duration(record.seconds),
                "-" if position.best_nats is None else f"{position.best_nats:.4f}{per_byte}",
                f"{saved:%Y-%m-%d %H:%M}",
            )
        )
    if rows:
        columns = ("run", "network", "parameters", "text", "steps", "time", "validation", "saved")
        print_report([Table(columns, rows, left=("network", "text", "saved"))])


def _draw(checkpoints: Sequence[Path], output: Path | None) -> None:
    from lstmgen.checkpoint import LOG, load_checkpoint, run_name
    from lstmgen.cli.chart import FORMATS, picture, terminal_chart
    from lstmgen.cli.output import whole_file
    from lstmgen.training.learning_curve import read_log

    kind = "" if output is None else output.suffix.lower().removeprefix(".")
    if output is not None and kind not in FORMATS:
        raise ConfigError("output", output, "choose a name that ends in .png or .svg")
    curves = {run_name(path.parent): read_log(path.with_name(LOG)) for path in checkpoints}
    unit = " or ".join(sorted({load_checkpoint(path, tensors=False).vocabulary.unit for path in checkpoints}))
    try:
        if output is None:
            columns, lines = shutil.get_terminal_size(_SIZE_IN_PIPE) if sys.stdout.isatty() else _SIZE_IN_PIPE
            put(terminal_chart(curves, unit, columns, lines))
            return
        content = picture(curves, unit, kind)
    except ModuleNotFoundError as error:
        raise ConfigError("plot", True, missing_package(error, "plot")) from error
    with whole_file(output) as file:
        file.write(content)
    note(message_line(f"wrote {output}"))
