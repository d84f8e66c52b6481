"""A text that a person and a model write together, piece by piece.

Where the text stood before each piece is kept, which a recurrent network makes cheap: it is a state of a few kilobytes.
So undoing and trying again cost nothing.

Knows: pieces, who wrote them, and how to go back. Does not know: terminals or files.
"""

import re
from collections.abc import Generator
from dataclasses import dataclass

import numpy as np

from lstmgen.config import OnUnknown, SamplingConfig
from lstmgen.generation.sampler import Drawn, most_likely
from lstmgen.generation.saved_state import PromptState
from lstmgen.language_model import LanguageModel
from lstmgen.text.vocabulary import Ids


@dataclass(frozen=True)
class Piece:
    """A part of the text, and where the text stood before it."""

    before: PromptState
    ids: Ids
    by_model: bool


class Draft:
    """The text so far; each piece can be taken back, the last first."""

    def __init__(self, model: LanguageModel, prompt_state: PromptState, config: SamplingConfig, seed: int) -> None:
        """Begin a draft.

        Args:
            model: writes with.
            prompt_state: what the text begins with.
            config: how the model writes; it may be changed between two pieces.
            seed: decides all that the model writes.
        """
        self.config = config
        self._model = model
        self._here = prompt_state
        self._beginning = prompt_state.text
        self._pieces: list[Piece] = []
        self._seed = seed
        self._proposals = 0

    @property
    def ids(self) -> Ids:
        """The whole text, (symbols,)."""
        return np.concatenate([self._beginning, *(piece.ids for piece in self._pieces)]).astype(np.int64)

    @property
    def last(self) -> Piece | None:
        """The last piece, if there is one."""
        return self._pieces[-1] if self._pieces else None

    def write(self, text: str, on_unknown: OnUnknown = OnUnknown.ERROR) -> None:
        """Add the person's own words; raises UnknownCharacterError, and then nothing is added."""
        self._add(self._model.vocabulary.encode(text, where="text", on_unknown=on_unknown), by_model=False)

    def propose(self) -> Generator[int, None, None]:
        """Let the model go on: the ids as they come. What has come is part of the text when it ends or is closed."""
        self._proposals += 1
        drawn: list[int] = []
        try:
            for event in self._model.draw(self._here, self.config, self._seed + self._proposals):
                if isinstance(event, Drawn) and not (self._model.lines and event.id == self._model.vocabulary.newline):
                    drawn.append(event.id)
                    yield event.id
        finally:
            self._add(np.array(drawn, np.int64), by_model=True)

    def undo(self) -> Piece | None:
        """Take the last piece back; None if there is none."""
        if not self._pieces:
            return None
        piece = self._pieces.pop()
        self._here = piece.before
        return piece

    def keep_words(self, count: int) -> None:
        """Of the last piece keep so many words, with what stands before each of them, and drop the rest."""
        piece = self.undo()
        if piece is None:
            return
        words = re.match(rf"(?:\s*\S+){{0,{count}}}", self._model.vocabulary.decode(piece.ids))
        kept = self._model.vocabulary.encode(words.group()) if words else piece.ids[:0]
        self._add(kept, by_model=piece.by_model)

    def alternatives(self, count: int) -> list[tuple[int, float]]:
        """The likeliest next symbols with their probabilities under the model itself, before any filter."""
        ids, probabilities = most_likely(self._here.output.logits, count)
        return list(zip(ids[0].tolist(), probabilities[0].tolist(), strict=True))

    def _add(self, ids: Ids, *, by_model: bool) -> None:
        if len(ids):
            self._pieces.append(Piece(self._here, ids, by_model))
            self._here = self._model.read_on(self._here, ids)
