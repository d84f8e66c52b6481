"""What training will do, settled before it begins: what the user did not choose is chosen here, with its reason.

Three things follow from how much the budget lets a network read. The network is as large as can still learn from so
many symbols; a text is not read more often than does it good; and how strongly the network is held back depends on how
well it could learn the text by heart, its *pressure*:

    pressure = how often the text is read again * parameters / symbols of the text

The numbers were found by experiment; TRIALS.md has it.

Knows: sizes and budgets, and how fast a network learns, which it is told. Does not know: torch, the loop or files.
"""

import math
from bisect import bisect_left
from collections.abc import Callable, Set
from dataclasses import dataclass, replace
from functools import cache

from lstmgen.config import BudgetUnit, ModelConfig, TrainingConfig
from lstmgen.errors import ConfigError
from lstmgen.network.architecture import build_network
from lstmgen.text.streams import ParallelStreams, ShuffledLines, TrainingText, line_items
from lstmgen.text.vocabulary import Ids

PLANNED = frozenset(
    {
        *("hidden_size", "chunk_length", "batch_size", "most_epochs"),
        *("learning_rate", "weight_decay", "dropout", "weight_drop"),
    }
)
"""What a plan chooses, unless the user does; the rest has defaults that serve for all texts."""

_HIDDEN_SIZES = (64, 96, 128, 192, 256, 384, 512, 768, 1024)
_SYMBOLS_READ_PER_PARAMETER = 3.0  # fewer, and a network stays below what a smaller one reaches in the same time
_PARAMETERS_PER_SYMBOL = 4.0  # of the text; more would only help to know it by heart
_SHORT_CHUNK, _FEW_UPDATES = 32, 3000  # with fewer updates, more of them count for more than longer chunks
_DROPOUT_FROM_PRESSURE, _DROPOUT_PER_DOUBLING, _MOST_DROPOUT = 3.0, 0.13, 0.4
_DECAY_PER_PRESSURE, _LEAST_DECAY, _MOST_DECAY = 0.015, 0.02, 0.15
_WEIGHT_DROP_FROM_PRESSURE, _WEIGHT_DROP = 25.0, 0.1
_LARGE = 384  # beyond this hidden size the learning rate falls with it
_MOST_EPOCHS = 120.0

Speed = Callable[[ModelConfig], float]
"""How many symbols a second a network learns from."""


@dataclass(frozen=True)
class Fitted:
    """A training configuration that fits its text, and what had to change for it, in words."""

    config: TrainingConfig
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """What will be trained and how, and why so, in words."""

    model: ModelConfig
    training: TrainingConfig
    reasons: tuple[str, ...]


def make_plan(
    model: ModelConfig, training: TrainingConfig, planned: Set[str], *, symbols: int, vocab_size: int, speed: Speed
) -> Plan:
    """Choose what is left to choose.

    Args:
        model: the network, as far as it is chosen.
        training: its training likewise; batch size and chunk length fit the text.
        planned: the fields that may be changed, by name: some of `PLANNED`.
        symbols: how many there are to learn from.
        vocab_size: how many of them are distinct.
        speed: tries a network out; asked only if the budget is a time.
    """
    budget = training.budget

    @cache
    def readable(size: int) -> float:
        """How many symbols the budget lets a network of this size read."""
        if budget.unit is BudgetUnit.SECONDS:
            return budget.amount * speed(replace(model, hidden_size=size))
        return budget.amount * (symbols if budget.unit is BudgetUnit.EPOCHS else batch)

    symbols = max(1, symbols)
    batch = training.batch_size * training.chunk_length
    reasons = []
    if "hidden_size" in planned:
        size, why = _hidden_size(model, vocab_size, symbols, readable)
        model = replace(model, hidden_size=size)
        reasons.append(f"{size} units a layer: {why}")
    epochs = readable(model.hidden_size) / symbols
    reasons.append(f"{budget} let it read {epochs * symbols / 1e6:.3g} M symbols, which is the text {epochs:.3g} times")
    if "most_epochs" in planned and budget.unit is BudgetUnit.SECONDS and epochs > _MOST_EPOCHS:
        training = replace(training, most_epochs=_MOST_EPOCHS)
        seconds = budget.amount * _MOST_EPOCHS / epochs
        reasons.append(f"more than {_MOST_EPOCHS:g} times hardly help: it ends there, after about {seconds:.0f} s")
        epochs = _MOST_EPOCHS
    parameters = parameter_count(model, vocab_size, model.hidden_size)
    pressure = max(0.0, epochs - 1) * parameters / symbols
    if planned & {"weight_decay", "dropout"}:
        if "weight_decay" in planned:
            training = replace(training, weight_decay=_weight_decay(pressure))
        if "dropout" in planned:
            training = replace(training, dropout=_dropout(pressure))
        reasons.append(
            f"weight decay {training.weight_decay:g}, dropout {training.dropout:g}: {parameters / symbols:.2g} "
            "parameters a symbol of the text; the more, and the more often it is read, the more they are held back"
        )
    if "weight_drop" in planned and pressure >= _WEIGHT_DROP_FROM_PRESSURE:
        training = replace(training, weight_drop=_WEIGHT_DROP)
        reasons.append(f"weight drop {training.weight_drop:g}: recurrent weights are dropped too, for the same reason")
    if "learning_rate" in planned and model.hidden_size > _LARGE:
        training = replace(training, learning_rate=round(training.learning_rate * _LARGE / model.hidden_size, 5))
        reasons.append(f"learning rate {training.learning_rate:g}: large networks want smaller steps")
    in_time = budget.unit is not BudgetUnit.STEPS  # counted steps do not become more when they are shorter
    few = epochs * symbols / batch < _FEW_UPDATES
    if "chunk_length" in planned and in_time and few and training.chunk_length > _SHORT_CHUNK:
        training = replace(training, chunk_length=_SHORT_CHUNK)
        reasons.append(f"chunks of {training.chunk_length}: short ones give more updates in little time")
    return Plan(model, training, tuple(reasons))


