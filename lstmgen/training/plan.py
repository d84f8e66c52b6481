"""The plan of a training run: picks every setting that the user left out, and gives reasons.

Three choices follow from the number of tokens that the network can read within the budget:

1. The network is as large as that many tokens can still train.
2. The text is not read more often than helps.
3. Regularisation (dropout, weight drop, weight decay) depends on how easily the network could memorise the text:

       pressure = (epochs - 1) * parameters / tokens of the text

   A network that reads a text once cannot memorise it, and neither can one with few parameters.

The first choice only counts the parameters of the recurrent layers, because the embedding and the head grow with the
vocabulary, and most of their rows belong to rare tokens. The third counts all parameters.

The constants come from experiments; see docs/TRIALS.md.
"""

import math
from bisect import bisect_left
from collections.abc import Callable, Set
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise

import numpy as np

from lstmgen.config import MAX_ATTENDED, BudgetUnit, CellKind, ModelConfig, TrainingConfig
from lstmgen.errors import ConfigError
from lstmgen.network.architecture import build_network
from lstmgen.printable import readably
from lstmgen.text.lines import line_items
from lstmgen.text.storage import blocks_of
from lstmgen.text.vocabulary import Ids, token_counts
from lstmgen.training.trainer import mean_chunk_length

PLANNED = frozenset(
    {
        *("hidden_size", "chunk_length", "chunk_growth", "batch_size", "most_epochs"),
        *("learning_rate", "weight_decay", "dropout", "weight_drop"),
        *("embedding_size", "tied", "label_smoothing"),
    }
)
"""The fields that a plan chooses unless the user does. The others have defaults that suit all texts."""

MODEL_FIELDS = frozenset({"hidden_size", "embedding_size", "tied"})
"""The ones among `PLANNED` that a trained network has already settled."""

_HIDDEN_SIZES = (64, 96, 128, 192, 256, 384, 512, 768, 1024)
_TOKENS_READ_PER_PARAMETER = 3.0  # with fewer, a smaller network gets better in the same time
_PARAMETERS_PER_TOKEN = 6.0  # of the text; more would only help to memorise it
_CHUNK_GROWTH = 2  # many updates help most at first, longer chunks later
_DROPOUT_FROM_PRESSURE, _DROPOUT_PER_DOUBLING = 4.0, 0.055  # of units, and of recurrent weights
_MIN_DROPOUT, _MAX_DROPOUT, _MAX_WEIGHT_DROP = 0.04, 0.5, 0.6  # less has no effect but takes time
_MIN_DECAY, _DECAY_PER_DOUBLING, _MAX_DECAY = 0.06, 0.05, 0.2
_STRONG_PRESSURE = 25.0
_RATE_WITHOUT_CELL_STATE = 0.008  # the learning rate of the tanh RNN and the GRU
_LARGE = 384  # above this hidden size the learning rate falls with it, and more tokens must be read
_MAX_EPOCHS = 120.0
_TRAINED_RATE = 1 / 6  # the learning rate of a trained network, as a fraction of a new network's
_TRAINED_EPOCHS = 12.0  # the maximum for a trained network, which memorises a text sooner than a new one
_TRAINED_WEIGHT_DROP = 0.2  # the maximum for a trained network: more would undo too much of what it has learned
_TRAINED_WARM_UP = 0.01  # half of a new network's, because there is little to warm up
_LARGE_VOCABULARY = 1000
_LARGE_VOCABULARY_EMBEDDINGS = (128, 64, 32)  # use the first that fits
_DROPOUT_WITH_SMOOTHING = 0.15  # if parts of the text have tokens of their own, its end differs from the rest too
_SMOOTHING_PER_UNSEEN, _MIN_SMOOTHING, _MAX_SMOOTHING = 3.0, 0.01, 0.05

Speed = Callable[[ModelConfig], float]
"""How many tokens a network reads per second of training."""


@dataclass(frozen=True)
class Plan:
    """The network and its training. Each step of planning returns a plan with more of it chosen."""

    model: ModelConfig  # planned fields still have their defaults, here and in `training`
    training: TrainingConfig
    planned: Set[str] = frozenset()  # the fields that may change, by name: some of `PLANNED`
    reasons: tuple[str, ...] = ()  # for the choices
    notes: tuple[str, ...] = ()  # what else the user should know
    unit: str = "character"  # what users call a token of this text: character or byte


