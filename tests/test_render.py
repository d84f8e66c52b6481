"""What is shown cannot drive a terminal, and numbers read as people write them."""

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from lstmgen.cli.options import parse_duration
from lstmgen.cli.render import duration
from lstmgen.printable import count, printable, readably
from tests.command_line import controls

CONTROLS = [*map(chr, range(0x20)), *map(chr, range(0x7F, 0xA0))]
ORDERS_A_LINE = ["\u200e", "\u202a", "\u202e", "\u2066", "\u2069", "\u061c"]
ANY = st.text(st.one_of(st.characters(), st.sampled_from(CONTROLS + ORDERS_A_LINE)))


@given(ANY)
def test_what_is_printable_never_holds_a_control_character(text: str) -> None:
    assert controls(printable(text)) == set()
    assert not set(ORDERS_A_LINE) & set(printable(text))
    assert printable(text).encode("utf-8").decode("utf-8") == printable(text)


@given(ANY)
def test_a_single_line_stays_one(text: str) -> None:
    shown = printable(text, single_line=True)
    assert len(shown.splitlines()) <= 1
    assert "\t" not in shown
    assert controls(shown) == set()


@given(ANY)
def test_what_is_printable_stays_as_it_is(text: str) -> None:
    assert printable(printable(text)) == printable(text)


@pytest.mark.parametrize("text", ["", "plain\n\ttext", "Größe 日本 🙂", "family: \U0001f469\u200d\U0001f467"])
def test_ordinary_text_is_not_touched(text: str) -> None:
    assert printable(text) == text


def test_different_control_characters_look_different() -> None:
    assert len({printable(code, single_line=True) for code in CONTROLS}) == len(CONTROLS)


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0, "0 s"), (42.4, "42 s"), (99, "99 s"), (180, "3 min"), (7500, "2 h 5 min")]
)
def test_durations_read_as_people_say_them(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown


@given(st.floats(0, 1e6))
def test_a_duration_is_never_sixty_of_a_unit(seconds: float) -> None:
    assert "60 s" not in duration(seconds) or seconds < 100
    assert " 60 min" not in duration(seconds)


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        (0, "0"),
        (949, "949"),
        (1120, "1.12 k"),
        (10_900, "10.9 k"),
        (999_600, "1 M"),
        (1_120_000, "1.12 M"),
        (3e9, "3 G"),
    ],
)
def test_large_numbers_have_three_digits(number: float, shown: str) -> None:
    assert count(number) == shown


@pytest.mark.parametrize(
    ("number", "digits", "shown"),
    [
        (3080.4, 3, "3,080"),
        (1_150_123, 3, "1,150,000"),
        (1e12, 6, "1,000,000,000,000"),
        (5e-5, 6, "0.00005"),
        (1.14159, 3, "1.14"),
        (0.012, 6, "0.012"),
        (120.0, 6, "120"),
        (0, 6, "0"),
    ],
)
def test_numbers_are_written_as_people_write_them(number: float, digits: int, shown: str) -> None:
    assert readably(number, digits) == shown


@given(st.floats(0, 1e20))
def test_a_readable_number_has_no_exponent_and_is_the_number(number: float) -> None:
    shown = readably(number, 17)
    assert "e" not in shown
    assert float(shown.replace(",", "")) == number


@given(st.integers(0, 10**11))
def test_a_count_never_turns_into_an_exponent(number: int) -> None:
    assert "e" not in count(number)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("90s", 90),
        ("3m", 180),
        ("3min", 180),
        ("1.5h", 5400),
        ("1h30m", 5400),
        ("1h 30m 5s", 5405),
        ("2M", 120),
        (" 0.5s ", 0.5),
        ("1h30", 5400),
        ("1h 5", 3900),
        ("1H05", 3900),
        ("1m30", 90),
        ("2min 5", 125),
        ("1h1m30", 3690),
        ("1h30s", 3630),
        ("2 h 5 min", 7500),
        ("\uff13m", 180),
    ],
)
def test_durations_are_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("seconds", [1, 42, 99, 180, 5940, 7500])
def test_a_duration_that_is_shown_can_be_given(seconds: float) -> None:
    assert parse_duration(duration(seconds)) == seconds


@pytest.mark.parametrize(
    "text", ["", "h", "1:30", "1h90", "1m60", "1h1h", "1m1h", "1e3", "-5", "1d", "inf", "nan", "1..5h", "½h", "²m"]
)
def test_a_time_that_can_be_misread_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        parse_duration(text)
