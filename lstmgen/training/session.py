"""A run from its first step to its last, or from where it stopped.

Everything that decides the weights after the next step is in `last.safetensors`: weights, the optimizer's memory, the
generator, the place in the text and the carried state. A resumed run whose budget counts steps or epochs therefore ends
with the weights that it would have had without the interruption, bit for bit.

Knows: budgets, when to evaluate and to save. Does not know: terminals; it yields events.
"""

import json
import math
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

import torch

import lstmgen
from lstmgen.checkpoint import BEST, LAST, LOG, Checkpoint, run_name, save_checkpoint
from lstmgen.errors import CheckpointError, ConfigError, TrainingError
from lstmgen.evaluation.score import score
from lstmgen.generation.torch_engine import TorchEngine
from lstmgen.language_model import LanguageModel
from lstmgen.network.model import Model
from lstmgen.text.corpus import Corpus
from lstmgen.text.streams import Chunk, every_line, line_items, overlapping_streams
from lstmgen.training.budget import BudgetMeter
from lstmgen.training.events import (
    WORSE_NATS,
    Evaluated,
    Event,
    Finished,
    Overfitting,
    Stepped,
    is_logged,
    to_mapping,
)
from lstmgen.training.optimization import learning_rate
from lstmgen.training.plan import build_text
from lstmgen.training.resumption import Place, restore_place, take_place
from lstmgen.training.trainer import Trainer

EVALUATIONS = 10
"""How many evaluations a budget has, if nothing else is asked for; fewer where they would cost too much time."""

VALIDATION_LIMIT = 200_000
"""How many symbols of a large held-out text an evaluation in training reads; scoring afterwards reads them all."""

_VALIDATION_ROWS = 32
_VALIDATION_WARM_UP = 100
_EVALUATION_SHARE = 0.05  # of a time budget, for all evaluations at tenths of it
_VALIDATION_SHARE = 0.04  # of a time budget, for one evaluation
_SAVE_SECONDS = 60.0
_SMOOTHING = 0.98
_PREVIEW_LENGTH = 200
_MOST_FAILURES = 20
_PATIENCE = 0.15  # share of the budget for which the validation loss may rise
_FALLING_FROM = 0.75  # of the share of the budget: from there on the learning rate is low, and overfitting is expected


AnyEvent = TypeVar("AnyEvent", bound=Event)


@dataclass
class _Progress:
    """What moves as training goes on."""

    epoch: int = 0
    chunk: int = 0
    step: int = 0
    symbols_read: int = 0
    place: Place = field(default_factory=Place)
    share: float = 0.0
    best_nats: float | None = None
    best_step: int = 0
    best_share: float = 0.0
    failures: int = 0
    validation_chunks: int | None = None  # that an evaluation reads; None: not known yet


