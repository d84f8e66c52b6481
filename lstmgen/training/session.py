"""A run from its first step to its last, or from where it stopped.

`last.safetensors` holds everything that decides the weights after the next step: weights, the optimizer's state, the
random generator, the position in the text and the carried state. A resumed run whose budget counts steps or epochs
therefore ends with the weights that it would have had without the interruption, bit for bit.

Knows: when to evaluate, to save and to end. Does not know: terminals; it yields events.
"""

import math
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import torch

import lstmgen
from lstmgen.checkpoint import BEST, LAST, LOG, Checkpoint, save_checkpoint
from lstmgen.errors import CheckpointError, ConfigError, TrainingError
from lstmgen.files import remove_parts
from lstmgen.language_model import LanguageModel
from lstmgen.network.model import Model
from lstmgen.text.corpus import SplitText
from lstmgen.text.streams import Chunk, build_text
from lstmgen.training.budget import BudgetMeter
from lstmgen.training.events import WORSE_NATS, Evaluated, Event, Finished, Overfitting, Planned, Stepped
from lstmgen.training.log import append_event
from lstmgen.training.optimization import learning_rate
from lstmgen.training.resumption import CarriedState, restore, resumption_arrays
from lstmgen.training.trainer import Trainer
from lstmgen.training.validation import Validation

EVALUATIONS = 10
"""How many evaluations a run has if `every` is not given. It has fewer where they would take too much time."""

_EVALUATION_FRACTION = 0.05  # of a time budget: more than this is not spent on evaluations at its tenths
_SAVE_SECONDS = 60.0
_SMOOTHING = 0.98
_PREVIEW_LENGTH = 200
_MOST_FAILURES = 20
_PATIENCE = 0.15  # the fraction of the budget for which the validation loss may rise
_FALLING_FROM = 0.75  # after this fraction of the budget the learning rate is low, and overfitting is expected


