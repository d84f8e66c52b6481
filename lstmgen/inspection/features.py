"""Features of a text that a unit may track, each computed from the text alone, (time,).

The value at a character depends on the text up to and including it, not on what follows: an opening quote already
counts as inside quotes.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

Item = TypeVar("Item")

_QUOTES, _VOWELS = '"\u201c\u201d', "aeiouAEIOU"
_COMMENT = re.compile(r"#.*|(?<=/)(?<!:/)/.*")  # from # or from the second /, but not in https://
_ADDRESS = re.compile(r"(?:(?<=://)|(?<=www\.))\S+")
_TAG = re.compile(r"(?<=<)[/!A-Za-z][^<>\n]*")


class Feature(NamedTuple):
    """The value of one feature at every character of a text."""

    values: NDArray[np.float64]  # (time,); 0 or 1 where `binary`
    binary: bool


def text_features(text: str) -> dict[str, Feature]:
    """Compute every feature of a text, by name."""
    made: dict[str, tuple[Iterable[float], bool]] = {
        "inside quotes": (_inside_quotes(text), True),
        "inside brackets": ((depth > 0 for depth in _open_brackets(text)), True),
        "inside a comment": (_matched(_COMMENT, text), True),
        "inside a web address": (_matched(_ADDRESS, text), True),
        "inside a tag": (_matched(_TAG, text), True),
        "inside a word": (map(_in_word, text), True),
        "in a word of capitals": ((count > 1 for count in _run_lengths(str.isupper, text)), True),
        "in a number": (map(str.isdigit, text), True),
        "capital letter": (map(str.isupper, text), True),
        "after a vowel": ((character in _VOWELS for character in text), True),
        "after a space": ((character == " " for character in text), True),
        "after punctuation": ((character in ".,;:!?" for character in text), True),
        "before the line's first word": (_before_first_word(text), True),
        "indentation": (_indentation(text), False),
        "position in the line": (_run_lengths(lambda character: character != "\n", text), False),
        "position in the word": (_run_lengths(_in_word, text), False),
        "position in the sentence": (_run_lengths(lambda character: character not in ".!?", text), False),
        "position in the paragraph": (_run_lengths(lambda end: not end, _ends_of_paragraphs(text)), False),
    }
    return {name: Feature(np.fromiter(values, float, len(text)), binary) for name, (values, binary) in made.items()}


def _in_word(character: str) -> bool:
    return character.isalnum() or character in "'\u2019_"


def _run_lengths(continues: Callable[[Item], bool], items: Iterable[Item]) -> Iterator[int]:
    """For each item, count how many in a row, ending with it, satisfy `continues`."""
    count = 0
    for item in items:
        count = count + 1 if continues(item) else 0
        yield count


def _ends_of_paragraphs(text: str) -> Iterator[bool]:
    """Whether each character ends an empty line, which also ends quotes and brackets that nobody closed."""
    return (pair == ("\n", "\n") for pair in zip(" " + text, text, strict=False))


def _inside_quotes(text: str) -> Iterator[bool]:
    """Whether each character is inside double quotes, or inside triple ones, which may contain empty lines."""
    inside = triple = False
    row = 0  # quotes in a row
    for character, ends in zip(text, _ends_of_paragraphs(text), strict=True):
        row = row + 1 if character in _QUOTES else 0
        if row == 3:
            inside = triple = not triple
            row = 0
        elif not triple:
            inside = not ends and inside != (row > 0)
        yield inside


def _open_brackets(text: str) -> Iterator[int]:
    depth = 0
    for character, ends in zip(text, _ends_of_paragraphs(text), strict=True):
        depth = 0 if ends else max(0, depth + (character in "([{") - (character in ")]}"))
        yield depth


def _before_first_word(text: str) -> Iterator[bool]:
    before = True
    for character in text:
        before = character == "\n" or (before and character.isspace())
        yield before


def _indentation(text: str) -> Iterator[int]:
    """How many blanks have been read so far at the beginning of the line."""
    blanks = 0
    for character, before in zip(text, _before_first_word(text), strict=True):
        blanks = 0 if character == "\n" else blanks + before
        yield blanks


def _matched(pattern: re.Pattern[str], text: str) -> NDArray[np.bool_]:
    """Whether each character is in a match of the pattern."""
    inside = np.zeros(len(text), bool)
    for match in pattern.finditer(text):
        inside[match.start() : match.end()] = True
    return inside
