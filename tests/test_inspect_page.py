"""`lstmgen inspect --html`: the page as text, and in a browser."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lstmgen.inspection.trace import Trace, trace
from lstmgen.inspection.walk import Unit, terms
from lstmgen.language_model import load
from lstmgen.printable import printable
from lstmgen.text.vocabulary import Ids
from tests.browser import HOSTILE, Browser, assert_self_contained
from tests.command_line import done, untrained_run, usage_error
from tests.conftest import CELLS, FABLE, form

SHOWN = ("rnn", "lstm", "peephole", "coupled", "gru-after", "gru-before")
RIGHT, LEFT, HOME, END = "\ue014", "\ue012", "\ue011", "\ue010"


def data_of(page: str) -> Any:
    """What the scripts of a page find as JSON."""
    return json.loads(re.findall(r'id="data">(.*?)</script>', page)[0])


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run of each cell, untrained, and a text; and a run and a text of characters that would like to do harm."""
    monkeypatch.chdir(tmp_path)
    Path("fable.txt").write_text(FABLE * 10, encoding="utf-8")
    for name in SHOWN:
        untrained_run(name, "".join(sorted(set(FABLE))), **form(CELLS[name]), num_layers=2, attention=3)
    untrained_run("hostile", "".join(sorted(set(HOSTILE))), attention=2)
    Path("a<b>&amp;.txt").write_text(HOSTILE, encoding="utf-8", newline="")
    return tmp_path


# As text


@pytest.mark.usefixtures("folder")
def test_a_page_escapes_everything_and_asks_for_nothing() -> None:
    err = done("inspect", "hostile", "a<b>&amp;.txt", "--html", "page.html").err
    assert "page.html" in err and str(len(HOSTILE)) in err
    text = Path("page.html").read_text(encoding="utf-8")
    assert_self_contained(text)
    data = data_of(text)
    shown = "".join(data["tokens"][number]["shown"] for number in data["text"])
    assert shown.replace("\u21b5\n", "\n") == printable(HOSTILE.replace("\r", "\n"))  # as a text is read


@pytest.mark.usefixtures("in_trained_folder")
def test_a_page_has_all_findings(tmp_path: Path) -> None:
    done("inspect", "fable", "fable.txt", "--html", tmp_path / "page.html", "-n", 100, "--unit", "1.7")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    data = data_of(page)
    assert len(data["text"]) == 100
    assert data["unit"] == data["units"][0] == [1, 7]
    for title in ("Units that track something", "Gates", "How far back it looks"):
        assert f"<h2>{title}</h2>" in page
    assert page.count("<polyline") == 3
    assert page.count('<svg class="histogram"') == 3 + 1  # of each gate, and of the half-lives
    assert re.search(r"<td>position in the line</td><td><button [^>]+>1\.\d+</button></td><td>r ", page)


@pytest.mark.usefixtures("folder")
def test_options_that_do_not_fit_a_page_are_refused() -> None:
    assert "--html" in usage_error("inspect", "lstm", "fable.txt", "--html", "page.html", "--json")
    usage_error("inspect", "lstm", "fable.txt", "--html", "page.html", "--units")
    assert not Path("page.html").exists()


# In a browser


def steps_shown(window: Browser) -> dict[str, float]:
    """The values of the chosen unit at the current character, as the page writes them."""
    values = "document.querySelectorAll('.row:not([hidden]) .value')"
    shown = window.run(f"return [...{values}].map((e) => [e.dataset.value, e.textContent])")
    return {name: float(text.replace("\u2212", "-")) for name, text in shown}


def choose(window: Browser, element: str, value: object) -> None:
    script = (
        "const e = document.getElementById(arguments[0]); e.value = arguments[1]; e.dispatchEvent(new Event('change'))"
    )
    window.run(script, element, str(value))


def status(window: Browser) -> str:
    return str(window.run("return document.getElementById('status').textContent"))


