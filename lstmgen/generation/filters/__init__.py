"""The filters on the model's logits before a symbol is drawn: one small function each, applied in a fixed order.

1. `match`, `no_repeat`, `max_copy` exclude what must not be written, so that the later filters choose among the rest.
2. `top_k`, `top_p`, `min_p` exclude unlikely symbols, by the model's own probabilities.
3. Temperature comes last: it changes the probabilities of the remaining symbols and never brings back an excluded one.

Knows: which option of `SamplingConfig` needs which filter, and their order. Does not know: how a filter works.
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
    """Build the filters that a configuration asks for, in their order, for one batch of samples.

    Args:
        config: the options for sampling.
        vocabulary: the character of each id.
        prompt: the ids that the samples continue, (symbols,).
        training: an index of the training text; needed for `max_copy`.
        end: the symbol with which the model itself ends a sample; None if it does not.

    Raises ConfigError for a regular expression that cannot be read, or that no possible sample matches.
    """
    rows = config.samples * config.best_of
    filters: list[Filter] = []
    if config.match is not None:
        automaton = Automaton(config.match, vocabulary.characters_by_id(exclude=end))
        if 0 <= config.length < automaton.shortest:
            raise ConfigError(
                f"--match {config.match!r}: its shortest match has {automaton.shortest} characters, "
                f"--length is {config.length}; give a larger --length"
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
    """The number of last symbols that the filters of a configuration look back at."""
    needs_last = config.match is not None or config.word_temperature is not None
    return max(int(needs_last), config.no_repeat or 0, config.max_copy or 0)
