"""What bytes are that cannot be read as text, or should not: another type of file, or another encoding."""

import codecs
import re
import unicodedata

SAMPLE_BYTES = 1 << 16
"""How much of the beginning of a file is looked at."""

_SAVE = "save it as plain text"
_UNPACK = "unpack it first"
_ZIP = b"PK\x03\x04"
_TYPES = [
    (0, b"%PDF-", "a PDF", _SAVE),
    (0, b"{\\rtf", "an RTF document", _SAVE),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Office document, such as .doc", _SAVE),
    (60, b"BOOKMOBI", "a Kindle book", _SAVE),
    (0, b"\x1f\x8b", "a gzip file", "let its name end in .gz"),
    (0, b"BZh", "a bzip2 file", _UNPACK),
    (0, b"\xfd7zXZ\0", "an xz file", _UNPACK),
    (0, b"\x28\xb5\x2f\xfd", "a Zstandard file", _UNPACK),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", _UNPACK),
    (0, b"Rar!\x1a\x07", "a RAR archive", _UNPACK),
    (257, b"ustar", "a tar archive", _UNPACK),
    (0, b"\x89PNG\r\n", "an image (PNG)", ""),
    (0, b"\xff\xd8\xff", "an image (JPEG)", ""),
    (0, b"GIF87a", "an image (GIF)", ""),
    (0, b"GIF89a", "an image (GIF)", ""),
    (0, b"II*\0", "an image (TIFF)", ""),
    (0, b"MM\0*", "an image (TIFF)", ""),
    (8, b"WEBP", "an image (WebP)", ""),
    (4, b"ftyp", "an image or a film", ""),
    (0, b"ID3", "a sound file (MP3)", ""),
    (0, b"OggS", "a sound file (Ogg)", ""),
    (0, b"RIFF", "a sound file or a film", ""),
    (0, b"SQLite format 3\0", "an SQLite database", "export its text"),
    (0, b"PAR1", "a Parquet file", "export its text"),
    (0, b"\x7fELF", "a program", ""),
]
"""Where a type's mark is, the mark, what the file is, and the remedy."""

_SUFFICIENT = {b"%PDF-", b"{\\rtf"}
"""The marks that are enough. A file with another one is of that type only if it has bytes that text does not have."""

_PACKED = [
    (b"word/", "a Word document (DOCX)", _SAVE),
    (b"xl/", "an Excel workbook (XLSX)", "save its text as plain text"),
    (b"ppt/", "a PowerPoint presentation (PPTX)", _SAVE),
    (b"mimetypeapplication/vnd.oasis.opendocument", "an OpenDocument file, such as ODT", _SAVE),
    (b"mimetypeapplication/epub+zip", "an EPUB book", _SAVE),
]
"""What a ZIP archive holds that is a document."""

_BYTE_ORDER_MARKS = [  # the longer ones first
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
]

_CONTROLS = bytes(set(range(32)) - set(b"\t\n\r\f\v\x1a\x1b")) + b"\x7f"
_LETTERS = bytes([*range(0x41, 0x5B), *range(0x61, 0x7B), *range(0x80, 0x100)])
_HIGH = bytes(range(0x80, 0x100))
_MOST_ACCENTS = 0.35  # of the letters of a text in a Latin script
_FEWEST_BYTES = 32  # that tell something
_FEW_BLOCKS = 12  # of 256 characters, that a text with an alphabet has
_MOST_ODD = 0.1  # of the characters outside ASCII, if the encoding is right
_ODD = re.compile(
    r"[a-z\xdf-\xff][\xc0-\xde\u0152\u0160\u0178\u017d]"
    r"|(?<=[A-Za-z])[^\w\s\x21-\x7f\u2018\u2019\u2013\u2014\u2026](?=[a-z])"
)
"""A capital after a small letter, or a sign between letters."""


