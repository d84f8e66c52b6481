"""Turn declarations by `option` into options of typer; the options that commands share; parsers for values."""

import os
import re
import shlex
import sys
from collections.abc import Callable, Mapping
from dataclasses import Field, field, fields
from enum import StrEnum
from functools import wraps
from inspect import Parameter, Signature, signature
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, Union, get_args, get_origin, get_type_hints

import typer

from lstmgen.config import MAX_THREADS, Budget, BudgetUnit, Device, OnUnknown, TextConfig, option

if TYPE_CHECKING:
    from lstmgen.checkpoint import Checkpoint
    from lstmgen.generation.engine import Engine


def argument(metavar: str, help_text: str, default: str) -> Any:
    """Declare a command's parameter as an argument; its default None means that it was not given."""
    return field(default=None, metadata={"metavar": metavar, "help": help_text, "show_default": default})


CHECKPOINT: str | None = argument("CHECKPOINT", "The name or folder of a run, or a checkpoint file.", "the newest run")
BUDGET = "How long to train"
EPOCHS: float | None = option(None, "Instead of --time: read the text X times.", panel=BUDGET)
STEPS: int | None = option(None, "Instead of --time: update the weights N times.", panel=BUDGET)
QUIET = option(False, "Only write results and errors.", "--quiet -q")
JSON = option(False, "Write JSON to stdout.")
ENCODING = option(TextConfig.encoding, "The character encoding of the text.", metavar="NAME")
ON_UNKNOWN = option(OnUnknown.ERROR, "What to do with a character of TEXT that the model has never seen.")
READING_DEVICE = option(Device.AUTO, "Where to compute; auto means the CPU, without torch.")
THREADS: int | None = option(None, "Number of processor threads.", shown_default="automatic", min=1, max=MAX_THREADS)

_DURATION = re.compile(r"(?:(?P<h>[\d.]+)\s*h)?\s*(?:(?P<m>[\d.]+)\s*m(?:in)?)?\s*(?:(?P<s>[\d.]+)\s*s)?")
_UNNAMED_UNITS = {r"^[\d.]+": "s", r"h\s*[0-5]?\d": "m", r"m(?:in)?\s*[0-5]?\d": "s"}
"""The unit of a last number without one: seconds if it is the only number, otherwise the next smaller unit."""

_COUNT = re.compile(r"(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>[kKmMgG]?)")
_MAX_COUNT = 1e15
_METAVARS: dict[object, str] = {int: "N", float: "X", str: "TEXT", Path: "FILE"}
_ESCAPES = {"n": "\n", "t": "\t", "\\": "\\"}
_METAVARS |= {list[int]: "N", tuple[str, ...]: "TEXT", tuple[int, ...]: "N,N"}

Given = dict[str, Any]
"""Field name -> value of each option that comes from a config dataclass; None: the option was not given."""

Command = Callable[..., None]
Config = TypeVar("Config")


def options_from(panels: Mapping[str, type]) -> Given:
    """Declare the parameter `given`: the options of config dataclasses, each under its heading."""
    taken: Given = field(metadata={"panels": panels})
    return taken


def typer_command(command: Command) -> Command:
    """Return a command in the form that typer expects, with typer's options instead of declarations by `option`."""
    parameters: list[Parameter] = []
    given: list[str] = []
    for name, parameter in signature(command).parameters.items():
        match parameter.default:
            case Field(metadata={"panels": panels}):
                for panel, config in panels.items():
                    kinds = get_type_hints(config)
                    for each in filter(lambda field: field.metadata, fields(config)):
                        about = {"shown_default": str(each.default), "panel": panel, **each.metadata}
                        parameters.append(_parameter(each.name, kinds[each.name] | None, None, **about))
                        given.append(each.name)
            case Field(metadata={"names": _} as metadata, default=default):
                parameters.append(_parameter(name, parameter.annotation, default, **metadata))
            case Field(metadata=metadata):
                kind = parameter.annotation
                parameters.append(
                    parameter.replace(default=None, annotation=Annotated[kind, typer.Argument(**metadata)])
                )
            case _:
                parameters.append(parameter)

    @wraps(command)
    def with_given(**arguments: Any) -> None:
        collected = {"given": {name: arguments.pop(name) for name in given}} if given else {}
        command(**arguments, **collected)

    with_given.__signature__ = Signature(parameters)  # type: ignore[attr-defined]  # any function may have one
    return with_given


def _parameter(
    name: str,
    kind: Any,
    default: object,
    *,
    names: str,
    shown_default: str | None = None,
    metavar: str | None = None,
    panel: str | None = None,
    **more: Any,
) -> Parameter:
    """Return the parameter from which typer makes an option; its default None means that it was not given."""
    base = get_args(kind)[0] if get_origin(kind) in (UnionType, Union) else kind
    choices = "|".join(base) if isinstance(base, type) and issubclass(base, StrEnum) else None
    metavar = metavar or ("" if base is bool else _METAVARS.get(base, choices))
    if base == tuple[str, ...]:
        kind = list[str] | None
    elif get_origin(base) is tuple:
        kind, more["parser"] = str | None, _comma_separated(get_args(base)[0])
    if metavar == _METAVARS[str]:
        more["parser"] = typed_text
    shown_default = shown_default or ("none" if default is None else str(default))
    if default is not False:
        more["help"] += f" \\[default: {shown_default}]"
    made = typer.Option(
        *_names(name, names),
        show_default=False,
        metavar=metavar,
        rich_help_panel=panel,
        **more,
    )
    return Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, made])


