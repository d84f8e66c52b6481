"""What training has to say, as it goes.

Knows: the facts. Does not know: who listens (`cli.progress` draws them, `log.jsonl` keeps them, `--json` prints them).
"""

from dataclasses import asdict, dataclass
from typing import Any, ClassVar


@dataclass(frozen=True)
class Planned:
    """What is about to happen."""

    event: ClassVar[str] = "plan"
    run: str
    text: list[str]
    training_symbols: int
    validation_symbols: int
    vocab_size: int
    parameters: int
    model: dict[str, Any]
    training: dict[str, Any]
    precision: str
    threads: int
    device: str
    reasons: list[str]  # of what was planned
    notes: list[str]


@dataclass(frozen=True)
class Stepped:
    """One update of the weights."""

    event: ClassVar[str] = "step"
    step: int
    epoch: float
    progress: float  # share of the budget, 0 to 1
    nats: float  # training loss per symbol, smoothed over about fifty steps
    learning_rate: float
    characters_per_second: float
    seconds: float  # of the budget that are used up


@dataclass(frozen=True)
class Evaluated:
    """A look at the held-out text, and a preview of what the network writes."""

    event: ClassVar[str] = "evaluation"
    step: int
    epoch: float
    progress: float
    training_nats: float
    validation_nats: float | None
    best: bool  # these weights are now the run's best
    preview: str
    seconds: float


@dataclass(frozen=True)
class Overfitting:
    """The network learns the text by heart: a budget of time will not be used up."""

    event: ClassVar[str] = "overfitting"
    step: int
    since: int  # the step of the best weights
    best_nats: float
    validation_nats: float
    training_nats: float
    epoch: float
    end_epoch: float  # where training ends now, its learning rate falling until then


@dataclass(frozen=True)
class Finished:
    """The end of training, or its interruption."""

    event: ClassVar[str] = "finished"
    checkpoint: str
    step: int
    epoch: float
    validation_nats: float | None  # of the best weights
    characters_per_second: float
    seconds: float
    interrupted: bool


LOGGED_STEPS = 50
"""Of the steps, every so many are kept in the log."""

WORSE_NATS = 0.01
"""A validation loss so far above the best is more than chance: the text is being learned by heart."""

Event = Planned | Stepped | Evaluated | Overfitting | Finished


def to_mapping(event: Event) -> dict[str, Any]:
    """The event as values that JSON can hold, its name first; what is not a number is null."""
    values = {name: None if value != value else value for name, value in asdict(event).items()}
    return {"event": event.event, **values}


def is_logged(event: Event) -> bool:
    """Whether `log.jsonl` keeps the event: all but most steps."""
    return not isinstance(event, Stepped) or event.step % LOGGED_STEPS == 0
