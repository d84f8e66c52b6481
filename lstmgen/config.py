"""Every setting: its name, default and bounds, and for an option its help text."""

import math
import posixpath
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, is_dataclass
from enum import StrEnum
from numbers import Integral
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from lstmgen.errors import CheckpointError, ConfigError
from lstmgen.printable import readably


class CellKind(StrEnum):
    """The recurrent cells, by the name that `--cell` takes."""

    RNN = "rnn"
    LSTM = "lstm"
    PEEPHOLE = "peephole"
    COUPLED = "coupled"
    GRU = "gru"


class Reset(StrEnum):
    """Where a GRU applies its reset gate: before or after the recurrent product."""

    BEFORE = "before"
    AFTER = "after"


class Peephole(StrEnum):
    """The gates of an LSTM that can look at the cell state."""

    INPUT = "input"
    FORGET = "forget"
    OUTPUT = "output"


class VocabularyKind(StrEnum):
    """What one token is: a Unicode code point of the text, or a byte."""

    CHARACTERS = "characters"
    BYTES = "bytes"


class Precision(StrEnum):
    """The number format of the matrix products in training; weights and sums stay float32."""

    AUTO = "auto"
    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"


class Device(StrEnum):
    """Where training computes."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"
    MPS = "mps"


class OnUnknown(StrEnum):
    """What to do with a character that the model has never seen."""

    ERROR = "error"
    SKIP = "skip"


class FinishReason(StrEnum):
    """Why a sample ended."""

    LENGTH = "length"  # it has the requested length
    LINE = "line"  # a model of lines ended its line
    STOP = "stop"  # one of the stop texts would have followed
    MATCH = "match"  # it matches the whole pattern
    STUCK = "stuck"  # the filters left no token to write
    UNMATCHED = "unmatched"  # stuck or stopped before it matched the whole pattern


class BudgetUnit(StrEnum):
    """What a training budget counts."""

    SECONDS = "seconds"
    EPOCHS = "epochs"
    STEPS = "steps"


Config = TypeVar("Config")
Value = TypeVar("Value")

_MAX_CHARACTERS = 100_000  # of a string in a checkpoint
_NEVER_IN_NAMES = re.compile("[\0\ud800-\udc7f\udd00-\udfff]")  # other surrogates encode bytes that are not UTF-8

MAX_NAMED = 3
"""A text of up to this many files is described by their names."""

MAX_SOURCES = 250_000
"""The largest number of files that a text may have."""


def option(default: Value, help_text: str, names: str = "", **more: Any) -> Value:
    """Return a field of a config dataclass, or the default of a command's parameter, that is an option.

    Args:
        default: its default.
        help_text: what `--help` says about the option.
        names: the option's names, separated by spaces; empty: made from the field's name, such as `--hidden-size`.
        more: `shown_default`, the default in words; `panel`, the option's heading in the help text; `metavar`, the
            name of its value, if it is not the usual one for the type; `parser`, which reads it; `min` and `max`.
    """
    return field(default=default, metadata={"help": help_text, "names": names, **more})


def check(config: Any, name: str, condition: bool, remedy: str) -> None:
    """Raise ConfigError naming a field, its value and the remedy, unless the condition holds."""
    if not condition:
        raise ConfigError(name, getattr(config, name), remedy)


def from_mapping(kind: type[Config], values: Mapping[str, Any]) -> Config:
    """Build a config dataclass from JSON values, as `asdict` makes them; missing names take their defaults.

    The values may come from an untrusted file. Raises CheckpointError for unknown names and wrong types, and
    ConfigError for values out of bounds.
    """
    kinds = get_type_hints(kind)
    try:
        return kind(**{name: _converted(value, kinds[name]) for name, value in values.items()})
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"this version cannot use its settings ({error}): written by a newer lstmgen?") from error


def _converted(value: Any, kind: Any) -> Any:
    """Convert a JSON value to its type; raises TypeError or ValueError."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is UnionType:
        return None if value is None else _converted(value, arguments[0])
    if origin is tuple and isinstance(value, list | tuple):
        return tuple(_converted(item, arguments[0]) for item in value)
    if origin is dict and isinstance(value, dict):
        return {_converted(name, arguments[0]): _converted(item, arguments[1]) for name, item in value.items()}
    if is_dataclass(kind) and isinstance(value, Mapping):
        return from_mapping(kind, value)  # type: ignore[arg-type]  # it is a class, no instance
    if origin is None and issubclass(kind, StrEnum):
        return kind(value)
    if kind is str and isinstance(value, str) and (len(value) > _MAX_CHARACTERS or _NEVER_IN_NAMES.search(value)):
        raise ValueError(f"{value[:40]!a}: too long, or with characters that no name has; the file is damaged")
    if type(value) is kind or (kind is float and type(value) is int and abs(value) <= sys.float_info.max):
        return value
    raise TypeError(f"{value!r:.40} is not of the type {getattr(kind, '__name__', kind)}")


