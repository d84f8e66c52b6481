"""`lstmgen score`: its options, and its tables or JSON."""

import sys
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import typer

from lstmgen.cli.options import (
    ENCODING,
    JSON,
    ON_UNKNOWN,
    QUIET,
    READING_DEVICE,
    THREADS,
    argument,
    checkpoints_and_text,
    engine_on,
    find_model,
    limit_threads,
)
from lstmgen.cli.render import columns_of, note, print_json, put, wrapped
from lstmgen.cli.report import print_facts
from lstmgen.config import Device, OnUnknown, TextConfig, option
from lstmgen.errors import TextError
from lstmgen.printable import message_line, name_of, printable

if TYPE_CHECKING:
    from lstmgen.language_model import LanguageModel
    from lstmgen.text.vocabulary import Ids

Scored = TypeVar("Scored")

EXAMPLES = """
lstmgen score poems-lstm other-poems.txt
echo 'To be or not to be' | lstmgen score
lstmgen score --lines names.txt --separate
lstmgen score --heatmap notes.md
lstmgen score notes.md --html notes.html --length 10000
lstmgen score --characters --json notes.md
"""

PAGE_LENGTH = 50_000
"""How many characters a web page has by default, which keeps it below about 5 MB and fast to display."""

_BLOCK_LENGTH = 1 << 12  # tokens between two updates of the progress bar
_SHOW = "What to show"


def score(
    words: list[str] | None = argument(
        "[CHECKPOINT] [TEXT]",
        "The name or folder of a run, or a checkpoint file; then a text, as for train.",
        "the newest run, and standard input",
    ),
    lines: bool = option(False, "Score every nonempty line; the likeliest first.", panel=_SHOW),
    separate: bool = option(False, "With --lines: read each line by itself, without its context.", panel=_SHOW),
    unranked: bool = option(
        False, "With --lines: keep the order of the text, and write each line as soon as it is scored.", panel=_SHOW
    ),
    characters: bool = option(False, "Score every character, and show what the model expected.", panel=_SHOW),
    heatmap: bool = option(False, "Show the text, coloured by surprisal.", panel=_SHOW),
    html: Path | None = option(
        None, "Write the coloured text to a new web page, which also shows what the model expected.", panel=_SHOW
    ),
    length: int | None = option(
        None,
        "With --characters, --heatmap or --html: only show the first N characters.",
        "--length -n",
        shown_default=f"all; for --html {PAGE_LENGTH:,}",
        panel=_SHOW,
        min=1,
        max=sys.maxsize,
    ),
    encoding: str = ENCODING,
    on_unknown: OnUnknown = ON_UNKNOWN,
    device: Device = READING_DEVICE,
    threads: int | None = THREADS,
    json: bool = JSON,
    quiet: bool = QUIET,
) -> None:
    """How likely is this text? All of it, each line, or each character.

    Surprisal is the negative logarithm of a character's probability given everything before it: 1 bit for one half,
    2 bits for a quarter.

    The model reads the text as one stream and does not predict its first character. A model of lines reads each line
    from its initial state. Memory does not grow with the text, except for ranked lines and very long lines.
    """
    limit_threads(threads)
    checkpoints, text = checkpoints_and_text("score", words or [])
    if len(checkpoints) > 1:
        raise typer.BadParameter("put the model first: lstmgen score poems-lstm mine.txt")
    by_character = characters or heatmap or html is not None
    if sum((lines, characters, heatmap, html is not None)) > 1:
        raise typer.BadParameter("give one of --lines, --characters, --heatmap and --html")
    if (separate or unranked) and not lines:
        raise typer.BadParameter("--separate and --unranked need --lines")
    if length is not None and not by_character:
        raise typer.BadParameter("--length needs --characters, --heatmap or --html")
    if json and (heatmap or html is not None):
        raise typer.BadParameter("--json writes numbers; use it with --characters")
    if text is None and sys.stdin is not None and sys.stdin.isatty():
        raise typer.BadParameter("name a TEXT, or pipe one in")
    from lstmgen.checkpoint import checkpoint_name, load_checkpoint
    from lstmgen.evaluation.own_text import adaptation_notes
    from lstmgen.language_model import LanguageModel
    from lstmgen.text.corpus import open_text
    from lstmgen.text.sources import STANDARD_INPUT

    path = find_model(checkpoints[0], quiet=quiet)
    checkpoint = load_checkpoint(path)
    model = LanguageModel(checkpoint, path, engine_on(device, checkpoint))
    source = STANDARD_INPUT if text is None else text
    config = TextConfig(sources=(source,), encoding=encoding)
    stream = open_text(config, model.vocabulary, on_unknown)
    blocks = _in_parts(stream, f" {model.vocabulary.unit}s", quiet or characters or heatmap or unranked)
    for line in adaptation_notes(model.record):
        note(f"note: {message_line(line)}", quiet=quiet)
    if lines:
        _show_lines(model, blocks, separate=separate, ranked=not unranked, json=json)
    elif characters:
        _show_characters(model, blocks, length, json=json)
    elif heatmap:
        from lstmgen.cli.heatmap import heatmap as coloured

        for part in coloured(islice(_at_least_one(model.score_characters(blocks, alternatives=0)), length)):
            put(part)
    elif html is not None:
        from lstmgen.cli.output import whole_file
        from lstmgen.pages.score import write_score_page

        length = length or PAGE_LENGTH
        with whole_file(html, "html") as file:
            scored = _at_least_one(model.score_characters(blocks))
            cut = write_score_page(file, config.name, checkpoint_name(path), scored, length)
        more = f", with the first {length:,} characters of the text; --length N includes more" if cut else ""
        note(message_line(f"wrote {html}{more}"), quiet=quiet)
    else:
        _show_total(model, blocks, {"checkpoint": str(path), "text": config.name}, json=json)
    if checkpoints == [None] and (lines or by_character):  # otherwise the user or the result names it
        note(message_line(f"model {checkpoint_name(path)}"), quiet=quiet)
    for line in stream.notes:
        note(f"note: {message_line(line)}", quiet=quiet)


