"""What bytes are that are not text in the encoding that was tried: the right encoding is named, or the type of file."""

import gzip
import io
import re
import zipfile
from pathlib import Path

import pytest

from lstmgen.config import TextConfig, VocabularyKind
from lstmgen.errors import TextError
from lstmgen.text.corpus import control_notes, read_corpus
from lstmgen.text.sources import find_sources
from tests.command_line import done, problem

WESTERN = "Déjà vu: «Ça, c'est l'été à Málaga», sagte Jörg größtenteils.\n" * 20
WINDOWS = "It\u2019s a café… “naïve” – she said it costs 5 €, and didn\u2019t smile.\n" * 20
RUSSIAN = "Съешь же ещё этих мягких французских булок, да выпей чаю.\n" * 20
pytestmark = pytest.mark.usefixtures("nowhere")
JAPANESE = "いろはにほへと ちりぬるを、わかよたれそ つねならむ。\n" * 20


def refusal(data: bytes, encoding: str = "utf-8") -> str:
    Path("text").write_bytes(data)
    with pytest.raises(TextError) as raised:
        read_corpus(TextConfig(sources=("text",), encoding=encoding))
    return str(raised.value)


def archive(**files: str) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as packed:
        for name, text in files.items():
            packed.writestr(name.replace("_", "/"), text)
    return content.getvalue()


WIDE = ("utf-16", "utf-32", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be")
SAVED = [(WESTERN, "latin-1"), (WINDOWS, "cp1252"), ("plain\n" * 50000 + "it\u2019s\n", "cp1252")]  # even far behind
SAVED += [(text, name) for text in (WINDOWS, RUSSIAN) for name in WIDE]
SAVED += [(JAPANESE, "utf-16-le"), (JAPANESE, "utf-16-be")]
TRIED = [(text, name, name, tried) for text, name in SAVED for tried in ("utf-8", "ascii")]
TRIED += [(WINDOWS, "utf-8-sig", "utf-8", "latin-1"), (WINDOWS, "utf-8", "utf-8", "utf-16")]
TRIED += [(WINDOWS, "utf-16", "utf-16", "cp1252"), (WINDOWS, "utf-16-be", "utf-16-be", "latin-1")]
TRIED += [(WINDOWS, "utf-16-le", "utf-16-le", "utf-16"), (WINDOWS, "utf-32", "utf-32", "utf-16")]
TRIED += [(RUSSIAN, "utf-8", "utf-8", "ascii")]


@pytest.mark.parametrize(("text", "saved_as", "named", "tried"), TRIED)
def test_the_encoding_that_fits_is_named_and_reads_the_text(text: str, saved_as: str, named: str, tried: str) -> None:
    assert re.findall(r"`encoding` ([\w-]+)", refusal(text.encode(saved_as), tried)) == [named]
    corpus = read_corpus(TextConfig(sources=("text",), encoding=named))
    assert corpus.vocabulary.decode(corpus.ids) == text


@pytest.mark.parametrize(
    ("text", "saved_as", "tried"),
    [(RUSSIAN, "cp1251", "utf-8"), (JAPANESE, "shift_jis", "cp1252"), (RUSSIAN, "koi8-r", "ascii")],
)
def test_no_western_encoding_is_named_for_another_script(text: str, saved_as: str, tried: str) -> None:
    assert not re.search("latin-1|cp1252", refusal(text.encode(saved_as), tried).split(";", 1)[1])


def test_a_damaged_place_in_utf_8_is_no_other_encoding() -> None:
    message = refusal(WINDOWS.encode() + b"\xff" + WINDOWS.encode())
    assert "damaged" in message and "`encoding`" not in message


PICTURE = b"GIF89a\x10\0\x10\0\x80\1\2" + bytes(range(256))
NOT_TEXT = {
    "PDF": b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n" + bytes(range(256)),
    "a PDF": b"%PDF-1.4\n1 0 obj\n<< >>\nendobj\n",
    "RTF": b"{\\rtf1\\ansi Hello\\par}\n",
    "DOCX": archive(**{"[Content_Types].xml": "<x/>", "word_document.xml": "<w/>"}),
    "ODT": archive(mimetype="application/vnd.oasis.opendocument.text"),
    "ZIP": archive(poem="The fox"),
    "gzip": gzip.compress(b"The fox"),
    ".doc": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 99,
    "image (PNG)": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
    "image (JPEG)": b"\xff\xd8\xff\xe0\0\x10JFIF\0",
    "SQLite": b"SQLite format 3\0\x10\0",
    "not look like text": PICTURE,
}


@pytest.mark.parametrize("kind", NOT_TEXT)
@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "cp1252", "utf-16"])
def test_a_file_that_is_not_plain_text_is_named_and_no_encoding_is_advised(kind: str, encoding: str) -> None:
    message = refusal(NOT_TEXT[kind], encoding)
    assert kind in message
    assert "`encoding`" not in message


@pytest.mark.parametrize("kind", NOT_TEXT)
def test_in_a_folder_it_is_skipped_and_any_data_can_be_read_as_bytes(kind: str) -> None:
    Path("texts").mkdir()
    Path("texts", "a").write_bytes(NOT_TEXT[kind])
    Path("texts", "b").write_bytes(b"The fox")
    assert [Path(name).name for name in find_sources(["texts"]).names] == ["b"]
    corpus = read_corpus(TextConfig(sources=("texts/a",), vocabulary=VocabularyKind.BYTES))
    assert corpus.ids.tobytes() == NOT_TEXT[kind]


@pytest.mark.parametrize(
    "text",
    ["GIF89a is a format of pictures", "BZh", "OggS", "PAR1 of two", "ID3 tags", "RIFF", "PK\nand so on", "Rar!"],
)
def test_text_that_begins_like_another_file_is_text(text: str) -> None:
    Path("text").write_text(text, encoding="utf-8")
    assert read_corpus(TextConfig(sources=("text",))).ids.tobytes()


def test_control_characters_are_counted() -> None:
    config = TextConfig(sources=("text",), encoding="latin-1")
    Path("text").write_bytes(b"It\x92s \x93here\x94.\n")
    (note,) = control_notes(read_corpus(config), config)
    assert ": 3;" in note and "cp1252" in note
    Path("text").write_bytes(b"one\0two\0\n" + b"a long text follows\n" * 99)
    (note,) = control_notes(read_corpus(config), config)
    assert ": 2;" in note
    Path("text").write_bytes(b"It is \xe9t\xe9.\n")
    assert control_notes(read_corpus(config), config) == []


def test_the_plan_and_the_command_line_say_so() -> None:
    Path("text").write_bytes(WINDOWS.encode("cp1252"))
    assert "--encoding cp1252" in problem("train", "text", "--steps", 1)
    plan = done("train", "text", "--encoding", "latin-1", "--steps", 1, "--hidden-size", 8, "--dry-run", "--threads", 1)
    assert "control characters" in plan.err
