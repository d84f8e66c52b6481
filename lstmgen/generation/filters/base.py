"""What a filter is, and what filters are built for."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from lstmgen.config import SamplingConfig
from lstmgen.generation.engine import FloatArray
from lstmgen.generation.filters.automaton import Automaton
from lstmgen.generation.history import History
from lstmgen.text.suffixes import SuffixIndex
from lstmgen.text.vocabulary import Ids, Vocabulary


class Filter(NamedTuple):
    """A change of the logits before a token is drawn."""

    apply: Callable[[FloatArray, History], FloatArray]
    """Takes logits, (rows, tokens), and the history of each row; returns logits, -inf for what must not be drawn.

    It is called once for each token of the samples, in order, and may remember earlier calls. It does not change its
    arguments.
    """

    history_length: int = 0
    """The number of last tokens that it looks back at."""


@dataclass(frozen=True)
class Batch:
    """The samples that filters are built for."""

    config: SamplingConfig
    vocabulary: Vocabulary
    prompt: Ids  # (tokens,), which the samples continue
    end: int | None  # the token with which the model itself ends a sample; None if it does not
    training_index: Callable[[], SuffixIndex]  # of the training text; it may take long, and raise TextError

    @property
    def rows(self) -> int:
        """The number of samples."""
        return self.config.samples * self.config.best_of

    @cached_property
    def automaton(self) -> Automaton:
        """The expression `match` of the configuration, which has one; raises ConfigError if it cannot be used."""
        characters = self.vocabulary.characters_by_id(exclude=self.end)
        return Automaton(self.config.match or "", characters, self.config.length)
