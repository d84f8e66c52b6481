"""Read sources into one array of ids, and split off the validation part.

Each source is read only once. If the vocabulary is not known yet, the text is kept until it is, and then encoded.
"""

import codecs
import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from lstmgen.config import OnUnknown, TextConfig, VocabularyKind
from lstmgen.errors import TextError, UnknownCharacterError
from lstmgen.text.decoding import decode, text_codec
from lstmgen.text.lines import split_lines
from lstmgen.text.sources import Found, Progress, Source, find_sources, recorded_sources
from lstmgen.text.storage import blocks_of, stored
from lstmgen.text.vocabulary import (
    NEWLINE,
    Ids,
    Vocabulary,
    describe_character,
    has_other_tokens,
    look_up,
    other_characters,
    token_counts,
)

_ID_TYPES: tuple[type[np.integer[Any]], ...] = (np.uint8, np.uint16, np.int32)


class SplitText(NamedTuple):
    """The two parts of a text."""

    training: Ids  # (tokens,): the part to train on
    validation: Ids  # (tokens,): the part to evaluate on; may be empty


@dataclass(frozen=True)
class Corpus:
    """A text as ids, with its vocabulary and its checksum."""

    ids: Ids  # (tokens,)
    vocabulary: Vocabulary
    sha256: str  # of the decoded text in UTF-8, or of the bytes with a vocabulary of bytes
    sources: tuple[str, ...] = ()  # files instead of folders and patterns, so that it can be found again
    notes: tuple[str, ...] = ()  # for the user

    def split(self, config: TextConfig) -> SplitText:
        """Hold out the end of running text, or random lines of a list, because many lists are sorted.

        Without a seed (old checkpoints), hold out the last lines. If either part would be too short to predict
        anything, hold out nothing.
        """
        newline = self.vocabulary.newline
        if config.lines and newline is not None and config.held_out_seed is not None:
            training, validation = split_lines(self.ids, newline, fraction=config.validation, seed=config.held_out_seed)
        else:
            boundary = int(round(len(self.ids) * (1 - config.validation), 6))  # 1 - 0.9 is not quite 0.1
            if config.lines and boundary < len(self.ids):
                ends = np.flatnonzero(self.ids[:boundary] == newline)
                boundary = int(ends[-1]) + 1 if len(ends) else 0
            training, validation = self.ids[:boundary], self.ids[boundary:]
        if min(len(training), len(validation)) < 2:
            training, validation = self.ids, self.ids[:0]
        return SplitText(training, validation)

    def extended(self, vocabulary: Vocabulary) -> "Corpus":
        """The same text, with the tokens of another vocabulary of the same kind added to its own."""
        union = self.vocabulary.union(vocabulary)
        if union == self.vocabulary:
            return self
        new_ids = self.vocabulary.ids_in(union)
        ids = stored((look_up(new_ids, block) for block in blocks_of(self.ids)), _id_type(union))
        return replace(self, ids=ids, vocabulary=union)


def _id_type(vocabulary: Vocabulary) -> type[np.integer[Any]]:
    """The smallest type that can hold the ids."""
    return next(kind for kind in _ID_TYPES if len(vocabulary) - 1 <= np.iinfo(kind).max)


class _TooLongError(TextError):
    """The text has too many tokens."""