_PLANNED = "planned from text, budget and speed"


@dataclass(frozen=True)
class TextConfig:
    """Where the text is, and how to read it."""

    sources: tuple[str, ...] = ("python-docs",)
    encoding: str = option("utf-8", "The character encoding of the text.", metavar="NAME")
    vocabulary: VocabularyKind = option(
        VocabularyKind.CHARACTERS,
        "Read and write characters or bytes. Bytes handle any data and reproduce it unchanged.",
    )
    lines: bool = option(
        False,
        "Each line is one item: the state is reset at its start, items are shuffled, sampling writes whole items.",
        shown_default="off",
    )
    validation: float = option(
        0.1, "Fraction of the text to hold out for validation: its end, or random lines with --lines; 0: none."
    )
    held_out_seed: int | None = None  # chooses the lines that are held out; None: the last ones, or the text's end

    def __post_init__(self) -> None:
        check(self, "validation", 0 <= self.validation < 1, "give a fraction of the text, from 0 to below 1")
        seed = self.held_out_seed
        check(self, "held_out_seed", seed is None or 0 <= seed < 2**63, "give 0 or more, below 2^63")

    @property
    def name(self) -> str:
        """What to call the text: its sources, or for many files their number and folder: `84 files in poems/`."""
        if len(self.sources) <= MAX_NAMED:
            return ", ".join("standard input" if source == "-" else source for source in self.sources)
        try:
            folder = posixpath.commonpath(map(posixpath.dirname, self.sources))
        except ValueError:  # some are relative
            folder = ""
        return f"{len(self.sources):,} files" + (f" in {posixpath.join(folder, '')}" if folder else "")

    @property
    def validation_name(self) -> str:
        """The name of the text that is held out."""
        return f"{self.name}: {self.validation_part}, held out"

    @property
    def validation_part(self) -> str:
        """The part of the text that is held out, in words."""
        percent = f"{100 * self.validation:g}%"
        if self.validation == 0:
            return "nothing"
        if self.lines and self.held_out_seed is not None:
            return f"a random {percent} of the lines (seed {self.held_out_seed})"
        return f"the last {percent}"


MAX_THREADS = 4096
"""The largest number of processor threads to compute with."""

MAX_ATTENDED = 1 << 22
"""The maximum of past outputs times units that attention keeps for one text."""


@dataclass(frozen=True)
class ModelConfig:
    """The network. Together with the size of the vocabulary it determines the shape of every weight."""

    cell: CellKind = option(CellKind.LSTM, f"The recurrent cell: {', '.join(CellKind)}.", metavar="CELL")
    hidden_size: int = option(256, "Units in each layer.", shown_default=_PLANNED)
    num_layers: int = option(2, "Recurrent layers; from the second on, each adds its output to its input.", "--layers")
    embedding_size: int = option(
        64, "Embedding size: the numbers that represent a character.", shown_default="64; 128 for large vocabularies"
    )
    tied: bool = option(
        False,
        "Whether the output layer shares the embedding's vectors.",
        "--tied/--untied",
        shown_default="tied for large vocabularies",
    )
    peepholes: tuple[Peephole, ...] = option(
        tuple(Peephole),
        "For --cell peephole: the gates that see the cell state, separated by commas.",
        metavar="GATES",
        shown_default=",".join(Peephole),
    )
    reset: Reset = option(
        Reset.AFTER, "For --cell gru: whether the reset gate acts before or after the recurrent product."
    )
    attention: int = option(0, "Every step attends to the last N outputs; 0: no attention.")

    def __post_init__(self) -> None:
        for name, maximum in (("hidden_size", 65_536), ("num_layers", 1000), ("embedding_size", 65_536)):
            check(self, name, 1 <= getattr(self, name) <= maximum, f"give 1 to {maximum:,}")
        check(self, "attention", 0 <= self.attention <= 65_536, "give 0 (none) to 65,536 past outputs")
        fits = self.attention * self.hidden_size <= MAX_ATTENDED
        remedy = f"times `hidden_size` {self.hidden_size} is more than {MAX_ATTENDED:,}; make one of them smaller"
        check(self, "attention", fits, remedy)
        if not self.peepholes:
            raise ConfigError("peepholes", "(none)", "name at least one gate, or use `cell` lstm")
        object.__setattr__(self, "peepholes", tuple(gate for gate in Peephole if gate in self.peepholes))


