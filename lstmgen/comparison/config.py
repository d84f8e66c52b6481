"""Which networks to compare, and how."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from itertools import product

from lstmgen.config import Budget, BudgetUnit, CellKind, Device, ModelConfig, TextConfig, TrainingConfig, check
from lstmgen.errors import ConfigError

_RECALL_BUDGET = Budget(1800, BudgetUnit.STEPS)


@dataclass(frozen=True)
class RecallConfig:
    """Which networks learn to recall a character, how, and at which lags to measure them.

    The values come from the experiments in docs/TRIALS.md.
    """

    cells: tuple[CellKind, ...] = tuple(CellKind)
    attention: int | None = None  # window of an extra network with the first cell; None: longer than every lag; 0: none
    lags: tuple[int, ...] = (10, 25, 50, 100, 200)
    hidden_size: int | None = None  # None: chosen so that all networks have the same number of parameters
    parameters: int = 8400  # that number: an LSTM then has 34 units
    num_layers: int = 1
    embedding_size: int = 16
    seeds: int = 3
    budget: Budget = _RECALL_BUDGET  # of one network with one seed
    batch_size: int = 64
    learning_rate: float = 0.005
    first_lag: int = 4  # the initial end of the growing range of lags
    learned_nats: float = 0.3  # below this loss a batch counts as learned, and the range grows
    lag_growth: float = 1.1
    check_every: int = 25  # updates between two checks of the lags that the network has learned
    checked: int = 100  # fresh questions per check
    questions: int = 1000  # fresh ones for each lag and seed, after training

    def __post_init__(self) -> None:
        _check_each_once(self, "cells", "lags")
        if not all(2 <= lag <= 10_000 for lag in self.lags):
            raise ConfigError("lags", _listed(self.lags), "give 2 to 10,000 characters from the key to the answer")
        check(self, "seeds", 1 <= self.seeds <= 1000, "give 1 to 1,000")
        if self.budget.unit is BudgetUnit.EPOCHS:
            raise ConfigError("epochs", self.budget.amount, "a synthetic text is endless; give `steps` or `seconds`")
        self.models()

    def models(self) -> tuple[ModelConfig, ...]:
        """The networks: each cell, then the first one with attention; `recall` chooses missing hidden sizes."""
        window = max(self.lags) + 1 if self.attention is None else self.attention
        kinds = [(cell, 0) for cell in self.cells] + ([(self.cells[0], window)] if window else [])
        return tuple(
            ModelConfig(
                cell=cell,
                attention=attention,
                hidden_size=ModelConfig.hidden_size if self.hidden_size is None else self.hidden_size,
                num_layers=self.num_layers,
                embedding_size=self.embedding_size,
            )
            for cell, attention in kinds
        )


@dataclass(frozen=True)
class ComparisonConfig:
    """Which networks to compare: every combination of cells, layers, attention and hidden sizes."""

    text: TextConfig = field(default_factory=TextConfig)
    training: TrainingConfig = field(default_factory=lambda: TrainingConfig(Budget(60)))  # its seed is the first one
    planned: tuple[str, ...] = ()  # the fields for the plan to choose, with the same values for all networks
    cells: tuple[CellKind, ...] = tuple(CellKind)
    num_layers: tuple[int, ...] = (ModelConfig.num_layers,)
    attention: tuple[int, ...] = (ModelConfig.attention,)
    hidden_size: tuple[int, ...] = ()  # empty: chosen so that all networks have the same number of parameters
    parameters: int | None = None  # that number; None: as many as the planned LSTM has
    seeds: int = 1
    device: Device = Device.AUTO
    threads: int | None = None

    def __post_init__(self) -> None:
        check(self, "seeds", 1 <= self.seeds <= 1000, "give 1 to 1,000")
        _check_each_once(self, "cells", "num_layers", "attention", *(["hidden_size"] if self.hidden_size else []))
        if self.hidden_size and self.parameters is not None:
            raise ConfigError("parameters", f"{self.parameters:,}", "it sets the hidden size; leave out one of them")
        self.models(ModelConfig())  # raises ConfigError for a value that is out of bounds

    def models(self, base: ModelConfig) -> tuple[ModelConfig, ...]:
        """The networks; settings that are not compared come from `base`."""
        axes = product(self.cells, self.num_layers, self.attention, self.hidden_size or (base.hidden_size,))
        return tuple(
            replace(base, cell=cell, num_layers=layers, attention=attention, hidden_size=size)
            for cell, layers, attention, size in axes
        )


def _check_each_once(config: object, *names: str) -> None:
    """Raise ConfigError if one of these lists is empty or names a value twice."""
    for name in names:
        values = getattr(config, name)
        if not values or len(set(values)) < len(values):
            raise ConfigError(name, _listed(values), "name at least one, and each only once")


def _listed(values: Iterable[object]) -> str:
    return ",".join(map(str, values)) or "(none)"
