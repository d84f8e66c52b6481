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
    _, *rows = shown(capsys, Chart("seen", [Curve("loss", {1: 3.0, 4: 2.0, 16: 1.0})])).splitlines()
    assert [row.split()[:3] for row in rows] == [
        ["1", "3.0000", "+2.0000"],
        ["4", "2.0000", "+1.0000"],
        ["16", "1.0000", "+0.0000"],
    ]
    bars = [row.count("\u2588") for row in rows]
    assert bars[0] > bars[1] > bars[2] == 0
    assert all(len(row) <= 80 for row in rows)


SMALLER = Curve("gradient", {1: 1.0, 2: 1e-3, 4: 1e-6, 8: 1e-9, 16: 0.0})


def test_what_is_below_a_logarithmic_scale_has_its_number_but_no_bar(capsys: pytest.CaptureFixture[str]) -> None:
    _, *rows = shown(capsys, Chart("back", [SMALLER], 1e-6)).splitlines()
    assert [float(row.split()[1]) for row in rows] == [1, 1e-3, 1e-6, 1e-9, 0]
    assert [row.count("\u2588") > 0 for row in rows] == [True, True, False, False, False]
    assert rows[0].count("\u2588") == pytest.approx(2 * rows[1].count("\u2588"), abs=1)


@pytest.mark.parametrize("lowest", [None, 1e-6])
def test_a_page_draws_a_curve_only_where_it_is_on_the_scale(lowest: float | None) -> None:
    page = section("", [Chart("back", [SMALLER, Curve("other", {1: 10.0})], lowest)])
    first, second = (points.split() for points in re.findall(r'<polyline [^>]*points="([^"]*)"', page))
    assert len(first) == (5 if lowest is None else 3)
    heights = [float(point.split(",")[1]) for point in [*second, *first]]
    assert heights == sorted(heights) and len(set(heights[:3])) == 3  # the largest value is highest, at 0


@pytest.mark.parametrize("columns", [50, 80, 200])
def test_several_curves_are_rows_of_blocks_on_one_scale(
    columns: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    places = [2**power for power in range(11)]
    curves = [Curve(f"network {n}", {place: float(n * place) for place in places}) for n in (1, 2)]
    heading, labels, *rows = shown(capsys, Chart("seen", curves)).splitlines()
    assert heading == "seen" and labels.split()[0] == "1" and labels.split()[-1] == "1024"
    assert max(map(len, [labels, *rows])) <= columns
    assert [row[-1] for row in rows] == ["\u2584", "\u2588"]  # half as high
    assert len(labels) == max(map(len, rows))


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
