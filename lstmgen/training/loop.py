"""The training loop: batch, loss, step, evaluate, save, stop.

`last.safetensors` holds everything that determines the weights after the next step: the weights, the optimizer's state,
the random generator, the position in the text and the network's state. A resumed run whose budget counts steps or
epochs therefore ends with exactly the weights that it would have had without the interruption.
"""

import math
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from itertools import islice, takewhile
from pathlib import Path
from typing import TypeVar, cast

import numpy as np
import torch

from lstmgen.checkpoint import BEST, LAST, Checkpoint, FloatArray, problem_with
from lstmgen.errors import CheckpointError, TrainingError
from lstmgen.language_model import LanguageModel
from lstmgen.network.model import Model
from lstmgen.text.corpus import SplitText
from lstmgen.text.streams import Chunk, build_text
from lstmgen.training.budget import BudgetMeter, RunningClock
from lstmgen.training.events import (
    WORSE_NATS,
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
from lstmgen.training.machine import Slowdown, versions
from lstmgen.training.processes import ALONE, Processes, remember_run
from lstmgen.training.state import CERTAIN, RunState, evaluated_sums, frequency_nats
from lstmgen.training.storage import Storage, new_run, resumed_run
from lstmgen.training.trainer import Trainer, chunks_per_step, learning_rate
from lstmgen.training.validation import Validation

EVALUATIONS = 10
"""How many evaluations a run has without `every`; fewer if they would take too much time."""

_EVALUATION_FRACTION = 0.05  # of a time budget: the maximum for evaluations at its tenths
_PREVIEW_LENGTH, _PREVIEW_LINES = 200, 5  # characters; items of a list
_SHORT_SECONDS, _SHORT_PREVIEWS = 60.0, 3  # a shorter run has this many previews
_PREVIEW_FRACTION = 0.02  # of a time budget: a preview that takes longer is cut off
_SLOW_FRACTION = 0.02  # of a time budget: if steps are slow for longer than this, continue with one thread
_STEP_SMOOTHING = 0.5  # the next step is expected to take at least this fraction of a slow one
_MAX_DIVERGENCES = 8
_LOWER = 0.25  # factor for the learning rate after a divergence
_PATIENCE = 0.15  # the fraction of the budget for which the validation loss may rise
_SHARES = (0.25, 0.5, 0.75)  # of the weights at the start, in their means with those at the end
_FALLING_FROM = 0.75  # after this fraction of the budget the learning rate is low, and overfitting is expected
_SAVE_SECONDS, _RETRY_SECONDS = 60.0, 10.0  # between two saves; after a failed one
_SAVE_FRACTION = 0.01  # the maximum fraction of the time for saving between evaluations
_NO_LOCKS = "this file system has no locks, so nothing keeps a second process from training the same run"

T = TypeVar("T")


@dataclass(frozen=True)
class Preparation:
    """Everything that is decided before the first step."""

    checkpoint: Checkpoint  # an untrained one, or the last one of a run
    text: SplitText  # the text named in the checkpoint's record
    folders: tuple[Path, ...]  # the candidates for a new run, the best first
    resumed: Path | None  # the file in its folder from which a run is resumed; None: a new run
    planned: Planned  # with the folder; for a new run, the first free one
    max_threads: int  # for when the processor's cores are free; 1: the number of threads never changes

    @contextmanager
    def start(
        self, started: float, clock: Callable[[], float] = time.perf_counter, processes: Processes = ALONE
    ) -> Iterator["TrainingRun"]:
        """Start the run; a new one gets a folder of its own.

        No other process can train in the folder until the context ends. If nothing was saved in it by then, it is
        removed.

        Args:
            started: the clock's time when the command began; a time budget counts from there.
            clock: seconds that never go back; `time.monotonic` can be too coarse, with 16 ms on Windows.
            processes: the processes that train the network together; the first one owns the folder.

        Raises ConfigError if the run exists, and CheckpointError if the folder cannot be made, another process trains
        there, or the run's state cannot be restored.
        """
        with ExitStack() as stack:
            storage: Storage | None = None

            def claim() -> None:
                nonlocal storage
                claimed = resumed_run(self.resumed, self.checkpoint) if self.resumed else new_run(self.folders)
                storage = stack.enter_context(claimed)
                remember_run(storage.path)

            processes.on_first(claim)
            yield TrainingRun(self, storage, started, clock, processes)


class TrainingRun:
    """One run. `events` trains; `state` holds everything that changes."""

    def __init__(
        self,
        prepared: Preparation,
        storage: Storage | None,
        started: float,
        clock: Callable[[], float],
        processes: Processes,
    ) -> None:
        """Begin as described in `Preparation.start`; only the first process has a storage."""
        self._checkpoint = checkpoint = prepared.checkpoint
        self._storage = storage
        self._clock = clock = RunningClock(clock)
        self._processes = processes
        self.folder, self._saved_step, exclusive = self._on_storage(
            lambda storage: (storage.path, storage.saved_step, storage.exclusive)
        )
        notes = prepared.planned.notes if exclusive else [*prepared.planned.notes, _NO_LOCKS]
        self._planned = replace(prepared.planned, run=str(self.folder), notes=notes)
        record, text = checkpoint.record, prepared.text
        training, budget = record.training, record.training.budget
        self._text = build_text(
            text.training,
            checkpoint.end_token,
            batch_size=training.batch_size,
            chunk_length=training.chunk_length,
            seed=training.seed,
        )
        self._frequency_nats = frequency_nats(text.training, len(checkpoint.vocabulary))
        chunks, sums = record.validation_chunks, evaluated_sums(checkpoint.extra)
        self._validation = Validation(text.validation, checkpoint.end_token, budget, clock, chunks, sums, processes)
        self._previews = int(_SHORT_PREVIEWS * record.position.progress)
        self._told_stopped = 0.0  # seconds for which the process was stopped, as reported by events so far
        self._slowdown = Slowdown(record.threads, prepared.max_threads, _SLOW_FRACTION * budget.amount)
        torch.set_num_threads(record.threads)
        self.state = RunState(training, record.position, save_ended=clock())
        if record.started_from and not checkpoint.extra:
            self.state.start = checkpoint.weights
        self._restore(checkpoint)
        self._meter = BudgetMeter(
            budget,
            training.most_epochs,
            started=started,
            clock=clock,
            seconds_before=record.seconds,
            progress_before=record.position.progress,
        )
        if self.state.start:
            self._meter.final_evaluations += len(_SHARES)
        progress = self._meter.progress_before(record.position.step, self._epochs())
        self.state.position = replace(record.position, progress=progress)
        self.complete = progress >= 1
        """Whether the budget was used up before this session."""

    def _restore(self, checkpoint: Checkpoint) -> None:
        """Restore everything that determines the next step from a checkpoint of this run or an untrained one."""
        state, record = self.state, self._checkpoint.record
        self._model = Model(checkpoint.network, checkpoint.weights, torch.device(record.device))
        self._trainer = Trainer(self._model, state.training, record.precision, self._processes)
        try:
            rows = state.training.batch_size if checkpoint.end_token is None else None
            state.restore(self._trainer, checkpoint.extra, rows)
        except CheckpointError as error:
            raise CheckpointError(f"{self.folder / LAST}: {error}") from error
        state.position = checkpoint.record.position
        self._open_epoch()

    def _open_epoch(self) -> None:
        """Read the text of the current epoch from the current chunk on."""
        position = self.state.position
        self._chunks = self._text.chunks(position.epoch, position.chunk)
        self._chunk_count = self._text.chunk_count(position.epoch)

    def events(self, should_stop: Callable[[], bool] = lambda: False) -> Iterator[Event]:
        """Train until the budget is used up, or until `should_stop`, called after every step, returns true.

        The first event is the plan. Events that the log keeps are also written to it. A run that is already complete
        yields only its plan and its end, and changes nothing.

        Raises TrainingError if the loss keeps diverging, and CheckpointError if the result cannot be saved at the end.
        """
        if self.complete:
            yield self._planned
            yield self._finished(interrupted=False)
            return
        with self._clock:
            for event in self._train(should_stop):
                if self._storage is not None:
                    self._storage.log(event)
                yield event

    def _train(self, should_stop: Callable[[], bool]) -> Iterator[Event]:
        yield self._planned
        state, interrupted, evaluated = self.state, False, None
        while state.position.progress < 1 and not interrupted:
            before = state.position.progress
            yield from self._step(self._next_chunks())
            ended = state.position.progress >= 1
            if state.bad_steps >= CERTAIN or (ended and not self._savable(self._model.weights())):
                yield self._roll_back()
                if self._saved_step is not None:  # so that a resumed run uses the lower learning rate
                    yield from self._save()
            elif not ended and self._evaluation_due(before):  # even when stopping now: a resumed run would skip it
                evaluated = yield from self._evaluate()
                if overfitting := self._end_early(evaluated):
                    yield overfitting
                self._update_progress()  # there may be no time for another step
            elif not ended and self._save_due():
                yield from self._save()
            interrupted = state.position.progress < 1 and self._processes.any(should_stop())
        if interrupted:
            if state.suspicious:  # the resumed run finds out whether the loss diverges
                self._go_back()
            yield from self._save()
        else:
            if evaluated is None or evaluated.step != state.position.step:
                evaluated = yield from self._evaluate()
            else:
                yield from self._save(validation_nats=evaluated.validation_nats)
            yield from self._average(evaluated)
        self._require_saved()
        yield self._finished(interrupted)

    def _next_chunks(self) -> list[Chunk]:
        """The chunks of the next step, from this epoch or from the beginning of the next."""
        count = chunks_per_step(self.state.training, self.state.position.progress)
        chunks = list(islice(self._chunks, count))
        if not chunks:
            self.state.position = replace(self.state.position, epoch=self.state.position.epoch + 1, chunk=0)
            self._open_epoch()
            chunks = list(islice(self._chunks, count))
        return chunks

    def _step(self, chunks: list[Chunk]) -> Iterator[Event]:
        """Train on one batch of consecutive chunks."""
        state, position, begun = self.state, self.state.position, self._clock()
        chunk = Chunk.joined(chunks)
        rate = learning_rate(state.training, position.progress)
        nats, state.network = self._trainer.step(chunk, state.network, rate)
        state.add_loss(nats, vocab_size=len(self._checkpoint.vocabulary), frequency_nats=self._frequency_nats)
        state.position = replace(
            position,
            step=position.step + 1,
            chunk=position.chunk + len(chunks),
            symbols_read=position.symbols_read + int((chunk.targets >= 0).sum()),
        )
        seconds = self._clock() - begun
        self._meter.step_seconds = max(seconds, _STEP_SMOOTHING * self._meter.step_seconds)  # it may have become slow
        self._update_progress()
        yield Stepped(
            step=state.position.step,
            epoch=self._epochs(),
            progress=state.position.progress,
            nats=state.training_nats,
            learning_rate=rate,
            characters_per_second=self._speed(),
            seconds=self._meter.seconds(),
        )
        if stopped := self._clock.stopped - self._told_stopped:
            self._told_stopped += stopped
            yield Suspended(state.position.step, stopped, self._meter.seconds())
        if self._meter.timed and self._slowdown.notice(seconds, chunk.inputs.size):  # others are reproducible
            torch.set_num_threads(self._slowdown.threads)
            yield ThreadsChanged(state.position.step, self._slowdown.threads, self._meter.seconds())

    def _update_progress(self) -> None:
        position = self.state.position
        progress = self._processes.broadcast(self._meter.progress(position.step, self._epochs()))
        self.state.position = replace(position, progress=max(progress, position.progress))

    def _epochs(self) -> float:
        """How many times the text has been read, including the fraction of this epoch."""
        return self.state.position.epoch + self.state.position.chunk / self._chunk_count

    def _speed(self) -> float:
        """Characters per second in this session, including evaluations."""
        read = self.state.position.symbols_read - self._checkpoint.record.position.symbols_read
        return read / max(1e-9, self._meter.session_seconds())

    def _evaluation_due(self, progress_before: float) -> bool:
        """Whether to evaluate after this step: every `every` steps, or at each tenth of the budget if affordable."""
        training, position = self.state.training, self.state.position
        if training.every:
            return position.step % training.every == 0
        tenth = int(progress_before * EVALUATIONS)
        if int(position.progress * EVALUATIONS) == tenth:
            return False
        affordable = _EVALUATION_FRACTION * training.budget.amount / EVALUATIONS
        evaluation_seconds = self._processes.broadcast(self._meter.evaluation_seconds)
        return not self._meter.timed or evaluation_seconds <= affordable or tenth % 5 == 4

    def _evaluate(self) -> Generator[Event, None, Evaluated]:
        """Score the validation text, keep the weights if they are the best, and save, without affecting training."""
        started, state, position, weights = self._clock(), self.state, self.state.position, self._model.weights()
        is_sound = problem_with(weights) is None
        nats = self._validation.nats(self._model, self._meter.seconds_left()) if is_sound else math.nan
        lowest = math.inf if position.best_nats is None else position.best_nats
        best = is_sound and not state.suspicious and (nats is None or nats < lowest)
        if best:
            self._remember_best(nats)
        evaluated = Evaluated(
            step=position.step,
            epoch=self._epochs(),
            progress=position.progress,
            training_nats=state.training_nats,
            validation_nats=nats,
            best=best,
            preview=self._preview(weights) if is_sound and self._processes.is_first and self._preview_due() else "",
            seconds=self._meter.seconds(),
        )
        yield evaluated  # before the save: after a crash, the log has every event up to the last save
        yield from self._save(best=best, validation_nats=nats)
        self._meter.evaluation_seconds = self._clock() - started
        return evaluated

    def _remember_best(self, nats: float | None) -> None:
        """Remember that the weights evaluated last are the best of the run."""
        self._validation.keep_as_best()
        position = self.state.position
        self.state.position = replace(
            position, best_nats=nats, best_step=position.step, best_progress=position.progress
        )

    def _average(self, evaluated: Evaluated) -> Iterator[Event]:
        """Keep a mean of the weights at the start and now, if it is the best of the run (Wortsman et al. 2022).

        On a small text, fine-tuning loses some of what the network knew. A mean often predicts better than both.
        """
        state, now, lowest = self.state, self._model.weights(), evaluated.validation_nats
        if not state.start or lowest is None or state.suspicious or problem_with(now):
            return
        best: tuple[Averaged, dict[str, FloatArray]] | None = None
        for share in _SHARES:
            mean = {name: (share * state.start[name] + (1 - share) * now[name]).astype(np.float32) for name in now}
            model = Model(self._checkpoint.network, mean, self._model.device)
            nats = cast(float, self._validation.nats(model, self._meter.seconds_left()))
            if nats >= lowest:  # the loss has one minimum between the two
                break
            lowest = nats
            if nats < cast(float, state.position.best_nats):
                self._remember_best(nats)
                best = Averaged(step=state.position.step, share_of_start=share, validation_nats=nats), mean
        if best:
            yield best[0]
            yield from self._save(validation_nats=evaluated.validation_nats, mean=best)

    def _preview_due(self) -> bool:
        """Whether to write a preview: at every requested evaluation, but less often in a short run."""
        progress, before = self.state.position.progress, self._previews
        self._previews = int(_SHORT_PREVIEWS * progress)
        seconds = self.state.training.budget.amount
        if not self._meter.timed:  # loading takes time only once
            seconds = self._meter.seconds() + self._meter.session_seconds() * (1 - progress) / progress
        return seconds >= _SHORT_SECONDS or self.state.training.every is not None or self._previews > before

    def _preview(self, weights: dict[str, FloatArray]) -> str:
        """A short text that the network writes now, cut off if time runs out."""
        max_seconds, training = self._meter.seconds_left(), self.state.training
        if self._meter.timed:
            max_seconds = min(max_seconds, _PREVIEW_FRACTION * training.budget.amount)
        end = self._clock() + max_seconds
        model = LanguageModel(replace(self._checkpoint, weights=weights))
        texts = (
            model.stream(training.preview, length=_PREVIEW_LENGTH, seed=self.state.position.step + number)
            for number in range(_PREVIEW_LINES if model.lines else 1)
        )
        return "\n".join("".join(takewhile(lambda _: self._clock() <= end, text)).removesuffix("\n") for text in texts)

    def _end_early(self, evaluated: Evaluated) -> Overfitting | None:
        """If the network overfits, let the learning rate fall from now on, then end.

        A budget in steps or epochs is always used up.
        """
        position, nats = self.state.position, evaluated.validation_nats
        if nats is None or position.best_nats is None or not self._meter.timed or position.progress > _FALLING_FROM:
            return None
        if position.progress - position.best_progress < _PATIENCE or nats < position.best_nats + WORSE_NATS:
            return None
        end = self._epochs() / _FALLING_FROM
        self.state.training = replace(self.state.training, most_epochs=end)
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

    def _roll_back(self) -> RolledBack:
        """After a divergence, go back to a checkpoint with a good loss and lower the learning rate.

        Raises TrainingError if that has happened too often.
        """
        state, step, nats = self.state, self.state.position.step, self.state.training_nats
        if state.divergences == _MAX_DIVERGENCES:
            raise TrainingError(
                f"the loss diverged {state.divergences + 1} times, most recently at step {step:,}; "
                f"try again with a lower `learning_rate`, or `precision` float32"
            )
        state.divergences += 1
        state.training = replace(state.training, learning_rate=_LOWER * state.training.learning_rate)
        self._go_back()
        return RolledBack(
            step=step,
            to_step=state.position.step,
            learning_rate=state.training.learning_rate,
            training_nats=nats,
            seconds=self._meter.seconds(),
        )

    def _go_back(self) -> None:
        """Go back to the last checkpoint; if that did not help, to the best weights; then to the start.

        Skip checkpoints saved after the loss became bad.
        """
        state, before, start = self.state, self.state.position, self._checkpoint
        last_good_step = before.step - state.bad_steps
        state.returns = state.returns + 1 if last_good_step <= state.returned_to else 0
        saved = None if self._saved_step in (None, start.record.position.step) else LAST
        choices = ((saved, self._saved_step or 0), (BEST, before.best_step), (None, 0))
        name = next((name for name, step in choices[state.returns :] if step <= last_good_step), None)
        loaded = None if name is None else self._on_storage(lambda storage: storage.load(name))
        self._restore(loaded or start)
        state.returned_to = state.position.step
        state.position = replace(
            state.position,
            best_nats=before.best_nats,  # keep the best weights
            best_step=before.best_step,
            best_progress=before.best_progress,
            progress=before.progress if self._meter.timed else state.position.progress,  # time does not go back
        )

    def _save_due(self) -> bool:
        """Whether it is time to save between two evaluations."""
        state = self.state
        interval = _RETRY_SECONDS if state.save_error else max(_SAVE_SECONDS, self._meter.save_seconds / _SAVE_FRACTION)
        return bool(self._processes.broadcast(self._clock() - state.save_ended > interval))

    def _savable(self, weights: Mapping[str, FloatArray], validation_nats: float | None = None) -> bool:
        """Whether this state is sound: its weights and losses are finite, and the loss is not diverging."""
        evaluated = validation_nats is None or validation_nats < math.inf
        return evaluated and not self.state.suspicious and not problem_with(weights)

    def _save(
        self,
        *,
        best: bool = False,
        validation_nats: float | None = None,
        mean: tuple[Averaged, dict[str, FloatArray]] | None = None,
    ) -> Iterator[Event]:
        """Save, unless the loss may be diverging, because the previous checkpoint is then better.

        The best checkpoint becomes the current one if this is the `best`, or the `mean` if one is given.

        If saving fails, training continues and soon retries. Yields an event when saving starts to fail, and when it
        works again.
        """
        state, begun, weights = self.state, self._clock(), self._model.weights()
        if not self._savable(weights, validation_nats):
            return
        record = replace(
            self._checkpoint.record,
            training=state.training,
            position=state.position,
            seconds=self._meter.seconds(),
            validation_nats=validation_nats,
            validation_chunks=self._validation.chunks,
            versions=versions(),
        )
        extra = state.to_arrays(self._trainer, self._validation.best)
        checkpoint = replace(self._checkpoint, weights=weights, record=record, extra=extra)
        kept = checkpoint if best or state.position.best_nats is None else None
        if mean:
            averaged, weights = mean
            record = replace(record, validation_nats=averaged.validation_nats, share_of_start=averaged.share_of_start)
            kept = replace(checkpoint, weights=weights, record=record)
        before = state.save_error
        state.save_error, self.folder, self._saved_step = self._on_storage(
            lambda storage: (storage.save(checkpoint, best=kept), storage.path, storage.saved_step)
        )
        state.save_ended = self._clock()
        self._meter.save_seconds = state.save_ended - begun
        step, seconds = state.position.step, record.seconds
        if state.save_error and not before:
            yield SaveFailed(step=step, reason=str(state.save_error), saved_step=self._saved_step, seconds=seconds)
        elif before and not state.save_error:
            yield SavedAgain(step=step, seconds=seconds)

    def _require_saved(self) -> None:
        """If the last attempt to save failed, rescue its content and raise CheckpointError."""
        if error := self.state.save_error:
            folder = self._on_storage(lambda storage: storage.rescue())
            outcome = "all progress since the last save is lost" if folder is None else f"the run is in {folder}"
            raise CheckpointError(f"{error}; {outcome}") from error

    def _on_storage(self, action: Callable[[Storage], T]) -> T:
        """Let the first process act on the run's folder; all processes get the result."""
        return self._processes.on_first(lambda: action(cast(Storage, self._storage)))

    def _finished(self, interrupted: bool) -> Finished:
        return Finished(
            checkpoint=str(self.folder / BEST),
            step=self.state.position.step,
            epoch=self._epochs(),
            validation_nats=self.state.position.best_nats,
            characters_per_second=self._speed(),
            seconds=self._meter.seconds(),
            interrupted=interrupted,
        )