def check(window: Browser, read: Trace, layer: int, unit: int, time: int) -> None:
    """The page shows the trace of a unit at a step, within its precision and two digits."""
    traced, shown = read.layers[layer - 1], steps_shown(window)
    assert set(shown) == {*traced.gates, "hidden", traced.memory_name} - (
        {"hidden"} if len(traced.gates) == 1 else set()
    )
    for name, value in shown.items():
        array = traced.gates[name] if name in traced.gates else traced.after[name]
        precision = 2 / 510 if name == "candidate" else 1 / 510
        if name == traced.memory_name or len(traced.gates) == 1:
            precision = float(np.ptp(array[:, unit - 1])) / 131070
        assert value == pytest.approx(array[time, unit - 1], abs=precision + 0.00501), name


def computed(value: str, letters: dict[str, float]) -> float:
    """The value on a wire, with its operators last."""
    stack: list[float] = []
    for word in value.split():
        if word == "tanh":
            stack.append(float(np.tanh(stack.pop())))
        elif word in ("*", "+", "-"):
            second, first = stack.pop(), stack.pop()
            stack.append({"*": first * second, "+": first + second, "-": first - second}[word])
        else:
            stack.append(1.0 if word == "1" else letters[word])
    (result,) = stack
    return result


def check_picture(window: Browser, read: Trace, layer: int, unit: int, time: int) -> None:
    """The numbers on the wires are those of the trace, and a wire is thicker for a larger value."""
    traced = read.layers[layer - 1]
    letters = {"h": traced.before["hidden"], "h'": traced.after["hidden"]}
    if traced.memory_name == "cell":
        letters |= {"c": traced.before["cell"], "c'": traced.after["cell"]}
    names = {"candidate": "n"} if "reset" in traced.gates else {"candidate": "g"}
    letters |= {names.get(gate, gate[0] if gate != "update" else "z"): array for gate, array in traced.gates.items()}
    now = {letter: float(array[time, unit - 1]) for letter, array in letters.items()}
    shown = window.run(
        "return [...document.querySelectorAll('.diagram .live')].map((e) => [e.dataset.value, e.textContent])"
    )
    assert {"h'", "h"} <= {value for value, _ in shown}
    assert read.attention is not None
    strongest = sorted(read.attention[time][::-1][:time].argsort()[::-1][:3] + 1)  # tokens back
    now |= {f"a{number}": float(read.attention[time, -back]) for number, back in enumerate(strongest, 1)}
    for value, text in shown:
        if re.fullmatch(r"a\d", value) and value not in now:
            assert text == ""  # there are not so many tokens before this one
            continue
        assert float(text.replace("\u2212", "-")) == pytest.approx(computed(value, now), abs=0.0125), value
    wires = window.run("""
        const all = [...document.querySelectorAll(".diagram .wire[data-value]:not(.peephole)")];
        return all.map((e) => [e.dataset.value, parseFloat(e.querySelector(".line").style.strokeWidth)]);
    """)
    for value, width in wires:
        if re.fullmatch(r"a\d", value) and value not in now:
            continue
        assert width == pytest.approx(1.25 + 5 * np.tanh(abs(computed(value, now))), abs=0.06), value


def check_sums(window: Browser, name: str, ids: Ids, unit: Unit, time: int) -> None:
    """The equations of the gates have the terms of the trace, in two digits."""
    checkpoint = load(name).checkpoint
    read = trace(checkpoint.network, checkpoint.weights, ids)
    found = terms(checkpoint.network, checkpoint.weights, read, unit)
    shown = window.run("""
        const rows = [...document.querySelectorAll(".row:not([hidden])")];
        return rows.map((e) => [e.querySelector(".value").dataset.value, e.querySelector(".numbers").textContent]);
    """)
    assert {*found} <= {value for value, _ in shown}
    for value, text in shown:
        if value in found:
            written = re.findall(r"(?:^|[+-] )-?[\d.]+", text.replace("\u2212", "-").partition("(")[2].rstrip(")"))
            expected = [float(term[time]) for term in found[value].values()]
            assert [float(each.replace(" ", "")) for each in written] == pytest.approx(expected, abs=0.0061), value


