"""`lstmgen inspect`: a walk, units, gates, memory, or a page with all of it."""

import re
from collections.abc import Callable, Iterable, Sequence
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
from lstmgen.cli.render import note, plural, print_json, put
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
lstmgen inspect poems-lstm poems-gru --memory
lstmgen inspect poems-lstm --html poems.html
"""

_SHOW = "What to show"
_LENGTHS = {"units": 20_000, "gates": 10_000, "memory": 20_000}
"""How many characters to read by default."""

_PAGE_LENGTH = 2000  # characters that --html shows


def inspect(
    words: list[str] | None = argument(
        "[CHECKPOINT]... [TEXT]",
        "The name or folder of a run, or a checkpoint file; several for --memory and --html. Then a text, as for "
        "train.",
        "the newest run, and the text that its training held out",
    ),
    walk: str | None = option(None, "Walk through these characters with one unit, gate by gate.", panel=_SHOW),
    units: bool = option(False, "Find units that track something: quotes, lines, words.", panel=_SHOW),
    gates: bool = option(False, "Show how often each gate is nearly open or shut, and half-lives.", panel=_SHOW),
    memory: bool = option(False, "Measure in four ways how far back it looks.", panel=_SHOW),
    html: Path | None = option(
        None, "Write a new web page on which the networks run: cells, units, influence, lesions.", panel=_SHOW
    ),
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

    A walk explains each step of one unit: its equations with their numbers.
    Units are scored on text that did not help to find them, and compared with the
    same network before training.
    """
    limit_threads(threads)
    references, text = checkpoints_and_text("inspect", words or [])
    choices = {"units": units, "gates": gates, "memory": memory, "html": html is not None}
    chosen = [name for name, given in choices.items() if given]
    if len(chosen) + (walk is not None) != 1:
        raise typer.BadParameter("give one of --walk, --units, --gates, --memory and --html")
    if len(references) > 1 and not (memory or html):
        raise typer.BadParameter(
            f"{references[1]}: only --memory and --html take several models; otherwise give one model and one text: "
            "lstmgen inspect poems-lstm mine.txt --units"
        )
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
    from lstmgen.inspection.trace import begun, texts_to_read
    from lstmgen.inspection.walk import Unit, check_unit

    paths = list(dict.fromkeys(find_model(reference, quiet=quiet) for reference in references))
    models = [(checkpoint_name(path), load_checkpoint(path)) for path in paths]
    (_, checkpoint), about = models[0], {"checkpoint": str(paths[0])}
    selected = None
    if unit is not None:
        if not (match := re.fullmatch(r"(\d{1,9})\.(\d{1,9})", unit)):
            raise typer.BadParameter(f"--unit {unit}: give LAYER.UNIT, such as 1.5")
        selected = Unit(int(match[1]), int(match[2]))
        for _, each in models:
            check_unit(each.network, selected)
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
    texts = texts_to_read(models, text, length=longest, encoding=encoding, on_unknown=on_unknown)
    read, tokens = texts[0], [begun(own.ids, each.end_token) for (_, each), own in zip(models, texts, strict=True)]
    readers = f", read by {', '.join(name for name, _ in models)}" if references == [None] or len(models) > 1 else ""
    notes = [*read.notes, f"{plural(len(read.ids), checkpoint.vocabulary.unit)} of {read.name}{readers}"]
    if others := [name for name, each in models if each.vocabulary.unit != checkpoint.vocabulary.unit]:
        notes.append(f"distances and losses are in {checkpoint.vocabulary.unit}s, except for {', '.join(others)}")
    for line in notes:
        note(f"note: {message_line(line)}", quiet=quiet)
    watch = partial(progress_bar, quiet=quiet)
    if html is not None:
        from lstmgen.inspection.report import find_all
        from lstmgen.pages.inspect import inspect_page

        with whole_file(html, "html") as file:
            findings = [find_all(each, own, watch) for (_, each), own in zip(models, tokens, strict=True)]
            begins = [own.ids[: length or _PAGE_LENGTH] for own in texts]
            title = f"{', '.join(name for name, _ in models)} read{'s' if len(models) == 1 else ''} {read.name}"
            file.write(inspect_page(title, models, begins, findings, selected).encode())
        facts = f"wrote {html}, with {plural(len(begins[0]), checkpoint.vocabulary.unit)}; open it in a browser"
        note(message_line(facts), quiet=quiet)
        return
    coloured: Iterable[str] = ()
    if memory:
        fields, parts = _memory(list(map(str, paths)), models, tokens, watch)
    else:
        fields, parts, coloured = _findings(checkpoint, tokens[0], choice, selected)
    if json:
        print_json({**about, "text": read.name, **fields})
        return
    print_report(parts)
    for part in coloured:
        put(part)


def _findings(
    checkpoint: "Checkpoint", ids: "Ids", choice: str, unit: "Unit | None"
) -> "tuple[dict[str, Any], list[Part], Iterable[str]]":
    """Units or gates, as JSON fields and as a report; for units, the coloured text follows."""
    from lstmgen.cli.heatmap import unit_text
    from lstmgen.inspection import report
    from lstmgen.inspection.gates import gate_uses
    from lstmgen.inspection.trace import traces
    from lstmgen.inspection.units import find_units

    token = checkpoint.vocabulary.unit
    if choice == "units":
        units, names = find_units(checkpoint, ids), checkpoint.vocabulary.token_names()
        coloured = unit_text(units, [names[number] for number in ids], unit)
        return report.units_json(units), report.units_report(units, token), coloured
    uses = gate_uses(traces(checkpoint.network, checkpoint.weights, ids, end_token=checkpoint.end_token))
    return report.gates_json(uses), report.gates_report(uses, token), ()


def _memory(
    files: Sequence[str], models: "Sequence[tuple[str, Checkpoint]]", texts: "Sequence[Ids]", watch: Callable[..., Any]
) -> "tuple[dict[str, Any], list[Part]]":
    """How far back networks look, as JSON fields and as a report."""
    from lstmgen.inspection.memory import measure_memory
    from lstmgen.inspection.report import memories_report, memory_json, one_memory_json

    size = max(checkpoint.network.layer_parameter_count() for _, checkpoint in models)
    memories = {
        name: measure_memory(checkpoint, ids, partial(watch, desc=f"memory of {name}"), size=size)
        for (name, checkpoint), ids in zip(models, texts, strict=True)
    }
    networks = [
        {"checkpoint": file, **memory_json(memory)} for file, memory in zip(files, memories.values(), strict=True)
    ]
    (first, *others), token = memories.values(), models[0][1].vocabulary.unit
    if others:
        return {"networks": networks}, memories_report(memories, token)
    return {**one_memory_json(first), "networks": networks}, memories_report({"": first}, token)
