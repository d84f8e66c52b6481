"""What bytes are that cannot be read as text, or should not: another type of file, or another encoding."""

import codecs
import re

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
_LETTERS = bytes(set(range(256)) - set(range(0x80)) | set(range(0x41, 0x5B)) | set(range(0x61, 0x7B)))
_HIGH = bytes(range(0x80, 0x100))
_IN_WORDS_OF_CP1252 = b"\x8a\x8c\x8e\x91\x92\x96\x97\x9a\x9c\x9e\x9f"  # letters, apostrophes and dashes
_MOST_ACCENTS = 0.25  # of the letters of a text in a Latin script
_MOST_ZEROS = 0.05  # among the bytes that are not zero in ASCII
_FEWEST_ZEROS = 0.3  # among those that are


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
    return f"this is {name}: {remedy}" if remedy else f"this is {name}, and no text"


def wide_encoding(start: bytes) -> str:
    """The encoding of text with two or four bytes a character that has no byte order mark; empty if it is no such text.

    The bytes that are zero in ASCII characters tell.
    """
    length = len(start) // 4 * 4
    zeros = [start[first:length:4].count(0) / max(1, length // 4) for first in range(4)]
    if zeros[3] == 1 and zeros[0] < _MOST_ZEROS and zeros[2] > 1 - _MOST_ZEROS:
        found = "utf-32-le"
    elif zeros[0] == 1 and zeros[3] < _MOST_ZEROS and zeros[1] > 1 - _MOST_ZEROS:
        found = "utf-32-be"
    elif max(zeros[0], zeros[2]) < _MOST_ZEROS and min(zeros[1], zeros[3]) > _FEWEST_ZEROS:
        found = "utf-16-le"
    elif max(zeros[1], zeros[3]) < _MOST_ZEROS and min(zeros[0], zeros[2]) > _FEWEST_ZEROS:
        found = "utf-16-be"
    else:
        return ""
    return found if _decodes(start, found) else ""


def encoding_remedy(start: bytes, sample: bytes, encoding: str) -> str:
    """What to do with bytes that are not text in an encoding: the name of one that fits them, if there is one.

    Args:
        start: the beginning of the file.
        sample: bytes in which an error was found.
        encoding: the one that was tried.
    """
    tried = codecs.lookup(encoding).name
    for mark, name in _BYTE_ORDER_MARKS:
        if start.startswith(mark) and tried != name and _decodes(start, name):
            return _give(name, "it begins with the byte order mark of this encoding")
    if wide := wide_encoding(start):
        return _give(wide, "many of its bytes are zero, as in this encoding")
    good, bad = _utf_8_characters(sample)
    if tried != "utf-8" and good and not bad:
        return _give("utf-8", "it is valid in this encoding")
    if good > bad:
        return "the rest is utf-8, so this place is damaged: repair it"
    if _is_binary(sample):
        return "this is no text"
    high = len(sample) - len(sample.translate(None, _HIGH))
    letters = len(sample) - len(sample.translate(None, _LETTERS))
    if high <= _MOST_ACCENTS * letters or high <= 2:
        return _western(sample, tried)
    return "it may be in an encoding of another script, such as cp1251, shift_jis or gb18030; give its `encoding`"


def _western(sample: bytes, tried: str) -> str:
    """The remedy for a text in a Latin script that is not in Unicode."""
    windows = re.findall(rb"[\x80-\x9f]", sample)
    odd = re.findall(rb"(?<=[A-Za-z])[\x80-\x9f](?=[A-Za-z])", sample)
    foreign = sum(byte not in _IN_WORDS_OF_CP1252 for byte in odd)
    if foreign > len(windows) / 2 or (windows and not _decodes(sample, "cp1252")):
        return "it may be in an old encoding, such as cp437, cp850 or mac-roman; give its `encoding`"
    name = "cp1252" if windows else "latin-1"
    if tried in (codecs.lookup(name).name, "cp1252"):
        return "give its `encoding`"
    return _give(name, "its bytes fit, if the text is in a western language")


def _give(name: str, reason: str) -> str:
    return f"give `encoding` {name}: {reason}"


def _is_binary(sample: bytes) -> bool:
    return len(sample.translate(None, _CONTROLS)) < len(sample)


def _decodes(sample: bytes, encoding: str) -> bool:
    """Whether bytes, which may end within a character, are text in an encoding."""
    try:
        codecs.getincrementaldecoder(encoding)().decode(sample)
    except UnicodeError:
        return False
    return True


def _utf_8_characters(sample: bytes) -> tuple[int, int]:
    """How many characters outside ASCII are valid UTF-8 in a sample, and how many bytes are not."""
    text = sample.decode("utf-8", "surrogateescape")
    bad = len(re.findall("[\udc80-\udcff]", text))
    return len(re.findall(r"[^\x00-\x7f]", text)) - bad, bad
