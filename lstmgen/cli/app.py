"""The `lstmgen` command: its subcommands, and how it reports errors."""

import atexit
import gc
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Annotated, Any

import typer

from lstmgen import __version__
from lstmgen.cli import bench, compare, export, info, inspect, runs, sample, score, serve, train
from lstmgen.cli import eval as eval_command
from lstmgen.cli.environment import (
    as_typed,
    out_of_memory,
    require_room_for_torch,
    restart_in_utf_8,
    show_colours,
    use_readable_size,
)
from lstmgen.cli.help import Command, CommandGroup, paragraphs
from lstmgen.cli.interrupt import exit_on_signals
from lstmgen.cli.options import typer_command
from lstmgen.cli.render import columns_of, laid_out, note, with_options
from lstmgen.cli.streams import OutputLostError, exit_code_for, guarded_streams
from lstmgen.errors import LstmgenError
from lstmgen.printable import message_line

_MEANT = {"generate": "sample", "chat": "sample -i", "list": "runs", "ls": "runs", "models": "runs", "help": "--help"}
_MEANT |= {"rm": "runs rm", "remove": "runs rm", "delete": "runs rm", "rename": "runs rename", "mv": "runs rename"}
_MEANT |= {"finetune": "train --from", "resume": "train --resume", "test": "eval", "version": "--version"}
"""What other programs call our commands."""


class _Commands(CommandGroup):
    """The commands. Usage errors are made printable, because they may quote any argument."""

    def resolve_command(self, context: Any, arguments: list[str]) -> Any:
        typed, *_ = arguments
        (meant,) = [_MEANT[typed]] if typed in _MEANT else get_close_matches(typed, self.commands, 1) or [""]
        if meant not in ("", typed):
            context.fail(f"No such command {typed!r}. Use: lstmgen {meant}")
        return super().resolve_command(context, arguments)

    def make_context(self, *arguments: Any, **more: Any) -> Any:
        with _printable_usage_errors():
            return super().make_context(*arguments, **more)

    def invoke(self, *arguments: Any, **more: Any) -> Any:
        with _printable_usage_errors():
            return super().invoke(*arguments, **more)


@contextmanager
def _printable_usage_errors() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if hasattr(error, "format_message"):  # a usage error; typer has no public class for all of them
            error.message = laid_out(message_line(error.message), columns_of(sys.stderr) - 4)  # type: ignore[attr-defined]  # see the line above
        raise


app = typer.Typer(
    name="lstmgen",
    cls=_Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="""Text generation with recurrent networks, one character at a time.

[bold]lstmgen train poems.txt[/bold]        learn to write like a text, in minutes
[bold]lstmgen sample --temp 0.8[/bold]      write
[bold]lstmgen eval[/bold]                   how well does it predict unseen text?
[bold]lstmgen score my.txt[/bold]           how likely is each line, and each character?
[bold]lstmgen inspect --units[/bold]        what do its gates and cells do while it reads?
[bold]lstmgen compare my.txt[/bold]         which kind of network learns this text best?
[bold]lstmgen export --html a.html[/bold]   a web page that writes, to share
[bold]lstmgen serve[/bold]                  a page to write with, and an OpenAI-style API
""",
    epilog="Every command has examples: lstmgen train --help",
)

for _name, _command, _examples in (
    ("train", train.train, train.EXAMPLES),
    ("sample", sample.sample, sample.EXAMPLES),
    ("eval", eval_command.evaluate, eval_command.EXAMPLES),
    ("score", score.score, score.EXAMPLES),
    ("inspect", inspect.inspect, inspect.EXAMPLES),
    ("compare", compare.compare, compare.EXAMPLES),
    ("export", export.export, export.EXAMPLES),
    ("bench", bench.bench, bench.EXAMPLES),
    ("runs", runs.runs, runs.EXAMPLES),
    ("serve", serve.serve, serve.EXAMPLES),
    ("info", info.info, info.EXAMPLES),
):
    _paragraphs = "Examples:\n\n" + _examples.strip().replace("\n", "\n\n")
    _help = paragraphs(_command.__doc__ or "")
    app.command(_name, cls=Command, help=_help, epilog=_paragraphs)(typer_command(_command))


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"lstmgen {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", "-V", callback=_show_version, is_eager=True, help="Show the version and exit."),
    ] = False,
) -> None:
    pass


atexit.register(gc.freeze)  # halves the time to exit, because Python then collects no garbage in torch
os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # read when torch loads: its idle threads spin for 0.5 ms, then sleep


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line. For a problem that the user can fix, write one line to stderr and exit with code 1."""
    if arguments is None:
        restart_in_utf_8()
        arguments = [as_typed(argument) for argument in sys.argv[1:]]
        if reconfigure := getattr(sys.stdin, "reconfigure", None):
            reconfigure(encoding="utf-8", errors="surrogateescape")
    use_readable_size()
    show_colours()
    require_room_for_torch()
    with guarded_streams() as outputs:
        code: str | int | None = 0
        try:
            _run(arguments)
        except SystemExit as ended:
            code = ended.code
        except OutputLostError:
            pass
        missed = exit_code_for(outputs)
        raise SystemExit(code or missed)


def _run(arguments: Sequence[str]) -> None:
    """Run a command; raises SystemExit."""
    try:
        with exit_on_signals():
            app(list(arguments))
    except LstmgenError as error:
        problem = with_options(str(error))
    except Exception as error:
        if memory := out_of_memory(error):
            problem = memory
        elif isinstance(error, OSError):  # not yet explained elsewhere
            problem = ": ".join(str(part) for part in (error.filename, error.strerror or error) if part)
        else:
            raise
    note(message_line(f"lstmgen: {problem}"))
    raise SystemExit(1)