def _comma_separated(kind: type) -> Callable[[str], tuple[Any, ...]]:
    """Return a parser for values separated by commas, such as input,forget."""
    expected = f"some of {','.join(kind)}" if issubclass(kind, StrEnum) else "whole numbers"

    def parse(text: str) -> tuple[Any, ...]:
        try:
            return tuple(kind(part.strip()) for part in text.split(","))
        except ValueError as error:
            raise typer.BadParameter(f"{text!r}: give {expected}, separated by commas") from error

    return parse


def _names(name: str, names: str) -> list[str]:
    """Return the names of the option for a field or parameter."""
    return names.split() or [f"--{name.replace('_', '-')}"]


def options_of(config: Any) -> dict[str, str]:
    """Return the first name of each option of a config dataclass, by field name."""
    return {field.name: _names(field.name, field.metadata["names"])[0] for field in fields(config) if field.metadata}


def config_from(config: type[Config], given: Given, **more: Any) -> Config:
    """Build a config dataclass from the given options and `more`; other fields keep their defaults."""
    names = {field.name for field in fields(config)}  # type: ignore[arg-type]  # any dataclass
    chosen = {name: value for name, value in {**given, **more}.items() if name in names and value is not None}
    return config(**{name: tuple(value) if isinstance(value, list) else value for name, value in chosen.items()})


def given_options(given: Given, *configs: type) -> list[str]:
    """Return the names of those options of these config dataclasses that were given."""
    return [option for config in configs for name, option in options_of(config).items() if given.get(name) is not None]


def budget_from(seconds: float | None, epochs: float | None, steps: int | None) -> Budget | None:
    """Build the budget, or None if none was given; raises typer.BadParameter for more than one."""
    amounts = {BudgetUnit.SECONDS: seconds, BudgetUnit.EPOCHS: epochs, BudgetUnit.STEPS: steps}
    budgets = [Budget(amount, unit) for unit, amount in amounts.items() if amount is not None]
    if len(budgets) > 1:
        raise typer.BadParameter("give one of --time, --epochs and --steps")
    return budgets[0] if budgets else None


def typed_text(text: str) -> str:
    r"""Read a typed text, in which \n is a line feed, \t a tab, and \\ a backslash."""
    return re.sub(r"\\([nt\\])", lambda match: _ESCAPES[match[1]], text)


def parse_duration(text: str) -> float:
    """Read seconds from a text such as 90, 90s, 3m, 1.5h, 1h30m or 1h30; raises typer.BadParameter."""
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
    """Read a number from a text such as 800000, 800k or 1.5M; raises typer.BadParameter."""
    match = _COUNT.fullmatch(text.strip())
    if not match:
        raise typer.BadParameter(f"{text!r} is not a number; write 800000, 800k or 1.5M")
    count = float(match["number"]) * {"": 1, "k": 1e3, "m": 1e6, "g": 1e9}[match["unit"].lower()]
    if count > _MAX_COUNT:
        raise typer.BadParameter(f"{text!r} is too large; give at most {_MAX_COUNT / 1e9:,.0f}G")
    return round(count)


def checkpoints_and_text(command: str, words: list[str]) -> tuple[list[str | None], str | None]:
    """Split a command's [CHECKPOINT]... [TEXT]: the last word is a text unless it names a checkpoint.

    A single word that is neither counts as a checkpoint, because the error message then lists the known runs. If no
    checkpoint is named, None means the newest run. Raises typer.BadParameter if a text comes before a checkpoint.
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


def find_model(reference: str | None, *, quiet: bool = False) -> Path:
    """Find the checkpoint that a user names, or the newest run's; warn if it is a run that hides the starter model.

    Raises CheckpointError if there is none.
    """
    from lstmgen.checkpoint import RUNS_FOLDER, STARTERS, find_checkpoint
    from lstmgen.cli.render import note

    path = find_checkpoint(reference)
    folder = path.parent
    if folder.name == reference and folder.parent == RUNS_FOLDER and (STARTERS / folder.name).is_dir():
        remedy = f"to use the starter model, rename your run: lstmgen runs rename {reference} NEW-NAME"
        note(f"note: {reference} is your run in {folder}; {remedy}", quiet=quiet)
    return path


def engine_on(device: Device, checkpoint: "Checkpoint") -> "Engine | None":
    """Return an engine that runs a checkpoint's network on a device; None: NumPy's, on the CPU.

    Raises ConfigError if the device does not exist.
    """
    if device in (Device.AUTO, Device.CPU):
        return None
    from lstmgen.training.machine import torch_engine

    return torch_engine(checkpoint, device)


def limit_threads(threads: int | None) -> None:
    """Set the number of threads of the numerical libraries, which must not have been imported yet."""
    if threads is not None and "numpy" not in sys.modules:
        for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"):
            os.environ[name] = str(threads)
