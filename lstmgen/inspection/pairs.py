"""Find pairs in a text, such as quotes and brackets: where each opens and where it closes."""

import re
from collections.abc import Iterator
from typing import NamedTuple


class Stretch(NamedTuple):
    """Where a pair is open, as positions in the text."""

    opener: int  # the first character of the opener
    begin: int  # the first character inside
    end: int  # the first character of the closer


PAIRS = {
    "double quotes": (r'(?<![\w"])"(?=[^\s"])', r'(?<=[^\s"])"(?![\w"])'),
    "single quotes": (r"(?<![\w'])'(?=[^\s'])", r"(?<=[^\s'])'(?![\w'])"),
    "curved double quotes": ("\u201c", "\u201d"),
    "curved single quotes": ("\u2018", r"\u2019(?!\w)"),
    "low and high quotes": ("\u201e", "[\u201c\u201d]"),
    "guillemets": ("\u00ab", "\u00bb"),
    "round brackets": (r"\(", r"\)"),
    "square brackets": (r"\[", r"\]"),
    "curly brackets": (r"\{", r"\}"),
    "tags": (r"<(?=[/A-Za-z])", ">"),
    "block comments": (r"/\*", r"\*/"),
    "comments in HTML": ("<!--", "-->"),
    "comments after #": (r"(?<=[ \t])#(?= )", "\n"),
    "comments after //": (r"(?<!\S)//(?= )", "\n"),
}
"""Regular expressions for the opener and the closer of each pair. An apostrophe, as in don't, is not a quote."""

_MIN_CLOSED = 0.5  # of all openers; if fewer are closed, the character means something else, as in 'tis


def find_pairs(text: str, *, lines: bool = False) -> dict[str, list[Stretch]]:
    """Find the stretches of every kind of pair in a text, without nested ones.

    A pair that is not closed in its paragraph (with `lines`: in its line) is left out.
    """
    ends = "\n" if lines else "\n\n"
    found = {name: _closed(text, opener, closer, ends) for name, (opener, closer) in PAIRS.items()}
    return {name: stretches for name, stretches in found.items() if stretches}


def _closed(text: str, opener: str, closer: str, ends: str) -> list[Stretch]:
    stretches, opened = [], 0
    for stretch in _all(text, re.compile(opener), re.compile(closer), re.compile(f"{opener}|{closer}|{ends}")):
        opened += 1
        if stretch.end > stretch.begin:
            stretches.append(stretch)
    return stretches if len(stretches) >= _MIN_CLOSED * opened else []


def _all(text: str, opener: re.Pattern[str], closer: re.Pattern[str], marks: re.Pattern[str]) -> Iterator[Stretch]:
    """Yield every outermost stretch; one that contains another, or never closes, has no length."""
    depth, nested, opened = 0, False, Stretch(0, 0, 0)
    for mark in marks.finditer(text):
        at, begin = mark.span()
        if depth and closer.match(text, at):  # checked before the opener, because a quote may look like both
            depth -= 1
            if depth == 0:
                yield opened if nested else opened._replace(end=at)
        elif opener.match(text, at):
            nested = depth > 0
            if depth == 0:
                opened = Stretch(at, begin, begin)
            depth += 1
        elif mark[0][0] == "\n":
            if depth:
                yield opened
            depth = 0
