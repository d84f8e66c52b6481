"""How things look: text that cannot drive a terminal, tables, numbers.

Knows: rich, terminals. Does not know: where the things come from.
"""

import errno
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

_KEPT = {"\n", "\t"}


def _shown(code: int) -> str:
    """How a character is shown that a terminal would obey."""
    if code < 0x20:
        return chr(0x2400 + code)
    return "\u2421" if code == 0x7F else f"<U+{code:04X}>"


_DIRECTIONS = [0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)]  # these reorder a line
_CONTROLS = [*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029, *_DIRECTIONS, *range(0xD800, 0xE000)]
_SAFE = {code: _shown(code) for code in _CONTROLS if chr(code) not in _KEPT}
_SAFE_LINE = _SAFE | {ord("\n"): "\u240a", ord("\t"): "\u2409"}


def printable(text: str, *, single_line: bool = False) -> str:
    """The text with control characters shown, not obeyed; line feeds and tabs stay, unless it is to be one line."""
    return text.translate(_SAFE_LINE if single_line else _SAFE)


class OutputClosedError(OSError):
    """Nobody reads stdout any more, which is no problem."""


def is_closed_pipe(error: OSError) -> bool:
    """Whether an error says that nobody reads any more: a closed pipe (Windows says EINVAL) or terminal."""
    return isinstance(error, OutputClosedError) or error.errno in (errno.EPIPE, errno.EINVAL, errno.EIO)


def mute_stdout() -> None:
    """Let what is still written, by the interpreter's last flush too, go nowhere."""
    sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115  # until the process ends


def note(text: str, *, quiet: bool = False) -> None:
    """Write a line about the work to stderr."""
    if not quiet:
        sys.stderr.write(printable(text) + "\n")
        sys.stderr.flush()


def put(text: str) -> None:
    """Write text to stdout at once; raises OutputClosedError."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        if not is_closed_pipe(error):
            raise
        raise OutputClosedError from error


def print_json(value: Mapping[str, Any]) -> None:
    """Write one JSON object as a line to stdout; on a terminal in characters that it cannot obey."""
    put(json.dumps(value, ensure_ascii=sys.stdout.isatty()) + "\n")


def print_facts(facts: Mapping[str, str]) -> None:
    """Write names and values as two columns to stdout."""
    width = max(map(len, facts))
    for name, value in facts.items():
        put(f"{name:<{width}}  {printable(value, single_line=True)}".rstrip() + "\n")


def print_table(table: Table) -> None:
    """Write a table to stdout; in a pipe it is as wide as it needs to be."""
    width = None if sys.stdout.isatty() else 200
    console = Console(markup=False, highlight=False, width=width)
    with console.capture() as captured:
        console.print(table)
    put(captured.get())


def duration(seconds: float) -> str:
    """Seconds as a person says them: 42 s, 3 min, 2 h 5 min."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


def count(number: float) -> str:
    """A large number in three digits: 949, 1.12 M."""
    for unit in ("", " k", " M"):
        if number < 999.5:  # what would be rounded to 1000 belongs to the next unit
            return f"{number:.3g}{unit}"
        number /= 1000
    return f"{number:.3g} G"
