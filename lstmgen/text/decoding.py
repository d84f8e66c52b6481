"""Decode bytes into text, and say what bytes are that are not plain text in the given encoding."""

import codecs
import io
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import chain

from lstmgen.errors import TextError

_SAMPLE = 1 << 16  # bytes of the beginning of a file, or characters, that are looked at
_MIN_BYTES = 32  # that tell something about zero bytes
_MAX_CONTROLS = 0.05  # of the characters of a text
_MAX_ACCENTS = 0.4  # of the letters of a text in a Latin script

_SIGNATURES = (
    (b"%PDF-", "a PDF: save it as plain text"),
    (b"{\\rtf", "an RTF document: save it as plain text"),
    (b"PK\x03\x04", "a ZIP archive, as DOCX, XLSX, ODT and EPUB files are: save its text as plain text"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Office document, such as .doc: save it as plain text"),
    (b"\x1f\x8b", "a gzip file: let its name end in .gz"),
    (b"\x89PNG\r\n", "an image (PNG), not text"),
    (b"\xff\xd8\xff", "an image (JPEG), not text"),
    (b"SQLite format 3\0", "an SQLite database: export its text"),
)
"""How files begin that people give in place of plain text."""

_BYTE_ORDER_MARKS = (  # the longer ones first
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_ZERO_BYTES = (("utf-32-le", 4, 3), ("utf-32-be", 4, 0), ("utf-16-le", 2, 1), ("utf-16-be", 2, 0))
"""The bytes of a character, and the one that is zero for the code points below 256."""


def text_codec(encoding: str) -> str:
    """Python's name of a text encoding; raises TextError if there is none."""
    with suppress(LookupError, ValueError):  # an unknown encoding, or one that does not encode text, such as base64
        name = codecs.lookup(encoding).name
        "".encode(name)
        codecs.getincrementaldecoder(name)
        if name not in ("idna", "punycode"):  # they are for single names, and slow
            return name
    raise TextError(f"`encoding` {encoding}: Python has no text encoding of this name; try utf-8, utf-16 or latin-1")


def decode(name: str, blocks: Iterable[bytes], encoding: str, *, advice: str = "") -> Iterator[str]:
    """The text of a file, block by block, without a byte order mark and with line feeds as line ends.

    Args:
        name: what an error message calls the file.
        blocks: its bytes.
        encoding: its character encoding.
        advice: what to do with a file that is not text; empty: a file that can be decoded is not looked at.

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
            problem, sample = f"{encoding} needs a byte order mark, and there is none", start
            if isinstance(error, UnicodeDecodeError):
                sample = error.object
                offset = consumed - (len(sample) - len(block)) + error.start
                problem = f"byte 0x{sample[error.start]:02X} at offset {offset:,} is not {encoding}"
            remedy = signature(start) or _remedy(start, sample, codec)
            raise TextError(f"{name}: {problem}; {remedy}{advice}") from error
        if not consumed and advice and codec != "utf-8" and _has_many_controls(text[:_SAMPLE]):
            raise TextError(f"{name}: this does not look like text{advice}")
        consumed += len(block)
        if text := line_ends.decode(text, final=not block):
            yield text


def signature(start: bytes) -> str:
    """What a file is that is not plain text, by its first bytes, and what to do; empty if they do not tell."""
    return next((f"this is {kind}" for mark, kind in _SIGNATURES if start.startswith(mark)), "")


def _require_plain_text(name: str, start: bytes, codec: str, advice: str) -> None:
    """Raise TextError for the beginning of a file that is not meant to be read in this encoding."""
    if kind := signature(start):
        raise TextError(f"{name}: {kind}{advice}")
    found = _unicode_encoding(start)
    if not codec.startswith(found):
        raise TextError(f"{name}: this looks like {found}; give `encoding` {found}")


def _unicode_encoding(start: bytes) -> str:
    """The encoding that a byte order mark, or zero bytes in one place of the characters tell; empty: they do not."""
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
    """What to do with a file of which a sample is not text in an encoding: the name of one that fits, if any does."""
    fitting = _unicode_encoding(start)
    if not fitting or fitting == codec:
        text = sample.decode("utf-8", "surrogateescape")
        bad = len(re.findall("[\udc80-\udcff]", text))
        good = len(re.findall(r"[^\x00-\x7f]", text)) - bad
        if good > bad and (bad or codec == "utf-8"):
            return "the rest is utf-8, so this place is damaged; repair it"
        fitting = "utf-8" if good and not bad else ""
    if fitting:
        return f"it looks like {fitting}; give `encoding` {fitting}"
    if b"\0" in sample or _has_many_controls(sample.decode("latin-1")):
        return "this does not look like text"
    western = "cp1252" if re.search(rb"[\x80-\x9f]", sample) else "latin-1"
    high, ascii_letters = len(re.findall(rb"[\x80-\xff]", sample)), len(re.findall(rb"[A-Za-z]", sample))
    if western != codec and _decoded(sample, western) and high <= max(2, _MAX_ACCENTS * (high + ascii_letters)):
        return f"it looks like {western}, if the language is a western one; give `encoding` {western}"
    return "give the `encoding` that it was saved in, such as cp1251, shift_jis, gb18030 or utf-16-le"


def _has_many_controls(text: str) -> bool:
    """Whether a text has more control characters than text has. Zero bytes do not count, and have a note."""
    return len(re.findall(r"[\x01-\x07\x0e-\x19\x1c-\x1f\x7f]", text)) > max(2, _MAX_CONTROLS * len(text))


def _decoded(sample: bytes, encoding: str) -> str:
    """The text of bytes that may end within a character; empty if they are not text in this encoding."""
    try:
        return codecs.getincrementaldecoder(encoding)().decode(sample)
    except UnicodeError:
        return ""
