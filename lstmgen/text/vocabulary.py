"""The tokens that a model knows, characters (Unicode code points) or bytes, and their ids."""

import codecs
import difflib
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lstmgen.config import OnUnknown, VocabularyKind
from lstmgen.errors import CheckpointError, ConfigError, UnknownCharacterError
from lstmgen.text.storage import blocks_of

CODE_POINTS = 0x110000
NEWLINE = "\n"
_LOOK_UPS = 1 << 16
_SHOWN = 40  # characters of a prompt in an error message
_REPLACE = "replace it, or give `on_unknown` skip"

_LOOK_ALIKES = (
    "'`\u2018\u2019\u201a\u201b\u2032",
    '"\u201c\u201d\u201e\u201f\u2033\u00ab\u00bb',
    "-\u2010\u2011\u2012\u2013\u2014\u2212",
)
"""Groups of quotation marks and dashes that texts often use interchangeably."""

Ids = NDArray[np.integer[Any]]


def code_points(text: str) -> NDArray[np.uint32]:
    """The code points of a text, (characters,)."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")


def narrow_code_points(text: str) -> NDArray[np.unsignedinteger[Any]]:
    """The code points of a text, (characters,), in one or two bytes each if they fit, which is faster than four."""
    try:
        return np.frombuffer(text.encode("latin-1"), np.uint8)
    except UnicodeEncodeError:
        units = np.frombuffer(text.encode("utf-16-le", "surrogatepass"), "<u2")
        return units if len(units) == len(text) else code_points(text)


def as_string(ids: Ids) -> str:
    """Ids, (tokens,), as a string of chr(id), which is fast to search and sorts in the same order."""
    if ids.dtype == np.uint8:
        return ids.tobytes().decode("latin-1")
    return ids.astype("<u4").tobytes().decode("utf-32-le", "surrogatepass")


def other_characters(text: str, known: set[str]) -> set[str]:
    """The characters of a text that are not known yet; fastest for a text in a Latin script."""
    codes = narrow_code_points(text)
    if codes.dtype == np.uint8:
        known_bytes = bytes(ord(character) for character in known if character < "\u0100")
        return set(codes.tobytes().translate(None, known_bytes).decode("latin-1"))
    return set(map(chr, np.flatnonzero(np.bincount(codes)))) - known


def token_counts(ids: Ids, vocab_size: int) -> NDArray[np.int64]:
    """Count how often each token occurs in a text: (tokens,) -> (vocab,)."""
    counts = np.zeros(vocab_size, np.int64)
    for block in blocks_of(ids):  # because bincount copies its input, with eight bytes per token
        counts += np.bincount(block, minlength=vocab_size)
    return counts


def look_up(table: NDArray[Any], indices: Ids) -> NDArray[Any]:
    """`table[indices]`, (indices,), two to eight times as fast; all indices must be in the table."""
    found = np.empty(len(indices), table.dtype)
    for start in range(0, len(indices), _LOOK_UPS):  # small parts stay in the processor's cache
        part = slice(start, start + _LOOK_UPS)
        np.take(table, indices[part], out=found[part], mode="clip")  # "clip" writes to `out` without a copy
    return found


def has_other_tokens(ids: Ids, token: int) -> bool:
    """Whether a text, (tokens,), has a token other than this one."""
    return any((block != token).any() for block in blocks_of(ids))


@dataclass(frozen=True)
class Vocabulary:
    """The tokens in the order of their ids: the characters of a text, or all 256 bytes."""

    kind: VocabularyKind
    characters: str = ""  # in the order of their ids; empty for bytes

    def __len__(self) -> int:
        return 256 if self.kind is VocabularyKind.BYTES else len(self.characters)

    @cached_property
    def _id_of(self) -> NDArray[np.int32]:
        """The id of each code point, (code points,); -1 if it is not in the vocabulary."""
        ids = np.full(CODE_POINTS, -1, np.int32)
        ids[code_points(self.characters)] = np.arange(len(self.characters), dtype=np.int32)
        return ids

    @cached_property
    def _by_base(self) -> dict[str, list[str]]:
        """The characters, grouped by their form without accents and in lower case."""
        groups: dict[str, list[str]] = {}
        for character in self.characters:
            groups.setdefault(_base(character).casefold(), []).append(character)
        return groups

    def union(self, other: "Vocabulary") -> "Vocabulary":
        """The tokens of this vocabulary and another of the same kind, in the order of their code points."""
        return replace(self, characters="".join(sorted({*self.characters, *other.characters})))

    def ids_in(self, larger: "Vocabulary") -> Ids:
        """The ids of these tokens in a vocabulary that contains them all, (vocab,)."""
        if self.kind is VocabularyKind.BYTES:
            return np.arange(len(self))
        return larger._id_of[code_points(self.characters)]

    @property
    def unit(self) -> str:
        """What messages call a token: character or byte."""
        return "byte" if self.kind is VocabularyKind.BYTES else "character"

    @property
    def newline(self) -> int | None:
        """The id of the line feed, if the model knows it."""
        return self._id(NEWLINE)

    @property
    def start(self) -> int:
        """The id to read first when there is no prompt: the line feed, else the space, else the first id."""
        return next((number for number in map(self._id, "\n ") if number is not None), 0)

    def _id(self, character: str) -> int | None:
        if self.kind is VocabularyKind.BYTES:
            return ord(character)
        return self.characters.index(character) if character in self.characters else None

    def encode(
        self,
        text: str,
        *,
        where: str = "text",
        on_unknown: OnUnknown = OnUnknown.ERROR,
        remedy: str = _REPLACE,
        before: int = 0,
    ) -> Ids:
        """Turn text into ids, (tokens,).

        Raises UnknownCharacterError for the first character that the vocabulary does not have, unless it is skipped.
        The message names the character, its position (counting the `before` characters of earlier parts of the text),
        the text (`where`), similar characters and the remedy.
        """
        if self.kind is VocabularyKind.BYTES:
            try:  # Python encodes bytes outside UTF-8 as surrogates; turn them back into bytes
                return np.frombuffer(text.encode("utf-8", "surrogateescape"), np.uint8)
            except UnicodeEncodeError as error:
                at = f"{describe_character(text[error.start])}, character {error.start + 1:,} of the {where}"
                raise UnknownCharacterError(f"{at}, has no UTF-8 encoding; remove it") from error
        ids = look_up(self._id_of, narrow_code_points(text))
        if len(ids) == 0 or ids.min() >= 0:
            return ids
        if on_unknown is OnUnknown.ERROR:
            first = int((ids < 0).argmax())
            number = before + first + 1
            where = f"the first character of the {where}" if number == 1 else f"character {number:,} of the {where}"
            raise UnknownCharacterError(self.describe_unknown(text[first], where, remedy))
        return ids[ids >= 0]

    def prompt_ids(self, prompt: str, *, lines: bool, on_unknown: OnUnknown = OnUnknown.ERROR) -> Ids:
        """The ids to read before generating: the prompt, or `start` if the prompt is empty.

        For a model of lines they always begin with `start`. Raises UnknownCharacterError, and ConfigError if the prompt
        for a model of lines contains a line feed.
        """
        ids = self.encode(prompt, where="prompt", on_unknown=on_unknown)
        if lines and self.newline in ids:
            remedy = "this model writes single lines; give the beginning of a line, without a line feed"
            raise ConfigError("prompt", repr(prompt[:_SHOWN]), remedy)
        return ids if len(ids) and not lines else np.concatenate([[self.start], ids]).astype(np.int64)

    def characters_by_id(self, exclude: int | None = None) -> list[str]:
        """The character of each id; empty for the id `exclude` and for bytes outside ASCII."""
        known = [chr(n) if n < 128 else "" for n in range(256)] if not self.characters else list(self.characters)
        return [character if number != exclude else "" for number, character in enumerate(known)]

    def token_names(self) -> list[str]:
        """The name of each id: its character, or for a byte outside ASCII its number, such as 0xE9."""
        return [character or f"0x{number:02X}" for number, character in enumerate(self.characters_by_id())]

    def word_tokens(self) -> Ids:
        """The ids of letters, marks, digits, apostrophes and the underscore, and of all bytes outside ASCII."""
        if self.kind is VocabularyKind.BYTES:
            return np.array([n for n in range(256) if n > 127 or _in_words(chr(n))])
        return np.array([n for n, character in enumerate(self.characters) if _in_words(character)], np.int64)

    def decode(self, ids: Ids) -> str:
        """Turn ids into text; bytes that are not UTF-8 become U+FFFD."""
        if self.kind is VocabularyKind.BYTES:
            return self.to_bytes(ids).decode("utf-8", "replace")
        return "".join(self.characters[number] for number in ids)

    def to_bytes(self, ids: Ids) -> bytes:
        """Turn ids into the content of a file: UTF-8, or the bytes themselves for a model of bytes."""
        if self.kind is VocabularyKind.BYTES:
            return np.asarray(ids, np.uint8).tobytes()
        return self.decode(ids).encode("utf-8", "surrogatepass")

    def decoder(self) -> "Decoder":
        """A decoder for ids that arrive one at a time."""
        return Decoder(self)

    def describe_unknown(self, character: str, where: str, remedy: str = _REPLACE) -> str:
        """The error message, in one line: the character, its position, similar known characters, and the remedy."""
        similar = ", ".join(describe_character(other) for other in self._similar(character))
        known = f"similar characters that it knows: {similar}"
        if not similar:
            known = f"none of the {len(self):,} characters that it knows is similar"
        return f"the model has never seen {describe_character(character)}, {where}; {known}; {remedy}"

    def look_alikes(self, character: str) -> list[str]:
        """Known characters that differ only by accent or case, or are used interchangeably; best first."""
        base = _base(character)
        near = self._by_base.get(base.casefold(), [])
        same = [c for c in near if _base(c) == base] + near
        same += [c for group in _LOOK_ALIKES if character in group for c in self.characters if c in group]
        return list(dict.fromkeys(same))

    def _similar(self, character: str) -> list[str]:
        """Up to three known characters that look like this one or have a similar name, best first."""
        if same := self.look_alikes(character):
            return same[:3]
        names = {unicodedata.name(c, ""): c for c in self.characters}
        alphabetic = [name for name in names if name and "IDEOGRAPH" not in name]  # whose names are code points
        near = difflib.get_close_matches(unicodedata.name(character, ""), alphabetic, cutoff=0.75)
        return [names[name] for name in near][:3]

    def to_mapping(self) -> dict[str, str]:
        """The vocabulary as values for JSON."""
        return {"kind": self.kind.value, "characters": self.characters}

    @staticmethod
    def from_mapping(values: Mapping[str, Any]) -> "Vocabulary":
        """The inverse of `to_mapping`; raises CheckpointError if the values are not a vocabulary."""
        kind, characters = values.get("kind"), values.get("characters")
        if kind not in list(VocabularyKind) or not isinstance(characters, str):
            raise CheckpointError("its vocabulary cannot be read")
        if len(set(characters)) != len(characters) or not (characters or kind == VocabularyKind.BYTES):
            raise CheckpointError("its vocabulary is empty or contains a character twice")
        return Vocabulary(VocabularyKind(kind), characters)


def _in_words(character: str) -> bool:
    return character in "'\u2019_" or unicodedata.category(character)[0] in "LMN"


def _base(character: str) -> str:
    """The first character of the compatibility decomposition: a letter without its accents."""
    return unicodedata.normalize("NFKD", character)[0]


class Decoder:
    """Turns ids that arrive one at a time into text; a character of several bytes comes out once it is complete."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._bytes = codecs.getincrementaldecoder("utf-8")("replace")

    def feed(self, *numbers: int) -> str:
        """The text that these ids complete; empty within a character of several bytes."""
        if self._vocabulary.kind is VocabularyKind.BYTES:
            return self._bytes.decode(bytes(numbers))
        return "".join(map(self._vocabulary.characters.__getitem__, numbers))

    @property
    def pending(self) -> bool:
        """Whether a character is incomplete."""
        return bool(self._bytes.getstate()[0])

    def finish(self) -> str:
        """The text of an incomplete character at the end: U+FFFD, or nothing."""
        return self._bytes.decode(b"", final=True)


def describe_character(character: str) -> str:
    """A character with its code point and name, such as 'é' (U+00E9 LATIN SMALL LETTER E WITH ACUTE)."""
    code = f"U+{ord(character):04X}"
    name = unicodedata.name(character, "")
    return f"{character!a} ({code})" if not name else f"{character!r} ({code} {name})"