def file_type(start: bytes) -> str:
    """What a file is that is not plain text, with the remedy; empty if its first bytes do not say so."""
    found = [
        (name, remedy)
        for offset, mark, name, remedy in _TYPES
        if start.startswith(mark, offset) and (mark in _SUFFICIENT or _is_binary(start))
    ]
    if start.startswith(_ZIP):
        found = [(name, remedy) for mark, name, remedy in _PACKED if mark in start] + [("a ZIP archive", _UNPACK)]
    if not found:
        return ""
    name, remedy = found[0]
    return f"this is {name}: {remedy}" if remedy else f"this is {name}, not text"


def unicode_encoding(start: bytes) -> str:
    """The encoding of a text that its byte order mark or its zero bytes tell; empty if they do not.

    Text with two or four bytes a character has zero bytes at one place, such as in spaces, and not at another one.
    """
    for mark, name in _BYTE_ORDER_MARKS:
        if start.startswith(mark) and _decoded(start, name):
            return name
    start = start[: len(start) // 4 * 4]
    for name, width, high in (("utf-32-le", 4, 3), ("utf-32-be", 4, 0), ("utf-16-le", 2, 1), ("utf-16-be", 2, 0)):
        zeros, others = start[high::width].count(0), start[width - 1 - high :: width].count(0)
        if width * zeros >= len(start) / 100 and zeros >= 10 * others and len(start) >= _FEWEST_BYTES:
            text = _decoded(start, name)
            usual = sum(map(_is_usual, text))
            if usual > 0.95 * len(text) and len({ord(character) >> 8 for character in text}) < _FEW_BLOCKS:
                return name
    return ""


def encoding_remedy(start: bytes, sample: bytes, encoding: str) -> str:
    """What to do with bytes that are not text in an encoding: the name of one that fits them, if there is one.

    Args:
        start: the beginning of the file.
        sample: bytes in which an error was found.
        encoding: the one that was tried.
    """
    tried = codecs.lookup(encoding).name
    if (name := unicode_encoding(start)) and tried != name:
        return f"it looks like {name}; give `encoding` {name}"
    good, bad = _utf_8_characters(sample)
    if tried != "utf-8" and good and not bad:
        return "it looks like utf-8; give `encoding` utf-8"
    if good > bad:
        return "the rest is utf-8, so this place is damaged; repair it"
    if tried in ("utf-16", "utf-32"):  # without a byte order mark
        return f"give `encoding` {tried}-le or {tried}-be, if it is text"
    if _is_binary(sample):
        return "this does not look like text"
    high = len(sample) - len(sample.translate(None, _HIGH))
    letters = len(sample) - len(sample.translate(None, _LETTERS))
    if high <= max(2, _MOST_ACCENTS * letters):
        windows = re.search(rb"[\x80-\x9f]", sample)
        for name in ("cp1252" if windows else "latin-1", "mac-roman", "cp850"):
            text = _decoded(sample, name)
            if codecs.lookup(name).name != tried and text and len(_ODD.findall(text)) <= _MOST_ODD * high:
                return f"it looks like {name}, if the language is a western one; give `encoding` {name}"
    return "give the `encoding` that it was saved in, such as cp1251, cp1250, shift_jis or gb18030"


def _is_usual(character: str) -> bool:
    return character.isalnum() or character.isspace() or unicodedata.category(character)[0] in "MPS"


def _is_binary(sample: bytes) -> bool:
    return len(sample.translate(None, _CONTROLS)) < len(sample)


def _decoded(sample: bytes, encoding: str) -> str:
    """The text of bytes that may end within a character; empty if they are not text in this encoding."""
    try:
        return codecs.getincrementaldecoder(encoding)().decode(sample)
    except UnicodeError:
        return ""


def _utf_8_characters(sample: bytes) -> tuple[int, int]:
    """How many characters outside ASCII are valid UTF-8 in a sample, and how many bytes are not."""
    text = sample.decode("utf-8", "surrogateescape")
    bad = len(re.findall("[\udc80-\udcff]", text))
    return len(re.findall(r"[^\x00-\x7f]", text)) - bad, bad
