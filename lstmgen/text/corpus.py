"""Read sources into one array of ids, and split off what is held out.

The decoded text is written to a spool, so each source is read once; then its characters are known, and it is encoded.
"""

import codecs
import hashlib
import io
import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from lstmgen.config import OnUnknown, TextConfig, VocabularyKind
from lstmgen.errors import TextError, UnknownCharacterError
from lstmgen.text.encoder import Encoder, narrow_code_points, skipped_notes
from lstmgen.text.lines import end_of_last_line, split_lines
from lstmgen.text.recognition import SAMPLE_BYTES, encoding_remedy, file_type, unicode_encoding
from lstmgen.text.sources import Progress, Source, find_sources, recorded_sources
from lstmgen.text.storage import Spool, blocks_of, store_ids
from lstmgen.text.vocabulary import (
    CODE_POINTS,
    NEWLINE,
    Ids,
    Vocabulary,
    describe_character,
    has_other_symbols,
    look_up,
    symbol_counts,
)


class TooLongError(TextError):
    """The text has more tokens than allowed."""


class SplitText(NamedTuple):
    """The two parts of a text."""

    training: Ids  # (tokens,): the part to learn from
    held_out: Ids  # (tokens,): the part to evaluate on; it may be empty


@dataclass(frozen=True)
class Corpus:
    """A text as ids, with its vocabulary and its checksum."""

    ids: Ids  # (tokens,)
    vocabulary: Vocabulary
    sha256: str  # of the decoded text in UTF-8; for a vocabulary of bytes, of the bytes
    notes: tuple[str, ...] = ()  # for the user

    def split(self, config: TextConfig) -> SplitText:
        """Split the text into a training part and a held-out part.

        The end of running text is held out. Of a list, random lines are held out, chosen by `held_out_seed`, because
        many lists are sorted; without a seed (old checkpoints) the last lines are. Nothing is held out if either part
        would then have nothing to predict.
        """
        newline = self.vocabulary.newline
        if config.lines and newline is not None and config.held_out_seed is not None:
            training, held_out = split_lines(self.ids, newline, fraction=config.validation, seed=config.held_out_seed)
        else:
            boundary = int(round(len(self.ids) * (1 - config.validation), 6))  # 1 - 0.9 is not quite 0.1
            if config.lines and boundary < len(self.ids):
                boundary = end_of_last_line(self.ids[:boundary], newline)
            training, held_out = self.ids[:boundary], self.ids[boundary:]
        if min(len(training), len(held_out)) < 2:
            training, held_out = self.ids, self.ids[:0]
        return SplitText(training, held_out)

    def extended(self, vocabulary: Vocabulary) -> "Corpus":
        """The same text with the tokens of another vocabulary added to its own; both are of the same kind."""
        union = self.vocabulary.union(vocabulary)
        if union == self.vocabulary:
            return self
        new_ids = self.vocabulary.ids_in(union)
        name = _store_name(self.sha256, union)
        ids = store_ids(name, len(union), len(self.ids), lambda: (look_up(new_ids, ids) for ids in blocks_of(self.ids)))
        return replace(self, ids=ids, vocabulary=union)


def read_corpus(
    config: TextConfig,
    vocabulary: Vocabulary | None = None,
    on_unknown: OnUnknown = OnUnknown.ERROR,
    max_symbols: int | None = None,
    *,
    careful: bool = False,
    progress: Progress | None = None,
) -> Corpus:
    """Read a text into ids.

    Args:
        config: the sources of the text, and how to decode them.
        vocabulary: the symbols to use; None: those of the text, in the order of their code points.
        on_unknown: what to do with a character that a given vocabulary does not have.
        max_symbols: the maximum length of the text in symbols; None: no maximum.
        careful: whether a checkpoint names the sources and not the user; see `recorded_sources`.
        progress: is told how much of the text has been read.

    Raises:
        TextError: a source cannot be found, read or decoded; or the text has nothing to learn from or is too long.
        UnknownCharacterError: a character is not in the given vocabulary.
    """
    kind = vocabulary.kind if vocabulary else config.vocabulary
    in_bytes = kind is VocabularyKind.BYTES
    if careful:
        found = recorded_sources(config.sources)
    else:
        found = find_sources(config.sources, zero_bytes=in_bytes or _has_zero_bytes(config.encoding))
    notes = list(found.notes)
    sources = _reported(found.sources, progress)
    digest, length, seen = hashlib.sha256(), 0, np.zeros(CODE_POINTS, np.bool_)
    with Spool() as spool:
        for block in _blocks(sources, config.encoding, in_bytes=in_bytes, any_vocabulary=vocabulary is None):
            length += len(block)
            if max_symbols is not None and length > max_symbols:
                raise TooLongError(f"the text is longer than {max_symbols:,} {'bytes' if in_bytes else 'characters'}")
            if isinstance(block, str):
                seen[np.flatnonzero(np.bincount(narrow_code_points(block)))] = True
                block = block.encode("utf-8", "surrogatepass")
            digest.update(block)
            spool.write(block)
        known = vocabulary or Vocabulary(kind, "" if in_bytes else "".join(map(chr, np.flatnonzero(seen))))

        def encode() -> Iterator[Ids]:
            decode = codecs.getincrementaldecoder("utf-8")("surrogatepass").decode
            blocks = spool.blocks() if in_bytes else map(decode, spool.blocks())
            return map(Encoder(known, on_unknown).encode, blocks)

        ids = store_ids(_store_name(digest.hexdigest(), known, on_unknown), len(known), length, encode)
    notes += skipped_notes(length - len(ids))
    corpus = Corpus(ids, known, digest.hexdigest(), tuple(notes))
    _require_text(corpus, config)
    return corpus


