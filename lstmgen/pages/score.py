"""A text coloured by surprisal. The page needs no script: each character has its alternatives in an attribute."""

from collections.abc import Iterator
from html import escape
from itertools import islice
from typing import BinaryIO

from lstmgen.evaluation.characters import MAX_BITS, CharacterScore
from lstmgen.pages.page import fill_page, visible
from lstmgen.printable import shown

_TEXT, _SUMS = "\0text", "\0sums"  # placeholders, which no title can contain because of the control character


def write_score_page(file: BinaryIO, title: str, model: str, characters: Iterator[CharacterScore], length: int) -> bool:
    """Write a page with the first `length` characters of a text, each as soon as it is scored.

    `title` is the name of the text, `model` the name of the model. Returns whether the text has more characters.
    """

    def write(part: str) -> None:
        file.write(part.encode("utf-8", "replace"))

    names = [*map(str, range(MAX_BITS)), f"{MAX_BITS} and more"]
    legend = "".join(f'<i class="b{number}">{name}</i>' for number, name in enumerate(names))
    page = fill_page("score", title, model=visible(model), legend=legend, text=_TEXT, sums=_SUMS)
    before, rest = page.split(_TEXT)
    between, after = rest.split(_SUMS)
    write(before)
    bits, count = 0.0, 0
    for character in islice(characters, length):
        bits, count = bits + character.bits, count + bool(character.expected)
        write(_element(character))
    cut = next(characters, None) is not None
    mean = f", {bits / count:.2f} per character" if count else ""
    more = " The text is longer than this page." if cut else ""
    write(f"{between}{count:,} characters predicted, {bits:,.1f} bits{mean}.{more}{after}")
    return cut


def _element(character: CharacterScore) -> str:
    """Return a character's element, as short as HTML allows because a page has many."""
    kind = f" class=b{character.level}" if character.level else ""
    about = ""
    if character.expected:
        about = f' data-b={character.bits:.1f} data-e="{visible(character.alternatives)}"'
    return f"<i{kind}{about}>{escape(shown(character.text), quote=False)}</i>"
