"""What is shown cannot drive a terminal, and numbers read as people write them."""

import io
import json
import sys

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from lstmgen.cli.options import parse_duration
from lstmgen.cli.reading_bar import progress_bar
from lstmgen.cli.render import duration, laid_out
from lstmgen.cli.report import print_report
from lstmgen.printable import count, json_line, printable, readably
from lstmgen.report import Table
from tests.command_line import controls

CONTROLS = [*map(chr, range(0x20)), *map(chr, range(0x7F, 0xA0))]
ORDERS_A_LINE = ["\u200e", "\u202a", "\u202e", "\u2066", "\u2069", "\u061c"]


@given(st.text(st.one_of(st.characters(), st.sampled_from(CONTROLS + ORDERS_A_LINE))))
def test_what_is_printable_has_no_control_character_and_stays_as_it_is(text: str) -> None:
    for shown in (printable(text), printable(text, single_line=True)):
        assert controls(shown) == set()
        assert not set(ORDERS_A_LINE) & set(shown)
        assert printable(shown) == shown
        assert shown.encode("utf-8").decode("utf-8") == shown
    assert len(shown.splitlines()) <= 1 and "\t" not in shown
    line = json_line({"text": text})
    assert json.loads(line) == {"text": text}
    assert not (controls(line) | set(ORDERS_A_LINE) & set(line)) and len(line.splitlines()) == 1


def test_ordinary_text_is_not_touched_and_different_control_characters_look_different() -> None:
    for text in ("", "plain\n\ttext", "Größe 日本 🙂", "family: \U0001f469\u200d\U0001f467"):
        assert printable(text) == text
    assert len({printable(code, single_line=True) for code in CONTROLS}) == len(CONTROLS)


def test_numbers_are_written_as_people_write_them() -> None:
    durations = {0: "0 s", 42.4: "42 s", 99: "99 s", 180: "3 min", 7500: "2 h 5 min"}
    assert {seconds: duration(seconds) for seconds in durations} == durations
    counts = {949: "949", 1120: "1.12 k", 999_600: "1 M", 3e9: "3 G"}
    assert {number: count(number) for number in counts} == counts
    rounded = {3080.4: "3,080", 1e12: "1,000,000,000,000", 5e-5: "0.00005", 1.14159: "1.14", 120.0: "120"}
    assert {number: readably(number, 3) for number in rounded} == rounded


@given(st.floats(0, 1e20))
def test_no_number_has_an_exponent_and_no_duration_is_sixty_of_a_unit(number: float) -> None:
    shown = readably(number, 17)
    assert "e" not in shown + count(number)
    assert float(shown.replace(",", "")) == number
    assert "60 s" not in duration(number) or number < 100
    assert " 60 min" not in duration(number)


def test_durations_are_read() -> None:
    durations = {"90": 90, "3m": 180, "1.5h": 5400, "1h30m": 5400, "1h 30m 5s": 5405, "2M": 120, " 0.5s ": 0.5}
    durations |= {"1h30": 5400, "1H05": 3900, "1m30": 90, "1h30s": 3630, "2 h 5 min": 7500, "\uff13m": 180}
    assert {text: parse_duration(text) for text in durations} == durations
    for seconds in durations.values():
        assert parse_duration(duration(seconds)) == pytest.approx(seconds, abs=30)


@pytest.mark.parametrize(
    "text", ["", "h", "1:30", "1h90", "1m60", "1h1h", "1m1h", "1e3", "-5", "1d", "inf", "nan", "1..5h", "½h", "²m"]
)
def test_a_time_that_can_be_misread_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        parse_duration(text)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


WIDTHS = (30, 50, 80, 120)
LONG_NAME = "a-run-with-a-name-of-forty-characters-lstm"


@pytest.mark.parametrize("columns", WIDTHS)
def test_a_message_is_broken_between_words_and_a_command_has_a_line_of_its_own(columns: int) -> None:
    command = f"lstmgen sample {LONG_NAME} -p 'The; sea'"
    message = f"training {'many words ' * 20}of {LONG_NAME}; write: {command}; or begin again\n    a preview"
    shown = laid_out(message, columns)
    assert f"    {command}" in shown.split("\n")
    assert shown.split() == message.replace("sea';", "sea'").split()
    for line in shown.split("\n"):
        assert len(line) <= columns or command in line or line.strip(" ;") == LONG_NAME
    assert laid_out(message, sys.maxsize) == message


@pytest.mark.parametrize("columns", WIDTHS)
def test_a_table_keeps_its_first_column_and_its_numbers_whole(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setenv("TERM", "dumb")  # without colours
    monkeypatch.setenv("COLUMNS", str(columns))
    rows = [(LONG_NAME, "2 x 256 lstm", "123,456,789", "a text of several words")]
    print_report([Table(("run", "network", "steps", "text"), rows, left=("network", "text"))])
    lines = screen.getvalue().splitlines()
    assert any(LONG_NAME in line.split() for line in lines) and any("123,456,789" in line.split() for line in lines)
    assert all(len(line) <= max(columns, len(LONG_NAME)) for line in lines)


@pytest.mark.parametrize("columns", WIDTHS)
def test_a_bar_keeps_its_length_and_says_less_in_a_narrow_terminal(
    columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    with progress_bar(quiet=False, total=1.0, ascii=True) as bar:
        bar.dynamic_ncols, bar.ncols = False, columns
        bar.desc = "loss 1.234 · validation 1.234 · 76.4 k chars/s · epoch 21.2"
        bar.n = 1
        line = str(bar)
    assert len(line) <= columns and line.count("#") >= 20
    shown = [fact for fact in bar.desc.split(" · ") if fact in line]
    assert shown == bar.desc.split(" · ")[: len(shown)]
    assert len(shown) == {30: 0, 50: 1, 80: 2, 120: 4}[columns]


def test_a_bar_that_a_narrower_terminal_has_broken_is_erased(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    with progress_bar(quiet=False, total=1.0) as bar:
        monkeypatch.setenv("COLUMNS", "40")
        bar.dynamic_ncols, bar.ncols = False, 120
        bar.refresh()
    assert "\x1b[2A\r\x1b[J" in screen.getvalue()
