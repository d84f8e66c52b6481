"""A run from its first step to its last, or from where it stopped.

`last.safetensors` holds everything that decides the weights after the next step: weights, the optimizer's state, the
random generator, the position in the text and the carried state. A resumed run whose budget counts steps or epochs
therefore ends with the weights that it would have had without the interruption, bit for bit.

If the loss diverges, the run goes back to what it saved last, and its learning rate is lowered. What is saved is always
good: nothing is saved while the loss may be diverging.

Knows: when to evaluate, to save and to end. Does not know: terminals; it yields events.
"""

import math
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import replace
from itertools import islice, takewhile
from pathlib import Path

import torch

from lstmgen.checkpoint import BEST, LAST, Checkpoint, FloatArray, problem_with
from lstmgen.config import BudgetUnit
from lstmgen.errors import CheckpointError, TrainingError
from lstmgen.language_model import LanguageModel
from lstmgen.network.model import Model
from lstmgen.record import Position
from lstmgen.text.corpus import SplitText
from lstmgen.text.streams import Chunk, build_text
from lstmgen.training.budget import BudgetMeter, RunningClock
from lstmgen.training.divergence import CERTAIN, SUSPECTED, GoodLoss
from lstmgen.training.events import (
    WORSE_NATS,
    Evaluated,
    Event,
    Finished,
    Overfitting,
    Planned,
    RolledBack,
    Stepped,
    Suspended,
    ThreadsChanged,
)
from lstmgen.training.machine import cores_are_free, versions
from lstmgen.training.processes import ALONE, Processes
from lstmgen.training.resumption import CarriedState, evaluated_sums, restore, resumption_arrays
from lstmgen.training.rollback import Rollback
from lstmgen.training.run_folder import RunFolder
from lstmgen.training.saving import Saver
from lstmgen.training.schedule import chunks_per_step, learning_rate
from lstmgen.training.shared_folder import SharedFolder
from lstmgen.training.slowdown import Slowdown
from lstmgen.training.trainer import Trainer
from lstmgen.training.validation import Validation

EVALUATIONS = 10
"""How many evaluations a run has if `every` is not given. It has fewer where they would take too much time."""

_EVALUATION_FRACTION = 0.05  # of a time budget: more than this is not spent on evaluations at its tenths
_PREVIEW_LENGTH = 200
_PREVIEW_FRACTION = 0.02  # of a time budget: a preview that takes longer is cut
_SLOW_FRACTION = 0.02  # of a time budget: where steps are slow for longer than this, one thread computes
_SMOOTHING = 0.5  # how much of the time of a slow step is expected of the next one
_MOST_DIVERGENCES = 8
_LOWER = 0.25  # the learning rate after a rollback, as a fraction of the one before
_PATIENCE = 0.15  # the fraction of the budget for which the validation loss may rise
_FALLING_FROM = 0.75  # after this fraction of the budget the learning rate is low, and overfitting is expected


