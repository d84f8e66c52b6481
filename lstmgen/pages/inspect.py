"""A page that runs networks in the browser and shows what they do as they read a text."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from lstmgen.checkpoint import Checkpoint
from lstmgen.config import VocabularyKind
from lstmgen.inspection.report import Findings, gates_report, memory_report, units_report
from lstmgen.inspection.trace import begun, trace
from lstmgen.inspection.walk import Unit, formula, lines_of, most_varied_units, sums
from lstmgen.network.rounding import Rounding
from lstmgen.pages.diagram import draw_attention, draw_cell
from lstmgen.pages.network import network_data
from lstmgen.pages.page import fill, fill_page, visible
from lstmgen.pages.sections import section
from lstmgen.printable import count, printable
from lstmgen.text.vocabulary import Ids

_SCRIPTS = (
    "engine vocabulary sampling work reading unit lesions influence likeness panel inspect_text walk unit_map "
    "other_text inspect"
)
_SPEEDS, _LENGTHS = (2, 5, 10, 25), (50, 200, 1000)  # characters per second; characters for a network to write
_MAX_EXACT = 1_500_000
"""If the networks of a page have more weights than this, all weights are stored in 8 bits, otherwise in 16."""


def inspect_page(
    title: str,
    models: Sequence[tuple[str, Checkpoint]],
    texts: Sequence[Ids],
    findings: Sequence[Findings],
    unit: Unit | None = None,
) -> str:
    """Return the page.

    Args:
        title: which models read which text.
        models: the models with their names.
        texts: the same text, (tokens,), in the tokens of each model; each knows all of it.
        findings: the findings for each model, for the sections below the text.
        unit: the unit to show first, in each model; by default one that tracks something.
    """
    weights = sum(checkpoint.network.parameter_count() for _, checkpoint in models)
    rounding = Rounding.FLOAT16 if weights <= _MAX_EXACT else Rounding.INT8
    networks, panels, sections = [], [], []
    for number, ((name, checkpoint), ids, found) in enumerate(zip(models, texts, findings, strict=True)):
        first = unit or (found.tracking_units() or _varied(checkpoint, ids))[0]
        called = {"name": printable(name, single_line=True), "unit": first}
        networks.append(called | _network(checkpoint, found, rounding))
        panels.append(_panel(number, name, checkpoint))
        below = "\n".join(section(title, parts) for title, parts in _sections(checkpoint, found).items())
        heading = f"<h2>{visible(name)}</h2>\n" if len(models) > 1 else ""
        sections.append(f'<div class="found" data-network="{number}">\n{heading}{below}\n</div>')
    several = len(models) > 1
    return fill_page(
        "inspect",
        title,
        {"text": shared_text(models, texts[0]), "networks": networks},
        [f"{name}.js" for name in _SCRIPTS.split()],
        ("diagram.css",),
        arrangement="several" if several else "one",
        several="" if several else " hidden",
        networks=_options({str(number): name for number, (name, _) in enumerate(models)}),
        speeds=_numbers(_SPEEDS),
        lengths=_numbers(_LENGTHS),
        panels="\n".join(panels),
        rounding="16 bits" if rounding is Rounding.FLOAT16 else "8 bits",
        findings="\n".join(sections),
    )


def shared_text(models: Sequence[tuple[str, Checkpoint]], ids: Ids) -> str:
    """The text that the first model reads as these ids.

    A lone surrogate represents each byte that is not UTF-8; it is left out if any model reads characters.
    """
    in_bytes = all(checkpoint.vocabulary.kind is VocabularyKind.BYTES for _, checkpoint in models)
    return models[0][1].vocabulary.to_bytes(ids).decode("utf-8", "surrogateescape" if in_bytes else "ignore")


def _network(checkpoint: Checkpoint, findings: Findings, rounding: Rounding) -> dict[str, Any]:
    """Return what the scripts need to know about a network, ready for JSON.

    Returns:
        What `network_data` returns, and by name:

            hidden_size   units in each layer
            memory        the name of the state that holds the memory: `cell`, or `hidden` for GRU and RNN
            lines         the lines of `inspection/walk.py`, with the `terms` of the sum inside each gate
            tracked       pairs of a unit that tracks a feature and its label
    """
    cell = checkpoint.network.cells[0]
    terms = sums(cell)
    features = [] if isinstance(findings.units, str) else [each.found for each in findings.units.features]
    return network_data(checkpoint, rounding) | {
        "hidden_size": checkpoint.network.hidden_size,
        "memory": cell.state_type._fields[-1],
        "lines": [
            {**line._asdict(), "equation": formula(line, terms), "terms": terms.get(line.value)}
            for line in lines_of(cell.gate_names)
        ],
        "tracked": [(str(each.unit), f"{each.feature} ({each.unit})") for each in features],
    }


def _panel(number: int, name: str, checkpoint: Checkpoint) -> str:
    network = checkpoint.network
    return fill(
        "inspect_network",
        number=number,
        name=visible(name),
        about=visible(f"{network}, {count(network.parameter_count())} parameters"),
        diagram=draw_cell(network.cells[0], f"cell-{number}"),
        attention=draw_attention(f"attention-{number}") if network.attention else "",
    )


def _sections(checkpoint: Checkpoint, findings: Findings) -> dict[str, Any]:
    """The sections below the text, by title. A finding that is a string says why there is none."""
    token, units, memory = checkpoint.vocabulary.unit, findings.units, findings.memory
    return {
        "Units that track something": [f"Not searched: {units}."]
        if isinstance(units, str)
        else units_report(units, token),
        "Gates": gates_report(findings.gates, token),
        "How far back it looks": [f"Not measured: {memory}."]
        if isinstance(memory, str)
        else memory_report(memory, token),
    }


def _varied(checkpoint: Checkpoint, ids: Ids) -> list[Unit]:
    """The units of a short text, those that vary most first."""
    ids = begun(ids, checkpoint.end_token)
    return most_varied_units(trace(checkpoint.network, checkpoint.weights, ids, end_token=checkpoint.end_token))


def _numbers(numbers: Iterable[int]) -> str:
    return _options({str(number): f"{number:,}" for number in numbers})


def _options(texts: Mapping[str, str]) -> str:
    return "".join(f'<option value="{escape(value)}">{visible(text)}</option>' for value, text in texts.items())
