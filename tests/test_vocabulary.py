"""Tokens and their ids: round trips, characters that arrive byte by byte, and the message for unknown ones."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lstmgen.config import VocabularyKind
from lstmgen.errors import ConfigError, UnknownCharacterError
from lstmgen.text.vocabulary import Vocabulary, code_points, describe_character

BYTES = Vocabulary(VocabularyKind.BYTES)
ASCII = Vocabulary(VocabularyKind.CHARACTERS, "\n" + "".join(map(chr, range(0x20, 0x7F))))


def characters(text: str) -> Vocabulary:
    return Vocabulary(VocabularyKind.CHARACTERS, text)


@given(st.text(st.characters()))  # lone surrogates included
def test_any_text_is_unchanged_by_encoding_to_characters_and_back(text: str) -> None:
    vocabulary = characters("".join(sorted(set(text), reverse=True)))
    ids = vocabulary.encode(text)
    assert len(ids) == len(text)
    assert all(0 <= number < len(vocabulary) for number in ids)
    assert vocabulary.decode(ids) == text
    assert vocabulary.to_bytes(ids).decode("utf-8", "surrogatepass") == text
    assert [chr(code) for code in code_points(text)] == list(text)


@given(st.lists(st.binary(max_size=4) | st.sampled_from(["é", "€", "😀"]).map(str.encode)).map(b"".join))
def test_bytes_decoded_one_at_a_time_equal_bytes_decoded_at_once(data: bytes) -> None:
    decoder = BYTES.decoder()
    assert "".join(decoder.feed(number) for number in data) + decoder.finish() == BYTES.decode(np.array(list(data)))


def test_a_character_of_several_bytes_is_returned_when_it_is_complete() -> None:
    decoder = BYTES.decoder()
    assert [decoder.feed(number) for number in "a€b".encode()] == ["a", "", "", "€", "b"]
    assert decoder.finish() == ""
    assert decoder.feed(0xE2) + decoder.finish() == "\ufffd"


@pytest.mark.parametrize(
    ("unknown", "code", "similar"),
    [
        ("é", "U+00E9", "'e' (U+0065"),
        ("É", "U+00C9", "'E' (U+0045"),
        ("\u201c", "U+201C", "'\"' (U+0022"),
        ("\u2019", "U+2019", '"\'" (U+0027'),
        ("\u00a0", "U+00A0", "' ' (U+0020"),
        ("\uff0c", "U+FF0C", "',' (U+002C"),
    ],
)
def test_an_unknown_character_is_named_with_similar_ones(unknown: str, code: str, similar: str) -> None:
    with pytest.raises(UnknownCharacterError) as raised:
        ASCII.encode(f"abc{unknown}d{unknown}", where="prompt")
    message = str(raised.value)
    assert describe_character(unknown) in message
    assert code in message
    assert "character 4 of the prompt" in message
    assert message.partition(": ")[2].startswith(similar)  # the most similar one comes first
    assert "`on_unknown`" in message
    assert len(message.splitlines()) == 1


@pytest.mark.parametrize("unknown", ["\u6f22", "\n", "\x07", "\u2028", "\ud800", "\U0010ffff"])
def test_the_message_for_a_character_without_similar_ones_is_one_printable_line(unknown: str) -> None:
    message = characters("ab").describe_unknown(unknown, "position 0 of the text")
    assert f"U+{ord(unknown):04X}" in message
    assert "is similar" in message
    assert len(message.splitlines()) == 1
    assert message.isprintable()


@pytest.mark.parametrize(
    ("vocabulary", "newline", "start"),
    [(characters("a\n "), 1, 1), (characters("a "), None, 1), (characters("ab"), None, 0), (BYTES, 10, 10)],
)
def test_where_a_text_without_prompt_begins(vocabulary: Vocabulary, newline: int | None, start: int) -> None:
    assert vocabulary.newline == newline
    assert vocabulary.start == start
    assert vocabulary.prompt_ids("", lines=False).tolist() == [start]
    assert vocabulary.prompt_ids("", lines=True).tolist() == [start]


@pytest.mark.parametrize("vocabulary", [characters("\nab"), BYTES])
def test_a_prompt_is_read_unchanged_but_a_line_begins_with_a_line_feed(vocabulary: Vocabulary) -> None:
    assert vocabulary.decode(vocabulary.prompt_ids("ba\n", lines=False)) == "ba\n"
    assert vocabulary.decode(vocabulary.prompt_ids("ba", lines=True)) == "\nba"
    with pytest.raises(ConfigError, match="`prompt`"):
        vocabulary.prompt_ids("b\na", lines=True)
