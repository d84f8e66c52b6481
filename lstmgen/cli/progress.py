"""What `lstmgen train` shows on stderr: the plan, a progress bar, evaluations, the end."""

import math
import sys
from pathlib import Path

from tqdm import tqdm

from lstmgen.cli.reading_bar import progress_bar
from lstmgen.cli.render import budget_in_words, duration, plural, recipe, with_options
from lstmgen.config import Budget, BudgetUnit, ModelConfig, TextConfig, TrainingConfig, from_mapping
from lstmgen.printable import count, message_line, printable, readably
from lstmgen.training.events import (
    Evaluated,
    Event,
    Finished,
    Overfitting,
    Planned,
    RolledBack,
    SavedAgain,
    SaveFailed,
    Stepped,
    Suspended,
    ThreadsChanged,
)

_TOKENS = {"character": "chars", "byte": "bytes"}
BAR_FORMAT = "{percentage:3.0f}% {bar} {elapsed}<{remaining} {desc}"


class ProgressDisplay:
    """Writes the events of training to stderr; on a terminal with a progress bar."""

    def __init__(self, quiet: bool, unit: str) -> None:
        """Begin to show, or write nothing; `unit` is what one token of the text is, character or byte."""
        self._quiet = quiet
        self._unit = unit
        self._tokens = _TOKENS[unit]
        self._bar = progress_bar(quiet=quiet, total=1.0, bar_format=BAR_FORMAT)
        self._loss = self._pace = self._validation = ""

    def __enter__(self) -> "ProgressDisplay":
        return self

    def __exit__(self, *_error: object) -> None:
        self._bar.close()

    def show(self, event: Event) -> None:
        """Show one event."""
        match event:
            case Stepped():
                self._loss = f"loss {event.nats:.3f}"
                self._pace = f"{count(event.characters_per_second)} {self._tokens}/s · epoch {event.epoch:.1f}"
                self._describe()
                if self._bar.n == 0:
                    self._bar.initial = self._bar.n = event.progress  # earlier sessions do not count for the speed
                self._bar.update(event.progress - self._bar.n)
            case Evaluated():
                self._show_evaluation(event)
            case Overfitting():
                self.write(
                    f"\nThe network begins to memorise the training text: the training loss falls "
                    f"({event.training_nats:.3f}), but the validation loss rises ({event.validation_nats:.3f}; "
                    f"{event.best_nats:.3f} at step {event.since:,}).\n"
                    f"Training ends early, at epoch {event.end_epoch:.1f}. The best weights are kept."
                )
            case RolledBack():
                loss = "not a finite number" if math.isnan(event.training_nats) else f"{event.training_nats:.3f}"
                self.write(
                    f"\nThe loss diverged: at step {event.step:,} it is {loss}. Training goes back to step "
                    f"{event.to_step:,}, and continues with learning rate {readably(event.learning_rate)}."
                )
            case ThreadsChanged(threads=1):
                self.write("\nOther programs slow training down. It continues on 1 thread, which waits for no other.")
            case ThreadsChanged():
                self.write(f"\nThe processor is free again. Training continues on {plural(event.threads, 'thread')}.")
            case Suspended():
                self.write(f"\nSuspended for {duration(event.stopped_seconds)}, which does not count.")
            case SaveFailed():
                saved = "nothing is saved yet" if event.saved_step is None else f"step {event.saved_step:,} is saved"
                self.write(f"\n{event.reason}.\nTraining continues, and saving is tried again; {saved}.")
            case SavedAgain():
                self.write(f"\nStep {event.step:,} is saved.")
            case Planned():
                self.write(with_options(_plan(event, self._unit)))
            case Finished():
                self._show_end(event)

    def restart(self) -> None:
        """Begin the bar again, for another run."""
        self._bar.initial = 0
        self._bar.set_description_str(refresh=False)
        self._bar.reset()
        self._validation = ""

    def show_complete(self, end: Finished, budget: Budget) -> None:
        """Show that a run was complete before, and how to train it further, with twice the budget."""
        self._bar.close()
        run = _run_of(end)
        match budget.unit:
            case BudgetUnit.SECONDS:
                minutes = math.ceil(max(budget.amount, end.seconds) / 30)
                larger = f"--time {minutes}m"
            case BudgetUnit.EPOCHS:
                larger = f"--epochs {math.ceil(2 * max(budget.amount, end.epoch))}"
            case BudgetUnit.STEPS:
                larger = f"--steps {2 * max(int(budget.amount), end.step)}"
        self.write(
            f"the run is complete: {end.step:,} steps, {end.epoch:.2f} epochs; the model is saved in {end.checkpoint}\n"
            f"train it further with a larger budget, such as: lstmgen train --resume {run} {larger}"
        )

    def write(self, text: str) -> None:
        """Write a line above the bar."""
        if not self._quiet:
            tqdm.write(printable(text), file=sys.stderr)

    def _describe(self) -> None:
        """Set the text after the bar; it is drawn later."""
        self._bar.set_description_str(f"{self._loss}{self._validation} · {self._pace}", refresh=False)

    def _show_evaluation(self, event: Evaluated) -> None:
        if event.validation_nats is not None:
            self._validation = f" · validation {event.validation_nats:.3f}"
            self._describe()
        best = ", the best so far" if event.best and event.validation_nats is not None else ""
        self.write(
            f"\n{event.progress:4.0%}  step {event.step:,} · epoch {event.epoch:.2f} · loss {event.training_nats:.4f}"
            f"{self._validation}{best}"
        )
        self.write("\n".join("    " + line for line in event.preview.strip("\n").split("\n")))

    def _show_end(self, end: Finished) -> None:
        """Show where the model is, and the command to use next, in place of the bar."""
        self._bar.close()
        run = _run_of(end)
        if end.interrupted:
            self.write(
                f"\nstopped at step {end.step:,}, epoch {end.epoch:.2f}; everything is saved in "
                f"{Path(end.checkpoint).parent}\n"
                f"continue with: lstmgen train --resume {run}"
            )
            return
        nats = "" if end.validation_nats is None else f", validation {end.validation_nats:.4f} nats per {self._unit}"
        self.write(
            f"\ndone in {duration(end.seconds)}: {end.step:,} steps, {end.epoch:.2f} epochs, "
            f"{count(end.characters_per_second)} {self._tokens}/s{nats}\n"
            f"the model is saved in {end.checkpoint}; write text with it: lstmgen sample {run}"
        )


