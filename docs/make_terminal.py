"""Draw terminal.svg, the picture in the README: run three commands and draw their output.

    python docs/make_terminal.py

The output is real. It differs between machines, because a time budget depends on the speed of the machine.
"""

import io
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

PICTURE = Path(__file__).with_name("terminal.svg")
COLUMNS = 92
COMMANDS = (
    ("lstmgen train --time 20s", ""),
    ("lstmgen sample --length 240 --seed 1", ""),
    ("echo 'The method returns a new string.' | lstmgen score --heatmap", "The method returns a new string.\n"),
)
"""Each command as shown, and its standard input."""

ENVIRONMENT = {"FORCE_COLOR": "1", "TERM": "xterm-256color", "COLORTERM": "truecolor", "COLUMNS": str(COLUMNS)}
"""Makes lstmgen write in colour, although its output goes to this program and not to a terminal."""


def output_of(command: str, stdin: str, folder: str) -> str:
    """Run a command in a folder and return its stdout and stderr, interleaved as they were written."""
    arguments = command.rpartition("lstmgen ")[2].split()
    ran = subprocess.run(  # noqa: S603  # the commands above
        [sys.executable, "-m", "lstmgen", *arguments],
        input=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, **ENVIRONMENT},
        cwd=folder,
        encoding="utf-8",
        check=True,
    )
    return ran.stdout


def main() -> None:
    """Run the commands one after the other in an empty folder, and write the picture."""
    with tempfile.TemporaryDirectory() as folder:
        console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
        for command, stdin in COMMANDS:
            console.print(Text.assemble(("$ ", "bold green"), (command, "bold")))
            console.print(Text.from_ansi(output_of(command, stdin, folder).rstrip("\n")))
            console.print()
        console.save_svg(str(PICTURE), title="lstmgen")


if __name__ == "__main__":
    main()
