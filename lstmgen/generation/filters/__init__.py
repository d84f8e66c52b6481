"""The filters on the model's logits before a token is drawn: one small function each, applied in a fixed order."""

from collections.abc import Callable
from typing import Any

from lstmgen.generation.filters.base import Batch, Filter
from lstmgen.generation.filters.copying import max_copy
from lstmgen.generation.filters.pattern import match
from lstmgen.generation.filters.repetition import no_repeat
from lstmgen.generation.filters.temperature import temperature, word_temperature
from lstmgen.generation.filters.truncation import min_p, top_k, top_p

__all__ = ["Batch", "Filter", "build_filters"]


def _temperature(inside: float, batch: Batch) -> Filter:
    if (at_starts := batch.config.word_temperature) is None:
        return temperature(inside)
    return word_temperature(at_starts, inside, batch.vocabulary.word_tokens())


FILTERS: dict[str, Callable[[Any, Batch], Filter]] = {
    # First what must not be written, so that the later filters choose among the rest.
    "match": lambda _, batch: match(batch.automaton, batch.config.length, batch.rows, batch.end),
    "no_repeat": lambda length, batch: no_repeat(length, batch.prompt, batch.rows),
    "max_copy": lambda length, batch: max_copy(length, batch.training_index()),
    # Then what is unlikely by the model's own probabilities.
    "top_k": lambda count, _: top_k(count),
    "top_p": lambda probability, _: top_p(probability),
    "min_p": lambda fraction, _: min_p(fraction),
    # Temperature comes last: it changes the remaining probabilities and never brings back an excluded token.
    "temperature": _temperature,
}
"""How the filter of each field of `SamplingConfig` is built, in the order in which filters are applied."""


def build_filters(batch: Batch) -> list[Filter]:
    """Build the filters that a configuration asks for, in their order, for one batch of samples.

    Raises ConfigError for a regular expression that cannot be read, or that no possible sample matches, and TextError
    if the training text is needed and cannot be read.
    """
    chosen = ((name, getattr(batch.config, name)) for name in FILTERS)
    return [FILTERS[name](value, batch) for name, value in chosen if value is not None]
