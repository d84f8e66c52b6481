"""The sources of a text: files, folders, patterns, standard input, compressed files, named corpora."""

import gzip
import hashlib
import io
import sys
from pathlib import Path
from pydoc_data.topics import topics

import pytest

from lstmgen.errors import TextError
from lstmgen.text.sources import find_sources

pytestmark = pytest.mark.usefixtures("nowhere")


def write(files: dict[str, bytes]) -> None:
    for name, data in files.items():
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(data)


def contents(*names: str) -> list[tuple[str, bytes]]:
    """The name and the bytes of each source."""
    found = find_sources(names)
    return [(Path(source.name).as_posix(), b"".join(source.blocks())) for source in found.sources]


def problem(*names: str) -> str:
    """The one-line error message when these names are read."""
    with pytest.raises(TextError) as raised:
        contents(*names)
    message = str(raised.value)
    assert len(message.splitlines()) == 1
    return message


def test_a_folder_is_read_in_the_order_of_names_without_hidden_and_binary_files() -> None:
    write(
        {
            "texts/z.txt": b"last of its folder",
            "texts/B": b"no suffix is needed",
            "texts/a.txt": b"after the capital",
            "texts/inner/c.txt": b"inner",
            "texts/inner/deep/d.txt": b"deep",
            "texts/early/e.txt": b"early",
            "texts/empty.txt": b"",
            "texts/.hidden": b"hidden",
            "texts/.git/config": b"hidden",
            "texts/photo.jpg": b"\xff\xd8\0\0",
            "texts/inner/model.bin": b"weights\0",
        }
    )
    assert [name for name, _ in contents("texts")] == [
        "texts/B",
        "texts/a.txt",
        "texts/z.txt",
        "texts/early/e.txt",
        "texts/inner/c.txt",
        "texts/inner/deep/d.txt",
    ]
    (note,) = find_sources(["texts"]).notes
    assert "texts" in note and "2" in note


def test_a_folder_without_text_is_a_problem() -> None:
    for files in ({}, {"texts/.hidden": b"text"}, {"texts/photo.jpg": b"\0"}):
        Path("texts").mkdir(exist_ok=True)
        write(files)
        problem("texts")


def test_a_file_whose_name_looks_like_a_pattern_is_that_file() -> None:
    write({"[ab].txt": b"itself", "a.txt": b"a"})
    assert contents("[ab].txt") == [("[ab].txt", b"itself")]


def test_compressed_files_are_decompressed() -> None:
    write(
        {
            "a.txt.gz": gzip.compress(b"alpha"),
            "texts/b.gz": gzip.compress(b"beta") + gzip.compress(b" and more"),
            "texts/binary.gz": gzip.compress(b"\0\0"),
        }
    )
    assert contents("a.txt.gz", "*.gz", "texts") == [
        ("a.txt.gz", b"alpha"),
        ("a.txt.gz", b"alpha"),
        ("texts/b.gz", b"beta and more"),
    ]


@pytest.mark.parametrize("damage", ["truncated", "altered", "not gzip"])
def test_a_damaged_compressed_file_is_a_problem(damage: str) -> None:
    whole = gzip.compress(bytes(range(256)) * 40)
    altered = whole[:20] + bytes([whole[20] ^ 0xFF]) + whole[21:]
    write({"a.gz": {"truncated": whole[:-9], "altered": altered, "not gzip": b"plain text"}[damage]})
    assert "a.gz" in problem("a.gz")


@pytest.mark.parametrize("name", ["missing.txt", "missing/a.txt", "*.none", "x" * 5000, "file/a.txt"])
def test_a_name_without_a_source_is_a_problem(name: str) -> None:
    write({"file": b"text"})
    message = problem("file", name)
    assert name[:60] in message and "python-docs" in message


def test_a_file_that_is_deleted_before_it_is_read_is_a_problem() -> None:
    write({"a.txt": b"text"})
    (source,) = find_sources(["a.txt"]).sources
    Path("a.txt").unlink()
    with pytest.raises(TextError, match=r"a\.txt"):
        list(source.blocks())


def test_a_dash_is_standard_input_among_others(monkeypatch: pytest.MonkeyPatch) -> None:
    write({"a.txt": b"alpha"})
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xffpiped\r\n"), encoding="utf-8"))
    assert contents("a.txt", "-", "a.txt") == [
        ("a.txt", b"alpha"),
        ("standard input", b"\xffpiped\r\n"),
        ("a.txt", b"alpha"),
    ]


def test_standard_input_twice_or_closed_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"piped"), encoding="utf-8"))
    problem("-", "-")
    monkeypatch.setattr(sys, "stdin", None)
    problem("-")


def test_python_docs_are_text_and_the_same_each_time() -> None:
    ((name, text),) = contents("python-docs")
    assert name == "python-docs"
    assert len(text.decode("utf-8")) > 100_000
    assert text.decode("utf-8").startswith(topics[min(topics)])
    assert text.decode("utf-8").endswith(topics[max(topics)])
    assert contents("python-docs") == [(name, text)]


def test_python_source_is_the_standard_library_in_a_fixed_order_without_tests() -> None:
    sources = find_sources(["python-source"]).sources
    paths = [source.name.removeprefix("python-source ") for source in sources]
    assert paths == sorted(set(paths))
    assert {"argparse.py", "json/decoder.py"} < set(paths)
    assert {"test", "tests", "site-packages"}.isdisjoint(part for path in paths for part in path.split("/"))
    (decoder,) = (source for source, path in zip(sources, paths, strict=True) if path == "json/decoder.py")
    assert b"class JSONDecoder" in b"".join(decoder.blocks())


def test_a_named_corpus_has_priority_over_a_file_of_its_name() -> None:
    write({"python-docs": b"mine"})
    assert contents("./python-docs") == [("python-docs", b"mine")]
    assert contents("python-docs") != [("python-docs", b"mine")]


def test_shakespeare_is_downloaded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    downloads: list[tuple[str, str]] = []

    def download(url: str, known_hash: str, fname: str, path: Path) -> None:
        downloads.append((url, known_hash))
        if len(downloads) == 1:
            raise OSError("no network")
        write({str(path / fname): b"First Citizen"})

    monkeypatch.setattr("pooch.retrieve", download)
    monkeypatch.setattr("lstmgen.text.sources._SHAKESPEARE_SHA256", hashlib.sha256(b"First Citizen").hexdigest())
    message, path = problem("shakespeare"), Path("data", "tinyshakespeare.txt")
    assert downloads[0][0] in message and str(path) in message  # where to get it, and where to put it
    assert contents("shakespeare", "shakespeare") == [("shakespeare", b"First Citizen")] * 2
    assert downloads == [downloads[0]] * 2
    assert downloads[0][0].startswith("https://")
    path.write_bytes(b"my own notes")
    assert str(path) in problem("shakespeare")
    assert path.read_bytes() == b"my own notes"


def test_a_folder_of_utf_16_is_text_when_that_is_the_encoding() -> None:
    write({"wide/a.txt": "wide".encode("utf-16")})
    assert find_sources(["wide"], zero_bytes=True).sources[0].name.endswith("a.txt")
    with pytest.raises(TextError):
        find_sources(["wide"])
