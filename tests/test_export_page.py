"""`lstmgen export --html`: the page as text, and its network and its sampling beside Python's, in a browser."""

import json
import re
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lstmgen.checkpoint import load_checkpoint, public_name
from lstmgen.evaluation.score import exact_protocol, score
from lstmgen.export.rounding import Choice, Rounding, choose_rounding, rounded, rounded_weights, validation_text
from lstmgen.generation.filters.base import History
from lstmgen.generation.filters.likelihood import temperature as temperature_filter
from lstmgen.generation.filters.likelihood import top_p
from lstmgen.generation.sampler import negative_log_likelihood
from lstmgen.language_model import LanguageModel, load
from lstmgen.network.forward import step
from lstmgen.pages.write import writing_page
from lstmgen.text.vocabulary import Ids
from tests.browser import CHROMEDRIVER, CHROMIUM, Browser, browser
from tests.command_line import controls, done, run_of_text, untrained_run, usage_error
from tests.conftest import CELLS, FABLE, NETWORKS

HOSTILE = (
    "</script><script>document.title = 'owned'</script><img src=x onerror=alert(1)>&amp;$title\"'\x1b\u202e\u2028\r\n"
)
ENTER, ESCAPE, CONTROL, ALT = "\ue007", "\ue00c", "\ue009", "\ue00a"
IN_A_BROWSER = pytest.mark.skipif(not (CHROMEDRIVER and CHROMIUM), reason="no Chromium with its ChromeDriver")
PIECES = "writing.pieces.map(({ text, ids, typed, picked, nats }) => ({ text, ids, typed, picked, nats }))"


# Rounding


@pytest.mark.parametrize(("rounding", "most"), [(Rounding.INT8, 1 / 254), (Rounding.FLOAT16, 2**-11)])
def test_a_row_differs_by_less_than_its_precision(rounding: Rounding, most: float) -> None:
    matrix = np.random.default_rng(0).normal(0, 1, (5, 40)).astype(np.float32)
    matrix *= np.array([1e-9, 1, 0, 1e5, 3])[:, None].astype(np.float32)  # float16 alone reaches neither 1e-9 nor 1e5
    error = np.abs(rounded(matrix, rounding).restored() - matrix)
    assert (error <= 1.001 * most * np.abs(matrix).max(axis=1, keepdims=True)).all()


def test_a_vector_is_not_rounded() -> None:
    vector = np.array([0.1, 1e6], np.float32)
    assert (rounded(vector, Rounding.INT8).restored() == vector).all()


@pytest.fixture
def model(in_trained_folder: Path) -> LanguageModel:
    """The trained model, and its folder as the working directory."""
    assert in_trained_folder.is_dir()
    return load("fable")


def test_int8_is_chosen_where_it_costs_little(model: LanguageModel) -> None:
    choice = choose_rounding(model.checkpoint, model.vocabulary.encode(FABLE))
    assert choice.rounding is Rounding.INT8 and choice.tokens == len(FABLE)
    assert choice.nats is not None and choice.nats[Rounding.INT8] <= 1.005 * choice.exact_nats
    assert choice.exact_nats == model.score(FABLE).nats_per_character


def test_float16_is_chosen_where_int8_costs_much_or_nothing_can_be_measured(model: LanguageModel) -> None:
    assert choose_rounding(model.checkpoint, None).rounding is Rounding.FLOAT16
    weights = {name: array.copy() for name, array in model.checkpoint.weights.items()}
    weights["head.weight"][:, 0] = 400  # the same for each token, but the other numbers of a row have few bits left
    choice = choose_rounding(replace(model.checkpoint, weights=weights), model.vocabulary.encode(FABLE))
    assert choice.rounding is Rounding.FLOAT16 and choice.nats is not None
    assert choice.nats[Rounding.FLOAT16] < 1.005 * choice.exact_nats < choice.nats[Rounding.INT8]


