"""Large texts that are kept as ids: found by their content, never believed when damaged, never in the way."""

import errno
import io
import os
import tempfile
import time
from pathlib import Path
from typing import Any, NoReturn
from unittest.mock import MagicMock

import pytest

from lstmgen.config import OnUnknown, TextConfig, VocabularyKind
from lstmgen.errors import TextError, UnknownCharacterError
from lstmgen.text import storage
from lstmgen.text.corpus import Corpus, read_corpus, read_same_corpus
from lstmgen.text.vocabulary import Vocabulary

TEXT = "The quick brown fox – line after line.\r\n" * 50
CHARACTERS = "".join(sorted({*TEXT} - {"\r"}))


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the cache, which keeps small texts too; the text `fox.txt` is in the working folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LSTMGEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(storage, "IN_MEMORY_BYTES", 100)
    Path("fox.txt").write_bytes(TEXT.encode())
    return tmp_path / "cache"


def read(encoding: str = "utf-8", *names: str) -> Corpus:
    return read_corpus(TextConfig(sources=names or ("fox.txt",), encoding=encoding))


def refuse(*_: object) -> NoReturn:
    raise AssertionError("the text is encoded again")


def assert_equal(one: Corpus, other: Corpus) -> None:
    assert one.ids.tolist() == other.ids.tolist()
    assert (one.vocabulary, one.sha256, one.ids.dtype) == (other.vocabulary, other.sha256, other.ids.dtype)


def test_a_text_is_encoded_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = read()
    assert first.vocabulary.decode(first.ids) == TEXT.replace("\r", "")
    Path("fox.txt").rename("moved.txt")
    monkeypatch.setattr("lstmgen.text.corpus.Encoder.encode", refuse)
    assert_equal(read("utf-8", "moved.txt"), first)
    same = read_same_corpus(TextConfig(sources=("moved.txt",)), first.vocabulary, first.sha256, len(first.ids))
    assert same is not None
    assert_equal(same, first)
    assert [path.suffix for path in folder.iterdir()] == [".ids"]


def test_kept_ids_cannot_be_changed() -> None:
    read()
    with pytest.raises(ValueError, match="read-only"):
        read().ids[0] = 1


def test_texts_of_bytes_and_standard_input_are_kept_too(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    in_bytes = TextConfig(sources=("fox.txt",), vocabulary=VocabularyKind.BYTES)
    first = read_corpus(in_bytes)
    assert first.ids.tobytes() == TEXT.encode()
    assert_equal(read_corpus(in_bytes), first)
    assert len(list(folder.iterdir())) == 1
    named = read()
    monkeypatch.setattr("lstmgen.text.corpus.Encoder.encode", refuse)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(TEXT.encode())))
    assert_equal(read("utf-8", "-"), named)


def test_a_growing_vocabulary_is_kept_as_another_text(monkeypatch: pytest.MonkeyPatch) -> None:
    other = Vocabulary(VocabularyKind.CHARACTERS, "A中")
    extended = read().extended(other)
    assert extended.vocabulary.decode(extended.ids) == TEXT.replace("\r", "")
    monkeypatch.setattr("lstmgen.text.corpus.look_up", refuse)
    assert_equal(read().extended(other), extended)


@pytest.mark.parametrize("position", [0, 700, -1])
def test_a_change_of_one_byte_is_noticed_though_size_and_time_are_the_same(position: int) -> None:
    old, times = read(), Path("fox.txt").stat()
    changed = bytearray(TEXT.encode())
    changed[position] = ord("x")
    Path("fox.txt").write_bytes(changed)
    os.utime("fox.txt", ns=(times.st_atime_ns, times.st_mtime_ns))
    new = read()
    assert new.sha256 != old.sha256
    assert new.vocabulary.decode(new.ids) == changed.decode().replace("\r\n", "\n").replace("\r", "\n")
    assert read_same_corpus(TextConfig(sources=("fox.txt",)), old.vocabulary, old.sha256, len(old.ids)) is None


def test_the_same_bytes_in_other_files_are_another_text() -> None:
    half = len(TEXT.encode()) // 2
    for number, cut in enumerate((half, half + 1)):
        Path(f"a{number}").write_bytes(TEXT.encode()[:cut])
        Path(f"b{number}").write_bytes(TEXT.encode()[cut:])
    texts = [read("utf-8", f"a{number}", f"b{number}") for number in (0, 1)]
    assert texts[0].sha256 != texts[1].sha256  # a line feed is between the two files


def test_another_encoding_is_another_text() -> None:
    assert read("utf-8").sha256 != read("latin-1").sha256 == read("latin-1").sha256


@pytest.mark.parametrize("damage", ["flip", "cut"])
def test_a_damaged_file_is_ignored_and_replaced(damage: str, folder: Path) -> None:
    whole = read()
    (path,) = folder.iterdir()
    content = path.read_bytes()
    for position in [*range(0, len(content), 97), *range(len(content) - 17, len(content))]:
        damaged = bytearray(content[: len(content) if damage == "flip" else position])
        if damage == "flip":
            damaged[position] ^= 0x10
        path.unlink()
        path.write_bytes(damaged)
        assert_equal(read(), whole)
        assert path.read_bytes() == content, position


def test_a_text_that_is_longer_than_allowed_is_refused_from_the_cache_too() -> None:
    corpus, config = read(), TextConfig(sources=("fox.txt",))
    assert read_same_corpus(config, corpus.vocabulary, corpus.sha256, len(corpus.ids) - 1) is None


