"""The options that commands share, and how their values are read.

Knows: names, short names and help. Does not know: defaults; those are `config`'s.
"""

import os
import re
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lstmgen.cli.render import note
from lstmgen.config import Device, OnUnknown, Peephole

if TYPE_CHECKING:
    from lstmgen.checkpoint import Checkpoint, TrainingRecord
    from lstmgen.generation.engine import Engine

CheckpointArgument = Annotated[
    str | None,
    typer.Argument(metavar="CHECKPOINT", help="A run's name, a run's folder or a file; left out: the newest run."),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Write nothing but the product and errors.")]
Json = Annotated[bool, typer.Option("--json", help="Write JSON to stdout.")]
Encoding = Annotated[str, typer.Option("--encoding", metavar="NAME", help="How the text's bytes spell characters.")]
OnUnknownCharacter = Annotated[
    OnUnknown, typer.Option("--on-unknown", help="What to do with a character of TEXT that the model has never seen.")
]
ReadingDevice = Annotated[
    Device, typer.Option("--device", help="Where to compute; auto is the CPU, which needs no torch.")
]
Threads = Annotated[
    int | None, typer.Option("--threads", min=1, metavar="N", show_default="automatic", help="Processor threads.")
]

_DURATION = re.compile(r"(?:(?P<h>[\d.]+)h)?\s*(?:(?P<m>[\d.]+)m(?:in)?)?\s*(?:(?P<s>[\d.]+)s?)?")
_COUNT = re.compile(r"(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>[kKmMgG]?)")


def option(panel: str, help: str, default: object, *names: str, **more: Any) -> Any:  # noqa: A002  # typer's name
    """An option whose default is settled later, by a configuration or a plan, and shown in the help now."""
    return typer.Option(*names, help=help, show_default=str(default), rich_help_panel=panel, **more)


def parse_duration(text: str) -> float:
    """Read seconds from 90, 90s, 3m, 1.5h or 1h30m; raises typer.BadParameter."""
    match = _DURATION.fullmatch(text.strip().lower())
    try:
        parts = {unit: float(value) for unit, value in match.groupdict().items() if value} if match else {}
    except ValueError:
        parts = {}
    if not parts:
        raise typer.BadParameter(f"{text!r} is not a time; write 90s, 3m or 1h30m")
    return parts.get("h", 0) * 3600 + parts.get("m", 0) * 60 + parts.get("s", 0)


def parse_count(text: str) -> int:
    """Read a number from 800000, 800k, 1.5M; raises typer.BadParameter."""
    match = _COUNT.fullmatch(text.strip())
    if not match:
        raise typer.BadParameter(f"{text!r} is not a number; write 800000, 800k or 1.5M")
    return round(float(match["number"]) * {"": 1, "k": 1e3, "m": 1e6, "g": 1e9}[match["unit"].lower()])


def parse_peepholes(text: str) -> tuple[Peephole, ...]:
    """Read the names of gates from input,forget,output; raises typer.BadParameter."""
    try:
        return tuple(Peephole(name.strip()) for name in text.split(","))
    except ValueError as error:
        known = ",".join(Peephole)
        raise typer.BadParameter(f"{text!r}: name some of {known}, with commas between") from error


def checkpoints_and_text(words: list[str]) -> tuple[list[str | None], str | None]:
    """Tell [CHECKPOINT]... [TEXT] apart: the last word is a text unless it names a checkpoint.

    A single word that is neither is a checkpoint, so that what is said of it names the runs there are. Without a
    checkpoint it is the newest run, for which None stands.
    """
    from lstmgen.checkpoint import names_checkpoint
    from lstmgen.text.sources import may_be_text

    if not words:
        return [None], None
    *checkpoints, last = words
    if names_checkpoint(last) or (not checkpoints and not may_be_text(last)):
        return [*words], None
    return [*checkpoints] or [None], last


def engine_on(device: Device, checkpoint: "Checkpoint") -> "Engine | None":
    """What computes a checkpoint's network there; None: NumPy, on the CPU. Raises ConfigError if it is not there."""
    if device in (Device.AUTO, Device.CPU):
        return None
    from lstmgen.training.machine import torch_engine

    return torch_engine(checkpoint, device)


def note_adaptation(record: "TrainingRecord", *, quiet: bool) -> None:
    """Say what a model has learned from since it was trained: on that, a score says little."""
    if record.adapted_to:
        note(f"note: while it was evaluated, this model learned from {', '.join(record.adapted_to)}", quiet=quiet)


def limit_threads(threads: int | None) -> None:
    """Tell the libraries that have not been imported yet how many threads to use."""
    if threads is not None and "numpy" not in sys.modules:
        for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"):
            os.environ[name] = str(threads)
