"""Read sources into one compact array of ids, in a single pass, block by block.

Memory holds one block of text, and the ids with one to four bytes per symbol. A large array of ids is mapped from a
temporary file instead.

Knows: decoding, line ends, building a vocabulary, and the split into training and held-out part.
Does not know: networks, or how the ids are cut into batches.
"""

import codecs
import hashlib
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from lstmgen.config import OnUnknown, TextConfig, VocabularyKind
from lstmgen.errors import TextError, UnknownCharacterError
from lstmgen.text.id_store import IdStore, TooLongError
from lstmgen.text.sources import Source, display_name, find_sources
from lstmgen.text.vocabulary import CODE_POINTS, NEWLINE, Ids, Vocabulary, code_points, describe_character

BLOCK_SYMBOLS = 1 << 22
"""The number of symbols that are worked on at once."""


class SplitText(NamedTuple):
    """The two parts of a text."""

    training: Ids  # (symbols,): the part to learn from
    held_out: Ids  # (symbols,): the part to evaluate on; it may be empty


@dataclass(frozen=True)
class Corpus:
    """A text as ids, with its vocabulary and its checksum."""

    ids: Ids  # (symbols,)
    vocabulary: Vocabulary
    sha256: str  # of the decoded text in UTF-8; for a vocabulary of bytes, of the bytes
    notes: tuple[str, ...] = ()  # for the user

    def split(self, config: TextConfig) -> SplitText:
        """Split the text into a training part and a held-out part.

        The end of running text is held out. Of a list, random lines are held out, chosen by `held_out_seed`, because
        many lists are sorted; without a seed (old checkpoints) the last lines are. Nothing is held out if either part
        would then have nothing to predict.
        """
        if config.lines and config.held_out_seed is not None:
            training, held_out = self._split_lines(config.validation, config.held_out_seed)
        else:
            boundary = int(round(len(self.ids) * (1 - config.validation), 6))  # 1 - 0.9 is not quite 0.1
            if config.lines and boundary < len(self.ids):
                boundary = self._end_of_last_line(boundary)
            training, held_out = self.ids[:boundary], self.ids[boundary:]
        if min(len(training), len(held_out)) < 2:
            training, held_out = self.ids, self.ids[:0]
        return SplitText(training, held_out)

    def _split_lines(self, fraction: float, seed: int) -> tuple[Ids, Ids]:
        """Split off a random fraction of the lines that are not empty; both parts keep the order of the text."""
        newline = self.vocabulary.newline
        blocks = [self.ids[start : start + BLOCK_SYMBOLS] for start in range(0, len(self.ids), BLOCK_SYMBOLS)]
        ends = np.concatenate([np.flatnonzero(block == newline) + BLOCK_SYMBOLS * n for n, block in enumerate(blocks)])
        if self.ids[-1] != newline:
            ends = np.append(ends, len(self.ids))
        filled = np.flatnonzero(np.diff(ends, prepend=-1) > 1)
        count = round(fraction * len(filled))
        if len(filled) - count < 2:  # training needs two lines
            count = 0
        is_held_out = np.zeros(len(ends), bool)
        is_held_out[np.random.default_rng(seed).permutation(filled)[:count]] = True
        line = 0
        with IdStore() as training, IdStore() as held_out:
            for block in blocks:
                feeds = block == newline
                lines = line + np.cumsum(feeds) - feeds  # a line feed belongs to the line that it ends
                chosen = is_held_out[lines]
                training.append(block[~chosen], len(self.vocabulary))
                held_out.append(block[chosen], len(self.vocabulary))
                line += int(feeds.sum())
            return training.finish(), held_out.finish()

    def _end_of_last_line(self, end: int) -> int:
        """The end of the last line that is complete before `end`; 0: there is none."""
        while end > 0 and self.ids[end - 1] != self.vocabulary.newline:
            end -= 1
        return end


