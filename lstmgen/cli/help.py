"""Help texts: typer's panels, or one option below another in a terminal that is too narrow for panels."""

import inspect
import re
import shutil
from collections.abc import Iterator
from typing import Any

from rich.text import Text
from typer.core import TyperCommand, TyperGroup

from lstmgen.cli.render import wrapped

MIN_PANEL_COLUMNS = 76
"""In narrower panels, typer would cut off the names of options."""


class _Help:
    """Help without the types of arguments and flags."""

    def format_help(self: Any, context: Any, formatter: Any) -> None:
        """Write the help text: to the formatter, or typer writes it itself."""
        for parameter in self.get_params(context):
            if parameter.param_type_name == "argument":
                parameter.display_type_rich = lambda ctx: None  # noqa: ARG005  # typer passes it by name
            elif parameter.is_flag:
                parameter.metavar = ""
        columns = shutil.get_terminal_size().columns
        if columns < MIN_PANEL_COLUMNS:
            formatter.write("\n".join(_narrow(self, context, columns)) + "\n")
        else:
            super().format_help(context, formatter)  # type: ignore[misc]  # of typer


class Command(_Help, TyperCommand):
    """A command."""


class CommandGroup(_Help, TyperGroup):
    """A group of commands."""


def paragraphs(text: str) -> str:
    """Join the lines of each paragraph, so that they are wrapped at the width of the terminal."""
    return "\n\n".join(" ".join(part.split()) for part in inspect.cleandoc(text).split("\n\n"))


def _narrow(command: Any, context: Any, columns: int) -> Iterator[str]:
    yield wrapped(" ".join(command.get_usage(context).split()), columns, "", "  ") + "\n"
    for line in _plain(command.help).split("\n"):
        first, *others = re.split(" {2,}", line)
        yield from (wrapped(first, columns), *(wrapped(text, columns, "    ", "    ") for text in others))
    panels: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
    for parameter in command.get_params(context):
        name = ", ".join(sorted((*parameter.opts, *parameter.secondary_opts), key=lambda each: each[:2] != "--"))
        panel, text = parameter.rich_help_panel or "Options", parameter.help
        if parameter.param_type_name == "argument":
            name, panel = wrapped(parameter.metavar, columns - 2, "", "      "), "Arguments"
            text = rf"{text} \[default: {parameter.show_default}]"
        elif parameter.metavar:
            name += " " if len(name) + len(parameter.metavar) + 3 <= columns else "\n      "
            name += parameter.metavar
        panels.setdefault(panel, []).append((name, text))
    if isinstance(command, TyperGroup):
        panels["Commands"] = [(name, each.get_short_help_str(200)) for name, each in command.commands.items()]
    for panel, rows in panels.items():
        yield from [f"\n{panel}"] * bool(rows)
        for name, text in rows:
            yield from (f"  {name}", wrapped(_plain(text), columns, "    ", "    "))
    examples = re.sub("\n\n(?=.*lstmgen)", "\n", _plain(command.epilog)).split("\n")
    yield "\n" + "\n".join(line if line.lstrip().startswith("lstmgen") else wrapped(line, columns) for line in examples)


def _plain(text: str | None) -> str:
    return Text.from_markup(inspect.cleandoc(text or "")).plain
