"""Turn text into ids, block by block.

Knows: code points, and which of them have an id. Does not know: files, or how text is decoded.
"""

import numpy as np
from numpy.typing import NDArray

from lstmgen.config import OnUnknown, VocabularyKind
from lstmgen.errors import UnknownCharacterError
from lstmgen.text.vocabulary import CODE_POINTS, Ids, Vocabulary, code_points, look_up


class Encoder:
    """Turns text into ids; without a given vocabulary, each new character gets the next id.

    Args:
        vocabulary: the symbols to use; None: those of the text.
        on_unknown: what to do with a character that a given vocabulary does not have.
    """

    def __init__(self, vocabulary: Vocabulary | None, on_unknown: OnUnknown) -> None:
        self._given = vocabulary
        self._on_unknown = on_unknown
        self._id_of = np.full(CODE_POINTS, -1, np.int32)
        self._codes: list[int] = []
        self._position = 0
        self._skipped = 0
        if vocabulary:
            self._codes = [ord(character) for character in vocabulary.characters]
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
        codes = _narrow_code_points(text)
        ids = look_up(self._id_of, codes)
        if len(ids) and ids.min() < 0:
            unknown = ids < 0
            if self._given is None:
                new = np.unique(codes[unknown])
                self._id_of[new] = np.arange(len(self._codes), len(self._codes) + len(new), dtype=np.int32)
                self._codes += new.tolist()
                ids = look_up(self._id_of, codes)
            elif self._on_unknown is OnUnknown.SKIP:
                self._skipped += int(unknown.sum())
                ids = ids[~unknown]
            else:
                first = int(unknown.argmax())
                where = f"position {self._position + first:,} of the text"
                raise UnknownCharacterError(self._given.describe_unknown(text[first], where))
        self._position += len(text)
        return ids

    def ranks(self) -> Ids:
        """For each id, in the order in which the text first had them, its rank among the code points, (vocab,)."""
        order = np.argsort(self._codes)
        ranks = np.empty(len(order), np.int32)
        ranks[order] = np.arange(len(order), dtype=np.int32)
        return ranks

    def vocabulary(self) -> Vocabulary:
        """The given vocabulary; or the characters of the text in the order of their code points: of their ranks."""
        return self._given or Vocabulary(VocabularyKind.CHARACTERS, "".join(map(chr, sorted(self._codes))))


def _narrow_code_points(text: str) -> NDArray[np.unsignedinteger]:
    """The code points of a text, (characters,), in one or two bytes each if they fit: that is faster than four."""
    try:
        return np.frombuffer(text.encode("latin-1"), np.uint8)
    except UnicodeEncodeError:
        units = np.frombuffer(text.encode("utf-16-le", "surrogatepass"), "<u2")
        return units if len(units) == len(text) else code_points(text)