def read_corpus(
    config: TextConfig,
    vocabulary: Vocabulary | None = None,
    on_unknown: OnUnknown = OnUnknown.ERROR,
    max_symbols: int | None = None,
    *,
    extended: Vocabulary | None = None,
) -> Corpus:
    """Read a text into ids.

    Args:
        config: the sources of the text, and how to decode them.
        vocabulary: the symbols to use; None: those of the text, in the order of their code points.
        on_unknown: what to do with a character that a given vocabulary does not have.
        max_symbols: the maximum length of the text in symbols; None: no maximum.
        extended: without a given vocabulary, the symbols of this one are added to those of the text.

    Raises:
        TextError: a source cannot be found, read or decoded; or the text has nothing to learn from or is too long.
        UnknownCharacterError: a character is not in the given vocabulary.
    """
    kind = vocabulary.kind if vocabulary else config.vocabulary
    found = find_sources(config.sources, zero_bytes=kind is VocabularyKind.BYTES or _has_zero_bytes(config.encoding))
    notes = list(found.notes)
    digest = hashlib.sha256()
    with IdStore(max_symbols) as store:
        if kind is VocabularyKind.BYTES:
            known = Vocabulary(VocabularyKind.BYTES)
            for source in found.sources:
                for block in source.blocks():
                    digest.update(block)
                    store.append(np.frombuffer(block, np.uint8), size=len(known))
            ids = store.finish()
        else:
            encoder = _Encoder(vocabulary, on_unknown, extended)
            for text in _decoded(found.sources, config.encoding, any_vocabulary=vocabulary is None):
                digest.update(text.encode("utf-8", "surrogatepass"))
                store.append(encoder.encode(text), size=encoder.size)
            ids, known = encoder.finish(store.finish())
            notes += encoder.notes
    corpus = Corpus(ids, known, digest.hexdigest(), tuple(notes))
    _require_text(corpus, config)
    return corpus


def read_same_corpus(config: TextConfig, vocabulary: Vocabulary, sha256: str, symbols: int) -> Corpus | None:
    """Read the text of a checkpoint again; None if it has changed. Raises TextError as `read_corpus` does.

    The checkpoint may come from another person and name any file, even one without end. Therefore at most `symbols`
    symbols are read, the length that the text had before.
    """
    try:
        corpus = read_corpus(config, vocabulary, max_symbols=symbols)
    except (UnknownCharacterError, TooLongError):
        return None
    return corpus if corpus.sha256 == sha256 else None


