"""The options that commands share, and how their values are read."""

import os
import re
import shlex
import sys
from collections.abc import Callable, Mapping
from dataclasses import Field, fields
from functools import wraps
from inspect import Parameter, signature
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, get_args, get_origin, get_type_hints

import typer

from lstmgen.config import MAX_THREADS, Budget, BudgetUnit, Device, OnUnknown, Option, Peephole, option_names

if TYPE_CHECKING:
    from lstmgen.checkpoint import Checkpoint
    from lstmgen.generation.engine import Engine

CheckpointArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="CHECKPOINT",
        help="The name or the folder of a run, or a checkpoint file.",
        show_default="the newest run",
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Write only results and errors.")]
Json = Annotated[bool, typer.Option("--json", help="Write JSON to stdout.")]
Encoding = Annotated[str, typer.Option("--encoding", metavar="NAME", help="The character encoding of the text.")]
OnUnknownCharacter = Annotated[
    OnUnknown, typer.Option("--on-unknown", help="What to do with a character of TEXT that the model has never seen.")
]
ReadingDevice = Annotated[Device, typer.Option("--device", help="Where to compute; auto is the CPU without torch.")]
Threads = Annotated[
    int | None,
    typer.Option(
        "--threads",
        min=1,
        max=MAX_THREADS,
        metavar="N",
        show_default="automatic",
        help="Number of processor threads.",
    ),
]

_DURATION = re.compile(r"(?:(?P<h>[\d.]+)\s*h)?\s*(?:(?P<m>[\d.]+)\s*m(?:in)?)?\s*(?:(?P<s>[\d.]+)\s*s)?")
_UNNAMED_UNITS = {r"^[\d.]+": "s", r"h\s*[0-5]?\d": "m", r"m(?:in)?\s*[0-5]?\d": "s"}
"""The unit of a last number without one: seconds where it is alone, otherwise the next smaller unit."""

_COUNT = re.compile(r"(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>[kKmMgG]?)")
_MAX_COUNT = 1e15
_METAVARS: dict[object, str] = {int: "N", float: "X", str: "TEXT", list[str]: "TEXT"}

Given = dict[str, Any]
"""Field name -> value of an option that `config_options` added; None: the option was not given."""

Command = Callable[..., None]
Config = TypeVar("Config")


def option(panel: str | None, help: str, default: object = "none", *names: str, **more: Any) -> Any:  # noqa: A002  # typer's name
    """Return an option whose default is decided later, by a config or a plan; the help text shows it all the same."""
    return typer.Option(*names, help=help, show_default=str(default), rich_help_panel=panel, **more)


def flag(panel: str | None, name: str, help: str) -> Any:  # noqa: A002  # typer's name
    """Return an option without a value, and without a twin that begins with --no."""
    return typer.Option(name, help=help, rich_help_panel=panel)


def config_options(panels: Mapping[str, type]) -> Callable[[Command], Command]:
    """Give a command an option for every field of config dataclasses that has one (`config.option`).

    The options take the place of the command's keyword-only parameter `given`, which receives their values.

    Args:
        panels: the config dataclasses, by the title under which the help text shows their options.
    """
    added = [
        _parameter(config, field, panel)
        for panel, config in panels.items()
        for field in fields(config)
        if "option" in field.metadata
    ]

    def decorate(command: Command) -> Command:
        @wraps(command)
        def with_given(**arguments: Any) -> None:
            command(given={each.name: arguments.pop(each.name) for each in added}, **arguments)

        parameters: list[Parameter] = []
        for parameter in signature(command).parameters.values():
            parameters += added if parameter.name == "given" else [parameter]
        shown_to_typer = signature(command).replace(parameters=parameters)
        with_given.__signature__ = shown_to_typer  # type: ignore[attr-defined]  # any function may have one
        return with_given

    return decorate


def _parameter(config: type, field: "Field[Any]", panel: str) -> Parameter:
    """Return the parameter from which typer makes the option of a config field."""
    described: Option = field.metadata["option"]
    kind, more = get_type_hints(config)[field.name], {}
    if get_origin(kind) is UnionType:  # X | None
        kind = get_args(kind)[0]
    if kind == tuple[Peephole, ...]:
        kind, more = str, {"parser": parse_peepholes}
    elif kind == tuple[str, ...]:
        kind = list[str]
    made = option(
        panel,
        described.help,
        field.default if described.shown_default is None else described.shown_default,
        *option_names(field),
        metavar=described.metavar or _METAVARS.get(kind),
        **more,
    )
    return Parameter(field.name, Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind | None, made])


