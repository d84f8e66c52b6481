"""A text coloured by surprise. The page has no script: what the model expected is an attribute of each character."""

from collections.abc import Iterable, Iterator
from html import escape

from lstmgen.evaluation.characters import MAX_BITS, CharacterScore
from lstmgen.pages.page import fill_page, visible
from lstmgen.printable import shown

_TEXT, _SUMS = "\0text", "\0sums"  # stand for what is not known yet; no title can hold a control character


class Beginning:
    """The first characters of a text, to be iterated over once; then `cut` says whether the text has more."""

    def __init__(self, characters: Iterable[CharacterScore], length: int) -> None:
        self._characters = characters
        self._length = length
        self.cut = False

    def __iter__(self) -> Iterator[CharacterScore]:
        for number, character in enumerate(self._characters):
            if number == self._length:
                self.cut = True
                return
            yield character


def score_page(title: str, model: str, characters: Beginning) -> Iterator[str]:
    """Yield the page in parts, so that each can be written before the next is made.

    Args:
        title: the name of the text.
        model: the name of the model.
        characters: the text.
    """
    names = [*map(str, range(MAX_BITS)), f"{MAX_BITS} and more"]
    legend = "".join(f'<i class="b{number}">{name}</i>' for number, name in enumerate(names))
    page = fill_page("score", title, model=visible(model), legend=legend, text=_TEXT, sums=_SUMS)
    before, rest = page.split(_TEXT)
    between, after = rest.split(_SUMS)
    yield before
    bits, count = 0.0, 0
    for character in characters:
        bits, count = bits + character.bits, count + bool(character.expected)
        yield _element(character)
    mean = f", {bits / count:.2f} for each" if count else ""
    more = " The text is longer than this page." if characters.cut else ""
    yield f"{between}{count:,} characters predicted, {bits:,.1f} bits{mean}.{more}{after}"


def _element(character: CharacterScore) -> str:
    """Return a character's element: as short as HTML allows, since a page has very many."""
    kind = f" class=b{character.level}" if character.level else ""
    about = ""
    if character.expected:
        about = f' data-b={character.bits:.1f} data-e="{visible(character.alternatives)}"'
    return f"<i{kind}{about}>{escape(shown(character.text), quote=False)}</i>"
