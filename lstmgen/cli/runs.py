"""`lstmgen runs`.

Knows: its options and the table. Does not know: what is in a checkpoint.
"""

from datetime import datetime

from rich.table import Table

from lstmgen.cli.options import Json
from lstmgen.cli.render import count, duration, note, print_json, print_table, printable
from lstmgen.errors import CheckpointError

EXAMPLES = """Examples:

lstmgen runs

lstmgen runs --json
"""


def runs(json: Json = False) -> None:
    """List the runs in checkpoints/, the newest last."""
    from lstmgen.checkpoint import BEST, LAST, RUNS_FOLDER, list_runs, load_checkpoint

    table = Table("run", "network", "parameters", "text", "steps", "time", "validation nats", "saved", box=None)
    for run in list_runs():
        try:
            checkpoint = load_checkpoint(run / BEST)
            newest = load_checkpoint(run / LAST) if (run / LAST).exists() else checkpoint
        except CheckpointError as error:
            note(f"lstmgen: {error}")
            continue
        model, record = checkpoint.model, newest.record
        saved = datetime.fromtimestamp((run / BEST).stat().st_mtime).astimezone()
        parameters = checkpoint.network.parameter_count()
        if json:
            print_json(
                {
                    "run": run.name,
                    "checkpoint": str(run / BEST),
                    "network": str(model),
                    "parameters": parameters,
                    "text": list(record.text.sources),
                    "step": record.step,
                    "seconds": record.seconds,
                    "validation_nats": record.best_nats,
                    "saved": saved.isoformat(timespec="seconds"),
                }
            )
            continue
        table.add_row(
            printable(run.name, single_line=True),
            str(model),
            count(parameters),
            printable(", ".join(record.text.sources), single_line=True),
            f"{record.step:,}",
            duration(record.seconds),
            "-" if record.best_nats is None else f"{record.best_nats:.4f}",
            f"{saved:%Y-%m-%d %H:%M}",
        )
    if json:
        return
    if table.row_count:
        print_table(table)
    else:
        note(f"no runs in {RUNS_FOLDER}; train one: lstmgen train")
