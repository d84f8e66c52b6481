"""No regular expression for `--match` takes long, fills the memory or ends in a traceback, and each means what it says.

What matches is compared with Python's own `re`.
"""

import random
import re
import warnings
from collections.abc import Callable

import numpy as np
import pytest

from lstmgen.errors import ConfigError
from lstmgen.generation.filters.match import MAX_EXPRESSION, UNREACHABLE, Automaton

CHARACTERS = "\n 12abcAßéÉ$"


def matches(automaton: Automaton, text: str) -> bool:
    """Whether a text matches; each token must be allowed exactly if a match can follow it."""
    state = automaton.start
    for character in text:
        allowed = automaton.allowed(state, UNREACHABLE)[CHARACTERS.index(character)]
        state = automaton.after(state, CHARACTERS.index(character))
        assert allowed == (state != 0)
    return automaton.matches(state)


@pytest.mark.parametrize(
    "expression",
    ["(a|b)*a(a|b){12}", "(a|b)*a(a|b){5000}", ".{3000,9000}", "(a?){3000}(b?){3000}", "(.*a){900}", "((a+)+b?)+"],
)
def test_an_expression_with_very_many_states_costs_only_those_that_a_text_comes_to(expression: str) -> None:
    automaton = Automaton(expression, CHARACTERS)
    generator, state = np.random.default_rng(0), automaton.start
    for _ in range(50):
        possible = np.flatnonzero(automaton.allowed(state, UNREACHABLE))
        state = automaton.after(state, int(generator.choice(possible)))
        assert state


TOO_LARGE = ["a{1000000}", "(((a{1,100}){1,100}){1,100})", "(((){1000}){1000}){1000}", "((a{0}){60000}){60000}"]
TOO_LARGE += ["(a*){30000}", ".{0,4000000000}", "a{" + "9" * 30 + "}", "a{" + "9" * 5000 + "}", "(" * 5000 + ")" * 5000]
TOO_LARGE += ["(" * 900 + "a" + ")*" * 900, "a" * (MAX_EXPRESSION + 1), "[" + "ab" * MAX_EXPRESSION + "]"]


@pytest.mark.parametrize("expression", TOO_LARGE, ids=len)
def test_an_expression_that_is_too_large_is_refused_in_a_line(expression: str) -> None:
    with pytest.raises(ConfigError, match="`match`") as refused:
        Automaton(expression, CHARACTERS)
    assert len(str(refused.value)) <= 1005


@pytest.mark.parametrize(
    "expression", [f"({'.' * 5000}|a){{3}}", "[" + "ab" * 4000 + "]{9000}", "[\x01-\U0010ffff]{9}"]
)
def test_a_long_expression_is_no_problem(expression: str) -> None:
    assert Automaton(expression, CHARACTERS).shortest >= 3


SYNTAX = ["(?#note)a", "(?P<x>a)b", "[[a]", "(?s).", "(?i:A)b", "(?-i:a)", "a??b", r"[^\W\d]", "a(?#", "(a", "[", "a**"]
SYNTAX += ["(?a:\\w)\\w", "(?i:é)é", "(?i)é(?-i:é)", "(?s:.).", "(?i)(?a:é)é", "(?i)^a+$", r"(?i)\A^a+\Z", "^(?:ab|a)$"]
SYNTAX += [r"a\$", "^", "$", "^^$$", "aab"]


@pytest.mark.parametrize("expression", SYNTAX)
def test_every_part_of_the_syntax_is_read_or_refused(expression: str) -> None:
    try:
        with warnings.catch_warnings(action="ignore"):
            expected = re.compile(expression)
    except re.error:
        with pytest.raises(ConfigError, match="`match`"):
            Automaton(expression, CHARACTERS)
        return
    automaton = Automaton(expression, CHARACTERS)
    for text in ("", "aab", *CHARACTERS, *(first + second for first in CHARACTERS for second in CHARACTERS)):
        assert matches(automaton, text) == bool(expected.fullmatch(text)), text


def some_expression(generator: random.Random, depth: int = 3) -> str:
    """An expression of the syntax that is supported."""
    kind = generator.randrange(9 if depth else 4)
    if kind < 3:
        simple: list[str] = [*"abA.ß", "[ab]", "[^a]", r"\d", r"\s", r"\w", r"\W", "[1-9a]", "", r"\n"]
        return generator.choice(simple)
    if kind == 3:
        return generator.choice("ab.") + generator.choice(["*", "+", "?", "{2}", "{,2}", "{1,}", "{0}", "*?"])
    inner = [some_expression(generator, depth - 1) for _ in range(generator.randrange(1, 4))]
    if kind < 6:
        return "".join(inner)
    if kind == 6:
        return f"(?:{'|'.join(inner)})"
    flags = generator.choice(["", "?:", "?i:", "?s:", "?P<n>"]) if depth == 3 else "?:"
    return f"({flags}{''.join(inner)}){generator.choice(['', '*', '+', '?', '{0,3}', '{2,}'])}"


def test_what_matches_is_what_matches_in_python(trials: Callable[[int, int], int]) -> None:
    for seed in range(trials(300, 20_000)):
        generator = random.Random(seed)
        expression = some_expression(generator)
        expected = re.compile(expression)
        try:
            automaton = Automaton(expression, CHARACTERS)
        except ConfigError as error:
            assert "cannot form a match" in str(error), f"seed {seed}: {expression!r}"
            continue
        for _ in range(8):
            text = "".join(
                generator.choices("ab" if generator.random() < 0.5 else CHARACTERS, k=generator.randrange(6))
            )
            assert matches(automaton, text) == bool(expected.fullmatch(text)), f"seed {seed}: {expression!r}, {text!r}"
            assert not (matches(automaton, text) and len(text) < automaton.shortest), f"seed {seed}: {expression!r}"


def test_any_text_as_an_expression_is_read_or_refused(trials: Callable[[int, int], int]) -> None:
    pieces = [*"ab()[]{}|*+?.^$\\-,:!=<>#P0123456789", "(?", "{1,3}", "[^", "\\d", "(?P<a>", "😀", "\x00", "\udcff"]
    for seed in range(trials(1500, 50_000)):
        generator = random.Random(seed)
        expression = "".join(generator.choices(pieces, k=generator.randrange(1, 14)))
        try:
            Automaton(expression, CHARACTERS)
        except ConfigError:
            continue
        except Exception as error:
            raise AssertionError(f"seed {seed}: {expression!r}") from error
