"""Decode bytes into text, and explain what is wrong with bytes that are not text in the given encoding."""

import codecs
import io
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import chain

from lstmgen.errors import TextError

_SAMPLE = 1 << 16  # how many bytes or characters to examine at the beginning of a file
_MIN_BYTES = 32  # fewer say nothing about zero bytes
_MAX_CONTROLS = 0.05  # as a fraction of a text's characters
_MAX_ACCENTS = 0.4  # as a fraction of the letters of a text in a Latin script

_SIGNATURES = (
    (b"%PDF-", "a PDF: save it as plain text"),
    (b"{\\rtf", "an RTF document: save it as plain text"),
    (b"PK\x03\x04", "a ZIP archive, as DOCX, XLSX, ODT and EPUB files are: save its text as plain text"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Office document, such as .doc: save it as plain text"),
    (b"\x1f\x8b", "a gzip file: rename it so that it ends in .gz"),
    (b"\x89PNG\r\n", "an image (PNG), not text"),
    (b"\xff\xd8\xff", "an image (JPEG), not text"),
    (b"SQLite format 3\0", "an SQLite database: export its text"),
)
"""The first bytes of files that people often give instead of plain text."""

_BYTE_ORDER_MARKS = (  # the longer ones first
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_ZERO_BYTES = (("utf-32-le", 4, 3), ("utf-32-be", 4, 0), ("utf-16-le", 2, 1), ("utf-16-be", 2, 0))
"""The bytes per character, and which of them is zero for code points below 256."""


def text_codec(encoding: str) -> str:
    """Python's name for a text encoding; raises TextError if it has none."""
    with suppress(LookupError, ValueError):  # unknown, or not an encoding of text, such as base64
        name = codecs.lookup(encoding).name
        "".encode(name)
        codecs.getincrementaldecoder(name)
        if name not in ("idna", "punycode"):  # slow, and only meant for single names
            return name
    raise TextError(f"`encoding` {encoding}: Python knows no such text encoding; try utf-8, utf-16 or latin-1")


def decode(name: str, blocks: Iterable[bytes], encoding: str, *, advice: str = "") -> Iterator[str]:
    """The text of a file, block by block, without a byte order mark and with line feeds as line endings.

    Args:
        name: what an error message calls the file.
        blocks: its bytes.
        encoding: its character encoding.
        advice: what to do with a file that is not text; empty: accept anything that can be decoded.

    Raises TextError if it is not text in this encoding.
    """
    codec = text_codec(encoding)
    decoder = codecs.getincrementaldecoder("utf-8-sig" if codec == "utf-8" else codec)()
    line_ends = io.IncrementalNewlineDecoder(None, translate=True)
    start, consumed = b"", 0
    for block in chain(blocks, [b""]):
        start = start or block[:_SAMPLE]
        if not consumed and advice:
            _require_plain_text(name, start, codec, advice)
        try:
            text = decoder.decode(block, final=not block)
        except UnicodeError as error:
            problem, sample = f"{encoding} needs a byte order mark, but there is none", start
            if isinstance(error, UnicodeDecodeError):
                sample = error.object
                offset = consumed - (len(sample) - len(block)) + error.start
                problem = f"byte 0x{sample[error.start]:02X} at offset {offset:,} is not valid {encoding}"
            remedy = signature(start) or _remedy(start, sample, codec)
            raise TextError(f"{name}: {problem}; {remedy}{advice}") from error
        if not consumed and advice and codec != "utf-8" and _has_many_controls(text[:_SAMPLE]):
            raise TextError(f"{name}: this does not look like text{advice}")
        consumed += len(block)
        if text := line_ends.decode(text, final=not block):
            yield text


def signature(start: bytes) -> str:
    """What kind of file this is, judging by its first bytes, and what to do; empty if it may be plain text."""
    return next((f"this is {kind}" for mark, kind in _SIGNATURES if start.startswith(mark)), "")


def _require_plain_text(name: str, start: bytes, codec: str, advice: str) -> None:
    """Raise TextError if the beginning of a file shows that it is not text in this encoding."""
    if kind := signature(start):
        raise TextError(f"{name}: {kind}{advice}")
    found = _unicode_encoding(start)
    if not codec.startswith(found):
        raise TextError(f"{name}: this looks like {found}; give `encoding` {found}")


def _unicode_encoding(start: bytes) -> str:
    """The encoding according to a byte order mark, or to where zero bytes are in each character; empty: unknown."""
    for mark, name in _BYTE_ORDER_MARKS:
        if start.startswith(mark):
            return name if _decoded(start, name) else ""
    start = start[: len(start) // 4 * 4]
    for name, width, high in _ZERO_BYTES:
        zeros, others = start[high::width].count(0), start[width - 1 - high :: width].count(0)
        if len(start) >= _MIN_BYTES and zeros >= max(len(start) / width / 100, 10 * others):
            text = _decoded(start, name)
            if sum(character.isprintable() or character.isspace() for character in text) > 0.95 * len(start) / width:
                return name
    return ""


def _remedy(start: bytes, sample: bytes, codec: str) -> str:
    """What to do with a file if a sample of it is not text in an encoding: name one that fits, if any does."""
    fitting = _unicode_encoding(start)
    if not fitting or fitting == codec:
        text = sample.decode("utf-8", "surrogateescape")
        bad = len(re.findall("[\udc80-\udcff]", text))
        good = len(re.findall(r"[^\x00-\x7f]", text)) - bad
        if good > bad and (bad or codec == "utf-8"):
            return "the rest is utf-8, so the text is damaged here; repair it"
        fitting = "utf-8" if good and not bad else ""
    if fitting:
        return f"it looks like {fitting}; give `encoding` {fitting}"
    if b"\0" in sample or _has_many_controls(sample.decode("latin-1")):
        return "this does not look like text"
    western = "cp1252" if re.search(rb"[\x80-\x9f]", sample) else "latin-1"
    high, ascii_letters = len(re.findall(rb"[\x80-\xff]", sample)), len(re.findall(rb"[A-Za-z]", sample))
    if western != codec and _decoded(sample, western) and high <= max(2, _MAX_ACCENTS * (high + ascii_letters)):
        return f"if the language is a western one, it looks like {western}; give `encoding` {western}"
    return "give the `encoding` that it was saved in, such as cp1251, shift_jis, gb18030 or utf-16-le"


def _has_many_controls(text: str) -> bool:
    """Whether a text has too many control characters. Zero bytes do not count; they get a note of their own."""
    return len(re.findall(r"[\x01-\x07\x0e-\x19\x1c-\x1f\x7f]", text)) > max(2, _MAX_CONTROLS * len(text))


def _decoded(sample: bytes, encoding: str) -> str:
    """Decode bytes that may end within a character; empty if they are not text in this encoding."""
    try:
        return codecs.getincrementaldecoder(encoding)().decode(sample)
    except UnicodeError:
        return ""