class TextStream:
    """A text as ids, in blocks, (symbols,), that are read when they are needed; no block is kept.

    Iterating raises the errors of `read_corpus`, but accepts a text of any length.

    Args:
        config: the sources of the text, and how to decode them.
        vocabulary: the symbols to use.
        on_unknown: what to do with a character that the vocabulary does not have.
    """

    def __init__(self, config: TextConfig, vocabulary: Vocabulary, on_unknown: OnUnknown) -> None:
        self._bytes = vocabulary.kind is VocabularyKind.BYTES
        self._encoding = config.encoding
        self._encoder = _Encoder(vocabulary, on_unknown)
        self._found = find_sources(config.sources, zero_bytes=self._bytes or _has_zero_bytes(config.encoding))

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes for the user about the text that has been read so far."""
        return (*self._found.notes, *self._encoder.notes)

    def __iter__(self) -> Iterator[Ids]:
        if self._bytes:
            for source in self._found.sources:
                yield from (np.frombuffer(block, np.uint8) for block in source.blocks())
        else:
            texts = _decoded(self._found.sources, self._encoding, any_vocabulary=False)
            yield from map(self._encoder.encode, texts)


def _require_text(corpus: Corpus, config: TextConfig) -> None:
    """Raise TextError if there is nothing to learn from a text."""
    names = ", ".join(map(display_name, config.sources))
    known = corpus.vocabulary
    if len(corpus.ids) == 0:
        raise TextError(f"{names}: the text is empty; give a text with at least 2 characters")
    if len(corpus.ids) == 1:
        raise TextError(f"{names}: the text is one character long; give a text with at least 2 characters")
    if len(known) == 1:
        character = describe_character(known.characters)
        raise TextError(f"{names}: the text has only the character {character}; give a text with other characters too")
    if config.lines and known.newline is None:
        raise TextError(f"{names}: the text is a single line; `lines` needs at least two")
    if config.lines and corpus.ids.min() == corpus.ids.max() == known.newline:
        raise TextError(f"{names}: every line is empty; give a text with lines that are not empty")


def _has_zero_bytes(encoding: str) -> bool:
    """Whether text in this encoding has zero bytes, as UTF-16 has."""
    return b"\0" in "a".encode(encoding, "replace") if _is_text_encoding(encoding) else False


def _is_text_encoding(encoding: str) -> bool:
    try:
        "".encode(encoding)
    except (LookupError, ValueError):  # an unknown encoding, or one that does not encode text, such as base64
        return False
    return True


def _decoded(sources: Iterable[Source], encoding: str, *, any_vocabulary: bool) -> Iterator[str]:
    """The text of all sources, block by block, without byte order marks and with line feeds as line ends.

    If a source does not end with a line feed, one is inserted before the next source.
    """
    last = NEWLINE
    for source in sources:
        separator = "" if last == NEWLINE else NEWLINE
        for text in _decoded_source(source, encoding, any_vocabulary=any_vocabulary):
            yield separator + text
            last, separator = text[-1], ""


def _decoded_source(source: Source, encoding: str, *, any_vocabulary: bool) -> Iterator[str]:
    remedy = "give its `encoding` (such as latin-1 or utf-16)"
    remedy += ", or `vocabulary` bytes for any data" if any_vocabulary else ""
    decoder, line_ends = _decoder(encoding), io.IncrementalNewlineDecoder(None, translate=True)
    consumed = 0
    for block in source.blocks():
        try:
            decoded = decoder.decode(block)
        except UnicodeDecodeError as error:
            pending = len(error.object) - len(
                block
            )  # the bytes of an incomplete character at the end of the last block
            offset = consumed - pending + error.start
            raise TextError(f"{_undecodable(source, encoding, error, offset)}; {remedy}") from error
        except UnicodeError as error:  # UTF-16 and UTF-32 need a byte order mark
            remedy = f"give `encoding` {encoding}-le or {encoding}-be"
            raise TextError(
                f"{source.name}: {encoding} needs a byte order mark, and there is none; {remedy}"
            ) from error
        consumed += len(block)
        if text := line_ends.decode(decoded):
            yield text
    try:
        decoded = decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        offset = consumed - len(error.object) + error.start
        raise TextError(f"{_undecodable(source, encoding, error, offset)}; {remedy}") from error
    if text := line_ends.decode(decoded, final=True):
        yield text


def _decoder(encoding: str) -> codecs.IncrementalDecoder:
    if not _is_text_encoding(encoding):
        raise TextError(
            f"`encoding` {encoding}: Python has no text encoding of this name; try utf-8, utf-16 or latin-1"
        )
    name = codecs.lookup(encoding).name
    return codecs.getincrementaldecoder("utf-8-sig" if name == "utf-8" else name)()


def _undecodable(source: Source, encoding: str, error: UnicodeDecodeError, offset: int) -> str:
    return f"{source.name}: byte 0x{error.object[error.start]:02X} at offset {offset:,} is not {encoding}"


class _Encoder:
    """Turns text into ids; without a given vocabulary, each new character gets the next id."""

    def __init__(
        self, vocabulary: Vocabulary | None, on_unknown: OnUnknown, extended: Vocabulary | None = None
    ) -> None:
        self._given = vocabulary
        self._on_unknown = on_unknown
        self._id_of = np.full(CODE_POINTS, -1, np.int32)
        self._codes: list[int] = []
        self._position = 0
        self._skipped = 0
        if first := vocabulary or extended:
            self._codes = [ord(character) for character in first.characters]
            self._id_of[self._codes] = np.arange(len(self._codes), dtype=np.int32)

    @property
    def size(self) -> int:
        """The number of known symbols so far."""
        return len(self._codes)

    @property
    def notes(self) -> list[str]:
        """Notes for the user about the text so far."""
        return [f"{self._skipped:,} characters skipped that the model has never seen"] if self._skipped else []

    def encode(self, text: str) -> Ids:
        """The ids of the next part of the text, (symbols,)."""
        codes = code_points(text)
        ids = self._id_of[codes]
        unknown = ids < 0
        if unknown.any():
            if self._given is None:
                new = np.unique(codes[unknown])
                self._id_of[new] = np.arange(len(self._codes), len(self._codes) + len(new), dtype=np.int32)
                self._codes += new.tolist()
                ids = self._id_of[codes]
            elif self._on_unknown is OnUnknown.SKIP:
                self._skipped += int(unknown.sum())
                ids = ids[~unknown]
            else:
                first = int(unknown.argmax())
                where = f"position {self._position + first:,} of the text"
                raise UnknownCharacterError(self._given.describe_unknown(text[first], where))
        self._position += len(text)
        return ids

    def finish(self, ids: Ids) -> tuple[Ids, Vocabulary]:
        """Renumber all ids in the order of their code points, in place; returns them and their vocabulary."""
        if self._given:
            return ids, self._given
        order = np.argsort(self._codes)
        rank = np.empty(len(order), ids.dtype)
        rank[order] = np.arange(len(order), dtype=ids.dtype)
        for start in range(0, len(ids), BLOCK_SYMBOLS):  # block by block, because the ids may be larger than memory
            ids[start : start + BLOCK_SYMBOLS] = rank[ids[start : start + BLOCK_SYMBOLS]]
        characters = "".join(chr(self._codes[number]) for number in order)
        return ids, Vocabulary(VocabularyKind.CHARACTERS, characters)