def read_corpus(
    config: TextConfig,
    vocabulary: Vocabulary | None = None,
    on_unknown: OnUnknown = OnUnknown.ERROR,
    max_tokens: int | None = None,
    *,
    untrusted: bool = False,
    progress: Progress | None = None,
) -> Corpus:
    """Read a text into ids.

    Args:
        config: the sources of the text, and how to decode them.
        vocabulary: the tokens to use; None: the characters of the text, in the order of their code points.
        on_unknown: what to do with a character that a given vocabulary does not have.
        max_tokens: the maximum length of the text in tokens; None: no maximum.
        untrusted: whether the sources come from a checkpoint instead of the user; see `recorded_sources`.
        progress: called with how much of the text has been read.

    Raises:
        TextError: a source cannot be found, read or decoded; or there is nothing to learn from; or it is too long.
        UnknownCharacterError: a character is not in the given vocabulary.
    """
    kind = vocabulary.kind if vocabulary else config.vocabulary
    codec = "latin-1" if kind is VocabularyKind.BYTES else "utf-8"
    found = recorded_sources(config.sources) if untrusted else _find(config, kind)
    sources = found.sources if progress is None else _reported(found.sources, progress)
    advice = "" if vocabulary else "; or give `vocabulary` bytes for any data"
    digest = hashlib.sha256()

    def read() -> Iterator[str]:
        length = 0
        for block in _blocks(sources, config.encoding, kind, advice):
            length += len(block)
            if max_tokens is not None and length > max_tokens:
                raise _TooLongError(f"{config.name}: the text is longer than {max_tokens:,}")
            digest.update(block.encode(codec, "surrogatepass"))
            yield block

    blocks = read()
    if kind is VocabularyKind.BYTES:
        vocabulary = Vocabulary(kind)
    elif vocabulary is None:
        vocabulary, blocks = _own_vocabulary(blocks)
    stream = TextStream(blocks, vocabulary, on_unknown, found.notes)
    ids = stored(stream, _id_type(vocabulary))
    corpus = Corpus(ids, vocabulary, digest.hexdigest(), tuple(found.names), stream.notes)
    _require_text(corpus, config)
    return corpus


def _own_vocabulary(blocks: Iterator[str]) -> tuple[Vocabulary, Iterator[str]]:
    """The vocabulary of a text, and the text again, block by block; it is stored until all characters are known."""
    characters: set[str] = set()

    def seen() -> Iterator[Ids]:
        for block in blocks:
            characters.update(other_characters(block, characters))
            yield np.frombuffer(block.encode("utf-8", "surrogatepass"), np.uint8)

    text = stored(seen(), np.uint8)
    decoder = codecs.getincrementaldecoder("utf-8")("surrogatepass")
    vocabulary = Vocabulary(VocabularyKind.CHARACTERS, "".join(sorted(characters)))
    return vocabulary, (decoder.decode(block.tobytes()) for block in blocks_of(text))


def read_same_corpus(
    config: TextConfig,
    vocabulary: Vocabulary,
    sha256: str,
    tokens: int,
    *,
    untrusted: bool = True,
    progress: Progress | None = None,
) -> Corpus | None:
    """Read the text of a checkpoint again; None if it has changed. Raises TextError as `read_corpus` does.

    An untrusted checkpoint could name any file, even an endless one. Therefore at most `tokens` tokens are read, the
    recorded length of the text; and unless the user named the sources (`untrusted`), no folder or pattern is searched.
    """
    try:
        corpus = read_corpus(config, vocabulary, max_tokens=tokens, untrusted=untrusted, progress=progress)
    except (UnknownCharacterError, _TooLongError):
        return None
    return corpus if corpus.sha256 == sha256 else None


