"""The events that training yields.

`cli.progress` draws them, `training.storage` writes them to `log.jsonl`, and `--json` prints them.
"""

from dataclasses import dataclass
from typing import Any, ClassVar


class Event:
    """Something that happened."""

    event: ClassVar[str]


@dataclass(frozen=True)
class Planned(Event):
    """The plan, before the first step."""

    event: ClassVar[str] = "plan"
    run: str
    text: list[str]
    training_symbols: int
    validation_symbols: int
    vocab_size: int
    parameters: int
    layer_parameters: int  # those in the recurrent layers and attention, which do not depend on vocab_size
    model: dict[str, Any]
    training: dict[str, Any]
    precision: str
    threads: int
    device: str
    reasons: list[str]  # for the planned settings
    notes: list[str]
    started_from: str | None = None  # the checkpoint of the base model


@dataclass(frozen=True)
class Stepped(Event):
    """One update of the weights."""

    event: ClassVar[str] = "step"
    step: int
    epoch: float
    progress: float  # the used-up fraction of the budget
    nats: float  # training loss per token, smoothed over about fifty steps
    learning_rate: float
    characters_per_second: float
    seconds: float  # since the command began, over all sessions


@dataclass(frozen=True)
class Evaluated(Event):
    """An evaluation on the held-out text, with a preview of the network's writing."""

    event: ClassVar[str] = "evaluation"
    step: int
    epoch: float
    progress: float
    training_nats: float
    validation_nats: float | None
    best: bool  # whether these weights are the best of the run so far
    preview: str
    seconds: float


@dataclass(frozen=True)
class Averaged(Event):
    """A mean of the weights at the start and at the end is the best of the run."""

    event: ClassVar[str] = "averaged"
    step: int
    share_of_start: float  # the weight of those at the start
    validation_nats: float


@dataclass(frozen=True)
class Overfitting(Event):
    """The network overfits: its validation loss is rising. A time budget then ends early."""

    event: ClassVar[str] = "overfitting"
    step: int
    since: int  # the step of the best weights
    best_nats: float
    validation_nats: float
    training_nats: float
    epoch: float
    end_epoch: float  # where training will now end; the learning rate falls until then


@dataclass(frozen=True)
class RolledBack(Event):
    """The loss diverged. Training continues from the last good state, with a lower learning rate."""

    event: ClassVar[str] = "rolled_back"
    step: int
    to_step: int
    learning_rate: float  # the new peak
    training_nats: float  # of the last step; NaN if not finite
    seconds: float


@dataclass(frozen=True)
class ThreadsChanged(Event):
    """The number of threads changed: fewer because other programs slow training down, or all of them again."""

    event: ClassVar[str] = "threads_changed"
    step: int
    threads: int
    seconds: float


@dataclass(frozen=True)
class Suspended(Event):
    """The process was stopped, by Ctrl-Z or because the machine slept; that time does not count."""

    event: ClassVar[str] = "suspended"
    step: int
    stopped_seconds: float
    seconds: float


@dataclass(frozen=True)
class SaveFailed(Event):
    """The run could not be saved. Training continues, and retries saving until it works."""

    event: ClassVar[str] = "save_failed"
    step: int
    reason: str
    saved_step: int | None  # of the checkpoint on the disk; None: there is none
    seconds: float


@dataclass(frozen=True)
class SavedAgain(Event):
    """The run was saved again after failures."""

    event: ClassVar[str] = "saved_again"
    step: int
    seconds: float


@dataclass(frozen=True)
class Finished(Event):
    """Training ended or was interrupted."""

    event: ClassVar[str] = "finished"
    checkpoint: str
    step: int
    epoch: float
    validation_nats: float | None  # of the best weights
    characters_per_second: float
    seconds: float
    interrupted: bool


LOGGED_STEPS = 50
"""The log keeps one step out of this many."""

WORSE_NATS = 0.01
"""A validation loss this many nats above the best one is not noise: the network overfits."""


def to_mapping(event: Event) -> dict[str, Any]:
    """Turn an event into JSON values, its name first; NaN becomes null."""
    values = {name: None if value != value else value for name, value in vars(event).items()}
    return {"event": event.event, **values}


def is_logged(event: Event) -> bool:
    """Whether `log.jsonl` keeps the event: it drops most steps, and nothing else."""
    return not isinstance(event, Stepped) or event.step % LOGGED_STEPS == 0
