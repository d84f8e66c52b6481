"""Every choice a user can make, with its default.

Knows: names, defaults and bounds. This is the only place where a default lives.
Does not know: NumPy, torch, or what the choices are used for.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, TypeVar

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

    Raises ConfigError for names and values that this version does not know.
    """
    try:
        return kind(**values)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"settings that this version cannot use ({error}): written by a newer lstmgen?") from error


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
        object.__setattr__(self, "sources", tuple(self.sources))
        object.__setattr__(self, "vocabulary", VocabularyKind(self.vocabulary))


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
        for option, value in (
            ("--hidden-size", self.hidden_size),
            ("--layers", self.num_layers),
            ("--embedding-size", self.embedding_size),
        ):
            require(value >= 1, option, value, "give at least 1")
        require(
            self.attention >= 0,
            "--attention",
            self.attention,
            "give 0 (none) or how many past outputs to see",
        )
        object.__setattr__(self, "cell", CellKind(self.cell))
        object.__setattr__(self, "reset", Reset(self.reset))
        chosen = {Peephole(gate) for gate in self.peepholes}
        object.__setattr__(self, "peepholes", tuple(gate for gate in Peephole if gate in chosen))
        require(len(self.peepholes) > 0, "--peepholes", "(none)", "name at least one gate, or use --cell lstm")


@dataclass(frozen=True)
class Budget:
    """How long to train."""

    amount: float = 300
    unit: BudgetUnit = BudgetUnit.SECONDS

    def __post_init__(self) -> None:
        object.__setattr__(self, "unit", BudgetUnit(self.unit))
        require(0 < self.amount < float("inf"), self.unit.option, self.amount, "give a number above 0")

    def __str__(self) -> str:
        return f"{self.amount:g} {self.unit}"


@dataclass(frozen=True)
class TrainingConfig:
    """How a network is trained."""

    budget: Budget = field(default_factory=Budget)
    batch_size: int = 32
    chunk_length: int = 64
    learning_rate: float = 8e-3
    weight_decay: float = 0.01
    clip: float = 1.0
    dropout: float = 0.1
    state_reset: float = 0.02  # chance that a stream begins anew after a chunk
    warm_up: float = 0.02  # share of the budget in which the learning rate rises
    final_learning_rate: float = 0.02  # as a share of the learning rate
    precision: Precision = Precision.AUTO
    every: int | None = None  # steps between evaluations; None: ten evaluations over the budget
    preview: str = ""
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "precision", Precision(self.precision))
        if isinstance(self.budget, Mapping):
            object.__setattr__(self, "budget", from_mapping(Budget, self.budget))
        require(self.batch_size >= 1, "--batch-size", self.batch_size, "give at least 1")
        require(self.chunk_length >= 1, "--chunk-length", self.chunk_length, "give at least 1")
        require(
            0 < self.learning_rate < 10,
            "--learning-rate",
            self.learning_rate,
            "give a number above 0, such as 0.008",
        )
        require(0 <= self.weight_decay < 10, "--weight-decay", self.weight_decay, "give 0 or more, such as 0.01")
        require(self.clip > 0, "--clip", self.clip, "give the largest gradient norm allowed, above 0")
        require(0 <= self.dropout < 1, "--dropout", self.dropout, "give a share from 0 to below 1")
        require(self.every is None or self.every >= 1, "--every", self.every, "give at least 1 step")
        require(self.seed >= 0, "--seed", self.seed, "give 0 or more")


@dataclass(frozen=True)
class SamplingConfig:
    """How text is written."""

    length: int = 500  # symbols; -1: endless
    temperature: float = 0.8  # 0: always the likeliest symbol
    samples: int = 1

    def __post_init__(self) -> None:
        require(self.length >= -1, "--length", self.length, "give how many characters to write, or -1 for endless")
        require(
            0 <= self.temperature < float("inf"),
            "--temp",
            self.temperature,
            "give 0 (always the likeliest) or more",
        )
        require(self.samples >= 1, "--samples", self.samples, "give at least 1")
