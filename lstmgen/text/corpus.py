"""From sources to one compact array of ids, in one streaming pass.

Memory holds a block of text and the ids, one to four bytes a symbol; large ids are mapped from a temporary file.

Knows: decoding, line ends, growing a vocabulary. Does not know: networks, or how the ids are cut into batches.
"""

import codecs
import hashlib
import io
import mmap
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lstmgen.config import OnUnknown, TextConfig, VocabularyKind
from lstmgen.errors import TextError, UnknownCharacterError
from lstmgen.text.sources import Source, find_sources
from lstmgen.text.vocabulary import CODE_POINTS, NEWLINE, Ids, Vocabulary, code_points, describe_character

IN_MEMORY_BYTES = 64 << 20
_ID_TYPES = (np.uint8, np.uint16, np.int32)


@dataclass(frozen=True)
class Corpus:
    """A text as ids, and what a checkpoint remembers of it."""

    ids: Ids  # (symbols,)
    vocabulary: Vocabulary
    sha256: str  # of the text after decoding, in UTF-8, or of its bytes
    notes: tuple[str, ...] = ()

    def split(self, validation: float, lines: bool) -> tuple[Ids, Ids]:
        """The training part and the held-out part: the last share of the text, of whole lines if asked.

        Nothing is held out if either part would then have nothing to predict.
        """
        boundary = int(len(self.ids) * (1 - validation))
        if lines and boundary < len(self.ids):
            ends = np.flatnonzero(self.ids[:boundary] == self.vocabulary.newline)
            boundary = int(ends[-1]) + 1 if len(ends) else len(self.ids)
        if boundary < 2 or len(self.ids) - boundary < 2:
            boundary = len(self.ids)
        return self.ids[:boundary], self.ids[boundary:]


def read_corpus(
    config: TextConfig, vocabulary: Vocabulary | None = None, on_unknown: OnUnknown = OnUnknown.ERROR
) -> Corpus:
    """Read a text into ids.

    Args:
        config: which text, and how to read it.
        vocabulary: the symbols to use; None: those of the text, in the order of their code points.
        on_unknown: what to do with a character that a given vocabulary does not have.

    Raises:
        TextError: a source cannot be found, read or decoded, or holds nothing to learn from.
        UnknownCharacterError: a character is not in the given vocabulary.
    """
    found = find_sources(config.sources)
    kind = vocabulary.kind if vocabulary else config.vocabulary
    digest = hashlib.sha256()
    if kind is VocabularyKind.BYTES:
        store = _IdStore()
        for source in found.sources:
            for block in source.blocks():
                digest.update(block)
                store.append(np.frombuffer(block, np.uint8), size=256)
        corpus = Corpus(store.finish(), Vocabulary(VocabularyKind.BYTES), digest.hexdigest(), found.notes)
    else:
        encoder = _Encoder(vocabulary, on_unknown)
        for text in _decoded(found.sources, config.encoding):
            digest.update(text.encode("utf-8", "surrogatepass"))
            encoder.append(text)
        ids, known = encoder.finish()
        skipped = (f"{encoder.skipped:,} characters skipped that the model has never seen",) if encoder.skipped else ()
        corpus = Corpus(ids, known, digest.hexdigest(), found.notes + skipped)
    _require_text(corpus, config)
    return corpus


def _require_text(corpus: Corpus, config: TextConfig) -> None:
    names = ", ".join(config.sources)
    if len(corpus.ids) == 0:
        raise TextError(f"{names}: the text is empty; give one with at least 2 characters")
    if len(corpus.ids) == 1:
        raise TextError(f"{names}: the text is one character long; give one with at least 2 characters")
    if config.lines and corpus.vocabulary.newline is None:
        raise TextError(f"{names}: the text is a single line; --lines needs at least two")


def _decoded(sources: Iterable[Source], encoding: str) -> Iterator[str]:
    """The text of all sources, block by block: byte order mark dropped, line ends as line feeds.

    Where one source ends within a line, a line feed keeps the next one from running into it.
    """
    last = ""
    for source in sources:
        if last not in ("", NEWLINE):
            yield NEWLINE
        for text in _decoded_source(source, encoding):
            last = text[-1]
            yield text


