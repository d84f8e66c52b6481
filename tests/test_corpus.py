"""From sources to ids: every text is decoded unchanged, in little memory, and every problem is one line."""

import errno
import gzip
import hashlib
import io
import mmap
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from lstmgen.config import OnUnknown, TextConfig, VocabularyKind
from lstmgen.errors import TextError, UnknownCharacterError
from lstmgen.text.corpus import Corpus, read_corpus, read_same_corpus
from lstmgen.text.vocabulary import Vocabulary

BLOCKS = st.integers(1, 9)
PLANES = [chr(code) for code in (*range(0x20, 0xD800), *range(0x10000, 0x13000))]
"""Enough characters for ids of every type, without line ends and byte order marks."""


def read(
    data: bytes,
    known: Vocabulary | None = None,
    on_unknown: OnUnknown = OnUnknown.ERROR,
    *,
    block_bytes: int = 1 << 20,
    **options: Any,
) -> Corpus:
    """Read bytes from standard input, in blocks of `block_bytes`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data), encoding="utf-8"))
        patch.setattr("lstmgen.text.sources.BLOCK_BYTES", block_bytes)
        return read_corpus(TextConfig(sources=("-",), **options), known, on_unknown)


def decoded(corpus: Corpus) -> str:
    return corpus.vocabulary.decode(corpus.ids)


def problem(data: bytes, **options: Any) -> str:
    """The one-line error message for these bytes."""
    with pytest.raises(TextError) as raised:
        read(data, **options)
    assert len(str(raised.value).splitlines()) == 1
    return str(raised.value)


@given(st.text(st.sampled_from("ab\r\né€😀\ufeff") | st.characters(codec="utf-8"), min_size=2), BLOCKS)
@example("\ufeff\r\na\r", 1)
def test_any_text_becomes_ids_and_back_whatever_the_block_size(text: str, block_bytes: int) -> None:
    expected = re.sub("\r\n?", "\n", text.removeprefix("\ufeff"))
    assume(len(set(expected)) > 1)
    corpus = read(text.encode("utf-8"), block_bytes=block_bytes)
    assert decoded(corpus) == expected
    assert corpus.vocabulary.characters == "".join(sorted(set(expected)))
    assert corpus.sha256 == hashlib.sha256(expected.encode("utf-8")).hexdigest()


@pytest.mark.parametrize("encoding", ["utf-8", "UTF8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "shift_jis"])
@pytest.mark.parametrize("block_bytes", [1, 2, 3, 5])
def test_the_same_text_in_any_encoding_is_the_same_corpus(encoding: str, block_bytes: int) -> None:
    text = "日本\r\na\rb"
    corpus = read(text.encode(encoding), encoding=encoding, block_bytes=block_bytes)
    assert decoded(corpus) == "日本\na\nb"
    assert corpus.sha256 == read(text.encode("utf-8")).sha256


@pytest.mark.parametrize(
    ("distinct", "dtype"), [(2, np.uint8), (256, np.uint8), (257, np.uint16), (1 << 16, np.uint16), (65537, np.int32)]
)
@pytest.mark.parametrize("in_memory_bytes", [0, 1 << 30])
def test_ids_have_the_smallest_type_in_memory_or_mapped(
    distinct: int, dtype: type[np.generic], in_memory_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lstmgen.text.storage.IN_MEMORY_BYTES", in_memory_bytes)
    text = "".join(PLANES[:distinct][::-1]) + PLANES[0]  # the last characters of the vocabulary come first
    corpus = read(text.encode("utf-8"), block_bytes=4099)
    assert corpus.ids.dtype == dtype
    owner = getattr(corpus.ids.base, "obj", corpus.ids.base)
    assert isinstance(owner, mmap.mmap) == (in_memory_bytes == 0)
    assert corpus.ids.tolist() == [*range(distinct - 1, -1, -1), 0]
    assert decoded(corpus) == text


@given(st.binary(min_size=2), BLOCKS)
def test_bytes_are_unchanged(data: bytes, block_bytes: int) -> None:
    corpus = read(data, block_bytes=block_bytes, vocabulary=VocabularyKind.BYTES, encoding="utf-8")
    assert corpus.vocabulary == Vocabulary(VocabularyKind.BYTES)
    assert corpus.ids.dtype == np.uint8
    assert corpus.ids.tobytes() == data
    assert corpus.sha256 == hashlib.sha256(data).hexdigest()


def test_several_files_are_one_text_with_a_line_feed_between_them(tmp_path: Path) -> None:
    files = {"a": b"alpha", "b": b"\xef\xbb\xbfbeta\r\n", "c.gz": gzip.compress(b"gamma\r"), "d": b"delta"}
    files |= {"empty": b"", "only-a-mark": b"\xef\xbb\xbf", "zeros": b"\0"}
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    corpus = read_corpus(TextConfig(sources=(str(tmp_path), str(tmp_path / "a"))))
    assert decoded(corpus) == "alpha\nbeta\ngamma\ndelta\nalpha"
    assert len(corpus.notes) == 1  # the zeros are not text
    assert corpus.sources == tuple(
        f"{tmp_path.as_posix()}/{name}" for name in ("a", "b", "c.gz", "d", "only-a-mark", "a")
    )
    as_bytes = read_corpus(TextConfig(corpus.sources, vocabulary=VocabularyKind.BYTES))
    assert as_bytes.ids.tobytes() == b"alpha\xef\xbb\xbfbeta\r\ngamma\rdelta\xef\xbb\xbfalpha"


@pytest.mark.parametrize("block_bytes", [1, 2, 3, 4, 1 << 20])
@pytest.mark.parametrize(
    ("encoding", "good", "bad"),
    [
        *(("utf-8", b"\xef\xbb\xbfa\r\n", character.encode()[:-1]) for character in "é€😀"),
        *(("utf-8", b"a\r\n", character.encode()[:-1] + b"b") for character in "é€😀"),
        ("ascii", b"abc", b"\x80"),
        *(("utf-16-le", b"a\0b\0c\0", bad) for bad in (b"\0\xdc", b"a")),
        ("shift_jis", b"abc", b"\xff"),
        ("gb18030", b"abc", b"\x81"),
    ],
)
def test_bytes_that_are_no_text_are_named(encoding: str, good: bytes, bad: bytes, block_bytes: int) -> None:
    message = problem(good + bad, encoding=encoding, block_bytes=block_bytes)
    assert f"byte 0x{bad[0]:02X} at offset {len(good)} is not" in message
    assert encoding in message
    assert "`vocabulary`" in message


@pytest.mark.parametrize(
    ("data", "options", "named"),
    [
        (b"", {}, "empty"),
        (b"\xef\xbb\xbf", {}, "empty"),
        (b"", {"vocabulary": VocabularyKind.BYTES}, "empty"),
        (b"x", {"vocabulary": VocabularyKind.BYTES}, "one character"),
        (b"x", {}, "one character"),
        (b"xxxxx", {}, "'x'"),
        (b"\r\n\r\n", {}, "U+000A"),
        (b"one line", {"lines": True}, "`lines`"),
        *((b"abcd", {"encoding": name}, f"`encoding` {name}") for name in ("no-such", "", "base64", "rot13", "idna")),
    ],
)
def test_a_text_with_nothing_to_learn_from_is_a_problem(data: bytes, options: dict[str, Any], named: str) -> None:
    assert named in problem(data, **options)


def test_a_given_vocabulary_keeps_its_ids_and_its_kind() -> None:
    known = Vocabulary(VocabularyKind.CHARACTERS, "dcba")
    corpus = read(b"abba", known, vocabulary=VocabularyKind.BYTES)
    assert corpus.ids.tolist() == [3, 2, 2, 3]
    assert corpus.vocabulary == known
    assert read("é".encode(), Vocabulary(VocabularyKind.BYTES)).ids.tolist() == [0xC3, 0xA9]
    assert decoded(read(b"aaa", known)) == "aaa"  # a text with nothing to learn from can still be scored


@pytest.mark.parametrize("block_bytes", [1, 3, 1 << 20])
def test_characters_outside_a_given_vocabulary_are_named_or_skipped_and_counted(block_bytes: int) -> None:
    known = Vocabulary(VocabularyKind.CHARACTERS, "\nab")
    with pytest.raises(UnknownCharacterError, match=r"é.*character 5 of the text"):
        read("ab\r\naéé".encode(), known, block_bytes=block_bytes)
    corpus = read("éaébé".encode(), known, OnUnknown.SKIP, block_bytes=block_bytes)
    assert decoded(corpus) == "ab"
    (note,) = corpus.notes
    assert " 3 " in note
    assert read(b"ab", known, OnUnknown.SKIP).notes == ()


def test_tiny_shakespeare_is_split_as_others_split_it() -> None:
    ids = np.zeros(1_115_394, np.uint8)
    train, validation = Corpus(ids, Vocabulary(VocabularyKind.BYTES), "").split(TextConfig())
    assert (len(train), len(validation)) == (1_003_854, 111_540)


def parts(text: str, fraction: float, lines: bool = False, seed: int | None = None) -> list[str]:
    """The training part and the held-out part of a text."""
    vocabulary = Vocabulary(VocabularyKind.CHARACTERS, "\nabcdefgh")
    corpus = Corpus(vocabulary.encode(text), vocabulary, "")
    config = TextConfig(lines=lines, validation=fraction, held_out_seed=seed)
    return [vocabulary.decode(part) for part in corpus.split(config)]


@pytest.mark.parametrize(("lines", "seed"), [(False, None), (True, None), (True, 3)])
@pytest.mark.parametrize("text", ["a", "ab", "a\nb", "\nabc", "abcdefgh"])
@pytest.mark.parametrize("fraction", [0.0, 0.1, 0.9])
def test_nothing_is_held_out_of_too_short_a_text(text: str, fraction: float, lines: bool, seed: int | None) -> None:
    assert parts(text, fraction, lines, seed) == [text, ""]


@given(st.text("ab\n", min_size=8), st.sampled_from([0.25, 0.5, 0.75]))
def test_the_end_is_held_out_of_whole_lines_if_asked(text: str, fraction: float) -> None:
    train, validation = parts(text, fraction)
    assert train + validation == text
    assert 0 <= len(validation) - fraction * len(text) < 1

    whole, rest = parts(text, fraction, lines=True)
    assert whole + rest == text
    if train.rfind("\n") < 1:  # no line, or but an empty one, is short enough to be trained on alone
        assert rest == ""
    else:
        assert whole.endswith("\n")
        assert len(whole) <= len(train) < len(whole) + len(rest.split("\n")[0]) + 1


@given(st.text("ab\n", min_size=2), st.sampled_from([0.1, 0.5, 0.9]), st.integers(0, 9), st.integers(1, 5))
@settings(deadline=None, max_examples=200)
def test_random_lines_are_held_out_in_the_order_of_the_text(text: str, fraction: float, seed: int, block: int) -> None:
    """Every line is in one part, as often as it appears in the text, however the text is cut into blocks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lstmgen.text.storage.BLOCK", block)
        patch.setattr("lstmgen.text.storage.IN_MEMORY_BYTES", 10)
        train, validation = (part.splitlines(keepends=True) for part in parts(text, fraction, lines=True, seed=seed))
    lines = text.splitlines(keepends=True)
    assert sorted(train + validation) == sorted(lines)
    for part in (train, validation):
        rest = iter(lines)
        assert all(line in rest for line in part)  # `in` moves on: a subsequence
    filled = sum(line != "\n" for line in lines)
    assert len(validation) in (0, round(fraction * filled))
    assert "\n" not in validation


