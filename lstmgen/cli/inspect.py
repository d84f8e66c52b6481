"""`lstmgen inspect`: a walk, units, gates, memory, or a page with all of it."""

import re
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from lstmgen.cli.options import (
    ENCODING,
    JSON,
    ON_UNKNOWN,
    QUIET,
    THREADS,
    argument,
    checkpoints_and_text,
    find_model,
    limit_threads,
)
from lstmgen.cli.render import note, print_json, put
from lstmgen.config import OnUnknown, option
from lstmgen.errors import ConfigError
from lstmgen.printable import message_line

if TYPE_CHECKING:
    from lstmgen.checkpoint import Checkpoint
    from lstmgen.inspection.walk import Unit
    from lstmgen.report import Part
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
    Units are found by features of the text that they track. They are scored on
    text that was not used to find them, and compared with the network before training.
    """
    limit_threads(threads)
    checkpoints, text = checkpoints_and_text("inspect", words or [])
    choices = {"units": units, "gates": gates, "memory": memory, "html": html is not None}
    chosen = [name for name, given in choices.items() if given]
    if len(checkpoints) > 1:
        raise typer.BadParameter(
            f"{checkpoints[1]}: give one model and one text: lstmgen inspect poems-lstm mine.txt --units"
        )
    if len(chosen) + (walk is not None) != 1:
        raise typer.BadParameter("give one of --walk, --units, --gates, --memory and --html")
    if walk is not None and (text is not None or length is not None):
        raise typer.BadParameter("--walk has its own text; leave out TEXT and --length")
    if unit is not None and (gates or memory):
        raise typer.BadParameter("--unit is for --walk, --units and --html")
    if json and html is not None:
        raise typer.BadParameter("--json is for numbers; leave out --html")
    from lstmgen.checkpoint import checkpoint_name, load_checkpoint
    from lstmgen.cli.output import whole_file
    from lstmgen.cli.reading_bar import progress_bar
    from lstmgen.cli.report import print_report
    from lstmgen.inspection.trace import begun, text_to_read
    from lstmgen.inspection.walk import Unit, check_unit

    path = find_model(checkpoints[0], quiet=quiet)
    taken = "" if checkpoints != [None] else f", read by {checkpoint_name(path)}"
    checkpoint, about = load_checkpoint(path), {"checkpoint": str(path)}
    selected = None
    if unit is not None:
        if not (match := re.fullmatch(r"(\d{1,9})\.(\d{1,9})", unit)):
            raise typer.BadParameter(f"--unit {unit}: give LAYER.UNIT, such as 1.5")
        selected = Unit(int(match[1]), int(match[2]))
        check_unit(checkpoint.network, selected)
    if walk is not None:
        from lstmgen.cli.walk_report import print_walk
        from lstmgen.inspection.report import walk_json
        from lstmgen.inspection.walk import walk as walk_through

        ids = checkpoint.vocabulary.encode(walk, on_unknown=on_unknown)
        if len(ids) == 0:
            raise ConfigError("walk", repr(walk), "give a text of at least one character that the model knows")
        shown, steps = walk_through(checkpoint, ids, selected)
        if json:
            print_json({**about, "walk": walk_json(shown, steps)})
        else:
            print_walk(shown, steps, chosen=selected is not None)
        return
    (choice,) = chosen
    longest = length or _LENGTHS[choice] if html is None else max(length or 0, *_LENGTHS.values())
    read = text_to_read(checkpoint, text, length=longest, encoding=encoding, on_unknown=on_unknown)
    for line in (*read.notes, f"{len(read.ids):,} {checkpoint.vocabulary.unit}s of {read.name}{taken}"):
        note(f"note: {message_line(line)}", quiet=quiet)
    watch = partial(progress_bar, quiet=quiet, desc="visible")
    if html is not None:
        from lstmgen.inspection.page import page_data
        from lstmgen.inspection.report import find_all
        from lstmgen.pages.inspect import inspect_page

        with whole_file(html, "html") as file:
            findings = find_all(checkpoint, read.ids, watch)
            first = ([] if selected is None else [selected]) + findings.tracking_units()
            data = page_data(checkpoint, begun(read.ids[: length or _PAGE_LENGTH], checkpoint.end_token), first)
            title = f"{checkpoint_name(path)} reads {read.name}"
            file.write(inspect_page(title, checkpoint, data, findings).encode())
        facts = f"the page is {html}, with {len(data['text']):,} {checkpoint.vocabulary.unit}s"
        note(message_line(facts), quiet=quiet)
        return
    fields, parts, coloured = _findings(checkpoint, read.ids, choice, selected, watch)
    if json:
        print_json({**about, "text": read.name, **fields})
        return
    print_report(parts)
    for part in coloured:
        put(part)


def _findings(
    checkpoint: "Checkpoint", ids: "Ids", choice: str, unit: "Unit | None", watch: Callable[..., Iterable[int]]
) -> "tuple[dict[str, Any], list[Part], Iterable[str]]":
    """Units, gates or memory: as fields of JSON and as a report, which the text may follow in colours."""
    from lstmgen.cli.heatmap import unit_text
    from lstmgen.inspection import report
    from lstmgen.inspection.gates import gate_uses
    from lstmgen.inspection.memory import measure_memory
    from lstmgen.inspection.trace import traces
    from lstmgen.inspection.units import find_units

    token = checkpoint.vocabulary.unit
    if choice == "units":
        units, names = find_units(checkpoint, ids), checkpoint.vocabulary.token_names()
        coloured = unit_text(units, [names[number] for number in ids], unit)
        return report.units_json(units), report.units_report(units, token), coloured
    if choice == "gates":
        uses = gate_uses(traces(checkpoint.network, checkpoint.weights, ids, end_token=checkpoint.end_token))
        return report.gates_json(uses), report.gates_report(uses, token), ()
    memory = measure_memory(checkpoint, ids, watch)
    return report.memory_json(memory), report.memory_report(memory, token), ()