def fit_to_text(plan: Plan, ids: Ids, newline: int | None = None) -> Plan:
    """Choose batch size and chunk length to suit the training text, (tokens,), or its lines.

    Raises ConfigError for a list of fewer than two lines.
    """
    return _fit_to_length(plan, len(ids)) if newline is None else _fit_to_lines(plan, ids, newline)


def _fit_to_length(plan: Plan, tokens: int) -> Plan:
    """Shrink chunks and batch until a text of this length fills several chunks of every stream."""
    config = plan.training
    chunk_length = min(config.chunk_length, max(1, (tokens - 1) // 2))
    batch_size = min(config.batch_size, max(1, (tokens - 1) // (2 * chunk_length)))
    changes = []
    if batch_size < config.batch_size:
        changes.append(f"batch size {batch_size} instead of {config.batch_size}")
    if chunk_length < config.chunk_length:
        changes.append(f"chunk length {chunk_length} instead of {config.chunk_length}")
    notes = (f"the text is short ({tokens:,} {plan.unit}s): {', '.join(changes)}",) if changes else ()
    training = replace(config, batch_size=batch_size, chunk_length=chunk_length)
    return replace(plan, training=training, notes=plan.notes + notes)


def _fit_to_lines(plan: Plan, ids: Ids, newline: int) -> Plan:
    """Choose the lines per batch, to hold as many tokens as the final batches of running text."""
    items, config = line_items(ids, newline), plan.training
    if len(items) < 2:
        raise ConfigError("lines", True, f"{len(items):,} lines to train on; give at least 2, or leave it out")
    wanted = config.batch_size
    if "batch_size" in plan.planned:
        length = min(config.chunk_length, len(ids) / len(items))
        wanted = math.ceil(config.batch_size * config.chunk_length * _CHUNK_GROWTH / length)
    batch_size = max(1, min(wanted, len(items) // 4))
    notes = (f"the list is short ({len(items):,} lines): batch size {batch_size} instead of {wanted}",)
    longest = max(int((block[:, 1] - block[:, 0]).max()) for block in blocks_of(items))
    chunk_length = min(config.chunk_length, longest + 1)
    return replace(
        plan,
        training=replace(config, batch_size=batch_size, chunk_length=chunk_length, chunk_growth=1),
        planned=plan.planned - {"chunk_growth"},
        notes=plan.notes + (notes if batch_size < wanted else ()),
    )


def fit_to_vocabulary(plan: Plan, ids: Ids, vocab_size: int, parameters: int | None = None) -> Plan:
    """Choose the settings that depend on the distinct tokens of a text: embedding, head, label smoothing.

    Args:
        plan: the plan so far.
        ids: the training text, (tokens,).
        vocab_size: the number of distinct tokens.
        parameters: the number of parameters that the user asked for, if any, which determines the hidden size. The
            embedding of a large vocabulary gets at most half of them.
    """
    model, training, reasons = plan.model, plan.training, []
    if vocab_size > _LARGE_VOCABULARY:
        choices = []
        if "embedding_size" in plan.planned:
            fitting = (
                size for size in _LARGE_VOCABULARY_EMBEDDINGS if not parameters or 2 * size * vocab_size <= parameters
            )
            model = replace(model, embedding_size=next(fitting, _LARGE_VOCABULARY_EMBEDDINGS[-1]))
            choices.append(f"embedding size {model.embedding_size}")
        if "tied" in plan.planned:
            model = replace(model, tied=True)
            choices.append("output layer tied to the embedding")
        if choices:
            why = f"the vocabulary is large ({vocab_size:,} characters), and most are rare"
            reasons.append(f"{', '.join(choices)}: {why}")
        unseen = _unseen_fraction(ids, vocab_size) if "label_smoothing" in plan.planned else 0.0
        smoothing = round(min(_MAX_SMOOTHING, _SMOOTHING_PER_UNSEEN * unseen), 3)
        if smoothing >= _MIN_SMOOTHING:
            training = replace(training, label_smoothing=smoothing)
            reasons.append(
                f"label smoothing {smoothing:g}: in any tenth of the text, about {unseen:.1%} of the characters are "
                "found nowhere else, so the network must expect new ones"
            )
    if parameters is not None:
        model = replace(model, hidden_size=hidden_size_for(parameters, model, vocab_size))
    return replace(plan, model=model, training=training, reasons=(*plan.reasons, *reasons))


def _unseen_fraction(ids: Ids, vocab_size: int) -> float:
    """The fraction of tokens in a tenth of the text that the other nine tenths lack, as a mean over the ten."""
    bounds = np.linspace(0, len(ids), 11).astype(np.int64)
    counts = np.zeros(vocab_size, np.int64)
    tenths = np.zeros(vocab_size, np.int8)  # the number of tenths that contain each token
    for start, stop in pairwise(bounds.tolist()):
        in_tenth = token_counts(ids[start:stop], vocab_size)
        counts += in_tenth
        tenths += in_tenth > 0
    return float(counts[tenths == 1].sum() / max(1, len(ids)))


def make_plan(plan: Plan, tokens: int, vocab_size: int, speed: Speed, *, trained: bool = False) -> Plan:
    """Choose everything that is still open.

    Args:
        plan: the plan so far, fitted to the text and its vocabulary.
        tokens: the length of the training text.
        vocab_size: the number of its distinct tokens.
        speed: measures a network; only called for a time budget.
        trained: whether the network is already trained, on another text.
    """
    model, training, planned, reasons = plan.model, plan.training, plan.planned, list(plan.reasons)
    budget, tokens = training.budget, max(1, tokens)
    if planned >= {"chunk_length", "chunk_growth"}:
        training = replace(training, chunk_growth=_CHUNK_GROWTH)
    batch = training.batch_size * mean_chunk_length(training)

    @cache
    def readable(size: int) -> float:
        """How many tokens a network of this size can read within the budget."""
        if budget.unit is BudgetUnit.SECONDS:
            return budget.amount * speed(replace(model, hidden_size=size))
        return budget.amount * (tokens if budget.unit is BudgetUnit.EPOCHS else batch)

    if "hidden_size" in planned:
        size, why = _hidden_size(model, tokens, readable)
        model = replace(model, hidden_size=size)
        reasons.append(f"{size} units per layer: {why}")
    epochs = readable(model.hidden_size) / tokens
    length = f"{readably(epochs * tokens, 3)} {plan.unit}s"
    reasons.append(f"in {budget} it can read about {length}, which is the text {readably(epochs, 3)} times")
    most_epochs = _TRAINED_EPOCHS if trained else _MAX_EPOCHS
    if "most_epochs" in planned and budget.unit is BudgetUnit.SECONDS and epochs > most_epochs:
        training = replace(training, most_epochs=most_epochs)
        seconds = budget.amount * most_epochs / epochs
        outcome = "makes a trained network memorise it" if trained else "hardly helps"
        reasons.append(
            f"stops after about {seconds:.0f} s: reading a text more than {readably(most_epochs)} times {outcome}"
        )
        epochs = most_epochs
    parameters = parameter_count(model, vocab_size, model.hidden_size)
    pressure = max(0.0, epochs - 1) * parameters / tokens
    if "weight_decay" in planned:
        training = replace(training, weight_decay=_weight_decay(pressure))
    if "dropout" in planned:
        minimum = _DROPOUT_WITH_SMOOTHING if training.label_smoothing else 0.0
        training = replace(training, dropout=max(minimum, _dropout(pressure, _MAX_DROPOUT)))
    if planned & {"weight_decay", "dropout"}:
        how_strong = "strong" if pressure >= _STRONG_PRESSURE else "weak" if pressure < 1 else "medium"
        reasons.append(
            f"weight decay {training.weight_decay:g}, dropout {training.dropout:g}: {how_strong} regularisation, "
            f"because the network reads the text {readably(epochs, 3)} times and has "
            f"{readably(parameters / tokens, 2)} parameters per {plan.unit} of text"
        )
    weight_drop = _dropout(pressure, _TRAINED_WEIGHT_DROP if trained else _MAX_WEIGHT_DROP)
    if "weight_drop" in planned and weight_drop:
        training = replace(training, weight_drop=weight_drop)
        reasons.append(f"weight drop {weight_drop:g}: recurrent weights are dropped too, for the same reason")
    if "learning_rate" in planned:
        rate, rate_reasons = learning_rate_for(model, training.learning_rate)
        reasons.extend(rate_reasons)
        if trained:
            rate = round(rate * _TRAINED_RATE, 5)
            reasons.append(
                f"learning rate {readably(rate)}, {readably(_TRAINED_RATE, 2)} times a new network's: large steps would"
                " undo its training"
            )
        training = replace(training, learning_rate=rate)
    if trained:
        training = replace(training, warm_up=_TRAINED_WARM_UP)
    return replace(plan, model=model, training=training, reasons=tuple(reasons))


def learning_rate_for(model: ModelConfig, usual: float) -> tuple[float, list[str]]:
    """The learning rate of a new network, and the reasons if it is not the usual one."""
    rate, reasons = usual, []
    if model.cell in (CellKind.RNN, CellKind.GRU):
        rate = _RATE_WITHOUT_CELL_STATE
        reasons.append(f"learning rate {readably(rate)}: a cell without a cell state needs smaller steps")
    if model.hidden_size > _LARGE:
        rate = round(rate * _LARGE / model.hidden_size, 5)
        reasons.append(f"learning rate {readably(rate)}: large networks need smaller steps")
    return rate, reasons


def _hidden_size(model: ModelConfig, tokens: int, readable: Callable[[int], float]) -> tuple[int, str]:
    """The largest size that budget and text allow, and why it is not larger."""
    best = _HIDDEN_SIZES[0]
    for size in _HIDDEN_SIZES[1:]:
        if model.attention * size > MAX_ATTENDED:
            return best, f"attention looks back at too many outputs of {size} units"
        parameters = layer_parameter_count(model, size)
        with_size = f"with {size} the layers have {readably(parameters / 1e6, 2)} M parameters"
        wanted = _TOKENS_READ_PER_PARAMETER * max(1, size / _LARGE) ** 2 * parameters
        if parameters > _PARAMETERS_PER_TOKEN * tokens:
            return best, f"{with_size}, too many for this text"
        if readable(best) < wanted or readable(size) < wanted:  # if this size is too slow, try no larger one
            return best, f"{with_size}, too many for this budget"
        best = size
    return best, "the largest size that the plan uses"


def _dropout(pressure: float, maximum: float) -> float:
    """The fraction of units or recurrent weights to drop."""
    doublings = math.log2(max(pressure, _DROPOUT_FROM_PRESSURE) / _DROPOUT_FROM_PRESSURE)
    dropout = round(min(maximum, _DROPOUT_PER_DOUBLING * doublings), 2)
    return dropout if dropout >= _MIN_DROPOUT else 0.0


def _weight_decay(pressure: float) -> float:
    return round(min(_MAX_DECAY, _MIN_DECAY + _DECAY_PER_DOUBLING * math.log2(1 + pressure)), 2)


_SIZES_BY_PARAMETERS: tuple[int, ...] = (*range(1, 64), *range(64, 128, 2), *range(128, 256, 4), *range(256, 65_537, 8))
"""The hidden sizes to choose from for a number of parameters. From 64 on, neighbours differ by at most about 3%.

In bfloat16, an LSTM of 297 units trains at 42% of the speed of one with 296 units, and one with 298 at 84%.
"""


def parameter_count(model: ModelConfig, vocab_size: int, hidden_size: int) -> int:
    """The number of parameters of a network of this size."""
    return build_network(replace(model, hidden_size=hidden_size), vocab_size).parameter_count()


def layer_parameter_count(model: ModelConfig, hidden_size: int) -> int:
    """The number of parameters of its recurrent layers and attention."""
    return build_network(replace(model, hidden_size=hidden_size), vocab_size=1).layer_parameter_count()


def hidden_size_for(parameters: int, model: ModelConfig, vocab_size: int) -> int:
    """The hidden size whose network comes closest to this number of parameters, one of `_SIZES_BY_PARAMETERS`.

    Raises ConfigError if even a network of one unit has more.
    """
    minimum = parameter_count(model, vocab_size, 1)
    if parameters < minimum:
        raise ConfigError("parameters", f"{parameters:,}", f"this network has at least {minimum:,}; give more")
    sizes = [size for size in _SIZES_BY_PARAMETERS if model.attention * size <= MAX_ATTENDED]
    found = bisect_left(sizes, parameters, key=lambda size: parameter_count(model, vocab_size, size))
    nearest = sizes[max(0, found - 1) : found + 1]
    return min(nearest, key=lambda size: abs(parameter_count(model, vocab_size, size) - parameters))