class TextStream:
    """A text as blocks of ids, (tokens,), made on demand; no block is kept.

    Iterating raises the errors of `read_corpus`, but accepts a text of any length.
    """

    def __init__(
        self, blocks: Iterable[str], vocabulary: Vocabulary, on_unknown: OnUnknown, notes: Sequence[str] = ()
    ) -> None:
        """Wrap a text as `_blocks` yields it, with notes for the user about it."""
        self._blocks = blocks
        self._vocabulary = vocabulary
        self._on_unknown = on_unknown
        self._notes = notes
        self._skipped = 0

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes for the user about the text read so far."""
        skipped = f"skipped {self._skipped:,} character{'s' * (self._skipped > 1)} that the model has never seen"
        return (*self._notes, *([skipped] if self._skipped else []))

    def __iter__(self) -> Iterator[Ids]:
        position = 0
        for block in self._blocks:
            if self._vocabulary.kind is VocabularyKind.BYTES:
                yield np.frombuffer(block.encode("latin-1"), np.uint8)
                continue
            ids = self._vocabulary.encode(block, on_unknown=self._on_unknown, before=position)
            position += len(block)
            self._skipped += len(block) - len(ids)
            yield ids


def open_text(config: TextConfig, vocabulary: Vocabulary, on_unknown: OnUnknown) -> TextStream:
    """A text that may be endless; raises TextError as `find_sources` does."""
    found = _find(config, vocabulary.kind)
    return TextStream(_blocks(found.sources, config.encoding, vocabulary.kind), vocabulary, on_unknown, found.notes)


def _find(config: TextConfig, kind: VocabularyKind) -> Found:
    """The sources that the user names; raises TextError as `find_sources` does."""
    zero_bytes = kind is VocabularyKind.BYTES or text_codec(config.encoding).startswith(("utf-16", "utf-32"))
    return find_sources(config.sources, zero_bytes=zero_bytes)


def _blocks(sources: Iterable[Source], encoding: str, kind: VocabularyKind, advice: str = "") -> Iterator[str]:
    """The text of all sources, block by block. For a vocabulary of bytes, each byte is a character, as in latin-1.

    Inserts a line feed between two sources if the first does not end with one.
    """
    last = NEWLINE
    for source in sources:
        if kind is VocabularyKind.BYTES:
            yield from (block.decode("latin-1") for block in source.blocks())
            continue
        separator = "" if last == NEWLINE else NEWLINE
        for text in decode(source.name, source.blocks(), encoding, advice=advice):
            yield separator + text
            last, separator = text[-1], ""


def _reported(sources: Iterable[Source], progress: Progress) -> list[Source]:
    """The sources, made to report how much of them has been read, and the total if all sizes are known."""
    sizes = [source.size() for source in sources]
    total = None if None in sizes else sum(size or 0 for size in sizes)
    read = 0

    def see(block: bytes) -> None:
        nonlocal read
        read += len(block)
        progress(read, total)

    return [replace(source, seen=see) for source in sources]


def control_notes(corpus: Corpus, config: TextConfig) -> list[str]:
    """Notes on control characters, which text rarely has and a wrong encoding often produces."""
    characters, notes = corpus.vocabulary.characters, []
    if not re.search("[\0\x80-\x9f]", characters):
        return []
    counts = dict(zip(characters, token_counts(corpus.ids, len(characters)), strict=True))
    controls = sum(count for character, count in counts.items() if "\x80" <= character <= "\x9f")
    if controls:
        reason = "is it cp1252?" if text_codec(config.encoding) == "iso8859-1" else "is the encoding right?"
        notes.append(f"the text has control characters (U+0080 to U+009F): {controls:,}; {reason} See `encoding`")
    if "\0" in characters:
        notes.append(f"the text has zero bytes (U+0000): {counts[chr(0)]:,}; is it plain text?")
    return notes


def _require_text(corpus: Corpus, config: TextConfig) -> None:
    """Raise TextError if there is nothing to learn from a text."""
    known, problem = corpus.vocabulary, ""
    if len(corpus.ids) < 2:
        size = "one character long" if len(corpus.ids) else "empty"
        problem = f"the text is {size}; give a text with at least 2 characters"
    elif len(known) == 1:
        character = describe_character(known.characters)
        problem = f"{character} is the only character in the text; give a text with other characters too"
    elif config.lines and known.newline is None:
        problem = "the text is a single line; `lines` needs at least two"
    elif config.lines and known.newline is not None and not has_other_tokens(corpus.ids, known.newline):
        problem = "every line is empty; give a text with lines that are not empty"
    if problem:
        raise TextError(f"{config.name}: {problem}")
