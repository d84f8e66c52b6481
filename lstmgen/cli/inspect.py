"""`lstmgen inspect`: a walk, units, gates, memory, or a page with all of it."""

import re
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from lstmgen.cli.options import (
    ENCODING,
    JSON,
    ON_UNKNOWN,
    QUIET,
    THREADS,
    argument,
    checkpoints_and_text,
    limit_threads,
)
from lstmgen.cli.render import note, print_json, put
from lstmgen.config import OnUnknown, option
from lstmgen.errors import ConfigError
from lstmgen.printable import message_line

if TYPE_CHECKING:
    from lstmgen.checkpoint import Checkpoint
    from lstmgen.evaluation.own_text import NamedText
    from lstmgen.inspection.walk import Unit
    from lstmgen.text.vocabulary import Ids

EXAMPLES = """
lstmgen inspect --walk "The sea"
lstmgen inspect poems-gru --walk "The sea" --unit 1.17
lstmgen inspect poems-lstm --units
lstmgen inspect poems-lstm notes.md --gates --json
lstmgen inspect --memory
lstmgen inspect poems-lstm --html poems.html
"""

_SHOW = "What is shown"
_LENGTHS = {"units": 20_000, "gates": 10_000, "memory": 20_000}
"""How many characters are read, if the user does not say."""

_PAGE_LENGTH = 2000  # characters that --html shows


def inspect(
    words: list[str] | None = argument(
        "[CHECKPOINT] [TEXT]",
        "The name or the folder of a run, or a checkpoint file; and a text, as for train.",
        "the newest run, and the text that its training held out",
    ),
    walk: str | None = option(None, "Walk through these characters with one unit, gate by gate.", panel=_SHOW),
    units: bool = option(False, "Find units that track something: quotes, lines, words.", panel=_SHOW),
    gates: bool = option(False, "How often each gate is nearly open or shut; half-lives.", panel=_SHOW),
    memory: bool = option(False, "How far back it looks: loss and gradient by distance.", panel=_SHOW),
    html: Path | None = option(None, "Write all of it to a new web page, which plays through the text.", panel=_SHOW),
    unit: str | None = option(
        None,
        "With --walk, --units or --html: the unit to show, both numbers from 1.",
        shown_default="the one that varies most; for --units and --html the one that training changed most",
        panel=_SHOW,
        metavar="LAYER.UNIT",
    ),
    length: int | None = option(
        None,
        "How many characters of TEXT to read.",
        "--length -n",
        shown_default=f"20,000; for --gates 10,000; --html shows {_PAGE_LENGTH:,}",
        panel=_SHOW,
        min=1,
    ),
    encoding: str = ENCODING,
    on_unknown: OnUnknown = ON_UNKNOWN,
    threads: int | None = THREADS,
    json: bool = JSON,
    quiet: bool = QUIET,
) -> None:
    """See what the gates, cell states and attention do while a network reads.

    A walk explains each step of one unit: its equations, with their numbers.
    Units are found by features of the text that they track. The score is that of
    text that was not used to find them, beside the same network before training.
    """
    limit_threads(threads)
    checkpoints, text = checkpoints_and_text("inspect", words or [])
    choices = {"units": units, "gates": gates, "memory": memory, "html": html is not None}
    chosen = [name for name, given in choices.items() if given]
    if len(checkpoints) > 1:
        raise typer.BadParameter("give one CHECKPOINT and one TEXT")
    if len(chosen) + (walk is not None) != 1:
        raise typer.BadParameter("give one of --walk, --units, --gates, --memory and --html")
    if walk is not None and (text is not None or length is not None):
        raise typer.BadParameter("--walk has its own text; leave out TEXT and --length")
    if unit is not None and (gates or memory):
        raise typer.BadParameter("--unit is for --walk, --units and --html")
    if json and html is not None:
        raise typer.BadParameter("--json is for numbers; leave out --html")
    from lstmgen.checkpoint import find_checkpoint, load_checkpoint
    from lstmgen.inspection.trace import text_to_read

    path = find_checkpoint(checkpoints[0])
    checkpoint = load_checkpoint(path)
    selected = None if unit is None else _parse_unit(unit, checkpoint)
    about = {"checkpoint": str(path)}
    if walk is not None:
        _walk(checkpoint, walk, selected, on_unknown, about, json=json)
        return
    (choice,) = chosen
    longest = length or _LENGTHS[choice] if html is None else max(length or 0, *_LENGTHS.values())
    read = text_to_read(checkpoint, text, length=longest, encoding=encoding, on_unknown=on_unknown)
    for line in (*read.notes, f"{len(read.ids):,} {checkpoint.vocabulary.unit}s of {read.name}"):
        note(f"note: {message_line(line)}", quiet=quiet)
    if html is not None:
        _page(checkpoint, path, read, length or _PAGE_LENGTH, selected, html, quiet=quiet)
        return
    about["text"] = read.name
    _findings(checkpoint, read.ids, choice, selected, about, json=json, quiet=quiet)


