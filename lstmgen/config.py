"""Every choice a user can make, with its default.

Knows: names, defaults and bounds. This is the only place where a default lives.
Does not know: NumPy, torch, or what the choices are used for.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, is_dataclass
from enum import StrEnum
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from lstmgen.errors import ConfigError


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
    """What one symbol is: a Unicode code point of the text, or a byte."""

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
    """What to do with a prompt's character that the model has never seen."""

    ERROR = "error"
    SKIP = "skip"


class Finish(StrEnum):
    """Why a sample ended."""

    LENGTH = "length"  # it is as long as was asked for
    LINE = "line"  # a model of lines ended its line
    STOP = "stop"  # the next thing would have been one of the stop texts
    MATCH = "match"  # it matches the whole pattern
    STUCK = "stuck"  # the filters left nothing to write


class BudgetUnit(StrEnum):
    """What a training budget counts."""

    SECONDS = "seconds"
    EPOCHS = "epochs"
    STEPS = "steps"

    @property
    def option(self) -> str:
        """The option that gives such a budget."""
        return "--time" if self is BudgetUnit.SECONDS else f"--{self}"


Config = TypeVar("Config")


def require(condition: bool, option: str, value: object, remedy: str) -> None:
    """Raise ConfigError naming the option, its value and the remedy, unless the condition holds."""
    if not condition:
        raise ConfigError(f"{option} {value}: {remedy}")


def from_mapping(kind: type[Config], values: Mapping[str, Any]) -> Config:
    """Build a config dataclass from JSON values; missing names take their defaults.

    Raises ConfigError for names, types and values that this version does not know: they may come from anywhere.
    """
    kinds = get_type_hints(kind)
    try:
        return kind(**{name: _converted(value, kinds[name]) for name, value in values.items()})
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"settings that this version cannot use ({error}): written by a newer lstmgen?") from error


def _converted(value: Any, kind: Any) -> Any:
    """What JSON made of a value of this type, as that type again; raises TypeError or ValueError."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is UnionType:
        return None if value is None else _converted(value, arguments[0])
    if origin is tuple and isinstance(value, list | tuple):
        return tuple(_converted(item, arguments[0]) for item in value)
    if origin is dict and isinstance(value, dict):
        return {_converted(name, arguments[0]): _converted(item, arguments[1]) for name, item in value.items()}
    if origin is None and is_dataclass(kind) and isinstance(kind, type) and isinstance(value, Mapping):
        return from_mapping(kind, value)
    if origin is None and issubclass(kind, StrEnum) and isinstance(value, str):
        return kind(value)
    if type(value) is kind or (kind is float and type(value) is int):
        return value
    raise TypeError(f"{value!r:.40} is no {getattr(kind, '__name__', kind)}")


def to_mapping(config: Any) -> dict[str, Any]:
    """Turn a config dataclass into values that JSON can hold; `from_mapping` is its inverse."""
    return asdict(config)


@dataclass(frozen=True)
class TextConfig:
    """How a text is found and read."""

    sources: tuple[str, ...] = ("python-docs",)
    encoding: str = "utf-8"
    vocabulary: VocabularyKind = VocabularyKind.CHARACTERS
    lines: bool = False  # each line is one item: state reset at its start, items shuffled
    validation: float = 0.1  # the last part of the text, held out from training

    def __post_init__(self) -> None:
        require(
            0 <= self.validation < 1,
            "--validation",
            self.validation,
            "give a share of the text from 0 to below 1",
        )


@dataclass(frozen=True)
class ModelConfig:
    """Which network: enough, with a vocabulary's size, to know the shape of every weight."""

    cell: CellKind = CellKind.LSTM
    hidden_size: int = 256
    num_layers: int = 2
    embedding_size: int = 64
    peepholes: tuple[Peephole, ...] = tuple(Peephole)  # for the peephole cell alone
    reset: Reset = Reset.AFTER  # for the GRU alone
    attention: int = 0  # how many past outputs each step may look at; 0: no attention

    def __post_init__(self) -> None:
        for option, value, most in (
            ("--hidden-size", self.hidden_size, 65_536),
            ("--layers", self.num_layers, 1000),
            ("--embedding-size", self.embedding_size, 65_536),
        ):
            require(1 <= value <= most, option, value, f"give 1 to {most:,}")
        require(0 <= self.attention <= 65_536, "--attention", self.attention, "give 0 (none) to 65,536 past outputs")
        require(len(self.peepholes) > 0, "--peepholes", "(none)", "name at least one gate, or use --cell lstm")
        object.__setattr__(self, "peepholes", tuple(gate for gate in Peephole if gate in self.peepholes))

    def __str__(self) -> str:
        text = f"{self.num_layers} x {self.hidden_size} {self.cell}"
        if self.cell is CellKind.GRU:
            text += f", reset {self.reset}"
        if self.cell is CellKind.PEEPHOLE and len(self.peepholes) < len(Peephole):
            text += f", {' and '.join(self.peepholes)}"
        return text + (f", attention {self.attention}" if self.attention else "")