def _in_parts(blocks: "Iterable[Ids]", unit: str, quiet: bool) -> "Iterator[Ids]":
    """Yield the same tokens in smaller blocks, with a bar that counts them."""
    from lstmgen.cli.reading_bar import progress_bar

    with progress_bar(quiet=quiet, unit=unit, unit_scale=True) as bar:
        for block in blocks:
            for start in range(0, len(block), _BLOCK_LENGTH):
                part = block[start : start + _BLOCK_LENGTH]
                yield part
                bar.update(len(part))


def _show_total(model: "LanguageModel", blocks: "Iterable[Ids]", about: dict[str, str], *, json: bool) -> None:
    score, unit = model.score_blocks(blocks), model.vocabulary.unit
    if json:
        print_json(about | {"nats": score.nats, "bits": score.bits} | score.to_mapping())
        return
    print_facts(
        {
            **about,
            f"{unit}s": f"{score.characters:,} predicted",
            "surprisal": f"{score.bits:,.1f} bits, {score.nats:,.1f} nats",
            f"bits per {unit}": f"{score.bits_per_character:.4f}",
            f"nats per {unit}": f"{score.nats_per_character:.4f}",
            "perplexity": f"{score.perplexity:.3f}",
            "accuracy": f"{score.accuracy:.1%}",
        }
    )


def _show_lines(model: "LanguageModel", blocks: "Iterable[Ids]", *, separate: bool, ranked: bool, json: bool) -> None:
    scored = _at_least_one(model.score_lines(blocks, separate=separate))
    if ranked:
        scored = iter(sorted(scored, key=lambda line: line.score.nats_per_character))
    put("" if json else f"{f'bits per {model.vocabulary.unit}':>18} {'bits':>9} {'line':>7}\n")
    for line in scored:
        text, score = model.vocabulary.decode(line.ids), line.score
        if json:
            print_json(
                {
                    "line": line.number,
                    "text": text,
                    "characters": score.characters,
                    "nats": score.nats,
                    "bits": score.bits,
                    "bits_per_character": score.bits_per_character,
                }
            )
        else:
            shown = printable(text, single_line=True)
            columns = columns_of(sys.stdout)
            numbers = f"{score.bits_per_character:18.3f} {score.bits:9.1f} {line.number:7}"
            if columns < 2 * len(numbers):
                put(f"{numbers}\n{wrapped(shown, columns, '  ', '  ')}\n")
            else:
                put(wrapped(shown, columns, f"{numbers}  ", " " * (len(numbers) + 2)) + "\n")


def _show_characters(model: "LanguageModel", blocks: "Iterable[Ids]", length: int | None, *, json: bool) -> None:
    scored = _at_least_one(model.score_characters(blocks))
    put("" if json else "  bits  character  expected\n")
    for character in islice(scored, length):
        if json:
            expected = [{"character": e.token, "probability": e.probability} for e in character.expected]
            print_json(
                {
                    "position": character.position,
                    "character": character.text,
                    "nats": character.nats,
                    "bits": character.bits,
                    "expected": expected,
                }
            )
        else:
            bits = f"{character.bits:6.2f}" if character.expected else " given"
            put(f"{bits}  {name_of(character.text):9}  {character.alternatives}".rstrip() + "\n")


def _at_least_one(scored: Iterable[Scored]) -> Iterator[Scored]:
    """Return an iterator over the same items; raises TextError if there are none."""
    scored = iter(scored)
    for first in scored:
        return chain([first], scored)
    raise TextError("the text has nothing to predict; give a text with at least 2 characters")
