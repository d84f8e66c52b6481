"""Write results and messages: text without control characters, tables, JSON, numbers."""

import os
import re
import sys
import textwrap
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, TextIO

from rich.console import Console
from rich.text import Text

from lstmgen.cli.options import options_of
from lstmgen.config import Budget, BudgetUnit, ModelConfig, SamplingConfig, TextConfig, TrainingConfig
from lstmgen.printable import json_line, printable, readably

_CONFIGS = (TextConfig, ModelConfig, TrainingConfig, SamplingConfig)
_OPTIONS = {name: option for config in _CONFIGS for name, option in options_of(config).items()}
_OPTIONS["seconds"] = "--time"

_WIDEST = 10_000  # columns of a terminal; more: it is a pipe
_LABEL, _NARROW = 9, 50  # columns: of the labels of a plan; below this, labels have no column of their own
_MIN_VALUE = 16  # columns of a value next to its name
_COMMAND = re.compile(r"(?<=[:;]) (lstmgen (?:'[^']*'|[^;'])+)(?:; )?")


def with_options(message: str) -> str:
    """Return a message of the core with its settings replaced by options: `num_layers` -> --layers."""
    return re.sub(r"`([a-z_]+)`", lambda match: _OPTIONS.get(match[1], "--" + match[1].replace("_", "-")), message)


def columns_of(stream: TextIO) -> int:
    """The width of a terminal; a pipe has room for any line."""
    if not stream.isatty():
        return sys.maxsize
    with suppress(OSError, ValueError):  # no number in COLUMNS; a stream that is not a file
        return int(os.environ.get("COLUMNS") or os.get_terminal_size(stream.fileno()).columns or 80)
    return 80


def laid_out(text: str, columns: int) -> str:
    """Lay out a message for a terminal: wrap it between words, and give each command a line of its own.

    Text after the label of a line, such as `network`, gets a hanging indent; commands are never wrapped.
    """
    if columns > _WIDEST:
        return text
    lines = []
    for line in text.split("\n"):
        label = re.match(r"[a-z]+:? +(?=\S)", line)
        is_labelled = label and len(label[0]) == _LABEL and columns > _NARROW
        hanging = " " * (_LABEL if is_labelled else len(line) - len(line.lstrip()) or 2)
        for number, part in enumerate(_COMMAND.split(line)):
            if number % 2:
                lines.append(f"    {part}")
            elif part or number == 0:
                lines.append(wrapped(part, columns, "" if number == 0 else hanging, hanging))
    return "\n".join(lines)


def wrapped(text: str, columns: int, first: str = "", others: str = "") -> str:
    """Wrap a text between words, with one beginning for its first line and one for the others; not for a pipe."""
    if columns > _WIDEST:
        return first + text
    return textwrap.fill(
        text,
        columns,
        initial_indent=first,
        subsequent_indent=others,
        replace_whitespace=False,
        break_long_words=False,
        break_on_hyphens=False,
    )


def facts_text(facts: Mapping[str, str], columns: int) -> str:
    """Return names and values as two columns, or one below the other if that is too wide."""
    width = max(map(len, facts)) + 2
    lines = []
    for name, value in facts.items():
        line = printable(value, single_line=True)
        if columns < width + _MIN_VALUE:
            lines += [name, wrapped(line, columns, "  ", "  ")]
        else:
            lines.append(wrapped(line, columns, f"{name:<{width}}", " " * width))
    return "".join(f"{line.rstrip()}\n" for line in lines)


def note(text: str, *, quiet: bool = False) -> None:
    """Write a message to stderr; see `with_options` and `laid_out`."""
    if not quiet:
        sys.stderr.write(laid_out(printable(with_options(text)), columns_of(sys.stderr)) + "\n")
        sys.stderr.flush()


def put(text: str) -> None:
    """Write text to stdout at once."""
    sys.stdout.write(text)
    sys.stdout.flush()


def print_json(value: Mapping[str, Any]) -> None:
    """Write one JSON object as a line to stdout."""
    put(json_line(value))


def text_console() -> Console:
    """Return a console for stdout that neither wraps lines nor changes text."""
    return Console(file=sys.stdout, highlight=False, markup=False, soft_wrap=True)


def rendered(text: Text) -> str:
    """Return styled text for stdout, in colours if it is a terminal that has them."""
    console = text_console()
    with console.capture() as capture:
        console.print(text, end="")
    return capture.get()


def duration(seconds: float) -> str:
    """Return seconds in words: 42 s, 3 min, 2 h 5 min."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


def budget_in_words(budget: Budget) -> str:
    """Return a training budget in words: 3 min, 500 steps."""
    return duration(budget.amount) if budget.unit is BudgetUnit.SECONDS else str(budget)


def recipe(training: TrainingConfig) -> str:
    """Return how a network is trained, in words: batch, learning rate and regularisation."""
    weight_drop = f", weight drop {readably(training.weight_drop)}" if training.weight_drop else ""
    smoothing = f", label smoothing {readably(training.label_smoothing)}" if training.label_smoothing else ""
    return (
        f"{training.batch}, learning rate {readably(training.learning_rate)}, "
        f"weight decay {readably(training.weight_decay)}, dropout {readably(training.dropout)}{weight_drop}{smoothing}"
    )


def plural(number: int, noun: str) -> str:
    """Return a number with its noun: 1 thread, 2 threads."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")
