"""What is shown cannot drive a terminal, and numbers read as people write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lstmgen.cli.options import parse_duration
from lstmgen.cli.render import duration
from lstmgen.printable import count, printable
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
    ],
)
def test_durations_are_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds
