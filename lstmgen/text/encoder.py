"""Turn text into ids, block by block."""

import numpy as np
from numpy.typing import NDArray

from lstmgen.config import OnUnknown, VocabularyKind
from lstmgen.errors import UnknownCharacterError
from lstmgen.text.vocabulary import CODE_POINTS, Ids, Vocabulary, code_points, look_up


class Encoder:
    """Turns the parts of one text into ids.

    Args:
        vocabulary: the tokens to use.
        on_unknown: what to do with a character that the vocabulary does not have.
    """

    def __init__(self, vocabulary: Vocabulary, on_unknown: OnUnknown) -> None:
        self._vocabulary = vocabulary
        self._on_unknown = on_unknown
        self._position = 0
        self.skipped = 0  # characters so far
        if vocabulary.kind is VocabularyKind.CHARACTERS:
            self._id_of = np.full(CODE_POINTS, -1, np.int32)
            self._id_of[code_points(vocabulary.characters)] = np.arange(len(vocabulary), dtype=np.int32)

    def encode(self, text: str | bytes) -> Ids:
        """The ids of the next part of the text, (tokens,); bytes for a vocabulary of bytes."""
        if isinstance(text, bytes):
            return np.frombuffer(text, np.uint8)
        ids = look_up(self._id_of, narrow_code_points(text))
        if len(ids) and ids.min() < 0:
            unknown = ids < 0
            if self._on_unknown is OnUnknown.ERROR:
                first = int(unknown.argmax())
                where = f"position {self._position + first:,} of the text"
                raise UnknownCharacterError(self._vocabulary.describe_unknown(text[first], where))
            self.skipped += int(unknown.sum())
            ids = ids[~unknown]
        self._position += len(text)
        return ids


def skipped_notes(count: int) -> list[str]:
    """Notes for the user that so many characters were skipped."""
    return [f"{count:,} characters skipped that the model has never seen"] if count else []


def narrow_code_points(text: str) -> NDArray[np.unsignedinteger]:
    """The code points of a text, (characters,), in one or two bytes each if they fit: that is faster than four."""
    try:
        return np.frombuffer(text.encode("latin-1"), np.uint8)
    except UnicodeEncodeError:
        units = np.frombuffer(text.encode("utf-16-le", "surrogatepass"), "<u2")
        return units if len(units) == len(text) else code_points(text)