class Session:
    """One run. `events` does the work; everything else is its state."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        text: SplitText,
        folder: Path,
        planned: Planned,
        *,
        started: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start a run, or go on with one.

        Args:
            checkpoint: an untrained one, or the last one of a run, whose state is then restored.
            text: the text that the checkpoint's record names.
            folder: where the run's files are; it exists.
            planned: the first event.
            started: the clock's time when the command began; a time budget counts from there.
            clock: seconds that never go back.

        Raises ConfigError if the budget is used up, and CheckpointError if the run's state cannot be restored.
        """
        record = checkpoint.record
        self.folder = folder
        self._planned = planned
        self._checkpoint = checkpoint
        self._config = record.training
        self._clock = clock
        newline = checkpoint.item_end
        self._text = build_text(
            text.training,
            newline,
            batch_size=self._config.batch_size,
            chunk_length=self._config.chunk_length,
            seed=self._config.seed,
        )
        self._validation = Validation(text.held_out, newline, self._config.budget, clock, record.validation_chunks)

        torch.set_num_threads(record.threads)
        self._model = Model(checkpoint.network, checkpoint.weights, torch.device(record.device))
        self._trainer = Trainer(self._model, self._config, record.precision)
        self._carried = CarriedState()
        self._failures = 0  # steps in a row without a finite loss
        if checkpoint.extra:
            rows = self._config.batch_size if newline is None else None
            try:
                self._carried = restore(self._trainer, checkpoint.extra, rows)
            except CheckpointError as error:
                raise CheckpointError(f"{folder / LAST}: {error}") from error
        self._position = record.position
        self._chunk_count = self._text.chunk_count(self._position.epoch)
        self._meter = BudgetMeter(
            self._config.budget,
            self._config.most_epochs,
            seconds_before=record.seconds,
            progress_before=record.position.progress,
            started=started,
            clock=clock,
        )
        progress = self._meter.progress_before(self._position.step, self._epochs())
        self._position = replace(self._position, progress=progress)
        if self._position.progress >= 1:
            budget = self._config.budget
            remedy = f"give a larger one, such as `{budget.unit}` {2 * budget.amount:.12g}"
            raise ConfigError(budget.unit, f"{budget.amount:.12g}", f"the budget of {folder} is used up; {remedy}")
        self._saved = clock()

    def events(self, should_stop: Callable[[], bool] = lambda: False) -> Iterator[Event]:
        """Train until the budget is used up, or until `should_stop`, which is asked after every step.

        The first event is the plan. Every event is also written to the log, if it is one that the log keeps.
        Raises TrainingError if the loss stays NaN or infinite, and CheckpointError if saving fails.
        """
        for name in (BEST, LAST):
            remove_parts(self.folder / name)  # an earlier session may have been killed while it saved
        for event in self._events(should_stop):
            append_event(self.folder / LOG, event)
            yield event

    def _events(self, should_stop: Callable[[], bool]) -> Iterator[Event]:
        yield self._planned
        interrupted = False
        while self._position.progress < 1 and not interrupted:
            for chunk in self._text.chunks(self._position.epoch, self._position.chunk):
                before = self._position.progress
                yield self._step(chunk)
                if self._position.progress >= 1:
                    break
                if self._evaluation_due(before):  # also before stopping: a resumed run would not make up for it
                    evaluated = self._evaluate()
                    yield evaluated
                    if overfitting := self._end_early(evaluated):
                        yield overfitting
                elif self._clock() - self._saved > _SAVE_SECONDS:
                    self._save(LAST)
                interrupted = should_stop()
                if interrupted:
                    break
            else:
                self._position = replace(self._position, epoch=self._position.epoch + 1, chunk=0)
                self._chunk_count = self._text.chunk_count(self._position.epoch)
        if interrupted:
            self._save(LAST)
        else:
            yield self._evaluate()
        if not (self.folder / BEST).exists():
            self._save(BEST)
        yield Finished(
            checkpoint=str(self.folder / BEST),
            step=self._position.step,
            epoch=self._epochs(),
            validation_nats=self._position.best_nats,
            characters_per_second=self._speed(),
            seconds=self._meter.seconds(),
            interrupted=interrupted,
        )

    def _step(self, chunk: Chunk) -> Stepped:
        position = self._position
        rate = learning_rate(self._config, position.progress)
        nats, state = self._trainer.step(chunk, self._carried.network, rate)
        self._position = replace(
            position,
            step=position.step + 1,
            chunk=position.chunk + 1,
            symbols_read=position.symbols_read + int((chunk.targets >= 0).sum()),
        )
        smoothed = self._carried.training_nats
        if math.isnan(nats):
            self._count_failure()
        else:
            self._failures = 0
            smoothed = nats if math.isnan(smoothed) else _SMOOTHING * smoothed + (1 - _SMOOTHING) * nats
        self._carried = CarriedState(state, smoothed)
        self._position = replace(self._position, progress=self._meter.progress(self._position.step, self._epochs()))
        return Stepped(
            step=self._position.step,
            epoch=self._epochs(),
            progress=self._position.progress,
            nats=smoothed,
            learning_rate=rate,
            characters_per_second=self._speed(),
            seconds=self._meter.seconds(),
        )

    def _count_failure(self) -> None:
        """Count a step without a finite loss; raise TrainingError after too many in a row."""
        self._failures += 1
        if self._failures >= _MOST_FAILURES:
            raise TrainingError(
                f"the loss has not been a finite number for {self._failures} steps, up to step {self._position.step}; "
                f"try again with a `learning_rate` below {self._config.learning_rate:g}, or `precision` float32"
            )

    def _epochs(self) -> float:
        return self._position.epoch + self._position.chunk / self._chunk_count

    def _speed(self) -> float:
        """Characters per second in this session, evaluations included."""
        read = self._position.symbols_read - self._checkpoint.record.position.symbols_read
        return read / max(1e-9, self._meter.session_seconds())

    def _evaluation_due(self, progress_before: float) -> bool:
        """Whether to evaluate after this step: every `every` steps, or at each tenth of the budget if that is cheap."""
        if self._config.every:
            return self._position.step % self._config.every == 0
        tenth = int(progress_before * EVALUATIONS)
        if int(self._position.progress * EVALUATIONS) == tenth:
            return False
        affordable = _EVALUATION_FRACTION * self._config.budget.amount / EVALUATIONS
        return not self._meter.timed or self._meter.evaluation_seconds <= affordable or tenth % 5 == 4

    def _evaluate(self) -> Evaluated:
        """Score the held-out text, keep the weights if they are the best, and save. Training is not affected."""
        started, position = self._clock(), self._position
        nats = self._validation.nats(self._model)
        best = nats is None or position.best_nats is None or nats < position.best_nats
        if best:
            self._position = replace(position, best_nats=nats, best_step=position.step, best_progress=position.progress)
            self._save(BEST, nats)
        self._save(LAST, nats)
        preview = self._preview()
        self._meter.evaluation_seconds = self._clock() - started
        return Evaluated(
            step=position.step,
            epoch=self._epochs(),
            progress=position.progress,
            training_nats=self._carried.training_nats,
            validation_nats=nats,
            best=best,
            preview=preview,
            seconds=self._meter.seconds(),
        )

    def _end_early(self, evaluated: Evaluated) -> Overfitting | None:
        """If the network overfits, let the learning rate fall from now on, and then end.

        A budget in steps or epochs is always used up.
        """
        position, nats = self._position, evaluated.validation_nats
        if nats is None or position.best_nats is None or not self._meter.timed or position.progress > _FALLING_FROM:
            return None
        if position.progress - position.best_progress < _PATIENCE or nats < position.best_nats + WORSE_NATS:
            return None
        end = self._epochs() / _FALLING_FROM
        self._config = replace(self._config, most_epochs=end)
        self._meter.most_epochs = end
        return Overfitting(
            step=position.step,
            since=position.best_step,
            best_nats=position.best_nats,
            validation_nats=nats,
            training_nats=evaluated.training_nats,
            epoch=self._epochs(),
            end_epoch=end,
        )

    def _preview(self) -> str:
        """A short text that the network writes now."""
        model = LanguageModel(replace(self._checkpoint, weights=self._model.weights()))
        return model.sample(self._config.preview, length=_PREVIEW_LENGTH, seed=self._position.step)

    def _save(self, name: str, validation_nats: float | None = None) -> None:
        record = replace(
            self._checkpoint.record,
            training=self._config,
            position=self._position,
            seconds=self._meter.seconds(),
            validation_nats=validation_nats,
            validation_chunks=self._validation.chunks,
            versions={"lstmgen": lstmgen.__version__, "python": platform.python_version(), "torch": torch.__version__},
        )
        extra = resumption_arrays(self._trainer, self._carried) if name == LAST else {}
        weights = self._model.weights()
        save_checkpoint(replace(self._checkpoint, weights=weights, record=record, extra=extra), self.folder / name)
        if name == LAST:
            self._saved = self._clock()
