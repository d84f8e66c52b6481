"""Training as a person follows it: a plan, a bar, evaluations, the end.

Knows: events and tqdm. Does not know: training.
"""

import sys
from pathlib import Path
from types import TracebackType

from tqdm import tqdm

from lstmgen.cli.render import count, duration, note, printable
from lstmgen.config import ModelConfig, from_mapping
from lstmgen.training.events import Evaluated, Event, Finished, Overfitting, Planned, Stepped

_BAR = "{percentage:3.0f}% {bar} {elapsed}<{remaining} {desc}"


class ProgressDisplay:
    """Writes events to stderr: with a bar on a terminal, else a line for each evaluation."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self._bar = tqdm(
            total=1.0,
            bar_format=_BAR,
            file=sys.stderr,
            disable=quiet or not sys.stderr.isatty(),
            dynamic_ncols=True,
            leave=False,
        )
        self._validation = ""

    def __enter__(self) -> "ProgressDisplay":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()

    def show(self, event: Event) -> None:
        """Show one event."""
        match event:
            case Stepped():
                self._bar.set_description_str(
                    f"loss {event.nats:.3f}{self._validation} · {count(event.characters_per_second)} chars/s "
                    f"· epoch {event.epoch:.1f}",
                    refresh=False,
                )
                if self._bar.n == 0:
                    self._bar.initial = self._bar.n = event.progress  # what earlier sessions did took no time now
                self._bar.update(event.progress - self._bar.n)
            case Evaluated():
                self._show_evaluation(event)
            case Overfitting():
                self.write(
                    f"\nthe network has begun to learn the text by heart: loss {event.training_nats:.3f} and falling, "
                    f"validation {event.validation_nats:.3f}, up from {event.best_nats:.3f} at step {event.since:,}.\n"
                    f"Training will end early, at epoch {event.end_epoch:.1f}; the best weights are kept."
                )
            case Finished() | Planned():
                pass

    def mute(self) -> None:
        """Write nothing any more: nobody is there to read."""
        self._quiet = self._bar.disable = True

    def write(self, text: str) -> None:
        """Write a line above the bar."""
        if not self._quiet:
            tqdm.write(text, file=sys.stderr)

    def _show_evaluation(self, event: Evaluated) -> None:
        if event.validation_nats is not None:
            self._validation = f" · validation {event.validation_nats:.3f}"
        best = ", the best so far" if event.best and event.validation_nats is not None else ""
        self.write(
            f"\n{event.progress:4.0%}  step {event.step:,} · epoch {event.epoch:.2f} · loss {event.training_nats:.4f}"
            f"{self._validation}{best}"
        )
        self.write("\n".join("    " + line for line in printable(event.preview).strip("\n").split("\n")))


def show_plan(plan: Planned, quiet: bool) -> None:
    """Say what is about to happen, in a few lines."""
    training = plan.training
    budget = training["budget"]
    amount = duration(budget["amount"]) if budget["unit"] == "seconds" else f"{budget['amount']:.12g} {budget['unit']}"
    weight_drop = f", weight drop {training['weight_drop']:g}" if training["weight_drop"] else ""
    note(
        f"text     {', '.join(plan.text)}: {plan.training_symbols:,} symbols to learn from, "
        f"{plan.validation_symbols:,} held out, {plan.vocab_size} distinct\n"
        f"network  {from_mapping(ModelConfig, plan.model)}, {count(plan.parameters)} parameters\n"
        f"training {amount}, batch {training['batch_size']} x {training['chunk_length']}, learning rate "
        f"{training['learning_rate']:g}, weight decay {training['weight_decay']:g}, "
        f"dropout {training['dropout']:g}{weight_drop}; "
        f"{plan.precision} on {_place(plan)}",
        quiet=quiet,
    )
    for line in plan.reasons:
        note(f"because  {line}", quiet=quiet)
    note(f"run      {plan.run}", quiet=quiet)
    for line in plan.notes:
        note(f"note     {line}", quiet=quiet)


def _place(plan: Planned) -> str:
    if plan.device != "cpu":
        return plan.device
    return "1 thread" if plan.threads == 1 else f"{plan.threads} threads"


def show_end(end: Finished, run: str, quiet: bool) -> None:
    """Say where the model is and what to type next."""
    nats = "" if end.validation_nats is None else f", validation {end.validation_nats:.4f} nats per character"
    if end.interrupted:
        note(
            f"\nstopped at step {end.step:,}, epoch {end.epoch:.2f}; all is saved in {Path(end.checkpoint).parent}\n"
            f"go on with: lstmgen train --resume {run}",
            quiet=quiet,
        )
        return
    note(
        f"\ndone in {duration(end.seconds)}: {end.step:,} steps, {end.epoch:.2f} epochs, "
        f"{count(end.characters_per_second)} chars/s{nats}\n"
        f"the model is {end.checkpoint}; now: lstmgen sample {run}",
        quiet=quiet,
    )