class Session:
    """One run. `events` does the work; everything else is its state."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        text: SplitText,
        folder: RunFolder | SharedFolder,
        planned: Planned,
        *,
        started: float,
        clock: Callable[[], float] = time.monotonic,
        processes: Processes = ALONE,
    ) -> None:
        """Start a run, or go on with one.

        Args:
            checkpoint: an untrained one, or the last one of a run, whose state is then restored.
            text: the text that the checkpoint's record names.
            folder: where the run is saved.
            planned: the first event.
            started: the clock's time when the command began; a time budget counts from there.
            clock: seconds that never go back.
            processes: those that train the network together.

        Raises CheckpointError if the run's state cannot be restored.
        """
        record = checkpoint.record
        self._folder = folder
        self._planned = planned
        self._checkpoint = checkpoint
        self._config = record.training
        self._clock = clock = RunningClock(clock)
        self._processes = processes
        newline = checkpoint.item_end
        self._text = build_text(
            text.training,
            newline,
            batch_size=self._config.batch_size,
            chunk_length=self._config.chunk_length,
            seed=self._config.seed,
        )
        chunks, sums = record.validation_chunks, evaluated_sums(checkpoint.extra)
        self._validation = Validation(text.held_out, newline, self._config.budget, clock, chunks, sums, processes)
        self._is_good = GoodLoss(text.training, len(checkpoint.vocabulary))
        budget = self._config.budget
        adaptable = budget.unit is BudgetUnit.SECONDS and processes.size == 1  # otherwise the bits are promised
        threads = record.threads if adaptable else 1
        self._slowdown = Slowdown(threads, _SLOW_FRACTION * budget.amount, cores_are_free)
        self._saver = Saver(folder, processes, clock)
        self._rollback = Rollback(folder, checkpoint)
        self._divergences = 0
        torch.set_num_threads(record.threads)
        self._position: Position
        self._go_on_from(checkpoint)
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
        self.complete = progress >= 1
        """Whether the budget was used up before this session."""

    @property
    def folder(self) -> Path:
        """Where the run is saved."""
        return self._folder.path

    def _go_on_from(self, checkpoint: Checkpoint) -> None:
        """Take weights, position and everything else that decides the next step from a checkpoint of this run."""
        used = self._checkpoint.record
        self._model = Model(checkpoint.network, checkpoint.weights, torch.device(used.device))
        self._trainer = Trainer(self._model, self._config, used.precision, self._processes)
        self._carried = CarriedState()
        if checkpoint.extra:
            rows = self._config.batch_size if checkpoint.item_end is None else None
            try:
                self._carried = restore(self._trainer, checkpoint.extra, rows)
            except CheckpointError as error:
                raise CheckpointError(f"{self.folder / LAST}: {error}") from error
        self._position = checkpoint.record.position
        self._chunk_count = self._text.chunk_count(self._position.epoch)

    def events(self, should_stop: Callable[[], bool] = lambda: False) -> Iterator[Event]:
        """Train until the budget is used up, or until `should_stop`, which is asked after every step.

        The first event is the plan. Every event is also written to the log, if it is one that the log keeps. A run that
        was complete before yields its plan and its end, and changes nothing.

        Raises TrainingError if the loss diverges again and again, and CheckpointError if what was learned cannot be
        saved at the end.
        """
        if self.complete:
            yield self._planned
            yield self._finished(interrupted=False)
            return
        with self._clock:
            threads, stopped = self._slowdown.threads, self._clock.stopped
            for event in self._events(should_stop):
                noticed: list[Event] = []
                if self._clock.stopped > stopped:
                    seconds, stopped = self._clock.stopped - stopped, self._clock.stopped
                    noticed.append(Suspended(self._position.step, seconds, self._meter.seconds()))
                if self._slowdown.threads != threads:
                    threads = self._slowdown.threads
                    noticed.append(ThreadsChanged(self._position.step, threads, self._meter.seconds()))
                for each in (*noticed, event):
                    self._folder.log(each)
                    yield each

    def _events(self, should_stop: Callable[[], bool]) -> Iterator[Event]:
        yield self._planned
        interrupted, evaluated = False, None
        while self._position.progress < 1 and not interrupted:
            chunks = self._text.chunks(self._position.epoch, self._position.chunk)
            while read := list(islice(chunks, chunks_per_step(self._config, self._position.progress))):
                before = self._position.progress
                yield self._step(read)
                ended = self._position.progress >= 1
                if self._carried.bad_steps >= CERTAIN or (ended and not self._savable(self._model.weights())):
                    yield self._roll_back()
                    if self._folder.saved_step is not None:  # so that a resumed run has the lower learning rate
                        yield from self._save()
                    break
                if ended:
                    break
                if self._evaluation_due(before):  # also before stopping: a resumed run would not make up for it
                    evaluated = yield from self._evaluate()
                    if overfitting := self._end_early(evaluated):
                        yield overfitting
                    self._update_progress()  # there may be no time for another step
                    if self._position.progress >= 1:
                        break
                elif self._saver.due():
                    yield from self._save()
                interrupted = self._processes.any(should_stop())
                if interrupted:
                    break
            else:
                self._position = replace(self._position, epoch=self._position.epoch + 1, chunk=0)
                self._chunk_count = self._text.chunk_count(self._position.epoch)
        if interrupted:
            if self._suspicious:  # the resumed run finds out whether the loss diverges
                self._go_back()
            yield from self._save()
        elif evaluated is None or evaluated.step != self._position.step:
            yield from self._evaluate()
        else:
            yield from self._save(validation_nats=evaluated.validation_nats)
        self._saver.close()
        yield self._finished(interrupted)

    @property
    def _suspicious(self) -> bool:
        """Whether the loss may be diverging."""
        return self._carried.bad_steps >= SUSPECTED

    def _savable(self, weights: Mapping[str, FloatArray], validation_nats: float | None = None) -> bool:
        """Whether this state is a good one: its weights and losses are finite, and the loss is not diverging."""
        evaluated = validation_nats is None or validation_nats < math.inf
        return evaluated and not self._suspicious and not problem_with(weights, self._model.network)

    def _finished(self, interrupted: bool) -> Finished:
        return Finished(
            checkpoint=str(self.folder / BEST),
            step=self._position.step,
            epoch=self._epochs(),
            validation_nats=self._position.best_nats,
            characters_per_second=self._speed(),
            seconds=self._meter.seconds(),
            interrupted=interrupted,
        )

    def _step(self, chunks: list[Chunk]) -> Stepped:
        position, begun = self._position, self._clock()
        chunk = Chunk.joined(chunks)
        rate = learning_rate(self._config, position.progress)
        nats, state = self._trainer.step(chunk, self._carried.network, rate)
        self._position = replace(
            position,
            step=position.step + 1,
            chunk=position.chunk + len(chunks),
            symbols_read=position.symbols_read + int((chunk.targets >= 0).sum()),
        )
        good = self._is_good(nats, self._carried.lowest_nats)
        self._carried = self._carried.after(state, nats, good)
        seconds = self._clock() - begun
        self._meter.step_seconds = max(seconds, _SMOOTHING * self._meter.step_seconds)  # it may have become slow
        if self._slowdown.notice(seconds, chunk.inputs.size):
            torch.set_num_threads(self._slowdown.threads)
        self._update_progress()
        return Stepped(
            step=self._position.step,
            epoch=self._epochs(),
            progress=self._position.progress,
            nats=self._carried.training_nats,
            learning_rate=rate,
            characters_per_second=self._speed(),
            seconds=self._meter.seconds(),
        )

    def _update_progress(self) -> None:
        progress = self._meter.progress(self._position.step, self._epochs())
        progress = self._processes.number_of_first(progress)
        self._position = replace(self._position, progress=max(progress, self._position.progress))

    def _roll_back(self) -> RolledBack:
        """Go back to what was saved last, or to the start of the session, with a lower learning rate.

        Raises TrainingError if that has happened too often.
        """
        step, nats = self._position.step, self._carried.training_nats
        if self._divergences == _MOST_DIVERGENCES:
            raise TrainingError(
                f"the loss diverged {self._divergences + 1} times, the last time at step {step:,}; "
                f"try again with a lower `learning_rate`, or `precision` float32"
            )
        self._divergences += 1
        self._config = replace(self._config, learning_rate=_LOWER * self._config.learning_rate)
        self._go_back()
        return RolledBack(
            step=step,
            to_step=self._position.step,
            learning_rate=self._config.learning_rate,
            training_nats=nats,
            seconds=self._meter.seconds(),
        )

    def _go_back(self) -> None:
        """Go back to a checkpoint whose loss was good."""
        before = self._position
        self._go_on_from(self._rollback.checkpoint(before, self._carried.bad_steps))
        self._position = replace(
            self._position,
            best_nats=before.best_nats,  # the best weights are kept
            best_step=before.best_step,
            best_progress=before.best_progress,
            progress=before.progress if self._meter.timed else self._position.progress,  # time does not go back
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
        evaluation_seconds = self._processes.number_of_first(self._meter.evaluation_seconds)
        return not self._meter.timed or evaluation_seconds <= affordable or tenth % 5 == 4

    def _evaluate(self) -> Generator[Event, None, Evaluated]:
        """Score the held-out text, keep the weights if they are the best, and save. Training is not affected."""
        started, position, weights = self._clock(), self._position, self._model.weights()
        is_sound = problem_with(weights, self._model.network) is None
        nats = self._validation.nats(self._model, self._meter.seconds_left()) if is_sound else math.nan
        lowest = math.inf if position.best_nats is None else position.best_nats
        best = is_sound and not self._suspicious and (nats is None or nats < lowest)
        if best:
            self._validation.keep_as_best()
            self._position = replace(position, best_nats=nats, best_step=position.step, best_progress=position.progress)
        evaluated = Evaluated(
            step=position.step,
            epoch=self._epochs(),
            progress=position.progress,
            training_nats=self._carried.training_nats,
            validation_nats=nats,
            best=best,
            preview=self._preview(weights) if is_sound and self._processes.is_first else "",
            seconds=self._meter.seconds(),
        )
        yield evaluated  # before the save: after a crash, the log has every event up to the last save
        yield from self._save(best=best, validation_nats=nats)
        self._meter.evaluation_seconds = self._clock() - started
        return evaluated

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

    def _preview(self, weights: dict[str, FloatArray]) -> str:
        """A short text that the network writes now. It is shorter where there is no time."""
        most_seconds = self._meter.seconds_left()
        if self._meter.timed:
            most_seconds = min(most_seconds, _PREVIEW_FRACTION * self._config.budget.amount)
        end = self._clock() + most_seconds
        model = LanguageModel(replace(self._checkpoint, weights=weights))
        pieces = model.stream(self._config.preview, length=_PREVIEW_LENGTH, seed=self._position.step)
        return "".join(takewhile(lambda _: self._clock() <= end, pieces))

    def _save(self, *, best: bool = False, validation_nats: float | None = None) -> Iterator[Event]:
        """Save, unless the loss may be diverging: what was saved before is then better."""
        begun, weights = self._clock(), self._model.weights()
        if not self._savable(weights, validation_nats):
            return
        record = replace(
            self._checkpoint.record,
            training=self._config,
            position=self._position,
            seconds=self._meter.seconds(),
            validation_nats=validation_nats,
            validation_chunks=self._validation.chunks,
            versions=versions(),
        )
        extra = resumption_arrays(self._trainer, self._carried, self._validation.best)
        checkpoint = replace(self._checkpoint, weights=weights, record=record, extra=extra)
        event = self._saver.save(checkpoint, best=best or self._position.best_nats is None)
        self._meter.save_seconds = self._clock() - begun
        if event:
            yield event
