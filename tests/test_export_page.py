"""`lstmgen export --html`: the page as text, and in a browser its network and sampling compared with Python's."""

import json
import re
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lstmgen.checkpoint import load_checkpoint, public_name
from lstmgen.evaluation.own_text import read_own_text
from lstmgen.export.rounding import Choice, choose_rounding
from lstmgen.generation.filters.base import History
from lstmgen.generation.filters.likelihood import temperature as temperature_filter
from lstmgen.generation.filters.likelihood import top_p
from lstmgen.generation.sampler import negative_log_likelihood
from lstmgen.language_model import LanguageModel, load
from lstmgen.network.forward import step
from lstmgen.network.rounding import Rounding, rounded
from lstmgen.pages.write import writing_page
from lstmgen.text.vocabulary import Ids
from tests.browser import HOSTILE, Browser, assert_self_contained
from tests.command_line import controls, done, run_of_text, untrained_run, usage_error
from tests.conftest import CELLS, FABLE, NETWORKS, form

ENTER, ESCAPE, CONTROL, ALT = "\ue007", "\ue00c", "\ue009", "\ue00a"
PIECES = "writing.pieces.map(({ text, ids, typed, picked, nats }) => ({ text, ids, typed, picked, nats }))"


# Rounding


@pytest.mark.parametrize(("rounding", "most"), [(Rounding.INT8, 1 / 254), (Rounding.FLOAT16, 2**-11)])
def test_a_row_differs_by_less_than_its_precision(rounding: Rounding, most: float) -> None:
    matrix = np.random.default_rng(0).normal(0, 1, (5, 40)).astype(np.float32)
    matrix *= np.array([1e-9, 1, 0, 1e5, 3])[:, None].astype(np.float32)  # float16 alone reaches neither 1e-9 nor 1e5
    error = np.abs(rounded(matrix, rounding).restored() - matrix)
    assert (error <= 1.001 * most * np.abs(matrix).max(axis=1, keepdims=True)).all()
    vector = np.array([0.1, 1e6], np.float32)
    assert (rounded(vector, rounding).restored() == vector).all()


def test_int8_is_chosen_where_it_costs_little_and_float16_otherwise(in_trained_folder: Path) -> None:
    assert in_trained_folder.is_dir()
    model = load("fable")
    ids = read_own_text(model.record, model.vocabulary, remedy="").validation
    choice = choose_rounding(model.checkpoint)
    assert (choice.rounding, choice.tokens) == (Rounding.INT8, len(ids))
    assert choice.exact_nats == model.score(model.vocabulary.decode(ids)).nats_per_character
    assert choice.nats[Rounding.INT8] <= 1.005 * choice.exact_nats
    weights = {name: array.copy() for name, array in model.checkpoint.weights.items()}
    weights["head.weight"][:, 0] = 400  # the same for each token, but the other numbers of a row have few bits left
    choice = choose_rounding(replace(model.checkpoint, weights=weights))
    assert choice.rounding is Rounding.FLOAT16
    assert choice.nats[Rounding.FLOAT16] < 1.005 * choice.exact_nats < choice.nats[Rounding.INT8]
    nothing = Choice(Rounding.FLOAT16, exact_nats=0.0, nats={Rounding.INT8: 1e-9, Rounding.FLOAT16: 0.0})
    assert (nothing.loss(Rounding.INT8), nothing.loss(Rounding.FLOAT16)) == (np.inf, 0)

    stored = {name: rounded(array, Rounding.INT8).restored() for name, array in model.checkpoint.weights.items()}
    assert choose_rounding(replace(model.checkpoint, weights=stored)).rounding is Rounding.INT8


# The command


@pytest.mark.usefixtures("in_trained_folder")
def test_the_command_says_what_it_chose_and_what_it_costs(tmp_path: Path) -> None:
    ran = done("export", "fable", "--html", tmp_path / "page.html")
    assert ran.out == b""
    assert re.match(r"weights in int8; .* float32 \d\.\d{4}, int8 \d\.\d{4} \([+-]\d\.\d\d%\)\n", ran.err)
    assert str(tmp_path / "page.html") in ran.err
    assert done("export", "fable", "--html", tmp_path / "quiet.html", "-q").err == ""
    assert (tmp_path / "quiet.html").read_bytes() == (tmp_path / "page.html").read_bytes()
    assert "--html" in usage_error("export")


