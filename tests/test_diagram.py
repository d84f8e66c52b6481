"""The pictures of the cells: drawn from the equations, complete, and tidy."""

import runpy
import xml.etree.ElementTree as ET
from itertools import combinations
from pathlib import Path

import pytest

from lstmgen.cells import Cell, build_cell
from lstmgen.cells.lstm import LSTMCell
from lstmgen.config import CellKind, ModelConfig, Peephole
from lstmgen.errors import ConfigError
from lstmgen.inspection import walk
from lstmgen.inspection.walk import Line
from lstmgen.pages.diagram import draw_attention, draw_cell, draw_chain
from lstmgen.pages.svg import standalone
from tests.browser import Browser
from tests.conftest import CELLS

FOLDER = Path(__file__).parent.parent / "docs"
SVG = "{http://www.w3.org/2000/svg}"
FORMS = CELLS | {
    f"peephole-{'-'.join(some)}": ModelConfig(cell=CellKind.PEEPHOLE, peepholes=some)
    for size in (1, 2, 3)
    for some in combinations(Peephole, size)
}
"""Every cell with every choice."""

PICTURES = {
    **{name: draw_cell(build_cell(config, 1)) for name, config in FORMS.items()},
    **{f"chain-{name}": draw_chain(build_cell(CELLS[name], 1), "the") for name in ("rnn", "lstm")},
    "attention": draw_attention(),
}


def parsed(picture: str) -> ET.Element:
    return ET.fromstring(standalone(picture))


def texts(svg: ET.Element) -> list[str]:
    return [text.text or "" for text in svg.iter(f"{SVG}text")]


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_has_a_name_and_a_description(name: str) -> None:
    svg = parsed(PICTURES[name])
    title, description = (svg.find(f"{SVG}{tag}") for tag in ("title", "desc"))
    assert title is not None and title.text and description is not None and description.text
    assert svg.attrib["aria-labelledby"].split() == [title.attrib["id"], description.attrib["id"]]


@pytest.mark.parametrize("name", FORMS)
def test_a_picture_names_each_gate_of_its_cell_once(name: str) -> None:
    cell, svg = build_cell(FORMS[name], 1), parsed(PICTURES[name])
    gates = [group for group in svg.iter(f"{SVG}g") if group.attrib.get("class", "").startswith("gate")]
    assert len(gates) == len(cell.gate_names)
    for gate in cell.gate_names:
        assert texts(svg).count(gate) == 1
    described = svg.findtext(f"{SVG}desc") or ""
    for group in gates:
        assert (group.findtext(f"{SVG}title") or "?").split(": ")[1] in described


@pytest.mark.parametrize("name", FORMS)
def test_a_picture_has_the_peepholes_of_its_cell_and_no_others(name: str) -> None:
    peepholes = getattr(build_cell(FORMS[name], 1), "peepholes", ())
    svg = parsed(PICTURES[name])
    assert sum("peephole" in group.attrib.get("class", "") for group in svg.iter(f"{SVG}g")) == len(peepholes)
    assert texts(svg).count("p c'") == ("output" in peepholes)


@pytest.mark.parametrize("name", PICTURES)
def test_every_arrow_ends_at_a_box_or_leaves_the_picture(name: str) -> None:
    svg = parsed(PICTURES[name])
    edges = set()
    for box in svg.iter(f"{SVG}rect"):
        x, y, width, height = (float(box.attrib[key]) for key in ("x", "y", "width", "height"))
        edges |= {(x, y + height / 2), (x + width, y + height / 2), (x + width / 2, y), (x + width / 2, y + height)}
        if box.attrib.get("class") == "body":  # the state enters the boxes of a chain at two heights
            edges |= {(x, y + height * part) for part in (28 / 92, 64 / 92)}
    for circle in svg.iter(f"{SVG}ellipse"):
        x, y, rx, ry = (float(circle.attrib[key]) for key in ("cx", "cy", "rx", "ry"))
        edges |= {(x - rx, y), (x + rx, y), (x, y - ry), (x, y + ry)}
    heads = [head.attrib["points"].split()[0].split(",") for head in svg.iter(f"{SVG}polygon")]
    assert heads
    for x, y in (map(float, head) for head in heads):
        outside = x == float(svg.attrib["width"]) or y < 30
        assert outside or any(abs(x - a) + abs(y - b) < 0.01 for a, b in edges), (x, y)


