"""Filters change the model's logits before a token is drawn: one small function each, applied in a fixed order."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from lstmgen.config import SamplingConfig
from lstmgen.generation.filters.base import Filter
from lstmgen.generation.filters.likelihood import min_p, temperature, top_k, top_p, word_temperature
from lstmgen.generation.filters.match import Automaton, match
from lstmgen.generation.filters.runs import max_copy, no_repeat
from lstmgen.text.suffixes import SuffixIndex
from lstmgen.text.vocabulary import Ids, Vocabulary


@dataclass(frozen=True)
class Batch:
    """The samples that filters are built for."""

    config: SamplingConfig
    vocabulary: Vocabulary
    prompt: Ids  # (tokens,), which the samples continue
    end: int | None  # the token by which the model itself ends a sample; None: there is none
    training_index: Callable[[], SuffixIndex]  # of the training text; may be slow, and raise TextError

    @property
    def rows(self) -> int:
        """The number of samples."""
        return self.config.samples * self.config.best_of

    @cached_property
    def automaton(self) -> Automaton:
        """The configuration's regular expression `match`; raises ConfigError if it cannot be used."""
        characters = self.vocabulary.characters_by_id(exclude=self.end)
        return Automaton(self.config.match or "", characters, self.config.length)


def _temperature(inside: float, batch: Batch) -> Filter:
    if (at_starts := batch.config.word_temperature) is None:
        return temperature(inside)
    return word_temperature(at_starts, inside, batch.vocabulary.word_tokens())


FILTERS: dict[str, Callable[[Any, Batch], Filter]] = {
    # First exclude what must not be written, so that later filters choose among the rest.
    "match": lambda _, batch: match(batch.automaton, batch.config.length, batch.rows, batch.end),
    "no_repeat": lambda length, batch: no_repeat(length, batch.prompt, batch.rows),
    "max_copy": lambda length, batch: max_copy(length, batch.training_index()),
    # Then exclude what is unlikely by the model's own probabilities.
    "top_k": lambda count, _: top_k(count),
    "top_p": lambda probability, _: top_p(probability),
    "min_p": lambda fraction, _: min_p(fraction),
    # Temperature comes last: it changes the remaining probabilities and never brings back an excluded token.
    "temperature": _temperature,
}
"""How to build the filter for each field of `SamplingConfig`, in the order of application."""


def build_filters(batch: Batch) -> list[Filter]:
    """Build the filters that a configuration asks for, in order, for one batch of samples.

    Raises ConfigError for a regular expression that is invalid or that no possible sample matches, and TextError if the
    training text is needed and cannot be read.
    """
    chosen = ((name, getattr(batch.config, name)) for name in FILTERS)
    return [FILTERS[name](value, batch) for name, value in chosen if value is not None]
