"""A text coloured by surprise, as one self-contained web page.

The page has no script and loads nothing. What the model expected at a character is an attribute of the character's
element; the style sheet shows it. The page can be opened from disk, and has a light and a dark style.

Knows: HTML and CSS. Does not know: where the characters come from; files.
"""

from collections.abc import Iterable, Iterator
from html import escape

from lstmgen.cli.heatmap import MOST_BITS, alternatives, level, shown
from lstmgen.evaluation.characters import CharacterScore
from lstmgen.printable import printable

_STRONGEST = 0.85
"""The opacity of the colour behind the most surprising characters."""

_STYLE = """
:root { color-scheme: light dark; --paper: #fffdf8; --ink: #1c1a17; --faint: #6b655c; --hot: 232 86 10; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #16171a; --ink: #ece9e3; --faint: #9a958c; --hot: 196 54 0; }
}
body { margin: 0 auto; max-width: 60rem; padding: 1.5rem 1.5rem 6rem; background: var(--paper);
  color: var(--ink); font: 1rem/1.6 system-ui, sans-serif; }
h1 { font-size: 1.2rem; overflow-wrap: anywhere; }
p { color: var(--faint); }
pre { font: 1rem/1.7 ui-monospace, monospace; white-space: pre-wrap; overflow-wrap: anywhere; }
i { font-style: normal; border-radius: 0.15em; }
.legend i { padding: 0.15em 0.6em; color: var(--ink); }
pre i:hover { outline: 2px solid var(--ink); }
pre i:hover::after { content: attr(data-b) " bits · expected: " attr(data-e); position: fixed;
  inset: auto 0 0; padding: 0.8rem 1.5rem; background: var(--ink); color: var(--paper); white-space: pre-wrap; }
pre i:not([data-b]):hover::after { content: "the first character is given, not predicted"; }
""" + "".join(
    f".b{number} {{ background: rgb(var(--hot) / {_STRONGEST * number / MOST_BITS:.2f}); }}\n"
    for number in range(1, MOST_BITS + 1)
)


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


def heatmap_page(title: str, model: str, characters: Beginning) -> Iterator[str]:
    """Yield the page in parts, so that each can be written before the next is made.

    Args:
        title: the name of the text.
        model: the name of the model.
        characters: the text.
    """
    legend = "".join(f'<i class="b{number}">{number}</i>' for number in range(MOST_BITS))
    yield (
        '<!doctype html>\n<html>\n<head>\n<meta charset="utf-8">\n'
        '<meta name="generator" content="lstmgen">\n'
        '<meta name="viewport" content="width=device-width">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        f"<title>{_visible(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f"<h1>{_visible(title)}</h1>\n"
        f"<p>How much each character surprises the model {_visible(model)}, which has read all that comes before it. "
        "Point at a character to see what the model expected there.</p>\n"
        f'<p class="legend">bits of surprise {legend}<i class="b{MOST_BITS}">{MOST_BITS} and more</i></p>\n'
        '<pre dir="auto">'
    )
    bits, count = 0.0, 0
    for character in characters:
        bits, count = bits + character.bits, count + bool(character.expected)
        yield _element(character)
    mean = f", {bits / count:.2f} for each" if count else ""
    more = " The text is longer than this page." if characters.cut else ""
    yield f"</pre>\n<p>{count:,} characters predicted, {bits:,.1f} bits{mean}.{more}</p>\n</body>\n</html>\n"


def _element(character: CharacterScore) -> str:
    """Return a character's element: as short as HTML allows, since a page has very many."""
    kind = f" class=b{level(character)}" if level(character) else ""
    about = ""
    if character.expected:
        about = f' data-b={character.bits:.1f} data-e="{_visible(alternatives(character))}"'
    return f"<i{kind}{about}>{escape(shown(character.text), quote=False)}</i>"


def _visible(text: str) -> str:
    return escape(printable(text, single_line=True))