def test_the_files_are_what_the_cells_are_now(tmp_path: Path) -> None:
    main = runpy.run_path(str(FOLDER / "make_pictures.py"))["main"]
    main.__globals__["FOLDER"] = tmp_path
    main()
    made, kept = (
        {file.name: file.read_text(encoding="utf-8") for file in folder.iterdir()}
        for folder in (tmp_path, FOLDER / "pictures")
    )
    assert made == kept, "python docs/make_pictures.py makes them again"
    learn = (FOLDER / "LEARN.md").read_text(encoding="utf-8")
    assert all(f"(pictures/{name})" in learn for name in made)


# In a browser


def test_no_label_lies_on_another(window: Browser, tmp_path: Path) -> None:
    """Check the layout again with a number of typical length on each wire."""
    for name, picture in PICTURES.items():
        file = tmp_path / f"{name}.svg"
        file.write_text(standalone(picture), encoding="utf-8")
        window.open(file)
        found = window.run("""
            const shown = [...document.querySelectorAll("text")];
            for (const text of shown) if (text.matches(".live")) text.textContent = "\\u22120.00";
            return shown.map((text) => {
                const { x, y, width, height } = text.getBBox();
                return [text.textContent, x, y + height / 4, x + width, y + height * 0.8];
            });
        """)
        for (text, *one), (other, *two) in combinations(found, 2):
            apart = one[2] <= two[0] or two[2] <= one[0] or one[3] <= two[1] or two[3] <= one[1]
            assert apart, f"{name}: {text} {one} and {other} {two}"
        width, height = window.run(
            "const box = document.documentElement.viewBox.baseVal; return [box.width, box.height]"
        )
        assert all(x >= 0 and right <= width and bottom <= height for _, x, _, right, bottom in found), name


# Other cells


class OtherCell(LSTMCell):
    """The LSTM of 1997, without a forget gate; `CELLS` does not have it."""

    @property
    def gate_names(self) -> tuple[str, ...]:
        return ("input", "candidate", "output")


def described(monkeypatch: pytest.MonkeyPatch, memory: str = "c + i g", output: str = "o tanh(c')") -> Cell:
    """This cell with equations."""
    lines = ("input", "i", "σ"), ("candidate", "g", "tanh"), ("output", "o", "σ")
    shown = [Line(value, value, letter, equation, "", value) for value, letter, equation in lines]
    shown.append(Line("cell", "cell state", "c'", memory, "", "update"))
    shown.append(Line("hidden", "output", "h'", output, "", "output"))
    monkeypatch.setattr(walk, "EQUATIONS", {("input", "candidate", "output"): tuple(shown)})
    return OtherCell(1, 1)


@pytest.mark.parametrize("output", ["o tanh(c')", "tanh(c') o", "o c'"])
def test_a_new_cell_is_drawn_from_its_equations(output: str, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = texts(parsed(draw_cell(described(monkeypatch, output=output))))
    assert [shown.count(text) for text in ("i", "g", "o", "×", "+", "1\N{MINUS SIGN}")] == [1, 1, 1, 2, 1, 0]
    assert shown.count("tanh") == 1 + ("tanh" in output)


@pytest.mark.parametrize(
    "equation",
    [
        "c + i g g",
        "c - i g",
        "max(c, g)",
        "c +",
        "c + k g",
        "(1 - i) c + g",
        "c + g",
        "i g",
        "c + i (1 - g)",
        "o c + i g",
    ],
)
def test_equations_that_no_rule_places_are_named(equation: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"pages/diagram\.py places [cigo]'? = "):
        draw_cell(described(monkeypatch, equation))
    with pytest.raises(ConfigError, match=r"places h' = "):
        draw_cell(described(monkeypatch, output="o tanh(h)"))


def test_a_cell_without_equations_says_so() -> None:
    with pytest.raises(ConfigError, match="add them to EQUATIONS"):
        draw_cell(OtherCell(1, 1))
