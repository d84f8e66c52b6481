"""Prepare the training text of the starter model `english`: python prepare.py BOOKS_FOLDER OUTPUT_FILE."""

import random
import re
import sys
from collections.abc import Iterator
from pathlib import Path

SECTION_LENGTH = 12_000  # characters, roughly; each section has one style
HELD_OUT = 0.03  # of the sections of each book
VERSIONS = 2  # of every section, in different styles
SEED = 0

_TRANSCRIBERS = re.compile(r"(?im)^\s*(?:this etext was )?(?:produced|prepared|transcribed|scanned) by\b.*(?:\n.+)*\n")
_KNOWN = re.compile(r"[^\n\x20-\x7eÀ-ÿŒœ£—–‘’“”…]")
_FULL_LINE = 50  # characters; shorter lines are verse, headings or the ends of paragraphs


def main(folder: Path, output: Path) -> None:
    """Write every book in several styles, section by section in random order, with the held-out part last."""
    chance = random.Random(SEED)
    training: list[str] = []
    held_out: list[str] = []
    for book in sorted(folder.glob("*.txt")):
        sections = list(sections_of(clean(book.read_text(encoding="utf-8"))))
        kept_back = set(chance.sample(range(len(sections)), max(1, round(HELD_OUT * len(sections)))))
        for number, section in enumerate(sections):
            if number in kept_back:
                held_out.append(restyled(section, chance))
            else:
                training += [restyled(section, chance) for _ in range(VERSIONS)]
    chance.shuffle(training)
    chance.shuffle(held_out)
    text, end = "".join(training), "".join(held_out)
    output.write_text(text + end, encoding="utf-8", newline="\n")
    total = len(text) + len(end)
    print(f"{output}: {total:,} characters; train with --validation {len(end) / total:.6f}")


def clean(text: str) -> str:
    """Remove the notes of transcribers, and characters that English writers do not type."""
    text = text.replace("\ufeff", "").replace("\r\n", "\n").replace("\xa0", " ").replace("\t", "    ")
    text = _TRANSCRIBERS.sub("", text, count=1)
    return _KNOWN.sub("", text).strip("\n") + "\n"


def sections_of(text: str) -> Iterator[list[list[str]]]:
    """Split a book into sections of paragraphs, each a list of lines."""
    section: list[list[str]] = []
    length = 0
    for paragraph in re.split(r"\n\s*\n", text):
        lines = [line.rstrip() for line in paragraph.split("\n") if line.strip()]
        if not lines:
            continue
        section.append(lines)
        length += sum(map(len, lines))
        if length >= SECTION_LENGTH:
            yield section
            section, length = [], 0
    if section:
        yield section


def restyled(section: list[list[str]], chance: random.Random) -> str:
    """Style a section as a printer or a typist would: line ends, quotes, dashes and emphasis differ."""
    as_printed = chance.random() < 0.35
    curly = chance.random() < 0.5
    dash = chance.choice(["--", "--", "—", "—", " - "])
    between = "\n\n" if as_printed or chance.random() < 0.75 else "\n"
    paragraphs = []
    for lines in section:
        margin = min(len(line) - len(line.lstrip()) for line in lines)
        lines = [line[margin:] for line in lines]
        if not as_printed:
            lines = joined(lines)
        paragraph = "\n".join(lines)
        if not as_printed:
            paragraph = re.sub(r"_([^_]+)_", r"\1", paragraph)
        paragraph = with_quotes(paragraph, curly=curly)
        paragraphs.append(re.sub(r"(?<![-—])(?:--|—)(?![-—])", dash, paragraph))
    return between.join(paragraphs) + "\n\n"


def joined(lines: list[str]) -> list[str]:
    """Join the lines of a paragraph into one, unless it is verse or a list."""
    full = [len(line) >= _FULL_LINE and not line.startswith("  ") for line in lines[:-1]]
    if lines and sum(full) >= 0.8 * max(1, len(full)) and full:
        return [" ".join(line.strip() for line in lines)]
    return lines


def with_quotes(text: str, *, curly: bool) -> str:
    """Give the text typographic or straight quotation marks and apostrophes."""
    text = text.replace("“", '"').replace("”", '"').replace("‘", "'").replace("’", "'").replace("`", "'")
    if not curly:
        return text
    text = re.sub(r"(^|[\s(\[—-])\"", r"\1“", text).replace('"', "”")
    return re.sub(r"(^|[\s(\[—“-])'", r"\1‘", text).replace("'", "’")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