def _hidden_size(
    model: ModelConfig, vocab_size: int, symbols: int, readable: Callable[[int], float]
) -> tuple[int, str]:
    """The largest that neither the budget nor the text is too small for, and why it is not larger."""
    best = _HIDDEN_SIZES[0]
    for size in _HIDDEN_SIZES[1:]:
        parameters = parameter_count(model, vocab_size, size)
        wanted = _SYMBOLS_READ_PER_PARAMETER * parameters
        if parameters > _PARAMETERS_PER_SYMBOL * symbols:
            return best, f"the text is too small for the {parameters / 1e6:.2g} M parameters of {size}"
        if readable(best) < wanted or readable(size) < wanted:  # what is too slow already is not tried in large
            return best, f"there is too little time for the {parameters / 1e6:.2g} M parameters of {size}"
        best = size
    return best, "the largest that pays here"


def _dropout(pressure: float) -> float:
    doublings = math.log2(max(pressure, _DROPOUT_FROM_PRESSURE) / _DROPOUT_FROM_PRESSURE)
    return round(min(_MOST_DROPOUT, _DROPOUT_PER_DOUBLING * doublings), 2)


def _weight_decay(pressure: float) -> float:
    return round(min(_MOST_DECAY, max(_LEAST_DECAY, _DECAY_PER_PRESSURE * pressure)), 3)


def parameter_count(model: ModelConfig, vocab_size: int, hidden_size: int) -> int:
    """How many numbers a network of this size learns."""
    return build_network(replace(model, hidden_size=hidden_size), vocab_size).parameter_count()


def hidden_size_for(parameters: int, model: ModelConfig, vocab_size: int) -> int:
    """The hidden size whose network comes nearest to so many parameters; raises ConfigError if one unit is too many."""
    fewest = parameter_count(model, vocab_size, 1)
    if parameters < fewest:
        raise ConfigError(f"--parameters {parameters:,}: this network has at least {fewest:,}; give more")
    size = bisect_left(range(1, 65_537), parameters, key=lambda size: parameter_count(model, vocab_size, size)) + 1
    return min(max(1, size - 1), size, key=lambda size: abs(parameter_count(model, vocab_size, size) - parameters))


def fit_to_text(config: TrainingConfig, symbols: int) -> Fitted:
    """Shrink chunk and batch until a text of so many symbols fills several chunks of every stream."""
    chunk_length = min(config.chunk_length, max(1, (symbols - 1) // 2))
    batch_size = min(config.batch_size, max(1, (symbols - 1) // (2 * chunk_length)))
    notes = []
    if batch_size < config.batch_size or chunk_length < config.chunk_length:
        notes.append(
            f"{symbols:,} symbols are few to learn from: batch size {config.batch_size} -> {batch_size}, "
            f"chunk length {config.chunk_length} -> {chunk_length}"
        )
    return Fitted(replace(config, batch_size=batch_size, chunk_length=chunk_length), tuple(notes))


def fit_to_lines(config: TrainingConfig, ids: Ids, newline: int, batch_size_given: bool) -> Fitted:
    """Put so many lines into a batch that it holds as many symbols as a batch of a running text would.

    Raises ConfigError if there are fewer than two lines.
    """
    items = line_items(ids, newline)
    if len(items) < 2:
        raise ConfigError(f"--lines: {len(items)} lines to train on; give at least 2, or leave --lines out")
    longest = int((items[:, 1] - items[:, 0]).max()) + 1
    length = min(config.chunk_length, len(ids) / len(items))
    wanted = config.batch_size if batch_size_given else math.ceil(config.batch_size * config.chunk_length / length)
    batch_size = max(1, min(wanted, len(items) // 4))
    notes = (f"{len(items):,} lines are few to learn from: batch size {wanted} -> {batch_size}",)
    fitted = replace(config, batch_size=batch_size, chunk_length=min(config.chunk_length, longest))
    return Fitted(fitted, notes if batch_size < wanted else ())


def build_text(config: TrainingConfig, ids: Ids, newline: int | None, lines: bool) -> TrainingText:
    """The training text as streams, or as shuffled lines."""
    if lines and newline is not None:
        return ShuffledLines(ids, newline, config.batch_size, config.chunk_length, config.seed)
    return ParallelStreams(ids, config.batch_size, config.chunk_length, config.seed)