def test_another_vocabulary_is_not_taken_from_the_cache() -> None:
    read()
    config = TextConfig(sources=("fox.txt",))
    reverse = Vocabulary(VocabularyKind.CHARACTERS, CHARACTERS[::-1])
    assert read_corpus(config, reverse).vocabulary == reverse
    known = Vocabulary(VocabularyKind.CHARACTERS, "eno \n")
    with pytest.raises(UnknownCharacterError):
        read_corpus(config, known)
    skipped = [read_corpus(config, known, OnUnknown.SKIP) for _ in range(2)]  # encoded, then from the cache
    assert_equal(*skipped)
    assert skipped[0].notes == skipped[1].notes != ()
    with pytest.raises(UnknownCharacterError):
        read_corpus(config, known)


def test_small_texts_stay_in_memory_and_touch_no_disk(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NamedTemporaryFile", "TemporaryFile"):
        monkeypatch.setattr(f"tempfile.{name}", refuse)
    Path("small.txt").write_text("small\ntext\n")
    config = TextConfig(sources=("small.txt",), lines=True, held_out_seed=0)
    read_corpus(config).split(config)
    read_corpus(TextConfig(sources=("small.txt",), vocabulary=VocabularyKind.BYTES))
    assert not folder.exists()


def test_a_cache_that_cannot_be_written_is_like_none(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = read()
    Path("file").touch()
    monkeypatch.setenv("LSTMGEN_CACHE", "file/folder")
    assert_equal(read(), kept)
    assert_equal(read(), kept)


@pytest.mark.parametrize("room", [0, 1, 64, 500, 1999, 2000, 2100, 1 << 20])
@pytest.mark.parametrize("kind", VocabularyKind)
def test_a_full_disk_loses_nothing(
    room: int, kind: VocabularyKind, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The text moves to the system's folder; nothing incomplete is kept."""
    config = TextConfig(sources=("fox.txt",), vocabulary=kind)
    expected = read_corpus(config)
    (path,) = folder.iterdir()
    content = path.read_bytes()
    path.unlink()
    monkeypatch.setattr("lstmgen.text.sources.BLOCK_BYTES", 64)
    monkeypatch.setattr(storage, "BLOCK", 64)

    def limit(name: str) -> None:
        """Only `room` bytes fit into each temporary file in the folder of the cache."""
        opened = getattr(tempfile, name)

        def limited(**options: Any) -> object:
            file: Any = opened(**options)
            if "dir" not in options:
                return file
            wrapped = MagicMock(wraps=file)
            wrapped.name = getattr(file, "name", None)
            wrapped.__enter__.return_value = wrapped
            wrapped.__exit__.side_effect = lambda *_: file.close()

            def write_some(data: memoryview) -> int:
                left = room - file.tell()
                if left < len(data):
                    file.write(data[: max(left, 0)])
                    raise OSError(errno.ENOSPC, "No space left on device")
                return int(file.write(data))

            wrapped.write = write_some
            return wrapped

        monkeypatch.setattr(tempfile, name, limited)

    limit("NamedTemporaryFile")
    limit("TemporaryFile")
    assert_equal(read_corpus(config), expected)
    assert [file.read_bytes() for file in folder.iterdir()] == ([content] if room >= len(content) else [])


def test_where_no_disk_has_room_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(**_: object) -> NoReturn:
        raise OSError(errno.ENOSPC, "No space left on device")

    for name in ("NamedTemporaryFile", "TemporaryFile"):
        monkeypatch.setattr(f"tempfile.{name}", full)
    with pytest.raises(TextError, match="LSTMGEN_CACHE"):
        read()


def test_the_texts_that_were_not_used_for_the_longest_time_are_removed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"{number}.txt" for number in range(4)]
    for age, name in enumerate(names):
        Path(name).write_bytes(TEXT.encode() + bytes([ord("0") + age]))
    sizes = []
    for age, name in enumerate(names[:3]):
        before = set(folder.iterdir()) if folder.exists() else set()
        read("utf-8", name)
        (new,) = set(folder.iterdir()) - before
        sizes.append(new.stat().st_size)
        os.utime(new, (1000 + age, 1000 + age))
    (folder / "old.part").touch()
    os.utime(folder / "old.part", (1000, 1000))
    (folder / "new.part").touch()
    read("utf-8", names[0])  # used now
    monkeypatch.setattr(storage, "MAX_CACHE_BYTES", sum(sizes))
    read("utf-8", names[3])
    assert len(list(folder.glob("*.ids"))) == 3
    assert [path.name for path in folder.glob("*.part")] == ["new.part"]
    monkeypatch.setattr("lstmgen.text.corpus.Encoder.encode", refuse)
    for name in (names[0], names[2], names[3]):
        read("utf-8", name)
    with pytest.raises(AssertionError):
        read("utf-8", names[1])


def test_progress_counts_the_bytes_up_to_their_number() -> None:
    size = len(TEXT.encode())
    for _ in range(2):  # encoded, then from the cache
        calls: list[tuple[int, int | None]] = []
        read_corpus(TextConfig(sources=("fox.txt",)), progress=lambda *call, calls=calls: calls.append(call))
        assert calls == sorted(calls)
        assert calls[-1] == (size, size)
    calls.clear()
    read_corpus(TextConfig(sources=("python-docs",)), progress=lambda read, total: calls.append((read, total)))
    assert calls[-1][1] is None


def test_a_process_that_was_killed_leaves_no_text_behind(folder: Path) -> None:
    folder.mkdir()
    part = folder / "tmpabc.part"
    part.write_bytes(b"\1\2\3")
    os.utime(part, (time.time() - 3600,) * 2)
    read()
    assert part.exists()  # it may belong to a process that still runs
    assert len(list(folder.glob("*.ids"))) == 1
