"""How a checkpoint was made, and how far its training has got."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from lstmgen.config import MAX_SOURCES, MAX_THREADS, Precision, TextConfig, TrainingConfig, from_mapping
from lstmgen.errors import CheckpointError

HELD_OUT = "the held-out text"
"""The name in `TrainingRecord.adapted_to` of the part of the model's own text that was held out from training."""

_MAX = 1e12  # seconds, or nats


@dataclass(frozen=True)
class Position:
    """How far training has got; it changes with every step."""

    epoch: int = 0
    chunk: int = 0  # the number of chunks of this epoch read so far
    step: int = 0
    symbols_read: int = 0
    progress: float = 0.0  # the fraction of the budget used up
    best_nats: float | None = None  # of the run so far
    best_step: int = 0  # the step of `best_nats`
    best_progress: float = 0.0

    def __post_init__(self) -> None:
        _check(all(0 <= count < 2**63 for count in (self.epoch, self.chunk, self.step, self.symbols_read)))
        _check(0 <= self.progress <= 1 and 0 <= self.best_progress <= 1 and 0 <= self.best_step < 2**63)
        _check(self.best_nats is None or 0 <= self.best_nats < _MAX)


@dataclass(frozen=True)
class TrainingRecord:
    """How a checkpoint was made: enough to cite it, to find its held-out text again and to resume training."""

    text: TextConfig
    text_sha256: str
    text_symbols: int
    training: TrainingConfig
    precision: Precision  # the one used; `training.precision` is the one requested
    device: str
    threads: int  # of each process
    position: Position = field(default_factory=Position)
    seconds: float = 0.0  # over all sessions, from the start of each command, with loading and evaluations
    validation_nats: float | None = None  # of these weights
    validation_chunks: int | None = None  # the number of chunks that an evaluation in training reads
    versions: dict[str, str] = field(default_factory=dict)
    adapted_to: tuple[str, ...] = ()  # texts that it learned from during evaluations, or HELD_OUT
    processes: int = 1  # that trained the network together
    started_from: str | None = None  # the checkpoint that was trained further; None: the network began untrained
    share_of_start: float = 0.0  # of its weights in these, which are then a mean of both

    def __post_init__(self) -> None:
        _check(
            len(self.text.sources) <= MAX_SOURCES
            and 0 <= self.text_symbols < 2**63
            and 1 <= self.threads <= MAX_THREADS
            and 1 <= self.processes < 2**31
            and 0 <= self.seconds < _MAX
        )
        _check(self.validation_nats is None or 0 <= self.validation_nats < _MAX)
        _check(self.validation_chunks is None or 1 <= self.validation_chunks < 2**63)
        _check(0 <= self.share_of_start <= 1)

    def to_mapping(self) -> dict[str, Any]:
        """Turn the record into values that JSON can hold; the position's fields are merged in."""
        values = asdict(self)
        position: dict[str, Any] = values.pop("position")
        for name in ("processes", "started_from", "share_of_start"):  # older versions do not know these fields
            if values[name] == getattr(TrainingRecord, name):
                del values[name]
        return values | position

    @staticmethod
    def from_mapping(values: Mapping[str, Any]) -> "TrainingRecord":
        """Build a record from what `to_mapping` returned; raises CheckpointError."""
        others = dict(values)
        position = {field.name: others.pop(field.name) for field in fields(Position) if field.name in others}
        return replace(from_mapping(TrainingRecord, others), position=from_mapping(Position, position))


def _check(possible: bool) -> None:
    """Raise CheckpointError unless training can produce these numbers; NaN fails every check."""
    if not possible:
        raise CheckpointError("its training record holds numbers that training cannot produce")
