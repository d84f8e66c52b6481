"""`lstmgen inspect --html`: the page as text, and in a browser."""

import json
import re
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from lstmgen.checkpoint import Checkpoint
from lstmgen.inspection.report import Findings
from lstmgen.inspection.trace import Trace, trace
from lstmgen.inspection.walk import Unit, terms
from lstmgen.language_model import load
from lstmgen.network.rounding import Rounding, rounded
from lstmgen.pages.inspect import inspect_page
from lstmgen.text.vocabulary import Ids
from tests import reference
from tests.browser import HOSTILE, Browser, assert_self_contained
from tests.command_line import done, problem, run_of_text, untrained_run, usage_error
from tests.conftest import CELLS, FABLE, form

SHOWN = ("rnn", "lstm", "peephole", "coupled", "gru-after", "gru-before")
RIGHT, LEFT, HOME, END, SHIFT, ESCAPE = "\ue014", "\ue012", "\ue011", "\ue010", "\ue008", "\ue00c"


def data_of(page: str) -> Any:
    """The JSON that the scripts of a page read."""
    return json.loads(re.findall(r'id="data">(.*?)</script>', page)[0])


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An untrained run of each cell and a text, and a run and a text of hostile characters."""
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
    assert data_of(text)["text"] == HOSTILE.replace("\r", "\n")  # as a text is read


@pytest.mark.usefixtures("in_trained_folder")
def test_a_page_has_all_findings(tmp_path: Path) -> None:
    done("inspect", "fable", "fable.txt", "--html", tmp_path / "page.html", "-n", 100, "--unit", "1.7")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    data = data_of(page)
    assert len(data["text"]) == 100
    assert data["networks"][0]["unit"] == [1, 7]
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


def wait(window: Browser) -> None:
    """Wait until the page has finished computing."""
    end = time.monotonic() + 60
    while window.run("return tasks.size"):
        assert time.monotonic() < end


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


def status(window: Browser, number: int = 0) -> str:
    return str(window.run("return document.querySelectorAll('.status')[arguments[0]].textContent", number))


def stored(checkpoint: Checkpoint) -> Checkpoint:
    """The checkpoint with the rounded weights of its page, in float64, in which the page computes."""
    weights = {name: rounded(array, Rounding.FLOAT16).restored() for name, array in checkpoint.weights.items()}
    return replace(checkpoint, weights={name: array.astype(np.float64) for name, array in weights.items()})


def read_by(name: str, ids: Ids) -> Trace:
    """What the network of a page does while it reads."""
    checkpoint = stored(load(name).checkpoint)
    return trace(checkpoint.network, checkpoint.weights, ids, end_token=checkpoint.end_token)


def check(window: Browser, read: Trace, layer: int, unit: int, time: int) -> None:
    """The page shows the trace of a unit at a step with two digits."""
    traced, shown = read.layers[layer - 1], steps_shown(window)
    assert set(shown) == {*traced.gates, "hidden", traced.memory_name} - (
        {"hidden"} if len(traced.gates) == 1 else set()
    )
    for name, value in shown.items():
        array = traced.gates[name] if name in traced.gates else traced.after[name]
        assert value == pytest.approx(array[time, unit - 1], abs=0.00501), name


def computed(value: str, letters: dict[str, float]) -> float:
    """The value on a wire, whose operators follow their operands."""
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
    """The numbers on the wires match the trace, and a larger value has a thicker wire."""
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
        assert float(text.replace("\u2212", "-")) == pytest.approx(computed(value, now), abs=0.00501), value
    wires = window.run("""
        const all = [...document.querySelectorAll(".diagram .wire[data-value]:not(.peephole)")];
        return all.map((e) => [e.dataset.value, parseFloat(e.querySelector(".line").style.strokeWidth)]);
    """)
    for value, width in wires:
        if re.fullmatch(r"a\d", value) and value not in now:
            continue
        assert width == pytest.approx(1.25 + 5 * np.tanh(abs(computed(value, now))), abs=0.06), value


def check_sums(window: Browser, name: str, ids: Ids, unit: Unit, time: int) -> None:
    """The equations of the gates show the terms of the trace with two digits."""
    checkpoint, read = stored(load(name).checkpoint), read_by(name, ids)
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
            assert [float(each.replace(" ", "")) for each in written] == pytest.approx(expected, abs=0.00501), value


@pytest.fixture(params=SHOWN)
def opened(request: pytest.FixtureRequest, window: Browser, folder: Path) -> tuple[Browser, Trace]:
    """A page about a network of each cell in a browser, and the trace that it shows."""
    name = str(request.param)
    done("inspect", name, "fable.txt", "--html", "page.html", "--length", 150)
    ids = load(name).vocabulary.encode((FABLE * 10)[:150])
    assert folder.is_dir()
    window.open(Path("page.html"))
    wait(window)
    return window, read_by(name, ids)


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
    assert window.run("return document.querySelectorAll('.predictions li').length") == 5
    assert window.run(
        "return [...document.querySelectorAll('#text span')].filter((e) => e.style.boxShadow).length"
    ) == len(window.run("return focus.recalled(77).filter(({ weight }) => weight >= 0.01).slice(0, 5)"))
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
    wait(window)
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
    wait(window)
    later = "return document.querySelectorAll('.diagram .later').length"
    everything, hidden = set(steps_shown(window)), []
    for number, names in enumerate(parts, 1):
        window.press(str(number))
        assert set(steps_shown(window)) == names
        pressed = "return [...document.querySelectorAll('#parts [aria-pressed=true]')].map((e) => e.textContent[0])"
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
    wait(window)
    live = "return document.querySelector('.status').getAttribute('aria-live')"
    # The test controls the clock of the page.
    window.run("window.setInterval = (tick) => { window.tick = tick; return 7; }")
    window.press(" ")
    assert "Pause" in window.run("return document.getElementById('play').textContent")
    assert window.run(live) == "off"
    window.run("tick(); tick(); tick()")
    assert "character 4 of 20" in status(window)
    window.press(" ")
    assert "Play" in window.run("return document.getElementById('play').textContent")
    assert window.run(live) == "polite"
    controls = "document.querySelectorAll('#player :is(select, input, textarea)')"
    assert window.run(f"return [...{controls}].every((e) => e.labels.length === 1)")
    assert window.run("return getComputedStyle(document.body).backgroundColor") == "rgb(20, 21, 24)"
    with window.size(500, 800):
        assert window.run("return document.documentElement.scrollWidth <= window.innerWidth")


@pytest.mark.usefixtures("folder")
def test_a_unit_is_chosen_from_the_map_and_from_the_findings(window: Browser) -> None:
    done("inspect", "gru-after", "fable.txt", "--html", "page.html", "--length", 20)
    window.open(Path("page.html"))
    wait(window)
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
    wait(window)
    assert window.run("return document.title") == "hostile reads a<b>&amp;.txt"
    text = window.run("return document.getElementById('text').textContent")
    assert text.startswith("</script><script>document.title = 'owned'</script><img src=x onerror=alert(1)>&amp;")
    assert window.run("return document.images.length") == 0
    window.press(END)
    assert f"character {len(HOSTILE)} of {len(HOSTILE)}" in status(window)


# What the page computes


def page_of(window: Browser, names: list[str], text: str = FABLE) -> None:
    """Open the page of some runs, without findings."""
    models = [(name, load(name).checkpoint) for name in names]
    texts = [np.asarray(checkpoint.vocabulary.encode(text)) for _, checkpoint in models]
    content = inspect_page("a page", models, texts, [Findings("", (), "")] * len(models))
    Path("page.html").write_text(content, encoding="utf-8")
    window.open(Path("page.html"))
    wait(window)


def layers_of(window: Browser, steps: str) -> list[dict[str, NDArray[np.float64]]]:
    """The states and gates of steps of the first network, (time, hidden), by name, for each layer."""
    script = """
        const of = ({ hidden, cell, gates }) => Object.entries({ hidden, ...(cell.length && { cell }), ...gates });
        return STEPS.map(({ state }) => state.layers.map((layer) =>
          Object.fromEntries(of({ cell: [], ...layer }).map(([name, values]) => [name, [...values]]))));
    """
    shown = window.run(script.replace("STEPS", steps))
    names = shown[0][0]
    return [{name: np.array([step[layer][name] for step in shown]) for name in names} for layer in range(len(shown[0]))]


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("attention", [0, 3])
@pytest.mark.parametrize("name", CELLS)
def test_the_page_computes_what_python_does(window: Browser, name: str, attention: int) -> None:
    run = f"{name}-{attention}"
    untrained_run(run, "".join(sorted(set(FABLE))), **form(CELLS[name]), num_layers=2, attention=attention)
    page_of(window, [run], FABLE[:60])
    read = read_by(run, load(run).vocabulary.encode(FABLE[:60]))
    for shown, layer in zip(layers_of(window, "readings[0].steps"), read.layers, strict=True):
        expected = {**layer.gates, **layer.after}
        assert set(shown) == set(expected)
        for value, array in expected.items():
            np.testing.assert_allclose(shown[value], array, atol=1e-9, err_msg=value)
    logits = window.run("return readings[0].steps.map(({ logits }) => [...logits])")
    np.testing.assert_allclose(logits, read.logits, atol=1e-9)
    if read.attention is not None:
        weights = window.run("return readings[0].steps.map(({ attention }) => [...attention])")
        np.testing.assert_allclose(weights, read.attention, atol=1e-9)


@pytest.mark.usefixtures("folder")
def test_networks_of_different_cells_sizes_and_vocabularies_read_together(window: Browser) -> None:
    untrained_run("bytes", None, hidden_size=5)
    names = ["rnn", "gru-after", "bytes"]
    err = done("inspect", *names, "fable.txt", "--html", "page.html", "--length", 40).err
    assert "40 characters" in err
    window.open(Path("page.html"))
    wait(window)
    assert_self_contained(Path("page.html").read_text(encoding="utf-8"))
    window.press(RIGHT, RIGHT, RIGHT)
    for number, name in enumerate(names):
        assert "at character 4 of 40" in status(window, number)
        read = read_by(name, load(name).vocabulary.encode((FABLE * 10)[:40]))
        shown = window.run(f"return readings[{number}].steps.map(({{ logits }}) => [...logits])")
        np.testing.assert_allclose(shown, read.logits, atol=1e-9)
    focused = "return document.querySelector('.networks .focus').id"
    assert window.run(focused) == "network-0"
    window.press("n")
    assert window.run(focused) == "network-1"
    assert set(steps_shown(window)) == {"reset", "update", "candidate", "hidden"}
    window.press("2")
    assert set(steps_shown(window)) == {"candidate"}
    live = "return [...document.querySelectorAll('.status')].map((e) => e.getAttribute('aria-live'))"
    assert window.run(live) == ["off", "polite", "off"]
    ids = window.run("return [...document.querySelectorAll('[id]')].map((e) => e.id)")
    assert len(ids) == len(set(ids))
    with window.size(375, 800):
        assert window.run("return document.documentElement.scrollWidth <= window.innerWidth")


@pytest.mark.usefixtures("folder")
def test_a_character_that_one_network_does_not_know_is_refused_or_left_out(window: Browser) -> None:
    untrained_run("small", "".join(sorted(set(FABLE) - {"g"})))
    said = problem("inspect", "lstm", "small", "fable.txt", "--html", "page.html", "--length", 60)
    assert "small" in said and "'g'" in said and not Path("page.html").exists()
    done("inspect", "lstm", "small", "fable.txt", "--html", "page.html", "--length", 60, "--on-unknown", "skip")
    window.open(Path("page.html"))
    wait(window)
    assert window.run("return text.join('')") == (FABLE * 10).replace("g", "")[:60]


@pytest.mark.usefixtures("nowhere")
def test_a_model_of_lines_begins_each_line_anew(window: Browser) -> None:
    run_of_text("names", "Mary\nMartha\nAnn\nAnton\n" * 9, lines=True, attention=4)
    text = "Mary\nAnn\n"
    page_of(window, ["names"], text)
    read = read_by("names", load("names").vocabulary.encode("\n" + text))
    shown = window.run("return readings[0].steps.map(({ logits }) => [...logits])")
    np.testing.assert_allclose(shown, read.logits[1:], atol=1e-9)
    backs = window.run("return text.map((_, step) => focus.recalled(step).map(({ back }) => back).sort())")
    assert [len(each) for each in backs] == [1, 2, 3, 4, 0, 1, 2, 3, 0]


@pytest.mark.usefixtures("nowhere")
def test_a_large_network_is_stored_in_8_bits_and_three_small_ones_fit_into_6_mb() -> None:
    vocabulary = "".join(map(chr, range(32, 127)))
    for name, size in (("large", 512), ("small", 128)):
        untrained_run(name, vocabulary, hidden_size=size, num_layers=2, embedding_size=64)

    def page(name: str, count: int) -> tuple[Any, int]:
        checkpoint = load(name).checkpoint
        ids = checkpoint.vocabulary.encode("the fox " * 250)
        content = inspect_page("a page", [(name, checkpoint)] * count, [ids] * count, [Findings("", (), "")] * count)
        weights = data_of(content)["networks"][0]["weights"]
        return weights["layers.0.weight_hh"]["type"], len(content.encode())

    kind, size = page("small", 3)
    assert kind == "float16" and size < 2.5e6
    kind, size = page("large", 1)
    assert kind == "int8" and size < 5e6


def test_bytes_that_are_not_utf_8_are_read_as_they_are(window: Browser, nowhere: Path) -> None:
    untrained_run("bytes", None)
    (nowhere / "text").write_bytes(b"a\xff\xc3\xa9\xf0\x9f\x98\x80\xc3z")
    checkpoint = load("bytes").checkpoint
    ids = np.frombuffer((nowhere / "text").read_bytes(), np.uint8).astype(np.int64)
    page = inspect_page("a page", [("bytes", checkpoint)], [ids], [Findings("", (), "")])
    Path("page.html").write_text(page, encoding="utf-8")
    window.open(Path("page.html"))
    wait(window)
    owners = window.run("return readings[0].owners")
    assert owners == [0, 1, 2, 2, 3, 3, 3, 3, 4, 5]
    last = [9 - owners[::-1].index(step) for step in range(6)]
    shown = window.run("return readings[0].steps.map(({ logits }) => [...logits])")
    np.testing.assert_allclose(shown, read_by("bytes", ids).logits[last], atol=1e-9)


def lesions_of(window: Browser) -> dict[str, dict[str, float | None]]:
    """The gates that each lesion holds in the cell of the first network."""
    found = window.run("""
        const of = (lesion) => Object.entries(gatesOf(lesion, readings[0].data.cell) ?? {});
        return Object.keys(LESIONS).map((lesion) => [lesion, of(lesion)]);
    """)
    return {name: {gate: None if to == "h" else to for gate, to in gates} for name, gates in found}


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("name", CELLS)
def test_lesions_are_those_of_the_reference(window: Browser, name: str) -> None:
    run, text = f"hurt-{name}", FABLE[:14]
    untrained_run(run, "".join(sorted(set(FABLE))), **form(CELLS[name]), num_layers=2, attention=3)
    page_of(window, [run], text)
    model = load(run)
    weights = {key: array.tolist() for key, array in stored(model.checkpoint).weights.items()}
    ids = model.vocabulary.encode(text).tolist()
    window.run("choose(1, 3); go(5)")
    applied = 0
    for lesion, gates in lesions_of(window).items():
        for place, where in {"all": {}, "2": {"layer": 1}, "unit": {"layer": 0, "unit": 2}}.items():
            choose(window, "lesion", lesion)
            choose(window, "lesion-at", place)
            window.run("element('harm').click()")
            wait(window)
            said = window.run("return document.querySelector('.harm').textContent")
            if not gates:
                assert "no such gate" in said and window.run("return readings[0].lesion") is None
                window.run("element('harm').click()")
                continue
            applied += 1
            hurt = reference.read(name, weights, ids, 2, 3, reference.Lesion(gates, 5, **where))[5:]
            shown = layers_of(window, "readings[0].lesion.steps")
            for layer in range(2):
                for value, array in shown[layer].items():
                    expected = [step.layers[layer][value] for step in hurt]
                    np.testing.assert_allclose(array, expected, atol=1e-9, err_msg=f"{lesion} {place} {value}")
            logits = window.run("return readings[0].lesion.steps.map(({ logits }) => [...logits])")
            np.testing.assert_allclose(logits, [step.logits for step in hurt], atol=1e-9)
            intact = reference.read(name, weights, ids, 2, 3)[5:]
            losses = [
                np.mean([nats(step.logits, id_) for step, id_ in zip(steps, ids[6:], strict=False)])
                for steps in (hurt, intact)
            ]
            numbers = [
                float(each) for each in re.findall(r"(\d+\.\d\d) nats each, (\d+\.\d\d) without the lesion", said)[0]
            ]
            assert numbers == pytest.approx(losses, abs=0.0051)
            assert "The next 8 characters" in said
            window.run("element('harm').click()")
    assert applied >= 6


def nats(logits: list[float], id_: int) -> float:
    return float(np.log(np.exp(np.array(logits) - logits[id_]).sum()))


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("name", ["rnn", "peephole", "gru-after"])
def test_influence_is_what_a_replaced_character_changes(window: Browser, name: str) -> None:
    page_of(window, [name, "lstm"], FABLE[:40])
    checkpoint = stored(load(name).checkpoint)
    ids = checkpoint.vocabulary.encode(FABLE[:40])
    window.run("go(25)")
    window.press("i")
    wait(window)
    shown = {int(place): effect for place, effect in window.run("return effects.get(readings[0])").items()}
    space, other = checkpoint.vocabulary.encode(" a")  # the two that the text has most often
    assert window.run("return neutralOf(text)") == [" ", "a"]

    def log_probabilities(tokens: Ids) -> NDArray[np.float64]:
        logits = trace(checkpoint.network, checkpoint.weights, tokens).logits[-1]
        return np.asarray(logits - np.log(np.exp(logits).sum()))

    before = log_probabilities(ids[:26])
    for place in range(26):
        changed = ids[:26].copy()
        changed[place] = other if changed[place] == space else space
        divergence = (np.exp(before) * (before - log_probabilities(changed))).sum()
        assert shown[place] == pytest.approx(divergence, abs=1e-9, rel=1e-6)
    assert len(shown) == 26
    assert window.run("return divergence([0, 0], [0, 1e-11])") == pytest.approx(1e-22 / 8)
    named = window.run("return document.querySelector('.influence li .came').textContent")
    assert named == f"{25 - max(range(26), key=lambda place: shown[place])} back"
    painted = "return [...document.querySelectorAll('#text span')].filter((e) => e.style.backgroundColor).length"
    assert window.run(painted) == 26
    assert window.run("return [...document.querySelectorAll('.influence')].map((e) => e.hidden)") == [False, False]


@pytest.mark.usefixtures("folder")
def test_a_stretch_is_compared_with_all_others(window: Browser) -> None:
    page_of(window, ["lstm"], (FABLE * 10)[:200])
    read = read_by("lstm", load("lstm").vocabulary.encode((FABLE * 10)[:200]))
    window.run("go(50)")
    window.command(
        "POST",
        "/actions",
        {
            "actions": [
                {
                    "type": "key",
                    "id": "keyboard",
                    "actions": [
                        {"type": "keyDown", "value": SHIFT},
                        *[{"type": kind, "value": RIGHT} for kind in ("keyDown", "keyUp")] * 4,
                        {"type": "keyUp", "value": SHIFT},
                    ],
                }
            ]
        },
    )
    wait(window)
    assert window.run("return stretch") == [50, 54]
    for chosen, layers in (("", (0, 1)), ("2", (1,))):
        choose(window, "alike", chosen)
        wait(window)
        memory = np.concatenate([read.layers[layer].after["cell"] for layer in layers], axis=1)
        directions = (memory - memory.mean(axis=0)) / memory.std(axis=0)
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        expected = [np.mean((directions[50:55] * directions[end - 4 : end + 1]).sum(axis=1)) for end in range(4, 200)]
        np.testing.assert_allclose(window.run("return likenesses.get(focus).slice(4)"), expected, atol=1e-5)
    ends = window.run("return mostAlike(likenesses.get(focus), stretch)")
    assert len(ends) == 4 and all(abs(end - 54) > 4 for end in ends)
    allowed = [end for end in range(4, 200) if abs(end - 54) > 4]
    assert ends[0] == max(allowed, key=lambda end: expected[end - 4])
    first = "document.querySelector('.likeness button')"
    assert window.run(f"return {first}.querySelector('mark').textContent.length") == 5
    window.run(f"{first}.click()")
    assert window.run("return position") == ends[0]
    window.press(ESCAPE)
    assert window.run("return stretch") is None


@pytest.mark.usefixtures("in_trained_folder")
def test_a_reader_types_another_text_and_the_network_writes_on(window: Browser) -> None:
    page_of(window, ["fable", "fable"], FABLE[:50])
    model = load("fable")
    choose(window, "own", "The fox \u20ac")
    window.run("element('read-own').click()")
    assert "fable has never seen \u201c\u20ac\u201d (U+20AC)" in window.run("return element('problem').textContent")
    assert window.run("return text.length") == 50
    choose(window, "own", "The fox left")
    window.run("element('read-own').click()")
    wait(window)
    assert window.run("return element('problem').hidden")
    logits = window.run("return readings[1].steps.map(({ logits }) => [...logits])")
    np.testing.assert_allclose(logits, read_by("fable", model.vocabulary.encode("The fox left")).logits, atol=1e-9)
    choose(window, "temperature", 0)
    choose(window, "length", 50)
    window.press("w")
    assert window.run("return tasks.size") == 0 or window.run("return text.join('')") == "The fox left"
    window.run("go(6); write()")
    wait(window)
    assert window.run("return text.join('')") == model.sample("The fox", temperature=0, length=50)
    assert window.run("return readings.map(({ steps }) => steps.length)") == [57, 57]
    texts = []
    choose(window, "temperature", 1)
    for seed in (3, 3, 4):
        choose(window, "seed", seed)
        window.run("go(6); write()")
        wait(window)
        texts.append(window.run("return text.join('')"))
    assert texts[0] == texts[1] != texts[2]
    window.run("element('read-first').click()")
    wait(window)
    assert window.run("return text.join('')") == FABLE[:50]


@pytest.mark.usefixtures("folder")
def test_a_network_writes_only_what_all_networks_know(window: Browser) -> None:
    untrained_run("bytes", None)
    untrained_run("few", " aeh\u00e9")
    for name in ("bytes", "lstm"):
        page_of(window, [name, "few"], "a hea")
        choose(window, "temperature", 2)
        window.run("go(2); write()")
        wait(window)
        written = window.run("return text")
        assert len(written) == 53 and set(written) <= set(" aeh\u00e9")
        assert window.run("return unknownTo(readings[0].vocabulary, text)") == []


@pytest.mark.usefixtures("folder")
def test_a_network_with_a_lesion_writes_with_it(window: Browser) -> None:
    page_of(window, ["lstm"], FABLE[:30])
    window.run("go(9)")
    choose(window, "lesion", "shut")
    window.run("element('harm').click()")
    wait(window)
    # Without outputs, including those that attention sees, it predicts the same whatever it reads.
    logits = window.run("return readings[0].lesion.steps.map(({ logits }) => [...logits])")
    assert np.ptp(logits[3:], axis=0).max() < 1e-12
    choose(window, "temperature", 0)
    window.run("go(12); write()")
    wait(window)
    written = window.run("return text.slice(13)")
    assert len(written) == 50 and len(set(written)) == 1
    assert window.run("return readings[0].known") == 63
    assert "from character 10 of 63" in window.run("return document.querySelector('.harm').textContent")
    assert "intact" in window.run("return document.querySelector('.predictions').textContent")
    window.press("l")
    wait(window)
    assert window.run("return document.querySelector('.harm').hidden")
