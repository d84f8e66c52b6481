"""A text coloured by surprisal: in a terminal, without colours, and as a page."""

import io
import re
from html.parser import HTMLParser
from itertools import count
from pathlib import Path

import pytest
from rich.color import ColorType
from rich.console import Console
from rich.text import Text

from lstmgen.cli import score
from lstmgen.evaluation.characters import CharacterScore, Expected
from lstmgen.language_model import load
from lstmgen.pages.score import write_score_page
from lstmgen.printable import shown as shown_character
from tests.browser import Browser
from tests.command_line import controls, done, untrained_run

TEXT = "The fox saw grapes.\nThe vine hung.\n"
HOSTILE = "</pre><script>document.title = 'owned'</script>\n<img src=x onerror=alert(1)> & \"'\x1b[31m\u202e"


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLORTERM", "truecolor")
    monkeypatch.delenv("NO_COLOR", raising=False)


@pytest.fixture
def hostile(nowhere: Path) -> Path:
    """A model of bytes, and a text that would like to do harm, in a file whose name would too."""
    untrained_run("octets", None)
    path = Path("a<b>&amp;.txt")
    (nowhere / path).write_text(HOSTILE, encoding="utf-8", newline="")
    return path


@pytest.mark.usefixtures("terminal", "in_trained_folder")
def test_a_narrow_terminal_without_colours_has_each_mark_below_its_character(monkeypatch: pytest.MonkeyPatch) -> None:
    text = f"{TEXT[:19]} {TEXT[:19]} {TEXT[:19]}\n".encode()
    _, wide, *_ = done("score", "fable", "--heatmap", stdin=text).text.splitlines()
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "40")
    first, below, second, rest, *_ = done("score", "fable", "--heatmap", stdin=text, terminal=True).text.splitlines()
    assert (first, second) == ("The fox saw grapes. The fox saw grapes. ", "The fox saw grapes.↵")
    assert below.ljust(40) + rest == wide


@pytest.mark.usefixtures("terminal", "in_trained_folder")
def test_a_terminal_shows_the_text_in_colours_of_its_surprise() -> None:
    written = done("score", "fable", "--heatmap", stdin=TEXT.encode(), terminal=True).text
    shown = Text.from_ansi(written.split("\nbits of surprisal")[0])
    assert shown.plain.rstrip("\n") == TEXT.replace("\n", "↵\n").rstrip("\n")
    model = load("fable")
    brightness: dict[int, set[int]] = {}
    offset = 0
    for character in model.score_characters([model.vocabulary.encode(TEXT)]):
        color = shown.get_style_at_offset(Console(), offset).bgcolor
        assert color is not None
        brightness.setdefault(character.level, set()).add(sum(color.get_truecolor()))
        offset += len(shown_character(character.text))
    rising = [value for _, (value,) in sorted(brightness.items())]
    assert rising == sorted(set(rising))
    assert len(rising) > 2


