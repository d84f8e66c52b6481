"""How results and messages are written: text without control characters, tables, JSON, numbers."""

import re
import sys
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.text import Text

from lstmgen.cli.options import options_of
from lstmgen.config import Budget, BudgetUnit, ModelConfig, SamplingConfig, TextConfig, TrainingConfig
from lstmgen.printable import json_line, printable, readably

_CONFIGS = (TextConfig, ModelConfig, TrainingConfig, SamplingConfig)
_OPTIONS = {name: option for config in _CONFIGS for name, option in options_of(config).items()}
_OPTIONS["seconds"] = "--time"


def with_options(message: str) -> str:
    """Return a message of the core with options in place of the settings that it names: `num_layers` -> --layers."""
    return re.sub(r"`([a-z_]+)`", lambda match: _OPTIONS.get(match[1], "--" + match[1].replace("_", "-")), message)


def note(text: str, *, quiet: bool = False) -> None:
    """Write a message to stderr; see `with_options`."""
    if not quiet:
        sys.stderr.write(printable(with_options(text)) + "\n")
        sys.stderr.flush()


def put(text: str) -> None:
    """Write text to stdout at once."""
    sys.stdout.write(text)
    sys.stdout.flush()


def print_json(value: Mapping[str, Any]) -> None:
    """Write one JSON object as a line to stdout."""
    put(json_line(value))


def text_console() -> Console:
    """Return a console for stdout that neither breaks lines nor changes text."""
    return Console(file=sys.stdout, highlight=False, markup=False, soft_wrap=True)


def rendered(text: Text) -> str:
    """Return styled text as stdout can show it: in colours on a terminal that has them."""
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
    """Return how long training takes, in words: 3 min, 500 steps."""
    return duration(budget.amount) if budget.unit is BudgetUnit.SECONDS else str(budget)


def recipe(training: TrainingConfig) -> str:
    """Return how a network is trained, in words: batch, learning rate, and the regularisation that is used."""
    weight_drop = f", weight drop {readably(training.weight_drop)}" if training.weight_drop else ""
    smoothing = f", label smoothing {readably(training.label_smoothing)}" if training.label_smoothing else ""
    return (
        f"{training.batch}, learning rate {readably(training.learning_rate)}, "
        f"weight decay {readably(training.weight_decay)}, dropout {readably(training.dropout)}{weight_drop}{smoothing}"
    )


def plural(number: int, noun: str) -> str:
    """Return a number with its noun: 1 thread, 2 threads."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")