def test_a_page_has_the_name_of_its_run_and_not_its_place(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = untrained_run("noise", "abc\n")
    names = {path: "noise", path.absolute().with_name("last.safetensors"): "noise", nowhere / "my.safetensors": "my"}
    assert {each: public_name(each) for each in names} == names
    monkeypatch.chdir(path.parent)
    assert public_name(Path(path.name)) == "noise"
    done("export", ".", "--html", "page.html")
    text = Path("page.html").read_text(encoding="utf-8")
    assert "<title>noise</title>" in text and str(nowhere) not in text and "nowhere.txt" not in text


@pytest.mark.usefixtures("nowhere")
def test_without_a_held_out_text_the_weights_are_float16() -> None:
    untrained_run("noise", "abc\n")
    err = done("export", "noise", "--html", "page.html").err
    assert "weights in float16" in err and "nowhere.txt" in err
    assert "lstmgen eval" not in err  # the remedy of another command
    run_of_text("short", "ab\n")
    assert "training held out only 0 characters\n" in done("export", "short", "--html", "short.html").err


@pytest.mark.usefixtures("nowhere")
def test_a_page_escapes_everything_and_asks_for_nothing() -> None:
    path = untrained_run("hostile", "".join(sorted(set(HOSTILE))))
    text = writing_page(load_checkpoint(path), HOSTILE, Rounding.INT8)
    assert_self_contained(text)
    data = json.loads(re.findall(r'id="data">(.*?)</script>', text)[0])
    assert data["name"] == HOSTILE
    assert "".join(map(chr, data["code_points"])) == "".join(sorted(set(HOSTILE)))


def test_a_model_of_two_layers_of_256_units_is_below_3_mb(nowhere: Path) -> None:
    path = untrained_run("large", "".join(map(chr, range(32, 97))), hidden_size=256, num_layers=2, embedding_size=64)
    for rounding, most in ((Rounding.INT8, 1.3e6), (Rounding.FLOAT16, 2.6e6)):
        assert nowhere.is_dir() and len(writing_page(load_checkpoint(path), "large", rounding)) < most


# In a browser


@pytest.fixture
def opened(window: Browser, nowhere: Path) -> Browser:
    """A browser, and an empty folder to work in."""
    assert nowhere.is_dir()
    return window


def open_page(window: Browser, run: Path, rounding: Rounding = Rounding.INT8) -> LanguageModel:
    """Open the page of a run; the model with the same rounded weights in Python."""
    checkpoint = load_checkpoint(run)
    Path("page.html").write_text(writing_page(checkpoint, "a model", rounding), encoding="utf-8")
    window.open(Path("page.html"), dark=True)
    weights = {name: rounded(array, rounding).restored() for name, array in checkpoint.weights.items()}
    return LanguageModel(replace(checkpoint, weights=weights))


def type_text(window: Browser, text: str) -> None:
    """Make this the text, as if the reader had typed it, and let the network read it."""
    window.run(
        "const e = element('text'); e.focus(); e.value = arguments[0]; e.dispatchEvent(new Event('input'))", text
    )
    wait(window)


def wait(window: Browser) -> None:
    """Let the page compute, without the clock of the screen."""
    end = time.monotonic() + 60
    while window.run("return running"):
        assert time.monotonic() < end


def choose(window: Browser, **values: object) -> None:
    """Set the controls."""
    window.run("element('new-seed').checked = false")
    for name, value in values.items():
        window.run("element(arguments[0]).value = arguments[1]", name.replace("_", "-"), str(value))


def write(window: Browser, **values: object) -> None:
    """Set controls, and let the model write to the end."""
    choose(window, **values)
    window.run("element('write').click()")
    wait(window)


def press_with(window: Browser, held: str, key: str) -> None:
    """Press a key while another one is held."""
    kinds = [("keyDown", held), ("keyDown", key), ("keyUp", key), ("keyUp", held)]
    actions = [{"type": kind, "value": value} for kind, value in kinds]
    window.command("POST", "/actions", {"actions": [{"type": "key", "id": "keyboard", "actions": actions}]})


def click(window: Browser, x: float, y: float) -> None:
    """Click with the mouse."""
    move = {"type": "pointerMove", "duration": 0, "x": round(x), "y": round(y)}
    actions = [move, {"type": "pointerDown", "button": 0}, {"type": "pointerUp", "button": 0}]
    window.command("POST", "/actions", {"actions": [{"type": "pointer", "id": "mouse", "actions": actions}]})


def pieces(window: Browser) -> list[dict[str, Any]]:
    return list(window.run(f"return {PIECES}"))


def text_of(window: Browser) -> str:
    shown = "[...document.querySelectorAll('#shown span')].map((e) => e.textContent).join('')"
    text, same = window.run(f"return [element('text').value, {shown} === element('text').value]")
    assert same
    return str(text)


def page_logits(window: Browser, ids: Ids) -> Any:
    """The logits after each token, (tokens, vocab), as the page computes them."""
    return np.array(
        window.run(
            """
            let state = network.initialState();
            return arguments[0].map((id) => {
              const after = network.step(id, state);
              state = after.state;
              return [...after.logits];
            });
            """,
            ids.tolist(),
        )
    )


def surprises(model: LanguageModel, ids: Ids) -> Any:
    """The nats of each token but the first, (tokens - 1,)."""
    logits, _ = model.engine.read(ids[None, :-1], model.engine.initial_state(1))
    return negative_log_likelihood(logits[0], ids[1:])


def exact_logits(model: LanguageModel, ids: Ids) -> Any:
    """The logits after each token, (tokens, vocab), by the cells' own equations in float64, as the page sums."""
    network, checkpoint = model.checkpoint.network, model.checkpoint
    weights = network.arrange({name: array.astype(np.float64) for name, array in checkpoint.weights.items()})
    state, logits = network.initial_state(1, like=weights.embedding), []
    for number in ids:
        after = step(network, weights, np.array([number]), state)
        state = after.state
        logits.append(after.logits[0])
    return np.stack(logits)


@pytest.mark.parametrize("rounding", Rounding)
@pytest.mark.parametrize("attention", [0, 3])
@pytest.mark.parametrize("name", NETWORKS)
def test_logits_are_those_of_the_engine(opened: Browser, name: str, attention: int, rounding: Rounding) -> None:
    values = form(NETWORKS[name])
    path = untrained_run(name, "".join(sorted(set(FABLE))), **values, num_layers=3, hidden_size=11, attention=attention)
    model = open_page(opened, path, rounding)
    ids = model.vocabulary.encode(FABLE[:60])
    shown = page_logits(opened, ids)
    np.testing.assert_allclose(shown, exact_logits(model, ids), atol=1e-9)
    assert np.abs(shown - exact_logits(load(path), ids)).max() > 1e-4  # the rounding can be seen, so the test can fail


@pytest.mark.parametrize("temperature", [0, 0.5, 1, 1.7])
@pytest.mark.parametrize("probability", [0.0, 0.3, 0.9, 1.0])
def test_temperature_and_top_p_are_those_of_sample(opened: Browser, temperature: float, probability: float) -> None:
    open_page(opened, untrained_run("lstm", "abcdefghij"))
    logits = np.random.default_rng(5).normal(0, 2, (1, 10)).astype(np.float32)
    logits[0, 3] = logits[0, 7] = logits.max()  # the likeliest twice
    history = History(np.zeros(0, np.int64), 1, 0)
    filtered = temperature_filter(temperature).apply(top_p(probability).apply(logits, history), history)
    exponentials = np.exp(filtered[0] - filtered.max())
    script = "return [...choices(Float64Array.from(arguments[0]), arguments[1], arguments[2])]"
    shown = opened.run(script, logits[0].tolist(), temperature, probability)
    np.testing.assert_allclose(shown, exponentials / exponentials.sum(), atol=1e-6)


def test_random_numbers_are_uniform_and_depend_on_seed_and_position_alone(opened: Browser) -> None:
    open_page(opened, untrained_run("lstm", "ab"))
    draws = "return Array.from({ length: 20000 }, (_, position) => uniform(arguments[0], position))"
    first, again, other = (np.array(opened.run(draws, seed)) for seed in (7, 7, 8))
    assert (first == again).all() and (first >= 0).all() and (first < 1).all()
    for numbers in (first, other):
        assert np.abs(np.histogram(numbers, 20, (0, 1))[0] - 1000).max() < 150  # 5 standard deviations
    assert abs(np.corrcoef(first, other)[0, 1]) < 0.05 and abs(np.corrcoef(first[1:], first[:-1])[0, 1]) < 0.05
    drawn = opened.run("return [0, 0.19, 0.21, 0.9999].map((random) => draw([0, 0.2, 0, 0.8, 0], random))")
    assert drawn == [1, 1, 3, 3]


def test_the_model_continues_what_the_reader_types_as_sample_does(opened: Browser, trained_folder: Path) -> None:
    model = open_page(opened, trained_folder / "checkpoints" / "fable" / "best.safetensors")
    type_text(opened, "The fox")
    choose(opened, temperature=0, length=200)
    press_with(opened, CONTROL, ENTER)
    wait(opened)
    assert text_of(opened) == model.sample("The fox", temperature=0, length=200)
    shown = pieces(opened)
    assert [each["typed"] for each in shown] == [True] * 7 + [False] * 200
    assert shown[0]["nats"] is None  # given, not predicted
    ids = model.vocabulary.encode(text_of(opened))
    np.testing.assert_allclose([each["nats"] for each in shown[1:]], surprises(model, ids), atol=1e-4)
    assert "207 characters, " in opened.run("return element('status').textContent")
    opened.run("element('clear').click()")
    write(opened)
    assert text_of(opened) == model.sample("", temperature=0, length=200)


def test_a_seed_writes_the_same_text_again_and_continues_it_from_anywhere(opened: Browser) -> None:
    open_page(opened, untrained_run("lstm", "abcdefghij\n"))
    texts = []
    for seed in (3, 3, 4):
        opened.run("element('clear').click()")
        write(opened, seed=seed, length=200)
        texts.append(text_of(opened))
    assert texts[0] == texts[1] != texts[2]
    write(opened, seed=4)
    longer = text_of(opened)
    assert longer.startswith(texts[2])
    opened.run("remember(); show(writing.replace(writing.pieces.slice(0, 150))); element('write').click()")
    wait(opened)
    assert text_of(opened) == longer[:350]


def test_a_reader_picks_an_alternative_and_the_model_continues(opened: Browser, trained_folder: Path) -> None:
    model = open_page(opened, trained_folder / "checkpoints" / "fable" / "best.safetensors")
    type_text(opened, "The fox left the grapes")
    choose(opened, temperature=0, length=200)
    box = opened.run("return spans[8].getBoundingClientRect().toJSON()")
    click(opened, box["x"] + 0.9 * box["width"], box["y"] + box["height"] / 2)  # nearer to the next character
    assert opened.run("return element('text').selectionStart") == 9
    assert opened.run("return chosen") == 8
    assert opened.run("return element('place').textContent") == "Instead of \u201cl\u201d"
    ids = model.vocabulary.encode("The fox ")
    logits, _ = model.engine.read(ids[None], model.engine.initial_state(1))
    probabilities = np.exp(logits[0, -1]) / np.exp(logits[0, -1]).sum()
    order = np.argsort(-probabilities)
    buttons = "[...document.querySelectorAll('#alternatives button')]"
    shown = opened.run(f"return {buttons}.map((e) => [Number(e.dataset.id), e.querySelector('.number').textContent])")
    assert [number for number, _ in shown[:8]] == order[:8].tolist()
    assert float(shown[0][1].rstrip("%")) == pytest.approx(100 * probabilities[order[0]], abs=0.051)
    second = model.vocabulary.characters[order[1]]
    press_with(opened, ALT, "2")
    wait(opened)
    assert text_of(opened) == model.sample("The fox " + second, temperature=0, length=200)
    assert pieces(opened)[8]["picked"]
    opened.run("element('undo').click()")
    wait(opened)
    assert text_of(opened) == "The fox left the grapes"


def test_a_change_in_the_middle_is_read_again_as_if_the_text_were_new(opened: Browser) -> None:
    model = open_page(opened, untrained_run("gru", "abcdefghij\n", cell=CELLS["gru-before"].cell, attention=4))
    write(opened, length=200)
    text = text_of(opened)
    type_text(opened, text[:90] + "jjj" + text[95:])
    assert text_of(opened) == text[:90] + "jjj" + text[95:]
    shown = pieces(opened)
    assert {each["typed"] for each in shown[:90]} == {False}
    assert [each["text"] for each in shown if each["typed"]] == ["j"] * sum(each["typed"] for each in shown)
    ids = model.vocabulary.prompt_ids("\n" + text_of(opened), lines=False)
    np.testing.assert_allclose([each["nats"] for each in shown], surprises(model, ids), atol=1e-4)


def test_unknown_characters_are_named_and_not_read(opened: Browser) -> None:
    model = open_page(opened, untrained_run("lstm", "abc\n"))
    assert opened.run("return element('problem').hidden")
    type_text(opened, "ab\U0001f600c\u00e9a")
    said = opened.run("return element('problem').textContent")
    assert "\u201c\U0001f600\u201d (U+1F600), \u201c\u00e9\u201d (U+00E9)" in said
    assert not opened.run("return element('problem').hidden")
    shown = pieces(opened)
    assert [each["text"] for each in shown] == list("ab\U0001f600c\u00e9a")
    assert [each["nats"] is None for each in shown] == [True, False, True, False, True, False]
    assert sum(each["nats"] or 0 for each in shown) == pytest.approx(model.score("abca").nats, abs=1e-4)
    type_text(opened, "abca")
    assert opened.run("return element('problem').hidden")


def test_a_model_of_lines_writes_lines_that_begin_alike(opened: Browser) -> None:
    model = open_page(opened, run_of_text("names", "Mary\nMartha\nAnn\nAnton\n" * 9, lines=True))
    write(opened, length=10, seed=5)
    text = text_of(opened)
    assert text.count("\n") == 10 and text.endswith("\n")
    for line, shown in zip(text.split("\n"), "".join(each["text"] for each in pieces(opened)).split("\n"), strict=True):
        assert line == shown
    nats = sum(each["nats"] for each in pieces(opened))
    assert nats == pytest.approx(
        sum(line.score.nats for line in model.score_lines([model.vocabulary.encode(text)])), abs=1e-3
    )
    type_text(opened, "Ma")
    write(opened)
    lines = text_of(opened).split("\n")
    assert len(lines) == 11 and lines[-1] == "" and all(line.startswith("Ma") for line in lines[:-1])
    # What the model has written of an unfinished line is not repeated: the reader has typed no beginning.
    opened.run("remember(); show(writing.replace(writing.pieces.slice(0, 4)))")
    assert opened.run("return writing.lineBeginning().map(({ text }) => text).join('')") == "Ma"
    opened.run("element('clear').click()")
    write(opened)
    opened.run("remember(); show(writing.replace(writing.pieces.slice(0, 2)))")
    assert opened.run("return writing.lineBeginning()") == []


def test_a_model_of_bytes_writes_characters(opened: Browser) -> None:
    model = open_page(opened, untrained_run("bytes", None))
    type_text(opened, "h\u00e9 \u20ac\U0001f600")
    assert [bytes(each["ids"]) for each in pieces(opened)] == [c.encode() for c in "h\u00e9 \u20ac\U0001f600"]
    assert opened.run("return element('problem').hidden")
    opened.run("element('clear').click()")
    write(opened, length=2000, seed=2)
    content = bytes(number for each in pieces(opened) for number in each["ids"])
    assert opened.run("return writing.raw") == content.decode("utf-8", "replace")
    nats = sum(each["nats"] for each in pieces(opened))
    assert nats == pytest.approx(model.score_blocks([np.frombuffer(b"\n" + content, np.uint8)]).nats, rel=1e-5)


def test_bytes_become_the_text_that_python_makes_of_them(opened: Browser) -> None:
    open_page(opened, untrained_run("bytes", None))
    decode = """
        return arguments[0].map((bytes) => {
          const decoder = new Utf8Decoder();
          return [...bytes.flatMap((byte) => decoder.feed(byte)), ...decoder.finish()].map(({ raw }) => raw).join("");
        });
    """
    generator = np.random.default_rng(0)
    leads = list(bytes.fromhex("41 80 9f a0 bf c1 c3 e0 e2 ed ef f0 f1 f4 f5 ff bb 8f 90"))
    texts = [generator.choice(leads, size=40).tolist() for _ in range(300)]
    texts += ["h\u00e9\u20ac\U0001f600\ufeff\ufffd".encode()]
    assert opened.run(decode, [list(text) for text in texts]) == [
        bytes(text).decode("utf-8", "replace") for text in texts
    ]


def test_hostile_characters_stay_text(opened: Browser) -> None:
    path = untrained_run("hostile", "".join(sorted(set(HOSTILE))))
    text = writing_page(load_checkpoint(path), HOSTILE, Rounding.INT8)
    Path("page.html").write_text(text, encoding="utf-8")
    opened.open(Path("page.html"))
    assert opened.run("return document.title").startswith("</script><script>document.title = 'owned'")
    name = opened.run("return element('name').textContent")
    assert name.startswith("</script>") and not {"\x1b", "\u202e"} & set(name)
    type_text(opened, HOSTILE.replace("\r", ""))
    write(opened, length=2000)
    assert opened.run("return document.images.length + document.scripts.length") == 2
    shown = text_of(opened)
    assert controls(shown) == set() and not {"\u2028", "\u202e"} & set(shown)
    assert shown.startswith(HOSTILE[:80]) and "\u240d" in shown
    raw = opened.run("return writing.raw")
    assert "\r" in raw and "\u202e" in raw and len(raw) == len(shown)
    assert opened.run("return element('problem').hidden")


def test_who_types_while_the_model_writes_continues_at_the_end(opened: Browser) -> None:
    open_page(opened, untrained_run("lstm", "abcdefghij \n"))
    choose(opened, length="Infinity")
    opened.run("element('text').focus(); element('write').click()")
    while opened.run("return writing.pieces.length < 100"):
        pass
    opened.press("b", "a", "d")
    wait(opened)
    assert text_of(opened).endswith("bad")
    assert [each["typed"] for each in pieces(opened)] == [False] * (len(pieces(opened)) - 3) + [True] * 3
    lines = "[...document.querySelectorAll('#shown > div:not(.end)')].map((e) => e.textContent)"
    assert opened.run(f"return {lines}") == text_of(opened).splitlines(keepends=True)


def test_it_stops_and_fits_a_phone_and_its_controls_have_names(opened: Browser) -> None:
    open_page(opened, untrained_run("lstm", "abcdefghij \n"))
    choose(opened, length="Infinity")
    opened.run("element('text').focus(); element('write').click()")
    assert opened.run("return element('write').textContent") == "Stop"
    opened.press(ESCAPE)
    wait(opened)
    assert opened.run("return element('write').textContent") == "Write"
    assert opened.run("return [...document.querySelectorAll('input, select')].every((e) => e.labels.length === 1)")
    assert opened.run("return getComputedStyle(document.body).backgroundColor") == "rgb(20, 21, 24)"
    for width in (1280, 390):
        with opened.size(width, 844):
            assert opened.run("return window.innerWidth") == width
            assert opened.run("return document.documentElement.scrollWidth") <= width
            assert opened.run("return element('shown').clientHeight === element('text').clientHeight")


def test_a_text_that_is_too_long_for_the_page_is_not_continued(opened: Browser) -> None:
    open_page(opened, untrained_run("lstm", "abc"))
    type_text(opened, "ab" * 50_000)
    write(opened, length=200)
    assert opened.run("return writing.pieces.length") == 100_000
    assert opened.run("return element('status').textContent").endswith("maximum length")


def test_the_end_of_the_text_is_in_sight_unless_the_reader_scrolls_back(opened: Browser) -> None:
    open_page(opened, untrained_run("lstm", "abcdefghij \n"))
    choose(opened, length=2000)
    for _ in range(2):
        opened.run("element('sheet').scrollTop = 0; element('write').click()")
        wait(opened)
        assert opened.run("return atEnd() && element('sheet').scrollTop > 0")
    choose(opened, length="Infinity")
    opened.run("element('write').click(); element('sheet').scrollTop = 0")
    while opened.run("return writing.pieces.length < 4200"):
        pass
    opened.press(ESCAPE)
    wait(opened)
    assert opened.run("return element('sheet').scrollTop") == 0