@pytest.mark.usefixtures("in_trained_folder")
@pytest.mark.parametrize("in_terminal", [False, True])
def test_without_colours_digits_stand_below(in_terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    written = done("score", "fable", "--heatmap", stdin=TEXT.encode(), terminal=in_terminal).text
    assert "\x1b" not in written
    lines = written.splitlines()
    assert lines[0] == "The fox saw grapes.↵"
    assert lines[2] == "The vine hung.↵"
    model = load("fable")
    expected = "".join(str(c.level or " ") for c in model.score_characters([model.vocabulary.encode(TEXT)]))
    assert lines[1] == expected[: TEXT.index("\n") + 1].rstrip()
    assert lines[3] == expected[TEXT.index("\n") + 1 :].rstrip()


@pytest.mark.usefixtures("terminal")
def test_a_terminal_gets_no_control_characters_but_colours(hostile: Path) -> None:
    written = done("score", "octets", hostile, "--heatmap", terminal=True).text
    assert controls(re.sub(r"\x1b\[[0-9;]*[mK]", "", written)) == set()
    assert "\u202e" not in written


@pytest.mark.usefixtures("in_trained_folder", "terminal")
def test_every_level_of_the_legend_has_a_colour_of_its_own() -> None:
    written = done("score", "fable", "--heatmap", stdin=TEXT.encode(), terminal=True).text
    legend = Text.from_ansi(written.split("bits of surprisal ")[1])
    colors = [legend.get_style_at_offset(Console(), legend.plain.index(str(level))).bgcolor for level in range(9)]
    assert len({color.get_truecolor() for color in colors if color}) == 9
    assert {color.type for color in colors if color} == {ColorType.EIGHT_BIT}  # exactly these, on most terminals


def test_levels_are_bits_rounded_up_to_the_most() -> None:
    bits = {0.0: 0, 0.4: 0, 0.6: 1, 3.2: 3, 7.9: 8, 30.0: 8}
    for amount, expected in bits.items():
        assert CharacterScore(0, "a", amount * 0.6931471805599453, ()).level == expected


def test_what_is_hardly_possible_is_not_named_unless_it_is_the_likeliest() -> None:
    expected = tuple(Expected(token, probability) for token, probability in (("a", 0.9), (" ", 0.006), ("c", 0.004)))
    assert CharacterScore(0, "a", 0.1, expected).alternatives == "a 90%  ␣ 1%"
    assert CharacterScore(0, "c", 5.0, expected[2:]).alternatives == "c 0%"


class Page(HTMLParser):
    """The text of a page's <pre>, its elements, and what each shows."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.text, self.expected = "", list[str | None]()
        self._within = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self._within |= tag == "pre"
        if self._within and tag == "i":
            self.expected.append(dict(attrs).get("data-e"))

    def handle_endtag(self, tag: str) -> None:
        self._within &= tag != "pre"

    def handle_data(self, data: str) -> None:
        self.text += data if self._within else ""


@pytest.mark.usefixtures("in_trained_folder")
def test_a_page_holds_the_text_and_what_was_expected(tmp_path: Path) -> None:
    ran = done("score", "fable", "--html", tmp_path / "page.html", stdin=TEXT.encode())
    assert ran.out == b""
    page = Page((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert page.text == TEXT.replace("\n", "↵\n")
    assert page.expected[0] is None
    assert all(expected and "%" in expected for expected in page.expected[1:])
    assert len(page.expected) == len(TEXT)


def test_a_page_escapes_everything_and_asks_for_nothing(hostile: Path) -> None:
    done("score", "octets", hostile, "--html", "page.html")
    text = Path("page.html").read_text(encoding="utf-8")
    page = Page(text)
    assert page.tags == {"html", "head", "meta", "title", "style", "body", "h1", "p", "i", "pre"}
    assert page.text.replace("↵\n", "\n") == HOSTILE.replace("\x1b", "␛").replace("\u202e", "<U+202E>")
    assert "src=" not in re.sub(r"<i[^>]*>.</i>", "", text)
    assert "url(" not in text
    assert "default-src 'none'" in text
    assert controls(text) == set()


@pytest.mark.usefixtures("in_trained_folder")
def test_a_page_of_a_long_text_has_its_beginning_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    default, length = score.PAGE_LENGTH, 1500
    monkeypatch.setattr(score, "PAGE_LENGTH", length)
    pages = {name: tmp_path / f"{name}.html" for name in ("default", "given", "whole")}
    ran = done("score", "fable", "fable.txt", "--html", pages["default"])
    (line,) = ran.err.splitlines()
    assert "the first 1,500 characters" in line and "--length N" in line
    text = Path("fable.txt").read_text(encoding="utf-8")
    assert len(text) > length
    assert Page(pages["default"].read_text(encoding="utf-8")).text == text[:length].replace("\n", "↵\n")
    assert "longer than this page" in pages["default"].read_text(encoding="utf-8")
    assert pages["default"].stat().st_size / length * default < 5e6

    assert "the first 10 characters" in done("score", "fable", "fable.txt", "--html", pages["given"], "-n", 10).err
    assert len(Page(pages["given"].read_text(encoding="utf-8")).expected) == 10
    err = done("score", "fable", "fable.txt", "--html", pages["whole"], "--length", len(text)).err
    assert err.count("\n") == 1 and str(pages["whole"]) in err
    assert "longer than this page" not in pages["whole"].read_text(encoding="utf-8")


def test_of_an_endless_text_only_the_beginning_is_read() -> None:
    characters = (CharacterScore(position, "a", 1.0, ()) for position in count())
    page = io.BytesIO()
    assert write_score_page(page, "", "", characters, 7)
    assert len(page.getvalue().split(b"<i class=b1")) == 1 + 7
    assert next(characters).position == 8


def test_a_browser_shows_the_page(hostile: Path, window: Browser) -> None:
    done("score", "octets", hostile, "--html", "page.html")
    papers, hottest = [], []
    for dark in (False, True):
        window.open(Path("page.html"), dark=dark)
        assert window.run("return document.title") == hostile.name
        assert window.run("return document.scripts.length + document.images.length") == 0
        text = window.run("return document.querySelector('pre').textContent")
        assert "<script>document.title = 'owned'</script>" in text
        papers.append(window.run("return getComputedStyle(document.body).backgroundColor"))
        hottest.append(window.run("return getComputedStyle(document.querySelector('pre .b8')).backgroundColor"))

        box = "const box = document.querySelectorAll('pre i')[9].getBoundingClientRect();"
        window.point_at(*window.run(f"{box} return [box.x + box.width / 2, box.y + box.height / 2]"))
        content = window.run("return getComputedStyle(document.querySelector('pre i:hover'), '::after').content")
        expected = Page(Path("page.html").read_text(encoding="utf-8")).expected[9]
        assert expected is not None
        assert expected in content.replace('\\"', '"').replace("\\\\", "\\")
    assert papers[0] != papers[1]
    assert hottest[0] != hottest[1]
