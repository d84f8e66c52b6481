"""What a network does while it reads a text, as one self-contained web page.

The template, the style sheet and the script lie beside this file. The page loads nothing, and the browser runs no
script but this one: the page names its hash. Data goes in as JSON; the script writes text as text, never as HTML.

Knows: what fills the template. Does not know: how findings are shown or computed; files to write.
"""

from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

import numpy as np

from lstmgen.checkpoint import Checkpoint
from lstmgen.cli.heatmap import name_of, shown
from lstmgen.cli.inspect_sections import gates_section, memory_section, units_section
from lstmgen.cli.render import count
from lstmgen.cli.walk_report import equations
from lstmgen.inspection.findings import Findings
from lstmgen.inspection.walk import walk
from lstmgen.printable import printable
from lstmgen.web_page import fill_page

_SPEEDS = (2, 5, 10, 25)  # symbols a second


def inspect_page(title: str, checkpoint: Checkpoint, data: Mapping[str, Any], findings: Findings) -> str:
    """Return the page.

    Args:
        title: which model reads which text.
        checkpoint: the model.
        data: what `page_data` returned.
        findings: for the sections below the text.
    """
    network, symbol = checkpoint.network, checkpoint.vocabulary.unit
    _, (step,) = walk(checkpoint, np.array(data["text"][:1]))
    lines = [{**line._asdict(), "equation": equation} for line, equation in equations(step)]
    memory_first = sorted(lines, key=lambda line: line["value"] != data["memory"])
    symbols = [{"name": name_of(name), "shown": _shown(name)} for name in data["symbols"]]
    stored, units = len(data["units"]), len(network.cells) * network.hidden_size
    missing = (
        f"Large squares: the {stored:,} of {units:,} units whose gates are on this page: those that track a "
        "feature best. A smaller --length makes room for more."
    )
    sections = (
        units_section(findings.units, symbol),
        gates_section(findings.gates, symbol),
        memory_section(findings.memory, symbol),
    )
    return fill_page(
        "lstmgen.cli",
        "inspect_page",
        ("inspect_values.js", "inspect_page.js"),
        {**data, "symbols": symbols, "lines": lines, "symbol": symbol},
        title=_visible(title),
        network=_visible(f"{network}, {count(network.parameter_count())} parameters"),
        symbol=symbol,
        layers=_numbers(range(1, len(network.cells) + 1)),
        hidden_size=network.hidden_size,
        tracked=_tracked(findings),
        colors=_options({line["value"]: line["name"] for line in memory_first}),
        speeds=_numbers(_SPEEDS),
        last=len(data["text"]) - 1,
        missing=missing if stored < units else "",
        findings="\n".join(sections),
    )


def _visible(text: str) -> str:
    return escape(printable(text, single_line=True))


def _shown(name: str) -> str:
    """Return a symbol as the text shows it: a space is a space."""
    return shown(name) if len(name) == 1 else f"<{name}>"


def _tracked(findings: Findings) -> str:
    """The units of the findings, to choose from."""
    found = [] if isinstance(findings.units, str) else [each.found for each in findings.units.features]
    return _options({"": "–"}) + "".join(_options({str(each.unit): f"{each.feature} ({each.unit})"}) for each in found)


def _numbers(numbers: Iterable[int]) -> str:
    return _options({str(number): str(number) for number in numbers})


def _options(texts: Mapping[str, str]) -> str:
    return "".join(f'<option value="{escape(value)}">{escape(text)}</option>' for value, text in texts.items())