def _plan(plan: Planned, unit: str) -> str:
    """The plan in a few lines."""
    from lstmgen.network.architecture import build_network

    training = from_mapping(TrainingConfig, plan.training)
    network = build_network(from_mapping(ModelConfig, plan.model), plan.vocab_size)
    of_vocabulary = plan.parameters - plan.layer_parameters
    parameters = f"{count(plan.parameters)} parameters"
    if of_vocabulary > 0.1 * plan.parameters:
        parameters += f", {count(of_vocabulary)} of them in the embedding and the output layer"
    processor = plural(plan.threads, "thread") if plan.device == "cpu" else plan.device
    lines = [
        f"text     {message_line(TextConfig(tuple(plan.text)).name)}: "
        f"{plan.training_symbols:,} {unit}s for training, {plan.validation_symbols:,} for validation, "
        f"{plan.vocab_size:,} distinct",
        *([f"from     {plan.started_from}"] if plan.started_from else []),
        f"network  {network}, {parameters}",
        f"training {budget_in_words(training.budget)}, {recipe(training)}; {plan.precision} on {processor}",
        *(f"reason   {line}" for line in plan.reasons),
        f"run      {message_line(plan.run)}",
        *(f"note     {message_line(line)}" for line in plan.notes),
    ]
    return "\n".join(lines)


def _run_of(end: Finished) -> str:
    """What the run is called on the command line."""
    from lstmgen.checkpoint import run_name

    return run_name(Path(end.checkpoint).parent)