@pytest.fixture(params=SHOWN)
def opened(request: pytest.FixtureRequest, window: Browser, folder: Path) -> tuple[Browser, Trace]:
    """A page about a network of each cell in a browser, and the trace that it shows."""
    name = str(request.param)
    done("inspect", name, "fable.txt", "--html", "page.html", "--length", 150)
    model = load(name)
    ids = model.vocabulary.encode((FABLE * 10)[:150])
    assert folder.is_dir()
    window.open(Path("page.html"))
    return window, trace(model.checkpoint.network, model.checkpoint.weights, ids)


def test_a_reader_picks_a_unit_and_steps_through_the_text(opened: tuple[Browser, Trace]) -> None:
    window, read = opened
    choose(window, "layer", 2)
    choose(window, "unit", 3)
    check(window, read, 2, 3, 0)
    window.press(RIGHT, RIGHT, RIGHT, LEFT)
    check(window, read, 2, 3, 2)
    check_picture(window, read, 2, 3, 2)
    assert "Unit 2.3 at character 3 of 150: \u201cf\u201d" in status(window)
    assert "Likely next: " in status(window)
    window.press(END)
    check(window, read, 2, 3, 149)
    window.press(RIGHT, HOME)
    check(window, read, 2, 3, 0)
    window.run("document.querySelectorAll('#text span')[77].click()")
    check(window, read, 2, 3, 77)
    assert window.run("return [...document.querySelectorAll('.now')].map((e) => e.dataset.step)") == ["77"]
    assert window.run("return document.querySelectorAll('#predictions li').length") == 5
    assert window.run(
        "return [...document.querySelectorAll('#text span')].filter((e) => e.style.boxShadow).length"
    ) == len(window.run("return data.attention[77]"))
    for color in window.run("return [...document.getElementById('color').options].map((e) => e.value)"):
        choose(window, "color", color)
        spans = "[...document.querySelectorAll('#text span')]"
        painted = window.run(f"return new Set({spans}.map((e) => getComputedStyle(e).backgroundColor)).size")
        assert painted > 3


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("name", ["peephole", "gru-after"])
def test_the_sums_inside_the_gates_are_those_of_the_trace(window: Browser, name: str) -> None:
    done("inspect", name, "fable.txt", "--html", "page.html", "--length", 30, "--unit", "2.4")
    window.open(Path("page.html"))
    window.press(RIGHT, RIGHT)
    check_sums(window, name, load(name).vocabulary.encode((FABLE * 10)[:30]), Unit(2, 4), 2)


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("lstm", [{"forget"}, {"input", "candidate"}, {"cell"}, {"output", "hidden"}]),
        ("gru-after", [{"reset"}, {"candidate"}, {"update", "hidden"}]),
        ("rnn", []),
    ],
)
def test_the_parts_of_a_step_are_shown_in_their_order(window: Browser, name: str, parts: list[set[str]]) -> None:
    done("inspect", name, "fable.txt", "--html", "page.html", "--length", 30)
    window.open(Path("page.html"))
    later = "return document.querySelectorAll('.diagram .later').length"
    everything, hidden = set(steps_shown(window)), []
    for number, names in enumerate(parts, 1):
        window.press(str(number))
        assert set(steps_shown(window)) == names
        pressed = "return [...document.querySelectorAll('#parts [aria-pressed=true]')].map((e) => e.dataset.part)"
        assert window.run(pressed) == [str(number)]
        hidden.append(window.run(later))
    assert hidden == sorted(hidden, reverse=True)
    window.press(RIGHT, "0")
    assert set(steps_shown(window)) == everything
    assert window.run(later) == 0
    assert "character 2 of 30" in status(window)
    assert window.run("return document.querySelectorAll('#parts button').length") == (len(parts) + 1 if parts else 0)
    with window.size(360, 800):
        assert window.run("return document.documentElement.scrollWidth <= window.innerWidth")