def config_from(config: type[Config], given: Given, **more: Any) -> Config:
    """Build a config dataclass from the options that were given and `more`; other fields have their defaults."""
    names = {field.name for field in fields(config)}  # type: ignore[arg-type]  # any dataclass
    chosen = {name: value for name, value in {**given, **more}.items() if name in names and value is not None}
    return config(**{name: tuple(value) if isinstance(value, list) else value for name, value in chosen.items()})


def given_options(given: Given, *configs: type) -> list[str]:
    """Return the names of the options of these config dataclasses that were given."""
    return [
        option_names(field)[0] for config in configs for field in fields(config) if given.get(field.name) is not None
    ]


def budget_from(seconds: float | None, epochs: float | None, steps: int | None) -> Budget | None:
    """Build the budget that was given; None: none was. Raises typer.BadParameter for more than one."""
    amounts = {BudgetUnit.SECONDS: seconds, BudgetUnit.EPOCHS: epochs, BudgetUnit.STEPS: steps}
    budgets = [Budget(amount, unit) for unit, amount in amounts.items() if amount is not None]
    if len(budgets) > 1:
        raise typer.BadParameter("give one of --time, --epochs and --steps")
    return budgets[0] if budgets else None


def parse_duration(text: str) -> float:
    """Read seconds from 90, 90s, 3m, 1.5h, 1h30m or 1h30; raises typer.BadParameter."""
    named = text.strip().lower()
    for last, unit in _UNNAMED_UNITS.items():
        named = re.sub(f"({last})$", rf"\1{unit}", named)
    match = _DURATION.fullmatch(named)
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
    count = float(match["number"]) * {"": 1, "k": 1e3, "m": 1e6, "g": 1e9}[match["unit"].lower()]
    if count > _MAX_COUNT:
        raise typer.BadParameter(f"{text!r} is too large; give at most {_MAX_COUNT / 1e9:,.0f}G")
    return round(count)


def parse_peepholes(text: str) -> tuple[Peephole, ...]:
    """Read gates from their names with commas between, such as input,forget; raises typer.BadParameter."""
    try:
        return tuple(Peephole(name.strip()) for name in text.split(","))
    except ValueError as error:
        known = ",".join(Peephole)
        raise typer.BadParameter(f"{text!r}: name some of {known}, with commas between") from error


def checkpoints_and_text(command: str, words: list[str]) -> tuple[list[str | None], str | None]:
    """Split [CHECKPOINT]... [TEXT] of a command: the last word is a text unless it names a checkpoint.

    A single word that is neither counts as a checkpoint, because the error message then lists the known runs. None
    stands for the newest run, if no checkpoint is named. Raises typer.BadParameter if a text comes before a checkpoint.
    """
    from lstmgen.checkpoint import names_checkpoint
    from lstmgen.text.sources import may_be_text

    if not words:
        return [None], None
    *checkpoints, last = words
    texts = [word for word in checkpoints if may_be_text(word) and not names_checkpoint(word)]
    if len(texts) == 1 and names_checkpoint(last):
        models = [word for word in words if word not in texts]
        raise typer.BadParameter(f"put the model first: {shlex.join(['lstmgen', command, *models, *texts])}")
    if names_checkpoint(last) or (not checkpoints and not may_be_text(last)):
        return [*words], None
    return [*checkpoints] or [None], last


def engine_on(device: Device, checkpoint: "Checkpoint") -> "Engine | None":
    """Return an engine that computes a checkpoint's network on a device; None: the one of NumPy, on the CPU.

    Raises ConfigError if the device does not exist.
    """
    if device in (Device.AUTO, Device.CPU):
        return None
    from lstmgen.training.machine import torch_engine

    return torch_engine(checkpoint, device)


def limit_threads(threads: int | None) -> None:
    """Set the number of threads of the numerical libraries; it has an effect only before they are imported."""
    if threads is not None and "numpy" not in sys.modules:
        for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"):
            os.environ[name] = str(threads)