_MAX_BUDGET = 1e12


@dataclass(frozen=True)
class Budget:
    """How long to train."""

    amount: float = 300
    unit: BudgetUnit = BudgetUnit.SECONDS

    def __post_init__(self) -> None:
        if not 0 < self.amount <= _MAX_BUDGET:
            remedy = f"give a number above 0, at most {readably(_MAX_BUDGET)}"
            raise ConfigError(str(self.unit), self.amount, remedy)

    def __str__(self) -> str:
        return f"{readably(self.amount, 12)} {self.unit}"


@dataclass(frozen=True)
class TrainingConfig:
    """How a network is trained."""

    budget: Budget = field(default_factory=Budget)
    batch_size: int = option(
        32,
        "Parallel streams, or enough lines to hold the same number of characters; fewer if the text is short. "
        "With torchrun: per process.",
    )
    chunk_length: int = option(
        32,
        "Characters that each stream reads per update; the state carries over to the next.",
        shown_default="32; 64 in the second half",
    )
    learning_rate: float = option(0.012, "Peak learning rate: it rises to this, then falls linearly to zero.")
    weight_decay: float = option(
        0.15, "Weight decay: how strongly each update pulls the matrices towards zero.", shown_default=_PLANNED
    )
    clip: float = option(1.0, "Largest gradient norm; a larger gradient is scaled down to it.")
    dropout: float = option(
        0.1,
        "Fraction of units dropped between layers and before the output layer, redrawn for each chunk.",
        shown_default=_PLANNED,
    )
    weight_drop: float = option(
        0.0, "Fraction of the recurrent weights dropped, redrawn for each chunk.", shown_default=_PLANNED
    )
    label_smoothing: float = option(
        0.0,
        "Fraction of each target's probability that is spread over all characters.",
        shown_default="planned for large vocabularies",
    )
    chunk_growth: int = 1  # how many chunks a step reads as one in the second half of the budget
    state_reset: float = 0.02  # probability that a stream's state is reset after a chunk
    warm_up: float = 0.02  # fraction of the budget during which the learning rate rises
    most_epochs: float | None = None  # the maximum for a time budget; None: as many as there is time for
    precision: Precision = option(
        Precision.AUTO, "Number format of the matrix products; auto picks the faster one that works here."
    )
    every: int | None = option(
        None, "Evaluate, save and write a preview every N steps.", shown_default="ten times in the budget"
    )
    preview: str = option("", "Text that each preview begins with.", shown_default="nothing")
    seed: int = option(
        0, "Seed for the initial weights, dropout, the order of the text and, with --lines, the held-out lines."
    )

    def __post_init__(self) -> None:
        for name in ("batch_size", "chunk_length", "chunk_growth"):
            check(self, name, 1 <= getattr(self, name) <= 1_000_000, "give 1 to 1,000,000")
        check(self, "learning_rate", 0 < self.learning_rate < 10, "give a number above 0, such as 0.01")
        check(self, "weight_decay", 0 <= self.weight_decay < 10, "give 0 or more, such as 0.1")
        check(self, "clip", 0 < self.clip < math.inf, "give the largest gradient norm allowed, above 0")
        for name in ("dropout", "weight_drop", "label_smoothing", "state_reset", "warm_up"):
            check(self, name, 0 <= getattr(self, name) < 1, "give a fraction from 0 to below 1")
        check(self, "most_epochs", self.most_epochs is None or self.most_epochs > 0, "give more than 0")
        check(self, "every", self.every is None or self.every >= 1, "give at least 1 step")
        check(self, "seed", 0 <= self.seed < 2**63, "give 0 or more, below 2^63")

    @property
    def batch(self) -> str:
        """What a step reads, in words: streams and tokens."""
        first = f"{self.batch_size} streams of {self.chunk_length} characters"
        later = f", {self.chunk_growth * self.chunk_length} in the second half"
        return first if self.chunk_growth == 1 else first + later