def test_a_text_that_costs_nothing_has_no_loss() -> None:
    choice = Choice(Rounding.FLOAT16, 9, 0.0, {Rounding.INT8: 1e-9, Rounding.FLOAT16: 0.0})
    assert (choice.loss(Rounding.INT8), choice.loss(Rounding.FLOAT16)) == (np.inf, 0)


def test_fewer_tokens_are_scored_by_a_large_network(model: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    every = validation_text(model.checkpoint)
    monkeypatch.setattr("lstmgen.export.rounding._PRODUCTS", 60 * model.checkpoint.network.parameter_count())
    monkeypatch.setattr("lstmgen.export.rounding._MIN_TOKENS", 50)
    assert (validation_text(model.checkpoint) == every[:60]).all() and len(every) > 60


# The command


@pytest.mark.usefixtures("in_trained_folder")
def test_the_command_says_what_it_chose_and_what_it_costs(tmp_path: Path) -> None:
    ran = done("export", "fable", "--html", tmp_path / "page.html")
    assert ran.out == b""
    first, second = ran.err.splitlines()
    assert re.fullmatch(
        r"weights in int8; nats per character on \d+ held-out characters: float32 \d\.\d{4}, "
        r"int8 \d\.\d{4} \([+-]\d\.\d\d%\)",
        first,
    )
    assert second.startswith(f"the page is {tmp_path / 'page.html'}, ") and "open it in a browser" in second
    assert done("export", "fable", "--html", tmp_path / "quiet.html", "-q").err == ""
    assert (tmp_path / "quiet.html").read_bytes() == (tmp_path / "page.html").read_bytes()


@pytest.mark.usefixtures("nowhere")
def test_a_page_does_not_tell_where_the_model_was() -> None:
    run = untrained_run("noise", "abc\n").parent
    elsewhere = Path("private").absolute()
    run.rename(elsewhere)
    done("export", elsewhere, "--html", "page.html")
    text = Path("page.html").read_text(encoding="utf-8")
    assert "<title>private</title>" in text and str(elsewhere) not in text and "nowhere.txt" not in text


def test_a_model_is_called_for_others_by_its_run_or_its_file(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = untrained_run("noise", "abc\n")
    names = {path: "noise", path.absolute().with_name("last.safetensors"): "noise", nowhere / "my.safetensors": "my"}
    assert {each: public_name(each) for each in names} == names
    monkeypatch.chdir(path.parent)
    assert public_name(Path(path.name)) == "noise"
    done("export", ".", "--html", "page.html")
    assert "<title>noise</title>" in Path("page.html").read_text(encoding="utf-8")


@pytest.mark.usefixtures("nowhere")
def test_without_a_held_out_text_the_weights_are_float16() -> None:
    untrained_run("noise", "abc\n")
    err = done("export", "noise", "--html", "page.html").err
    assert "weights in float16: int8 needs a held-out text to be measured on, and " in err and "nowhere.txt" in err
    assert "lstmgen eval" not in err  # the remedy of another command
    run_of_text("short", "ab\n")
    assert "training held out only 0 characters\n" in done("export", "short", "--html", "short.html").err


def test_exactly_one_format_is_given() -> None:
    assert "--html" in usage_error("export")


@pytest.mark.usefixtures("nowhere")
def test_a_page_escapes_everything_and_asks_for_nothing() -> None:
    path = untrained_run("hostile", "".join(sorted(set(HOSTILE))))
    text = writing_page(load_checkpoint(path), HOSTILE, Rounding.INT8)
    assert controls(text) == set() and not set("\u2028\u202e") & set(text)
    assert text.count("<script") == text.count("</script>") == 2 and "<img" not in text
    assert "url(" not in text and "http" not in text.replace("http-equiv", "")
    markup = re.sub(r"(<(style|script)\b[^>]*>).*?</\2>", r"\1", text, flags=re.DOTALL)
    assert not [tag for tag in re.findall(r"<[a-z][^<>]*>", markup) if re.search(r"\s(src|href|style|on\w+)=", tag)]
    assert "unsafe" not in text and "innerHTML" not in text
    assert "content=\"default-src 'none'; script-src 'sha256-" in text
    data = json.loads(re.findall(r'id="data">(.*?)</script>', text)[0])
    assert data["name"] == HOSTILE
    assert "".join(map(chr, data["code_points"])) == "".join(sorted(set(HOSTILE)))


def test_a_model_of_two_layers_of_256_units_is_below_3_mb(nowhere: Path) -> None:
    path = untrained_run("large", "".join(map(chr, range(32, 97))), hidden_size=256, num_layers=2, embedding_size=64)
    for rounding, most in ((Rounding.INT8, 1.3e6), (Rounding.FLOAT16, 2.6e6)):
        assert nowhere.is_dir() and len(writing_page(load_checkpoint(path), "large", rounding)) < most


# In a browser


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A browser for all pages; a test that leaves complaints fails."""
    with browser(tmp_path_factory.mktemp("browser"), dark=True) as opened:
        yield opened


@pytest.fixture
def opened(window: Browser, nowhere: Path) -> Iterator[Browser]:
    """The same browser, for one test in a folder of its own."""
    assert nowhere.is_dir()
    yield window
    assert window.complaints() == []


def open_page(window: Browser, run: Path, rounding: Rounding = Rounding.INT8) -> LanguageModel:
    """Open the page of a run; the model with the same rounded weights in Python."""
    checkpoint = load_checkpoint(run)
    Path("page.html").write_text(writing_page(checkpoint, "a model", rounding), encoding="utf-8")
    window.open(Path("page.html"))
    weights = {name: array.restored() for name, array in rounded_weights(checkpoint.weights, rounding).items()}
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


@IN_A_BROWSER
@pytest.mark.parametrize("rounding", Rounding)
@pytest.mark.parametrize("attention", [0, 3])
@pytest.mark.parametrize("name", NETWORKS)
def test_logits_are_those_of_the_engine(opened: Browser, name: str, attention: int, rounding: Rounding) -> None:
    config = NETWORKS[name]
    values = {each: getattr(config, each) for each in ("cell", "peepholes", "reset", "tied")}
    path = untrained_run(name, "".join(sorted(set(FABLE))), **values, num_layers=3, hidden_size=11, attention=attention)
    model = open_page(opened, path, rounding)
    ids = model.vocabulary.encode(FABLE[:60])
    shown = page_logits(opened, ids)
    np.testing.assert_allclose(shown, exact_logits(model, ids), atol=1e-9)
    assert np.abs(shown - exact_logits(load(path), ids)).max() > 1e-4  # the rounding can be seen, so the test can fail


@IN_A_BROWSER
def test_a_trained_model_has_the_same_score_there(opened: Browser, trained_folder: Path) -> None:
    model = open_page(opened, trained_folder / "checkpoints" / "fable" / "best.safetensors")
    ids = model.vocabulary.encode(FABLE * 5)
    logits, _ = model.engine.read(ids[None], model.engine.initial_state(1))
    np.testing.assert_allclose(page_logits(opened, ids), logits[0], atol=1e-4)
    nats = opened.run(
        """
        let now = { state: network.initialState(), logits: null }, sum = 0;
        for (const id of arguments[0]) {
          if (now.logits) sum += surprise(now.logits, id);
          now = network.step(id, now.state);
        }
        return sum / (arguments[0].length - 1);
        """,
        ids.tolist(),
    )
    assert nats == pytest.approx(score(model.engine, exact_protocol(ids, None)).nats_per_character, abs=1e-5)


@IN_A_BROWSER
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


@IN_A_BROWSER
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


@IN_A_BROWSER
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
    logits, _ = model.engine.read(ids[None, :-1], model.engine.initial_state(1))
    expected = negative_log_likelihood(logits[0], ids[1:])
    np.testing.assert_allclose([each["nats"] for each in shown[1:]], expected, atol=1e-4)
    assert "207 characters, " in opened.run("return element('status').textContent")
    opened.run("element('clear').click()")
    opened.run("element('write').click()")
    wait(opened)
    assert text_of(opened) == model.sample("", temperature=0, length=200)


@IN_A_BROWSER
def test_a_seed_writes_the_same_text_again_and_continues_it_from_anywhere(opened: Browser) -> None:
    open_page(opened, untrained_run("lstm", "abcdefghij\n"))
    texts = []
    for seed in (3, 3, 4):
        opened.run("element('clear').click()")
        choose(opened, seed=seed, length=200)
        opened.run("element('write').click()")
        wait(opened)
        texts.append(text_of(opened))
    assert texts[0] == texts[1] != texts[2]
    choose(opened, seed=4)
    opened.run("element('write').click()")
    wait(opened)
    longer = text_of(opened)
    assert longer.startswith(texts[2])
    opened.run("remember(); show(writing.replace(writing.pieces.slice(0, 150))); element('write').click()")
    wait(opened)
    assert text_of(opened) == longer[:350]


@IN_A_BROWSER
def test_a_reader_picks_an_alternative_and_the_model_continues_from_there(
    opened: Browser, trained_folder: Path
) -> None:
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


@IN_A_BROWSER
def test_a_change_in_the_middle_is_read_again_as_if_the_text_were_new(opened: Browser) -> None:
    model = open_page(opened, untrained_run("gru", "abcdefghij\n", cell=CELLS["gru-before"].cell, attention=4))
    choose(opened, length=200)
    opened.run("element('write').click()")
    wait(opened)
    text = text_of(opened)
    type_text(opened, text[:90] + "jjj" + text[95:])
    assert text_of(opened) == text[:90] + "jjj" + text[95:]
    shown = pieces(opened)
    assert {each["typed"] for each in shown[:90]} == {False}
    assert [each["text"] for each in shown if each["typed"]] == ["j"] * sum(each["typed"] for each in shown)
    ids = model.vocabulary.prompt_ids("\n" + text_of(opened), lines=False)
    logits, _ = model.engine.read(ids[None, :-1], model.engine.initial_state(1))
    expected = negative_log_likelihood(logits[0], ids[1:])
    np.testing.assert_allclose([each["nats"] for each in shown], expected, atol=1e-4)


@IN_A_BROWSER
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


@IN_A_BROWSER
def test_a_model_of_lines_writes_lines_that_begin_alike(opened: Browser) -> None:
    model = open_page(opened, run_of_text("names", "Mary\nMartha\nAnn\nAnton\n" * 9, lines=True))
    choose(opened, length=10, seed=5)
    opened.run("element('write').click()")
    wait(opened)
    text = text_of(opened)
    assert text.count("\n") == 10 and text.endswith("\n")
    for line, shown in zip(text.split("\n"), "".join(each["text"] for each in pieces(opened)).split("\n"), strict=True):
        assert line == shown
    nats = sum(each["nats"] for each in pieces(opened))
    assert nats == pytest.approx(
        sum(line.score.nats for line in model.score_lines([model.vocabulary.encode(text)])), abs=1e-3
    )
    type_text(opened, "Ma")
    opened.run("element('write').click()")
    wait(opened)
    lines = text_of(opened).split("\n")
    assert len(lines) == 11 and lines[-1] == "" and all(line.startswith("Ma") for line in lines[:-1])
    # What the model has written of an unfinished line is not repeated: the reader has typed no beginning.
    opened.run("remember(); show(writing.replace(writing.pieces.slice(0, 4)))")
    assert opened.run("return writing.lineBeginning().map(({ text }) => text).join('')") == "Ma"
    opened.run("element('clear').click(); element('write').click()")
    wait(opened)
    opened.run("remember(); show(writing.replace(writing.pieces.slice(0, 2)))")
    assert opened.run("return writing.lineBeginning()") == []


@IN_A_BROWSER
def test_a_model_of_bytes_writes_characters(opened: Browser) -> None:
    model = open_page(opened, untrained_run("bytes", None))
    type_text(opened, "h\u00e9 \u20ac\U0001f600")
    assert [bytes(each["ids"]) for each in pieces(opened)] == [c.encode() for c in "h\u00e9 \u20ac\U0001f600"]
    assert opened.run("return element('problem').hidden")
    opened.run("element('clear').click()")
    choose(opened, length=2000, seed=2)
    opened.run("element('write').click()")
    wait(opened)
    content = bytes(number for each in pieces(opened) for number in each["ids"])
    assert opened.run("return writing.raw") == content.decode("utf-8", "replace")
    nats = sum(each["nats"] for each in pieces(opened))
    assert nats == pytest.approx(model.score_blocks([np.frombuffer(b"\n" + content, np.uint8)]).nats, rel=1e-5)


@IN_A_BROWSER
def test_bytes_become_the_text_that_python_makes_of_them(opened: Browser) -> None:
    open_page(opened, untrained_run("bytes", None))
    decode = """
        return arguments[0].map((bytes) => {
          const decoder = new Utf8Decoder();
          return [...bytes.flatMap((byte) => decoder.feed(byte)), ...decoder.finish()].map(({ raw }) => raw).join("");
        });
    """
    generator = np.random.default_rng(0)
    leads = [
        0x41,
        0x80,
        0x9F,
        0xA0,
        0xBF,
        0xC1,
        0xC3,
        0xE0,
        0xE2,
        0xED,
        0xEF,
        0xF0,
        0xF1,
        0xF4,
        0xF5,
        0xFF,
        0xBB,
        0x8F,
        0x90,
    ]
    texts = [generator.choice(leads, size=40).tolist() for _ in range(300)]
    texts += ["h\u00e9\u20ac\U0001f600\ufeff\ufffd".encode()]
    assert opened.run(decode, [list(text) for text in texts]) == [
        bytes(text).decode("utf-8", "replace") for text in texts
    ]


@IN_A_BROWSER
def test_hostile_characters_stay_text(opened: Browser) -> None:
    path = untrained_run("hostile", "".join(sorted(set(HOSTILE))))
    text = writing_page(load_checkpoint(path), HOSTILE, Rounding.INT8)
    Path("page.html").write_text(text, encoding="utf-8")
    opened.open(Path("page.html"))
    assert opened.run("return document.title").startswith("</script><script>document.title = 'owned'")
    name = opened.run("return element('name').textContent")
    assert name.startswith("</script>") and not {"\x1b", "\u202e"} & set(name)
    type_text(opened, HOSTILE.replace("\r", ""))
    choose(opened, length=2000)
    opened.run("element('write').click()")
    wait(opened)
    assert opened.run("return document.images.length + document.scripts.length") == 2
    shown = text_of(opened)
    assert controls(shown) == set() and not {"\u2028", "\u202e"} & set(shown)
    assert shown.startswith(HOSTILE[:80]) and "\u240d" in shown
    raw = opened.run("return writing.raw")
    assert "\r" in raw and "\u202e" in raw and len(raw) == len(shown)
    assert opened.run("return element('problem').hidden")


@IN_A_BROWSER
def test_who_types_while_the_model_writes_goes_on_at_the_end(opened: Browser) -> None:
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


@IN_A_BROWSER
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


@IN_A_BROWSER
def test_a_text_that_is_too_long_for_the_page_is_not_continued(opened: Browser) -> None:
    open_page(opened, untrained_run("lstm", "abc"))
    type_text(opened, "ab" * 50_000)
    choose(opened, length=200)
    opened.run("element('write').click()")
    wait(opened)
    assert opened.run("return writing.pieces.length") == 100_000
    assert opened.run("return element('status').textContent").endswith("the page writes no more than this")


@IN_A_BROWSER
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
