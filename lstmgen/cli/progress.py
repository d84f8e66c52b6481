"""Show training on stderr: the plan, a progress bar, evaluations, the end."""

import math
import sys
from pathlib import Path

from tqdm import tqdm

from lstmgen.cli.reading_bar import SEPARATOR, progress_bar
from lstmgen.cli.render import budget_in_words, columns_of, duration, laid_out, plural, put, recipe, with_options
from lstmgen.config import MAX_NAMED, Budget, BudgetUnit, ModelConfig, TextConfig, TrainingConfig, from_mapping
from lstmgen.printable import count, message_line, printable, readably
from lstmgen.training.events import (
    Averaged,
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


class ProgressDisplay:
    """Writes the events of training to stderr, with a progress bar on a terminal."""

    def __init__(self, quiet: bool, unit: str, *, verbose: bool = False) -> None:
        """Begin, or write nothing if `quiet`; `unit` is what a token of the text is called, character or byte."""
        self._verbose = verbose
        self._quiet = quiet
        self._unit = unit
        self._tokens = _TOKENS[unit]
        self._bar = progress_bar(quiet=quiet, total=1.0)
        self._validation = ""

    def __enter__(self) -> "ProgressDisplay":
        return self

    def __exit__(self, *_error: object) -> None:
        self._bar.close()

    def show(self, event: Event) -> None:
        """Show one event."""
        match event:
            case Stepped():
                pace = f"{count(event.characters_per_second)} {self._tokens}/s"
                self.describe(f"loss {event.nats:.3f}", self._validation, pace, f"epoch {event.epoch:.1f}")
                if self._bar.n == 0:
                    self._bar.initial = self._bar.n = event.progress  # earlier sessions do not count towards the speed
                self._bar.update(event.progress - self._bar.n)
            case Evaluated():
                self._show_evaluation(event)
            case Averaged():
                start, trained = event.share_of_start, 1 - event.share_of_start
                self.write(
                    f"\nA mean of the weights at the start ({start:.0%}) and now ({trained:.0%}) predicts better: "
                    f"validation {event.validation_nats:.3f}. It is kept."
                )
            case Overfitting():
                self.write(
                    f"\nThe network is starting to memorise the training text: the training loss is falling "
                    f"({event.training_nats:.3f}), but the validation loss is rising ({event.validation_nats:.3f}; "
                    f"it was {event.best_nats:.3f} at step {event.since:,}).\n"
                    f"Training will end early, at epoch {event.end_epoch:.1f}. The best weights are kept."
                )
            case RolledBack():
                loss = "not a finite number" if math.isnan(event.training_nats) else f"{event.training_nats:.3f}"
                self.write(
                    f"\nThe loss diverged: at step {event.step:,} it is {loss}. Training goes back to step "
                    f"{event.to_step:,} and continues with learning rate {readably(event.learning_rate)}."
                )
            case ThreadsChanged(threads=1):
                self.write("\nOther programs are slowing training down. It continues on 1 thread.")
            case ThreadsChanged():
                self.write(f"\nThe processor is free again. Training continues on {plural(event.threads, 'thread')}.")
            case Suspended():
                self.write(f"\nSuspended for {duration(event.stopped_seconds)}, which does not count.")
            case SaveFailed():
                saved = "nothing is saved yet" if event.saved_step is None else f"step {event.saved_step:,} is saved"
                self.write(f"\n{event.reason}.\nTraining continues, and will try to save again; {saved}.")
            case SavedAgain():
                self.write(f"\nSaving works again: step {event.step:,} is saved.")
            case Planned():
                self.write(with_options(_plan(event, self._unit, verbose=self._verbose)))
            case Finished():
                self._show_end(event)

    def restart(self) -> None:
        """Restart the bar for another run."""
        self._bar.initial, self._bar.desc = 0, ""
        self._bar.reset()
        self._validation = ""

    def show_complete(self, end: Finished, budget: Budget) -> None:
        """Show that a run was already complete, and how to train it further with twice the budget."""
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
            f"the run is complete: {plural(end.step, 'step')}, {end.epoch:.2f} epochs; "
            f"the model is saved in {end.checkpoint}\n"
            f"to continue training, give a larger budget: lstmgen train --resume {run} {larger}"
        )

    def put_result(self, end: Finished) -> None:
        """Write the name of the run and its result to stdout."""
        nats = "" if end.validation_nats is None else f" {end.validation_nats:.4f} nats per {self._unit}"
        put(printable(f"{_run_of(end)}{nats}", single_line=True) + "\n")

    def write(self, text: str) -> None:
        """Write a line above the bar."""
        if not self._quiet:
            tqdm.write(laid_out(printable(text), columns_of(sys.stderr)), file=sys.stderr)

    def announce(self, text: str) -> None:
        """Say in the bar what is happening."""
        self._bar.set_description_str(text)

    def describe(self, *facts: str) -> None:
        """Set the facts to draw next to the bar, the most important first."""
        self._bar.desc = SEPARATOR.join(filter(None, facts))

    def _show_evaluation(self, event: Evaluated) -> None:
        if event.validation_nats is not None:
            self._validation = f"validation {event.validation_nats:.3f}"
        blank = "\n" if event.preview else ""
        best = ", the best so far" if event.best and event.validation_nats is not None else ""
        self.write(
            f"{blank}{event.progress:4.0%}  step {event.step:,} · epoch {event.epoch:.2f} · "
            f"loss {event.training_nats:.4f}{self._validation and ' · '}{self._validation}{best}"
        )
        if event.preview:
            self.write("\n".join("    " + line for line in event.preview.strip("\n").split("\n")))

    def _show_end(self, end: Finished) -> None:
        """Replace the bar with where the model is, and the command to use next."""
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
            f"\ndone in {duration(end.seconds)}: {plural(end.step, 'step')}, {end.epoch:.2f} epochs, "
            f"{count(end.characters_per_second)} {self._tokens}/s{nats}\n"
            f"the model is saved in {end.checkpoint}; write text with it: lstmgen sample {run}"
        )


def _plan(plan: Planned, unit: str, *, verbose: bool) -> str:
    """The plan in four lines: text, network, training and run; if `verbose`, with all choices and their reasons."""
    from lstmgen.network.architecture import build_network

    training = from_mapping(TrainingConfig, plan.training)
    network = build_network(from_mapping(ModelConfig, plan.model), plan.vocab_size)
    of_vocabulary = plan.parameters - plan.layer_parameters
    files, start = len(plan.text), f", starting from {plan.started_from}" if plan.started_from else ""
    processor = plural(plan.threads, "thread") if plan.device == "cpu" else plan.device
    text = f"{files} files: " if 1 < files <= MAX_NAMED else ""
    lines = [
        f"text     {text}{message_line(TextConfig(tuple(plan.text)).name)}, {plan.training_symbols:,} {unit}s, "
        f"and {plan.validation_symbols:,} for validation",
        f"network  {network}, {count(plan.parameters)} parameters{start}",
        f"training {budget_in_words(training.budget)} on {processor} in {plan.precision}",
        f"run      {message_line(plan.run)}",
        *(f"note     {message_line(line)}" for line in plan.notes),
    ]
    if verbose:
        lines += [
            f"recipe   {recipe(training)}",
            f"sizes    {plan.vocab_size:,} distinct {unit}s; "
            f"{count(of_vocabulary)} parameters in the embedding and the output layer",
            *(f"reason   {line}" for line in plan.reasons),
        ]
    return "\n".join(lines)


def _run_of(end: Finished) -> str:
    """The name of the run on the command line."""
    from lstmgen.checkpoint import run_name

    return run_name(Path(end.checkpoint).parent)