@pytest.mark.usefixtures("folder")
def test_space_plays_and_pauses_and_controls_have_names(window: Browser) -> None:
    done("inspect", "lstm", "fable.txt", "--html", "page.html", "--length", 20)
    window.open(Path("page.html"), dark=True)
    # The clock of the page is the test's own.
    window.run("window.setInterval = (tick) => { window.tick = tick; return 7; }")
    window.press(" ")
    assert "Pause" in window.run("return document.getElementById('play').textContent")
    assert window.run("return document.getElementById('status').getAttribute('aria-live')") == "off"
    window.run("tick(); tick(); tick()")
    assert "character 4 of 20" in status(window)
    window.press(" ")
    assert "Play" in window.run("return document.getElementById('play').textContent")
    assert window.run("return document.getElementById('status').getAttribute('aria-live')") == "polite"
    controls = "document.querySelectorAll('#player select, #player input')"
    assert window.run(f"return [...{controls}].every((e) => e.labels.length === 1)")
    assert window.run("return getComputedStyle(document.body).backgroundColor") == "rgb(20, 21, 24)"
    with window.size(500, 800):
        assert window.run("return document.documentElement.scrollWidth <= window.innerWidth")


@pytest.mark.usefixtures("folder")
def test_a_unit_is_chosen_from_the_map_and_from_the_findings(window: Browser) -> None:
    done("inspect", "gru-after", "fable.txt", "--html", "page.html", "--length", 20)
    window.open(Path("page.html"))
    choose(window, "layer", 2)
    window.run("""
        const map = document.getElementById("layer-map"), box = map.getBoundingClientRect();
        const [x, y] = [box.x + (4.5 * Math.min(40, box.width / 8)), box.y + 5];
        map.dispatchEvent(new MouseEvent("click", { clientX: x, clientY: y }));
    """)
    assert "Unit 2.5 at character 1 of 20" in status(window)
    unit = window.run("const b = document.querySelector('td button'); b.click(); return b.dataset.unit")
    assert f"Unit {unit} at character 1 of 20" in status(window)
    window.press(RIGHT)
    assert "character 2 of 20" in status(window)
    assert window.run("return document.getElementById('tracked').value") == unit


@pytest.mark.usefixtures("folder")
def test_hostile_characters_stay_text(window: Browser) -> None:
    done("inspect", "hostile", "a<b>&amp;.txt", "--html", "page.html")
    window.open(Path("page.html"))
    assert window.run("return document.title") == "hostile reads a<b>&amp;.txt"
    text = window.run("return document.getElementById('text').textContent")
    assert text.startswith("</script><script>document.title = 'owned'</script><img src=x onerror=alert(1)>&amp;")
    assert window.run("return document.images.length") == 0
    window.press(END)
    assert f"character {len(HOSTILE)} of {len(HOSTILE)}" in status(window)


@pytest.mark.usefixtures("folder")
def test_a_unit_without_gates_says_so(window: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lstmgen.inspection.page.BYTES", 16 * 100)
    done("inspect", "lstm", "fable.txt", "--html", "page.html", "--length", 100, "--unit", "1.2")
    window.open(Path("page.html"))
    assert set(steps_shown(window)) == {"input", "forget", "candidate", "output", "cell", "hidden"}
    hidden = "return document.getElementById('without-gates').hidden"
    assert window.run(hidden)
    choose(window, "color", "forget")
    choose(window, "unit", 3)
    assert set(steps_shown(window)) == {"cell"}
    window.press(RIGHT)
    written = "return [...document.querySelectorAll('.diagram .live')].filter((e) => e.textContent)"
    assert {*window.run(f"{written}.map((e) => e.dataset.value)")} == {"c", "c'", "c' tanh", "a1"}
    assert not window.run(hidden)
    assert window.run("return document.getElementById('color').value") == "cell"