def _decoded_source(source: Source, encoding: str) -> Iterator[str]:
    decoder, line_ends = _decoder(encoding), io.IncrementalNewlineDecoder(None, translate=True)
    consumed = 0
    for block in source.blocks():
        try:
            decoded = decoder.decode(block)
        except UnicodeDecodeError as error:
            pending = len(error.object) - len(block)  # bytes of a character that the last block left unfinished
            raise _undecodable(source, encoding, error, consumed - pending + error.start) from error
        consumed += len(block)
        if text := line_ends.decode(decoded):
            yield text
    try:
        decoded = decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        raise _undecodable(source, encoding, error, consumed - len(error.object) + error.start) from error
    if text := line_ends.decode(decoded, final=True):
        yield text


def _decoder(encoding: str) -> codecs.IncrementalDecoder:
    try:
        name = codecs.lookup(encoding).name
        return codecs.getincrementaldecoder("utf-8-sig" if name == "utf-8" else name)()
    except LookupError as error:
        raise TextError(
            f"--encoding {encoding}: Python knows no such encoding; try utf-8, utf-16 or latin-1"
        ) from error


def _undecodable(source: Source, encoding: str, error: UnicodeDecodeError, offset: int) -> TextError:
    byte = error.object[error.start]
    return TextError(
        f"{source.name}: byte 0x{byte:02X} at offset {offset:,} is not {encoding}; "
        "give its --encoding (such as latin-1 or utf-16), or --vocabulary bytes for any data"
    )


class _Encoder:
    """Turns text into ids; without a given vocabulary a new character gets the next id."""

    def __init__(self, vocabulary: Vocabulary | None, on_unknown: OnUnknown) -> None:
        self._given = vocabulary
        self._on_unknown = on_unknown
        self._id_of = np.full(CODE_POINTS, -1, np.int32)
        self._codes: list[int] = []
        self._store = _IdStore()
        self._position = 0
        self.skipped = 0
        if vocabulary:
            self._codes = [ord(character) for character in vocabulary.characters]
            self._id_of[self._codes] = np.arange(len(self._codes), dtype=np.int32)

    def append(self, text: str) -> None:
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
                self.skipped += int(unknown.sum())
                ids = ids[~unknown]
            else:
                first = int(unknown.argmax())
                where = f"position {self._position + first:,} of the text"
                raise UnknownCharacterError(self._given.describe_unknown(text[first], where))
        self._position += len(text)
        self._store.append(ids, size=len(self._codes))

    def finish(self) -> tuple[Ids, Vocabulary]:
        ids = self._store.finish()
        if self._given:
            return ids, self._given
        order = np.argsort(self._codes)
        rank = np.empty(len(order), ids.dtype)
        rank[order] = np.arange(len(order), dtype=ids.dtype)
        for start in range(0, len(ids), 1 << 22):  # in place, piece by piece: the ids may be larger than memory
            ids[start : start + (1 << 22)] = rank[ids[start : start + (1 << 22)]]
        characters = "".join(chr(self._codes[number]) for number in order)
        if len(characters) == 1:
            raise TextError(
                f"the text holds only the character {describe_character(characters)}; there is nothing to learn"
            )
        return ids, Vocabulary(VocabularyKind.CHARACTERS, characters)


class _IdStore:
    """Collects ids in a temporary file, in the smallest type that holds them all."""

    def __init__(self) -> None:
        self._type: type[np.integer[Any]] = _ID_TYPES[0]
        self._file = tempfile.TemporaryFile()  # noqa: SIM115  # closed when finished

    def append(self, ids: Ids, size: int) -> None:
        """Add ids below `size`."""
        needed = next(kind for kind in _ID_TYPES if size - 1 <= np.iinfo(kind).max)
        if np.dtype(needed).itemsize > np.dtype(self._type).itemsize:
            self._widen(needed)
        self._file.write(ids.astype(self._type).tobytes())

    def _widen(self, needed: type[np.integer[Any]]) -> None:
        wide = tempfile.TemporaryFile()  # noqa: SIM115  # closed when finished
        self._file.seek(0)
        while block := self._file.read(1 << 22):
            wide.write(np.frombuffer(block, self._type).astype(needed).tobytes())
        self._file.close()
        self._file, self._type = wide, needed

    def finish(self) -> NDArray[np.integer[Any]]:
        """All ids, writable: in memory, or mapped from the file if they are many."""
        self._file.flush()
        size = self._file.tell()
        if size <= IN_MEMORY_BYTES:
            self._file.seek(0)
            ids = np.frombuffer(bytearray(self._file.read()), self._type)
        else:
            ids = np.frombuffer(mmap.mmap(self._file.fileno(), size), self._type)
        self._file.close()
        return ids
