"""One report in a terminal, in a pipe and on a page."""

import re
import sys

import pytest

from lstmgen.cli.report import print_report
from lstmgen.inspection.walk import Unit
from lstmgen.pages.sections import section
from lstmgen.report import Chart, Curve, Histogram, Marked, Part, Table
from tests.command_line import controls

HOSTILE = "<img src=x onerror=alert(1)>&\x1b[31m\u202e\n\"'"


def shown(capsys: pytest.CaptureFixture[str], *parts: Part) -> str:
    print_report(parts)
    return capsys.readouterr().out


def test_nothing_in_a_report_drives_a_terminal_or_becomes_html(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table((HOSTILE, "b"), [(HOSTILE, Marked(HOSTILE, "red")), (Histogram([1], HOSTILE), [HOSTILE, HOSTILE])])
    chart = Chart(HOSTILE, [Curve(HOSTILE, {1: 2.0, 2: 1.0}, marked=2)])
    parts: list[Part] = [HOSTILE, [HOSTILE, HOSTILE], {"name": HOSTILE}, table, chart]
    written = shown(capsys, *parts)
    assert controls(written) == set() and "\u202e" not in written
    page = section(HOSTILE, parts)
    assert "<img" not in page and page.count("&lt;img") >= 10


def test_only_a_terminal_wraps_paragraphs(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown(capsys, "one", ["two", "three"], {"a": "b"}) == "one\n\ntwo\nthree\n\na  b\n"
    words = "held-out text " * 30
    assert shown(capsys, words).count("\n") == 1
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    lines = shown(capsys, words).splitlines()
    assert max(map(len, lines)) <= 40
    assert " ".join(lines).split() == words.split()


def test_a_chart_has_a_row_for_each_place(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    first = Curve("loss", {1: 3.0, 4: 2.0, 16: 1.0})
    powers = Curve("gradient", {place: 10.0**-place for place in range(1, 5)}, powers=True)
    _, *rows = shown(capsys, Chart("seen", [first, powers])).splitlines()
    assert [row.split()[:3] for row in rows] == [
        ["1", "3.0000", "+2.0000"],
        ["4", "2.0000", "+1.0000"],
        ["16", "1.0000", "+0.0000"],
    ]
    bars = [row.count("\u2588") for row in rows]
    assert bars[0] > bars[1] > bars[2] == 0
    assert "1.0e-04" in rows[1] and "e-" not in rows[2]
    assert all(len(row) <= 80 for row in rows)


def test_a_unit_on_a_page_can_be_chosen(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table(("unit",), [(Unit(2, 7),)])
    assert shown(capsys, table).split() == ["unit", "2.7"]
    assert '<button type="button" data-unit="2.7"' in section("units", [table])


def test_no_number_of_a_wide_table_is_cut(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "72")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    table = Table(("", *map(str, range(9))), [("held out", *["100.0%"] * 9)])
    written = shown(capsys, table)
    assert written.count("100.0%") == 9
    assert max(map(len, re.sub(r"\x1b\[[0-9;]*m", "", written).splitlines())) <= 72
