"""What is done to the model's logits before a symbol is drawn: one small function each, in one order.

First what must hold, so that everything after it chooses among what is allowed: `match`, `no_repeat`, `max_copy`. Then
what is too unlikely goes, by the model's own probabilities: `top_k`, `top_p`, `min_p`. Temperature comes last: it makes
the choice bolder among what is left, and brings nothing back.

Knows: which choice is which filter, and their order. Does not know: how any of them works.
"""

from lstmgen.config import SamplingConfig
from lstmgen.errors import ConfigError
from lstmgen.generation.engine import FloatArray
from lstmgen.generation.filters.base import Filter
from lstmgen.generation.filters.copying import max_copy
from lstmgen.generation.filters.pattern import Automaton, match
from lstmgen.generation.filters.repetition import no_repeat
from lstmgen.generation.filters.temperature import temperature, word_temperature
from lstmgen.generation.filters.truncation import min_p, top_k, top_p
from lstmgen.text.suffixes import SuffixIndex
from lstmgen.text.vocabulary import Ids, Vocabulary

__all__ = ["Filter", "FloatArray", "build_filters", "history_length"]


def build_filters(
    config: SamplingConfig, vocabulary: Vocabulary, prompt: Ids, training: SuffixIndex | None, end: int | None
) -> list[Filter]:
    """The filters that were chosen, in their order, fresh for one batch of samples.

    Args:
        config: the choices.
        vocabulary: which character each id is.
        prompt: what the samples go on from, (symbols,).
        training: finds what stands in the training text; needed for `max_copy`.
        end: the symbol with which the model itself ends a sample, if it does.

    Raises ConfigError for a pattern that cannot be matched.
    """
    rows = config.samples * config.best_of
    filters: list[Filter] = []
    if config.match is not None:
        automaton = Automaton(config.match, vocabulary.spelling(but=end))
        if 0 <= config.length < automaton.shortest:
            raise ConfigError(
                f"--match {config.match!r}: its shortest match has {automaton.shortest} characters, "
                f"--length is {config.length}; give a larger one"
            )
        filters.append(match(automaton, config.length, rows, end))
    if config.no_repeat is not None:
        filters.append(no_repeat(config.no_repeat, prompt, rows))
    if config.max_copy is not None and training is not None:
        filters.append(max_copy(config.max_copy, training))
    if config.top_k is not None:
        filters.append(top_k(config.top_k))
    if config.top_p is not None:
        filters.append(top_p(config.top_p))
    if config.min_p is not None:
        filters.append(min_p(config.min_p))
    if config.word_temperature is not None:
        filters.append(word_temperature(config.word_temperature, config.temperature, vocabulary.word_symbols()))
    elif config.temperature != 1:
        filters.append(temperature(config.temperature))
    return filters


def history_length(config: SamplingConfig) -> int:
    """How many of the last symbols the chosen filters look at."""
    one = config.match is not None or config.word_temperature is not None
    return max(int(one), config.no_repeat or 0, config.max_copy or 0)