CONVERSATION_LENGTH = 80
"""How many characters the model writes at a time in a conversation, by default."""

LINE_SAMPLES = 10
"""How many items a model of lines writes, by default."""


@dataclass(frozen=True)
class SamplingConfig:
    """How to write text. None: the filter is off."""

    length: int = option(
        500,
        f"Characters to write; -1: without end. With --interactive the default is {CONVERSATION_LENGTH}.",
        "--length -n",
    )
    temperature: float = option(
        0.8, "0: always the likeliest character; below 1: safer; above 1: more varied.", "--temp --temperature"
    )
    word_temperature: float | None = option(
        None,
        "Temperature where a word may begin: a higher one gives varied but well-spelled words.",
        "--word-temp",
        shown_default="as --temp",
    )
    top_k: int | None = option(None, "Choose among the N likeliest characters.", shown_default="all")
    top_p: float | None = option(
        None, "Choose among the likeliest characters that together have probability X.", shown_default="all"
    )
    min_p: float | None = option(
        None, "Leave out characters below X times the probability of the likeliest.", shown_default="nothing"
    )
    no_repeat: int | None = option(
        None, "Never write the same N characters in a row twice.", shown_default="anything may be repeated"
    )
    max_copy: int | None = option(
        None, "Never copy more than N characters in a row from the training text.", shown_default="any number"
    )
    match: str | None = option(
        None,
        "Everything after the prompt matches this pattern, within --length.",
        metavar="REGEX",
        shown_default="anything",
    )
    stop: tuple[str, ...] = option((), "Stop before this text; may be given several times.", shown_default="none")
    samples: int = option(1, f"Texts to write, as one batch. For a model of lines the default is {LINE_SAMPLES}.")
    best_of: int = option(1, "Write N candidates for each text and keep the one the model finds likeliest.")

    def __post_init__(self) -> None:
        given: Any = self.stop
        stops = (given,) if isinstance(given, str) else tuple(given or ())
        object.__setattr__(self, "stop", stops)  # a single text is one stop text, not a sequence of its characters
        for name in ("length", "top_k", "no_repeat", "max_copy", "samples", "best_of"):
            value = getattr(self, name)
            optional = value is None and name not in ("length", "samples", "best_of")
            check(self, name, optional or isinstance(value, Integral), "give a whole number")
        for name, low, high, remedy in (
            ("length", -1, math.inf, "give how many characters to write, or -1 for endless"),
            ("temperature", 0, 1000, "give 0 (always the likeliest) to 1000"),
            ("word_temperature", 0, 1000, "give 0 (always the likeliest) to 1000"),
            ("top_k", 1, math.inf, "give how many characters to choose from, at least 1"),
            ("top_p", 0, 1, "give a probability from 0 (the likeliest alone) to 1 (all)"),
            ("min_p", 0, 1, "give a fraction from 0 (all) to 1 (the likeliest alone)"),
            ("no_repeat", 1, 1000, "give 1 to 1,000 characters; 8 to 30 make sense"),
            ("max_copy", 1, 1000, "give 1 to 1,000 characters; 15 to 50 make sense"),
            ("samples", 1, 10_000, "give 1 to 10,000"),
            ("best_of", 1, 10_000, "give 1 to 10,000 candidates"),
        ):
            value = getattr(self, name)
            check(self, name, value is None or low <= value <= high, remedy)
        if "" in self.stop:
            raise ConfigError("stop", "''", "give a text of at least one character")
        total = self.samples * self.best_of
        if total > 10_000:
            raise ConfigError("samples", f"times `best_of` {total}", "give at most 10,000 together")
