"""What a network does while it reads a text."""

from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

from lstmgen.checkpoint import Checkpoint
from lstmgen.inspection.report import Findings, gates_report, memory_report, units_report
from lstmgen.inspection.walk import formula, lines_of, sums
from lstmgen.pages.diagram import draw_attention, draw_cell
from lstmgen.pages.page import fill_page, visible
from lstmgen.pages.sections import section
from lstmgen.printable import count, name_of, shown

_SPEEDS = (2, 5, 10, 25)  # tokens a second


def inspect_page(title: str, checkpoint: Checkpoint, data: Mapping[str, Any], findings: Findings) -> str:
    """Return the page.

    Args:
        title: which model reads which text.
        checkpoint: the model.
        data: what `page_data` returned.
        findings: for the sections below the text.
    """
    network, token = checkpoint.network, checkpoint.vocabulary.unit
    cell = network.cells[0]
    lines = [{**line._asdict(), "equation": formula(line, sums(cell))} for line in lines_of(cell.gate_names)]
    memory_first = sorted(lines, key=lambda line: line["value"] != data["memory"])
    tokens = [{"name": name_of(name), "shown": _shown(name)} for name in data["tokens"]]
    stored, units = len(data["units"]), len(network.cells) * network.hidden_size
    units_found, memory = findings.units, findings.memory  # a text instead is the reason why there is nothing
    sections = {
        "Units that track something": [f"Not searched: {units_found}."]
        if isinstance(units_found, str)
        else units_report(units_found, token),
        "Gates": gates_report(findings.gates, token),
        "How far back it looks": [f"Not measured: {memory}."]
        if isinstance(memory, str)
        else memory_report(memory, token),
    }
    return fill_page(
        "inspect",
        title,
        {**data, "tokens": tokens, "lines": lines, "token": token},
        ("inspect_values.js", "inspect_cell.js", "inspect.js"),
        ("diagram.css",),
        diagram=draw_cell(cell),
        attention=draw_attention() if network.attention else "",
        network=visible(f"{network}, {count(network.parameter_count())} parameters"),
        token=token,
        layers=_numbers(range(1, len(network.cells) + 1)),
        hidden_size=network.hidden_size,
        tracked=_tracked(findings),
        colors=_options({line["value"]: line["name"] for line in memory_first}),
        speeds=_numbers(_SPEEDS),
        last=len(data["text"]) - 1,
        stored=f"{stored:,}",
        units=f"{units:,}",
        hidden="" if stored < units else " hidden",
        findings="\n".join(section(title, parts) for title, parts in sections.items()),
    )


def _shown(name: str) -> str:
    """Return a token as the text shows it: a space is a space."""
    return shown(name) if len(name) == 1 else f"<{name}>"


def _tracked(findings: Findings) -> str:
    """The units of the findings, to choose from."""
    found = [] if isinstance(findings.units, str) else [each.found for each in findings.units.features]
    return _options({"": "–"}) + "".join(_options({str(each.unit): f"{each.feature} ({each.unit})"}) for each in found)


def _numbers(numbers: Iterable[int]) -> str:
    return _options({str(number): str(number) for number in numbers})


def _options(texts: Mapping[str, str]) -> str:
    return "".join(f'<option value="{escape(value)}">{escape(text)}</option>' for value, text in texts.items())
