"""A text that a person and a model write together, piece by piece; undo is instant."""

import re
from collections.abc import Generator
from dataclasses import dataclass, replace

import numpy as np

from lstmgen.config import OnUnknown, SamplingConfig
from lstmgen.errors import ConfigError
from lstmgen.generation.engine import PromptState
from lstmgen.generation.sampler import Drawn, most_likely
from lstmgen.language_model import LanguageModel
from lstmgen.text.vocabulary import Ids

UNSPACED = re.compile(r"[\s\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\ua4cf\uf900-\ufaff\uff00-\uffef]")
"""A character that needs no space next to it: white space, and scripts that do not separate words."""

_REST_OF_WORD = 30  # characters by which a piece may exceed its length, to end with a whole word


@dataclass(frozen=True)
class Piece:
    """A part of the text, and the state of the model before it."""

    before: PromptState
    ids: Ids  # (tokens,)
    by_model: bool


class Draft:
    """The text so far, as pieces that can be undone, the last one first."""

    def __init__(
        self,
        model: LanguageModel,
        prompt_state: PromptState,
        config: SamplingConfig,
        seed: int,
        on_unknown: OnUnknown = OnUnknown.ERROR,
    ) -> None:
        """Begin a draft with the text of `prompt_state`; `config` may change between two pieces.

        The seed and the number of the proposal determine everything the model writes. `on_unknown` applies to what the
        person writes.
        """
        self.config = config
        self._model = model
        self._current = prompt_state
        self._pieces: list[Piece] = []
        self._seed = seed
        self._on_unknown = on_unknown
        self._proposals = 0

    @property
    def ids(self) -> Ids:
        """The whole text, (tokens,)."""
        return self._current.text.astype(np.int64)

    @property
    def last(self) -> Piece | None:
        """The last piece, if there is one."""
        return self._pieces[-1] if self._pieces else None

    def write(self, text: str) -> None:
        """Add the person's text; raises UnknownCharacterError, and adds nothing then."""
        self._add(self._model.vocabulary.encode(text, on_unknown=self._on_unknown), by_model=False)

    def propose(self) -> Generator[int, None, None]:
        """Let the model continue the text to the end of a word or line; yields each id as it is drawn.

        When the generator ends or is closed, the ids yielded so far become a piece of the text. Raises ConfigError if
        they do not match the regular expression of the options; they are then discarded.
        """
        self._proposals += 1
        drawn: list[int] = []
        config, vocabulary = self.config, self._model.vocabulary
        if config.match is None and config.length > 0:
            config = replace(config, length=config.length + _REST_OF_WORD)
        last = ""
        try:
            for event in self._model.draw_one(self._current, config, self._seed + self._proposals):
                if not isinstance(event, Drawn) or (self._model.lines and event.id == vocabulary.newline):
                    continue
                character = vocabulary.decode(np.array([event.id]))
                ended = len(drawn) >= self.config.length > 0 and any(map(UNSPACED.match, (last, character)))
                if ended and (character != "\n" or last == "\n"):
                    break
                drawn.append(event.id)
                yield event.id
                if ended:
                    break
                last = character
        except ConfigError:
            drawn.clear()
            raise
        finally:
            self._add(np.array(drawn, np.int64), by_model=True)

    def undo(self) -> Piece | None:
        """Remove the last piece and return it; None if there is no piece."""
        if not self._pieces:
            return None
        piece = self._pieces.pop()
        self._current = piece.before
        return piece

    def keep_words(self, count: int) -> None:
        """Keep only the first `count` words of the last piece, with the white space before each."""
        piece = self.undo()
        if piece is None:
            return
        words = re.match(rf"(?:\s*\S+){{0,{count}}}", self._model.vocabulary.decode(piece.ids))
        kept = self._model.vocabulary.encode(words.group()) if words else piece.ids[:0]
        self._add(kept, by_model=piece.by_model)

    def alternatives(self, count: int) -> list[tuple[int, float]]:
        """The `count` most likely next tokens and their probabilities under the model itself, before any filter."""
        ids, probabilities = most_likely(self._current.logits, count)
        return list(zip(ids[0].tolist(), probabilities[0].tolist(), strict=True))

    def _add(self, ids: Ids, *, by_model: bool) -> None:
        if len(ids):
            self._pieces.append(Piece(self._current, ids, by_model))
            self._current = self._model.read_on(self._current, ids)