@dataclass(frozen=True)
class Budget:
    """How long to train."""

    amount: float = 300
    unit: BudgetUnit = BudgetUnit.SECONDS

    def __post_init__(self) -> None:
        require(0 < self.amount < float("inf"), self.unit.option, self.amount, "give a number above 0")

    def __str__(self) -> str:
        return f"{self.amount:.12g} {self.unit}"


@dataclass(frozen=True)
class TrainingConfig:
    """How a network is trained."""

    budget: Budget = field(default_factory=Budget)
    batch_size: int = 32
    chunk_length: int = 64
    learning_rate: float = 8e-3
    weight_decay: float = 0.15
    clip: float = 1.0
    dropout: float = 0.1
    weight_drop: float = 0.0  # share of the recurrent weights dropped, anew for each chunk
    state_reset: float = 0.02  # chance that a stream begins anew after a chunk
    warm_up: float = 0.02  # share of the budget in which the learning rate rises
    most_epochs: float | None = None  # with a budget of time: end after so many; None: as many as there is time for
    precision: Precision = Precision.AUTO
    every: int | None = None  # steps between evaluations; None: ten evaluations over the budget
    preview: str = ""
    seed: int = 0

    def __post_init__(self) -> None:
        require(self.batch_size >= 1, "--batch-size", self.batch_size, "give at least 1")
        require(self.chunk_length >= 1, "--chunk-length", self.chunk_length, "give at least 1")
        require(
            0 < self.learning_rate < 10,
            "--learning-rate",
            self.learning_rate,
            "give a number above 0, such as 0.008",
        )
        require(0 <= self.weight_decay < 10, "--weight-decay", self.weight_decay, "give 0 or more, such as 0.1")
        require(self.clip > 0, "--clip", self.clip, "give the largest gradient norm allowed, above 0")
        for option, share in (
            ("--dropout", self.dropout),
            ("--weight-drop", self.weight_drop),
            ("state_reset", self.state_reset),
            ("warm_up", self.warm_up),
        ):
            require(0 <= share < 1, option, share, "give a share from 0 to below 1")
        require(self.most_epochs is None or self.most_epochs > 0, "most_epochs", self.most_epochs, "give more than 0")
        require(self.every is None or self.every >= 1, "--every", self.every, "give at least 1 step")
        require(0 <= self.seed < 2**63, "--seed", self.seed, "give 0 or more, below 2^63")


@dataclass(frozen=True)
class DynamicConfig:
    """How a model learns from what it reads while it is evaluated; TRIALS.md says how these were found."""

    segment_length: int = 20  # symbols that are predicted before they are learned from
    learning_rate: float = 8e-5
    decay: float = 4e-3  # how far each step draws the weights back to the trained ones
    epsilon: float = 0.1  # of the mean gradient scale, below which gradients count as no smaller
    scale_batch_size: int = 32
    scale_chunks: int = 200  # of the training text that the gradients' scales are measured on


@dataclass(frozen=True)
class SamplingConfig:
    """How text is written; None: that filter is not used."""

    length: int = 500  # symbols; -1: endless
    temperature: float = 0.8  # 0: always the likeliest symbol
    word_temperature: float | None = None  # where a word may begin; None: as everywhere
    top_k: int | None = None  # only so many of the likeliest symbols
    top_p: float | None = None  # only the likeliest that together have this probability
    min_p: float | None = None  # only those with this share of the likeliest one's probability
    no_repeat: int | None = None  # no so many symbols in a row twice
    max_copy: int | None = None  # never more symbols in a row from the training text
    match: str | None = None  # a regular expression for all that is written
    stop: tuple[str, ...] = ()  # texts before which a sample ends
    samples: int = 1
    best_of: int = 1  # of so many candidates for each sample, the likeliest is kept

    def __post_init__(self) -> None:
        def check(option: str, value: float | None, low: float, high: float, remedy: str) -> None:
            require(value is None or low <= value <= high, option, value, remedy)

        require(self.length >= -1, "--length", self.length, "give how many characters to write, or -1 for endless")
        for option, temperature in (("--temp", self.temperature), ("--word-temp", self.word_temperature)):
            check(option, temperature, 0, 1000, "give 0 (always the likeliest) to 1000")
        check("--top-k", self.top_k, 1, float("inf"), "give how many characters to choose from, at least 1")
        check("--top-p", self.top_p, 0, 1, "give a probability from 0 (the likeliest alone) to 1 (all)")
        check("--min-p", self.min_p, 0, 1, "give a share from 0 (all) to 1 (the likeliest alone)")
        check("--no-repeat", self.no_repeat, 1, 1000, "give 1 to 1,000 characters; 8 to 30 make sense")
        check("--max-copy", self.max_copy, 1, 1000, "give 1 to 1,000 characters; 15 to 50 make sense")
        require("" not in self.stop, "--stop", "''", "give a text of at least one character")
        require(1 <= self.samples <= 10_000, "--samples", self.samples, "give 1 to 10,000")
        require(1 <= self.best_of <= 10_000, "--best-of", self.best_of, "give 1 to 10,000 candidates")
        total = self.samples * self.best_of
        require(total <= 10_000, "--samples times --best-of", total, "give at most 10,000 together")