def test_which_lines_are_held_out_follows_the_seed() -> None:
    text = "".join(f"{'abcdefgh'[n % 8] * (1 + n // 8)}\n" for n in range(40))
    once, again, other = (parts(text, 0.25, lines=True, seed=seed)[1] for seed in (1, 1, 2))
    assert once == again != other
    assert len(once.splitlines()) == 10
    assert once not in text  # they are not next to each other


@given(st.text(st.sampled_from("ab\ud800\udfff\U0001f600é"), min_size=2), BLOCKS)
def test_surrogates_are_kept_wherever_the_text_is_cut(text: str, block: int) -> None:
    text = "ab" + text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lstmgen.text.storage.BLOCK", block)
        patch.setattr("lstmgen.text.storage.IN_MEMORY_BYTES", 0)
        assert decoded(read(text.encode("raw_unicode_escape"), encoding="raw_unicode_escape")) == text


FOX = "The quick brown fox – line after line.\r\n" * 50


@pytest.fixture
def fox(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> Corpus:
    """The text of `fox.txt` in the working folder, which is large enough for a temporary file."""
    monkeypatch.setattr("lstmgen.text.storage.IN_MEMORY_BYTES", 100)
    monkeypatch.setenv("LSTMGEN_CACHE", str(nowhere / "cache"))
    Path("fox.txt").write_bytes(FOX.encode())
    return read_corpus(TextConfig(sources=("fox.txt",)))


def test_a_text_is_the_same_as_long_as_no_character_changes(fox: Corpus) -> None:
    def again(tokens: int = len(fox.ids), **choices: Any) -> Corpus | None:
        config = TextConfig(**{"sources": ("fox.txt",), **choices})
        return read_same_corpus(config, fox.vocabulary, fox.sha256, tokens)

    same = again()
    assert same is not None and same.ids.tolist() == fox.ids.tolist()
    assert again(tokens=len(fox.ids) - 1) is None
    assert again(encoding="latin-1") is None
    whole = FOX.encode()
    for position in (0, 700, len(whole) - 1):
        Path("fox.txt").write_bytes(whole[:position] + b"x" + whole[position + 1 :])
        assert again() is None
    for number in (0, 1):  # a line feed is between two files
        Path("a").write_bytes(whole[: 900 + number])
        Path("b").write_bytes(whole[900 + number :])
        assert again(sources=("a", "b")) is None


def test_a_text_with_more_characters_is_the_same_text(fox: Corpus) -> None:
    extended = fox.extended(Vocabulary(VocabularyKind.CHARACTERS, "A中"))
    assert decoded(extended) == decoded(fox) == FOX.replace("\r", "")
    assert extended.vocabulary.characters == "".join(sorted({*fox.vocabulary.characters, *"A中"}))


def test_a_large_text_leaves_no_file_behind_and_cannot_be_changed(fox: Corpus, nowhere: Path) -> None:
    assert list((nowhere / "cache").iterdir()) == []
    with pytest.raises(ValueError, match="read-only"):
        fox.ids[0] = 1


@pytest.mark.usefixtures("fox")
def test_a_folder_that_cannot_be_written_is_replaced_by_the_systems(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LSTMGEN_CACHE", "fox.txt/folder")
    assert decoded(read_corpus(TextConfig(sources=("fox.txt",)))) == FOX.replace("\r", "")


@pytest.mark.usefixtures("fox")
def test_a_temporary_file_may_have_a_name_as_it_has_on_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lstmgen.text.storage.IN_MEMORY_BYTES", 10)
    monkeypatch.setattr("tempfile.TemporaryFile", tempfile.NamedTemporaryFile)
    corpus = read_corpus(TextConfig(sources=("fox.txt",)))
    assert decoded(corpus) == FOX.replace("\r", "")
    assert list(Path(os.environ["LSTMGEN_CACHE"]).iterdir()) == []


@pytest.mark.usefixtures("fox")
@pytest.mark.parametrize("room", [0, 1, 101, 1999])
def test_where_no_disk_has_room_the_remedy_is_named(room: int, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(io.BytesIO):
        def write(self, data: Any) -> int:
            left = min(room - self.tell(), 100)  # a short write is no error
            if left <= 0:
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().write(data[:left])

    monkeypatch.setattr("tempfile.TemporaryFile", lambda **_: Full())
    with pytest.raises(TextError, match="LSTMGEN_CACHE"):
        read_corpus(TextConfig(sources=("fox.txt",)))


@pytest.mark.usefixtures("fox")
def test_progress_counts_the_bytes_up_to_their_number() -> None:
    calls: list[tuple[int, int | None]] = []
    read_corpus(TextConfig(sources=("fox.txt",)), progress=lambda *call: calls.append(call))
    assert calls == sorted(calls) and calls[-1] == (len(FOX.encode()), len(FOX.encode()))
    read_corpus(TextConfig(sources=("python-docs",)), progress=lambda *call: calls.append(call))
    assert calls[-1][1] is None