def _store_name(sha256: str, vocabulary: Vocabulary, on_unknown: OnUnknown = OnUnknown.ERROR) -> str:
    """All that the ids of a text depend on."""
    return f"{sha256} {vocabulary.kind} {on_unknown} {vocabulary.characters}"


def read_same_corpus(
    config: TextConfig,
    vocabulary: Vocabulary,
    sha256: str,
    symbols: int,
    *,
    careful: bool = True,
    progress: Progress | None = None,
) -> Corpus | None:
    """Read the text of a checkpoint again; None if it has changed. Raises TextError as `read_corpus` does.

    The checkpoint may come from another person and name any file, even one without end. Therefore at most `symbols`
    symbols are read, the length that the text had before; and if the user has not named the sources, nothing is
    searched (`careful`).
    """
    try:
        corpus = read_corpus(config, vocabulary, max_symbols=symbols, careful=careful, progress=progress)
    except (UnknownCharacterError, TooLongError):
        return None
    return corpus if corpus.sha256 == sha256 else None


class TextStream:
    """A text as ids, in blocks, (tokens,), that are read when they are needed; no block is kept.

    Iterating raises the errors of `read_corpus`, but accepts a text of any length.

    Args:
        config: the sources of the text, and how to decode them.
        vocabulary: the symbols to use.
        on_unknown: what to do with a character that the vocabulary does not have.
    """

    def __init__(self, config: TextConfig, vocabulary: Vocabulary, on_unknown: OnUnknown) -> None:
        self._bytes = vocabulary.kind is VocabularyKind.BYTES
        self._encoding = config.encoding
        self._encoder = Encoder(vocabulary, on_unknown)
        self._found = find_sources(config.sources, zero_bytes=self._bytes or _has_zero_bytes(config.encoding))

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes for the user about the text that has been read so far."""
        return (*self._found.notes, *skipped_notes(self._encoder.skipped))

    def __iter__(self) -> Iterator[Ids]:
        blocks = _blocks(self._found.sources, self._encoding, in_bytes=self._bytes, any_vocabulary=False)
        return map(self._encoder.encode, blocks)


def _blocks(
    sources: Iterable[Source], encoding: str, *, in_bytes: bool, any_vocabulary: bool
) -> Iterator[str] | Iterator[bytes]:
    """The content of all sources, block by block: its bytes, or its decoded text."""
    if in_bytes:
        return (block for source in sources for block in source.blocks())
    return _decoded(sources, encoding, any_vocabulary=any_vocabulary)


def _reported(sources: Iterable[Source], progress: Progress | None) -> list[Source]:
    """The sources, which report how much of them has been read, and of how much if all sizes are known."""
    if progress is None:
        return list(sources)
    sizes = [source.size() for source in sources]
    total = None if None in sizes else sum(size or 0 for size in sizes)
    read = 0

    def see(block: bytes) -> None:
        nonlocal read
        read += len(block)
        progress(read, total)

    return [replace(source, seen=see) for source in sources]


def name_files(config: TextConfig) -> tuple[TextConfig, list[str]]:
    """Put the names of files in place of folders and patterns, so that the text can be found again; and notes.

    Raises TextError as `find_sources` does.
    """
    zero_bytes = config.vocabulary is VocabularyKind.BYTES or _has_zero_bytes(config.encoding)
    found = find_sources(config.sources, zero_bytes=zero_bytes)
    return replace(config, sources=found.names), list(found.notes)


def control_notes(corpus: Corpus, config: TextConfig) -> list[str]:
    """Notes on control characters that hardly any text has, and that a wrong encoding gives."""
    characters = corpus.vocabulary.characters
    zero = np.array([character == "\0" for character in characters], bool)
    controls = np.array(["\x80" <= character <= "\x9f" for character in characters], bool)
    if not (zero.any() or controls.any()):
        return []
    counts = symbol_counts(corpus.ids, len(characters))
    notes = []
    if controls.any():
        reason = "cp1252 read as latin-1?" if codecs.lookup(config.encoding).name == "iso8859-1" else "its encoding?"
        number = f"{counts[controls].sum():,}"
        notes.append(f"the text has control characters (U+0080 to U+009F): {number}; {reason} see `encoding`")
    if zero.any():
        notes.append(f"the text has zero bytes (U+0000): {counts[zero].sum():,}; is it plain text?")
    return notes


def _require_text(corpus: Corpus, config: TextConfig) -> None:
    """Raise TextError if there is nothing to learn from a text."""
    names, known = config.name, corpus.vocabulary
    if len(corpus.ids) == 0:
        raise TextError(f"{names}: the text is empty; give a text with at least 2 characters")
    if len(corpus.ids) == 1:
        raise TextError(f"{names}: the text is one character long; give a text with at least 2 characters")
    if len(known) == 1:
        character = describe_character(known.characters)
        raise TextError(f"{names}: the text has only the character {character}; give a text with other characters too")
    if config.lines and known.newline is None:
        raise TextError(f"{names}: the text is a single line; `lines` needs at least two")
    if config.lines and known.newline is not None and not has_other_symbols(corpus.ids, known.newline):
        raise TextError(f"{names}: every line is empty; give a text with lines that are not empty")


def _has_zero_bytes(encoding: str) -> bool:
    """Whether text in this encoding has zero bytes, as UTF-16 has."""
    return b"\0" in "a".encode(encoding) if _is_text_encoding(encoding) else False


def _is_text_encoding(encoding: str) -> bool:
    try:
        if codecs.lookup(encoding).name in ("idna", "punycode"):  # they are for single names, and slow
            return False
        "".encode(encoding)
        codecs.getincrementaldecoder(encoding)
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
    decoder, line_ends = _decoder(encoding), io.IncrementalNewlineDecoder(None, translate=True)
    start = b""
    consumed = 0
    for block in itertools.chain(source.blocks(), [b""]):
        if len(start) < SAMPLE_BYTES:
            start += block[: SAMPLE_BYTES - len(start)]
            if any_vocabulary and (len(start) == SAMPLE_BYTES or not block):
                _require_plain_text(source, encoding, start)
        try:
            decoded = decoder.decode(block, final=not block)
        except UnicodeError as error:
            raise _undecodable(
                source, encoding, error, start, consumed, block, any_vocabulary=any_vocabulary
            ) from error
        consumed += len(block)
        if text := line_ends.decode(decoded, final=not block):
            yield text


def _decoder(encoding: str) -> codecs.IncrementalDecoder:
    if not _is_text_encoding(encoding):
        raise TextError(
            f"`encoding` {encoding}: Python has no text encoding of this name; try utf-8, utf-16 or latin-1"
        )
    name = codecs.lookup(encoding).name
    return codecs.getincrementaldecoder("utf-8-sig" if name == "utf-8" else name)()


def _require_plain_text(source: Source, encoding: str, start: bytes) -> None:
    """Raise TextError for a file that can be decoded by its first bytes, and is not meant to be."""
    if problem := file_type(start):
        raise TextError(f"{source.name}: {problem}; or give `vocabulary` bytes for any data")
    found, tried = unicode_encoding(start), codecs.lookup(encoding).name
    if found and not tried.startswith(found):
        raise TextError(f"{source.name}: this looks like {found}; give `encoding` {found}")


def _undecodable(
    source: Source,
    encoding: str,
    error: UnicodeError,
    start: bytes,
    consumed: int,
    block: bytes,
    *,
    any_vocabulary: bool,
) -> TextError:
    """The error for bytes that are not text in an encoding, with the remedy that fits them.

    Args:
        source: the file.
        encoding: the one that was tried.
        error: why it failed.
        start: the first bytes of the file.
        consumed: the number of bytes before the block.
        block: the bytes that were decoded last.
        any_vocabulary: whether the text may become one of bytes.
    """
    problem, sample = f"not {encoding}", start
    if isinstance(error, UnicodeDecodeError):
        tried = error.object  # with the incomplete character at the end of the block before
        offset = consumed - (len(tried) - len(block)) + error.start
        problem = f"byte 0x{tried[error.start]:02X} at offset {offset:,} is not {encoding}"
        sample = start if offset < len(start) else tried
    elif codecs.lookup(encoding).name in ("utf-16", "utf-32"):
        problem = f"{encoding} needs a byte order mark, and there is none"
    remedy = file_type(start) or encoding_remedy(start, sample, encoding)
    if any_vocabulary:
        remedy += "; or give `vocabulary` bytes for any data"
    return TextError(f"{source.name}: {problem}; {remedy}")