class Session:
    """One run. `events` does the work; everything else is its state."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        corpus: Corpus,
        folder: Path,
        *,
        started: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin a run, or go on with one.

        Args:
            checkpoint: untrained, or a run's last one, whose place is then restored.
            corpus: the text that the checkpoint's record names.
            folder: where the run's files are; it exists.
            started: the clock's time when the command began; a time budget counts from there.
            clock: seconds that never go back.

        Raises ConfigError if the budget is used up, and CheckpointError if the run's place cannot be restored.
        """
        record = checkpoint.record
        self.folder = folder
        self._checkpoint = checkpoint
        self._config = record.training
        self._clock = clock
        self._newline = corpus.vocabulary.newline if record.text.lines else None
        training, held_out = corpus.split(record.text.validation, record.text.lines)
        self._held_out = held_out[:VALIDATION_LIMIT]
        if record.text.lines and len(held_out) > VALIDATION_LIMIT:
            self._held_out = corpus.whole_lines(self._held_out)
        self._text = build_text(self._config, training, self._newline, record.text.lines)

        torch.set_num_threads(record.threads)
        self._model = Model(checkpoint.network, checkpoint.weights, torch.device(record.device))
        self._trainer = Trainer(self._model, self._config, record.precision)
        self._at = _Progress(
            epoch=record.epoch,
            chunk=record.chunk,
            step=record.step,
            symbols_read=record.symbols_read,
            best_nats=record.best_nats,
            best_step=record.best_step,
            best_share=record.best_progress,
            validation_chunks=record.validation_chunks,
        )
        if checkpoint.extra:
            rows = self._config.batch_size if self._newline is None else None
            try:
                self._at.place = restore_place(self._trainer, checkpoint.extra, rows)
            except CheckpointError as error:
                raise CheckpointError(f"{folder / LAST}: {error}") from error
        for part in folder.glob("*.part"):  # of a save that was killed
            part.unlink(missing_ok=True)
        self._chunk_count = self._text.chunk_count(self._at.epoch)
        self._meter = BudgetMeter(
            self._config.budget,
            self._config.most_epochs,
            seconds=record.seconds,
            share=record.progress,
            started=started,
            clock=clock,
        )
        self._at.share = self._meter.share_before(self._at.step, self._epochs())
        if self._at.share >= 1:
            budget = self._config.budget
            raise ConfigError(
                f"{folder}: its budget of {budget} is used up; give a larger one, such as "
                f"lstmgen train --resume {run_name(folder)} {budget.unit.option} {2 * budget.amount:.12g}"
            )
        self._saved = clock()

    def events(self, should_stop: Callable[[], bool] = lambda: False) -> Iterator[Event]:
        """Train until the budget is used up or `should_stop`, which is asked after every step.

        Raises TrainingError if the loss stays without a number, and CheckpointError if saving fails.
        """
        interrupted = False
        while self._at.share < 1 and not interrupted:
            for chunk in self._text.chunks(self._at.epoch, self._at.chunk):
                mark = int(self._at.share * EVALUATIONS)
                yield self._step(chunk)
                if self._at.share >= 1:
                    break
                if self._evaluation_due(mark):  # also before stopping: a resumed run would not make up for it
                    evaluated = self._evaluate()
                    yield evaluated
                    if overfitting := self._end_sooner(evaluated):
                        yield overfitting
                elif self._clock() - self._saved > _SAVE_SECONDS:
                    self._save(LAST)
                interrupted = should_stop()
                if interrupted:
                    break
            else:
                self._at.epoch, self._at.chunk = self._at.epoch + 1, 0
                self._chunk_count = self._text.chunk_count(self._at.epoch)
        if interrupted:
            self._save(LAST)
        else:
            yield self._evaluate()
        if not (self.folder / BEST).exists():
            self._save(BEST)
        yield self.log(
            Finished(
                checkpoint=str(self.folder / BEST),
                step=self._at.step,
                epoch=self._epochs(),
                validation_nats=self._at.best_nats,
                characters_per_second=self._speed(),
                seconds=self._meter.seconds(),
                interrupted=interrupted,
            )
        )

    def _step(self, chunk: Chunk) -> Stepped:
        rate = learning_rate(self._config, self._at.share)
        at = self._at
        nats, state = self._trainer.step(chunk, at.place.state, rate)
        at.step += 1
        at.chunk += 1
        at.symbols_read += int((chunk.targets >= 0).sum())
        smoothed = at.place.training_nats
        if math.isnan(nats):
            at.failures += 1
            if at.failures >= _MOST_FAILURES:
                raise TrainingError(
                    f"the loss has not been a finite number for {at.failures} steps, up to step {at.step}; try again "
                    f"with a --learning-rate below {self._config.learning_rate:g}, or --precision float32"
                )
        else:
            at.failures = 0
            smoothed = nats if math.isnan(smoothed) else _SMOOTHING * smoothed + (1 - _SMOOTHING) * nats
        at.place = Place(state, smoothed)
        at.share = self._meter.share(at.step, self._epochs())
        event = Stepped(
            step=at.step,
            epoch=self._epochs(),
            progress=at.share,
            nats=smoothed,
            learning_rate=rate,
            characters_per_second=self._speed(),
            seconds=self._meter.seconds(),
        )
        return self.log(event)

    def _epochs(self) -> float:
        return self._at.epoch + self._at.chunk / self._chunk_count

    def _speed(self) -> float:
        """Characters a second in this session, evaluations included."""
        return (self._at.symbols_read - self._checkpoint.record.symbols_read) / max(1e-9, self._meter.session_seconds())

    def _evaluation_due(self, mark: int) -> bool:
        """Whether it is time: every so many steps, or at each tenth of the budget if that is cheap enough."""
        if self._config.every:
            return self._at.step % self._config.every == 0
        if int(self._at.share * EVALUATIONS) == mark:
            return False
        cheap = self._meter.evaluation_seconds <= _EVALUATION_SHARE * self._config.budget.amount / EVALUATIONS
        return not self._meter.timed or cheap or mark % 5 == 4

    def _evaluate(self) -> Evaluated:
        """Score the held-out text, keep the weights if they are the best, save. Training is left as it is."""
        begun = self._clock()
        validation = self._validation_nats()
        best = validation is None or self._at.best_nats is None or validation < self._at.best_nats
        if best:
            self._at.best_nats, self._at.best_step, self._at.best_share = validation, self._at.step, self._at.share
            self._save(BEST, validation)
        self._save(LAST, validation)
        preview = self._preview()
        self._meter.evaluation_seconds = self._clock() - begun
        return self.log(
            Evaluated(
                step=self._at.step,
                epoch=self._epochs(),
                progress=self._at.share,
                training_nats=self._at.place.training_nats,
                validation_nats=validation,
                best=best,
                preview=preview,
                seconds=self._meter.seconds(),
            )
        )

    def _end_sooner(self, evaluated: Evaluated) -> Overfitting | None:
        """If the network has begun to learn the text by heart, let the learning rate fall now, and then end.

        A budget in steps or epochs is kept to the letter.
        """
        at, validation = self._at, evaluated.validation_nats
        if validation is None or at.best_nats is None or not self._meter.timed or at.share > _FALLING_FROM:
            return None
        if at.share - at.best_share < _PATIENCE or validation < at.best_nats + WORSE_NATS:
            return None
        end = self._epochs() / _FALLING_FROM
        self._config = replace(self._config, most_epochs=end)
        self._meter.most_epochs = end
        return self.log(
            Overfitting(
                step=at.step,
                since=at.best_step,
                best_nats=at.best_nats,
                validation_nats=validation,
                training_nats=evaluated.training_nats,
                epoch=self._epochs(),
                end_epoch=end,
            )
        )

    def _validation_nats(self) -> float | None:
        if self._newline is None:
            if len(self._held_out) < 2:
                return None
            chunks = overlapping_streams(self._held_out, _VALIDATION_ROWS, _VALIDATION_WARM_UP)
        else:
            if len(line_items(self._held_out, self._newline)) == 0:
                return None
            chunks = every_line(self._held_out, self._newline, 4 * _VALIDATION_ROWS)
        return score(TorchEngine(self._model), self._affordable(chunks)).nats_per_character

    def _affordable(self, chunks: Iterator[Chunk]) -> Iterator[Chunk]:
        """As many chunks as a time budget allows; how many that is, the first evaluation finds out for all."""
        begun, known, read = self._clock(), self._at.validation_chunks, 0
        for chunk in chunks:
            may_end = read > 0 and (chunk.reset_state or self._newline is None)  # lines are not cut
            long = self._meter.timed and self._clock() - begun > _VALIDATION_SHARE * self._config.budget.amount
            if may_end and (long if known is None else read >= known):
                break
            yield chunk
            read += 1
        self._at.validation_chunks = read

    def _preview(self) -> str:
        """A few characters of what the network writes now."""
        model = LanguageModel(replace(self._checkpoint, weights=self._model.weights()))
        return model.sample(self._config.preview, length=_PREVIEW_LENGTH, seed=self._at.step)

    def _save(self, name: str, validation: float | None = None) -> None:
        at = self._at
        record = replace(
            self._checkpoint.record,
            training=self._config,
            epoch=at.epoch,
            chunk=at.chunk,
            step=at.step,
            symbols_read=at.symbols_read,
            seconds=self._meter.seconds(),
            progress=at.share,
            validation_nats=validation,
            best_nats=at.best_nats,
            best_step=at.best_step,
            best_progress=at.best_share,
            validation_chunks=at.validation_chunks,
            versions=_versions(),
        )
        extra = take_place(self._trainer, at.place) if name == LAST else {}
        weights = self._model.weights()
        save_checkpoint(replace(self._checkpoint, weights=weights, record=record, extra=extra), self.folder / name)
        if name == LAST:
            self._saved = self._clock()

    def log(self, event: AnyEvent) -> AnyEvent:
        """Keep an event in the run's log, if it is of those that are kept; it is returned."""
        if is_logged(event):
            with (self.folder / LOG).open("a", encoding="utf-8") as log:
                log.write(json.dumps(to_mapping(event)) + "\n")
        return event


def _versions() -> dict[str, str]:
    return {"lstmgen": lstmgen.__version__, "python": platform.python_version(), "torch": torch.__version__}