def _parse_unit(text: str, checkpoint: "Checkpoint") -> "Unit":
    from lstmgen.inspection.walk import Unit, check_unit

    if not (match := re.fullmatch(r"(\d{1,9})\.(\d{1,9})", text)):
        raise typer.BadParameter(f"--unit {text}: give LAYER.UNIT, such as 1.5")
    unit = Unit(int(match[1]), int(match[2]))
    check_unit(checkpoint.network, unit)
    return unit


def _walk(
    checkpoint: "Checkpoint",
    text: str,
    unit: "Unit | None",
    on_unknown: OnUnknown,
    about: dict[str, str],
    *,
    json: bool,
) -> None:
    from lstmgen.cli.walk_report import print_walk
    from lstmgen.inspection.report import walk_json
    from lstmgen.inspection.walk import walk

    ids = checkpoint.vocabulary.encode(text, on_unknown=on_unknown)
    if len(ids) == 0:
        raise ConfigError("walk", repr(text), "give a text of at least one character that the model knows")
    shown, steps = walk(checkpoint, ids, unit)
    if json:
        print_json({**about, "walk": walk_json(shown, steps)})
    else:
        print_walk(shown, steps, chosen=unit is not None)


def _findings(
    checkpoint: "Checkpoint",
    ids: "Ids",
    choice: str,
    unit: "Unit | None",
    about: dict[str, str],
    *,
    json: bool,
    quiet: bool,
) -> None:
    """Show units, gates or memory."""
    from lstmgen.cli.heatmap import unit_text
    from lstmgen.cli.report import print_report
    from lstmgen.inspection import report
    from lstmgen.inspection.gates import gate_uses
    from lstmgen.inspection.memory import measure_memory
    from lstmgen.inspection.trace import traces
    from lstmgen.inspection.units import find_units

    token = checkpoint.vocabulary.unit
    coloured: Iterable[str] = ()
    if choice == "units":
        units = find_units(checkpoint, ids)
        fields, parts = report.units_json(units), report.units_report(units, token)
        names = checkpoint.vocabulary.token_names()
        coloured = unit_text(units, [names[number] for number in ids], unit)
    elif choice == "gates":
        uses = gate_uses(traces(checkpoint.network, checkpoint.weights, ids, end_token=checkpoint.end_token))
        fields, parts = report.gates_json(uses), report.gates_report(uses, token)
    else:
        memory = measure_memory(checkpoint, ids, _with_bar(quiet))
        fields, parts = report.memory_json(memory), report.memory_report(memory, token)
    if json:
        print_json({**about, **fields})
        return
    print_report(parts)
    for text in coloured:
        put(text)


def _with_bar(quiet: bool) -> Callable[[Sequence[int]], Iterable[int]]:
    """Return what shows the progress of `measure_memory`."""
    from tqdm import tqdm

    disable = quiet or not sys.stderr.isatty()
    return lambda visible: tqdm(visible, desc="visible", leave=False, disable=disable)


def _page(
    checkpoint: "Checkpoint",
    path: Path,
    read: "NamedText",
    length: int,
    unit: "Unit | None",
    page: Path,
    *,
    quiet: bool,
) -> None:
    """Write the page; it shows the first `length` tokens, and the findings are those of all that was read."""
    from lstmgen.checkpoint import checkpoint_name
    from lstmgen.cli.output import whole_file
    from lstmgen.inspection.page import page_data
    from lstmgen.inspection.report import find_all
    from lstmgen.inspection.trace import begun
    from lstmgen.pages.inspect import inspect_page

    with whole_file(page, "html") as file:
        findings = find_all(checkpoint, read.ids, _with_bar(quiet))
        first = ([] if unit is None else [unit]) + findings.tracking_units()
        ids = begun(read.ids[:length], checkpoint.end_token)
        data = page_data(checkpoint, ids, first)
        title = f"{checkpoint_name(path)} reads {read.name}"
        file.write(inspect_page(title, checkpoint, data, findings).encode())
    facts = f"the page is {page}, with {len(data['text']):,} {checkpoint.vocabulary.unit}s"
    note(message_line(facts), quiet=quiet)
