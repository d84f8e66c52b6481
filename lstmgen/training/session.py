"""A run from its first step to its last, or from where it stopped.

Everything that decides the next step is in `last.safetensors`: weights, the optimizer's memory, the generator, the
place in the text and the carried state. A resumed run therefore ends as it would have without the interruption.

Knows: budgets, when to evaluate and to save. Does not know: terminals; it yields events.
"""

import json
import math
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch

import lstmgen
from lstmgen.checkpoint import BEST, LAST, LOG, AnyArray, Checkpoint, TrainingRecord, save_checkpoint
from lstmgen.config import BudgetUnit, ModelConfig, Precision, SamplingConfig
from lstmgen.errors import CheckpointError, ConfigError, TrainingError
from lstmgen.evaluation.score import score
from lstmgen.generation.engine import Engine
from lstmgen.generation.sampler import draw_symbols
from lstmgen.network.architecture import NetworkState, build_network
from lstmgen.network.initialization import initialize
from lstmgen.network.model import Model, map_state
from lstmgen.text.corpus import Corpus
from lstmgen.text.streams import Chunk, every_line, overlapping_streams
from lstmgen.training.events import Evaluated, Event, Finished, Stepped, is_logged, to_mapping
from lstmgen.training.optimization import learning_rate, optimizer_tensors, restore_optimizer
from lstmgen.training.plan import build_text
from lstmgen.training.trainer import TorchReader, Trainer

EVALUATIONS = 10
"""How many evaluations a budget has, if nothing else is asked for; fewer where they would cost too much time."""

VALIDATION_LIMIT = 200_000
"""How many symbols of a large held-out text an evaluation in training reads; `lstmgen eval` reads them all."""

_VALIDATION_ROWS = 32
_VALIDATION_WARM_UP = 100
_EVALUATION_SHARE = 0.05  # of a time budget
_SAVE_SECONDS = 60.0
_CLOSING_SECONDS = 0.3  # to save at the end and to leave
_SMOOTHING = 0.98
_PREVIEW_LENGTH = 200
_MOST_FAILURES = 20


AnyEvent = TypeVar("AnyEvent", Stepped, Evaluated, Finished)


@dataclass
class _Progress:
    """What moves as training goes on."""

    epoch: int = 0
    chunk: int = 0
    step: int = 0
    symbols_read: int = 0
    training_nats: float = math.nan
    share: float = 0.0
    best_nats: float | None = None
    failures: int = 0


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
            checkpoint: from `new_checkpoint`, or a run's last one.
            corpus: the text that the checkpoint's record names.
            folder: where the run's files are; it exists.
            started: the clock's time when the command began; a time budget counts from there.
            clock: seconds that never go back.

        Raises ConfigError if the budget is used up.
        """
        record = checkpoint.record
        self.folder = folder
        self._checkpoint = checkpoint
        self._config = record.training
        self._clock = clock
        self._started = started
        self._newline = corpus.vocabulary.newline if record.text.lines else None
        training, self._held_out = corpus.split(record.text.validation, record.text.lines)
        self._text = build_text(self._config, training, self._newline, record.text.lines)

        torch.set_num_threads(record.threads)
        model = Model(checkpoint.network, checkpoint.weights, torch.device(record.device))
        self._model = model
        self._trainer = Trainer(model, self._config, Precision(record.precision))
        self._state: NetworkState | None = None
        self._at = _Progress(
            epoch=record.epoch,
            chunk=record.chunk,
            step=record.step,
            symbols_read=record.symbols_read,
            best_nats=record.best_nats,
        )
        if checkpoint.extra:
            self._restore(checkpoint.extra)
        self._begun = clock()
        self._first_share = record.progress if self._timed else self._counted_share()
        if self._first_share >= 1:
            budget = self._config.budget
            raise ConfigError(
                f"{folder.name}: its budget of {budget} is used up; give a larger one, such as "
                f"lstmgen train --resume {folder.name} {budget.unit.option} {2 * budget.amount:g}"
            )
        self._at.share = self._first_share
        self._evaluation_seconds = 0.0
        self._saved = self._begun
        self._symbols_before = record.symbols_read

    def events(self, should_stop: Callable[[], bool] = lambda: False) -> Iterator[Event]:
        """Train until the budget is used up or `should_stop`, which is asked after every step.

        Raises TrainingError if the loss stays without a number, and CheckpointError if saving fails.
        """
        interrupted = False
        while self._at.share < 1 and not interrupted:
            for chunk in self._text.chunks(self._at.epoch, self._at.chunk):
                mark = int(self._at.share * EVALUATIONS)
                yield self._step(chunk)
                interrupted = should_stop()
                if interrupted or self._at.share >= 1:
                    break
                if self._evaluation_due(mark):
                    yield self._evaluate()
                elif self._clock() - self._saved > _SAVE_SECONDS:
                    self._save(LAST)
            else:
                self._at.epoch, self._at.chunk = self._at.epoch + 1, 0
        if interrupted:
            self._save(LAST)
        else:
            yield self._evaluate()
        if not (self.folder / BEST).exists():
            self._save(BEST)
        yield self._log(
            Finished(
                checkpoint=str(self.folder / BEST),
                step=self._at.step,
                epoch=self._epochs(),
                validation_nats=self._at.best_nats,
                characters_per_second=self._speed(),
                seconds=self._seconds(),
                interrupted=interrupted,
            )
        )

    def _step(self, chunk: Chunk) -> Stepped:
        rate = learning_rate(self._config, self._at.share)
        nats, self._state = self._trainer.step(chunk, self._state, rate)
        at = self._at
        at.step += 1
        at.chunk += 1
        at.symbols_read += int((chunk.targets >= 0).sum())
        if math.isnan(nats):
            at.failures += 1
            if at.failures >= _MOST_FAILURES:
                raise TrainingError(
                    f"the loss has not been a finite number for {at.failures} steps, up to step {at.step}; try again "
                    f"with a --learning-rate below {self._config.learning_rate:g}, or --precision float32"
                )
        else:
            at.failures = 0
            smoothed = at.training_nats if math.isfinite(at.training_nats) else nats
            at.training_nats = _SMOOTHING * smoothed + (1 - _SMOOTHING) * nats
        at.share = self._share()
        event = Stepped(
            step=at.step,
            epoch=self._epochs(),
            progress=at.share,
            nats=at.training_nats,
            learning_rate=rate,
            characters_per_second=self._speed(),
            seconds=self._seconds(),
        )
        return self._log(event)

    # Budgets

    def _share(self) -> float:
        """The share of the budget that is used up: counted, or by the clock from this session's first step on."""
        if not self._timed:
            return self._counted_share()
        used_before = self._checkpoint.record.seconds
        loading = self._begun - self._started
        closing = _CLOSING_SECONDS + max(1.1 * self._evaluation_seconds, 0.01 * self._config.budget.amount)
        available = self._config.budget.amount - used_before - loading - closing
        if available <= 0:
            return 1.0
        return min(1.0, self._first_share + (1 - self._first_share) * (self._clock() - self._begun) / available)

    @property
    def _timed(self) -> bool:
        return self._config.budget.unit is BudgetUnit.SECONDS

    def _counted_share(self) -> float:
        done = self._at.step if self._config.budget.unit is BudgetUnit.STEPS else self._epochs()
        return min(1.0, done / self._config.budget.amount)

    def _epochs(self) -> float:
        return self._at.epoch + self._at.chunk / self._text.chunk_count(self._at.epoch)

    def _seconds(self) -> float:
        return self._checkpoint.record.seconds + self._clock() - self._started

    def _speed(self) -> float:
        return (self._at.symbols_read - self._symbols_before) / max(1e-9, self._clock() - self._begun)

    # Evaluation

    def _evaluation_due(self, mark: int) -> bool:
        """Whether it is time: every so many steps, or at each tenth of the budget if that is cheap enough."""
        if self._config.every:
            return self._at.step % self._config.every == 0
        if int(self._at.share * EVALUATIONS) == mark:
            return False
        cheap = self._evaluation_seconds <= _EVALUATION_SHARE * self._config.budget.amount / EVALUATIONS
        return not self._timed or cheap or mark % 5 == 4

    def _evaluate(self) -> Evaluated:
        """Score the held-out text, keep the weights if they are the best, save. Training is left as it is."""
        begun = self._clock()
        validation = self._validation_nats()
        best = validation is None or self._at.best_nats is None or validation < self._at.best_nats
        if best:
            self._at.best_nats = validation
            self._save(BEST, validation)
        self._save(LAST, validation)
        preview = self._preview()
        self._evaluation_seconds = self._clock() - begun
        return self._log(
            Evaluated(
                step=self._at.step,
                epoch=self._epochs(),
                progress=self._at.share,
                training_nats=self._at.training_nats,
                validation_nats=validation,
                best=best,
                preview=preview,
                seconds=self._seconds(),
            )
        )

    def _validation_nats(self) -> float | None:
        held_out = self._held_out[:VALIDATION_LIMIT]
        if len(held_out) < 2 or (held_out == self._newline).all():
            return None
        if self._newline is None:
            chunks = overlapping_streams(held_out, _VALIDATION_ROWS, _VALIDATION_WARM_UP)
        else:
            chunks = every_line(held_out, self._newline, 4 * _VALIDATION_ROWS)
        return score(TorchReader(self._model), chunks).nats_per_character

    def _preview(self) -> str:
        """A few characters of what the network writes now."""
        vocabulary = self._checkpoint.vocabulary
        engine = Engine(self._model.network, self._model.weights())
        prompt = vocabulary.opening(self._config.preview, lines=self._newline is not None)
        config = SamplingConfig(length=_PREVIEW_LENGTH)
        drawn = draw_symbols(engine, prompt, config, self._at.step, self._newline)
        return self._config.preview + vocabulary.decode(np.array([symbol.id for symbol in drawn], np.int64))

    # Files

    def _save(self, name: str, validation: float | None = None) -> None:
        at = self._at
        record = replace(
            self._checkpoint.record,
            epoch=at.epoch,
            chunk=at.chunk,
            step=at.step,
            symbols_read=at.symbols_read,
            seconds=self._seconds(),
            progress=at.share,
            validation_nats=validation,
            best_nats=at.best_nats,
            versions=_versions(),
        )
        extra = self._extra() if name == LAST else {}
        weights = self._model.weights()
        save_checkpoint(replace(self._checkpoint, weights=weights, record=record, extra=extra), self.folder / name)
        if name == LAST:
            self._saved = self._clock()

    def _log(self, event: AnyEvent) -> AnyEvent:
        if is_logged(event):
            with (self.folder / LOG).open("a", encoding="utf-8") as log:
                log.write(json.dumps(to_mapping(event)) + "\n")
        return event

    def _extra(self) -> dict[str, AnyArray]:
        """All that decides the next step beside the weights and the record."""
        tensors = optimizer_tensors(self._trainer.optimizer, self._model.parameters)
        extra = {f"optimizer/{name}": tensor.cpu().numpy() for name, tensor in tensors.items()}
        extra["generator"] = self._trainer.generator.get_state().numpy()
        extra["training_nats"] = np.array(self._at.training_nats)
        if self._state is not None:
            arrays: list[AnyArray] = []
            map_state(lambda tensor: arrays.append(tensor.cpu().numpy()), self._state)
            extra |= {f"state/{number}": array for number, array in enumerate(arrays)}
        return extra

    def _restore(self, extra: dict[str, AnyArray]) -> None:
        """The inverse of `_extra`; raises CheckpointError for what does not fit."""
        try:
            tensors = {name: torch.from_numpy(array.copy()) for name, array in extra.items()}
            memory = {
                name.removeprefix("optimizer/"): tensor
                for name, tensor in tensors.items()
                if name.startswith("optimizer/")
            }
            restore_optimizer(self._trainer.optimizer, self._model.parameters, memory)
            self._trainer.generator.set_state(tensors["generator"])
            self._at.training_nats = float(tensors["training_nats"])
            if "state/0" in tensors:
                numbers = iter(range(len(tensors)))
                rows = len(tensors["state/0"])
                self._state = map_state(
                    lambda zeros: tensors[f"state/{next(numbers)}"].to(self._model.device).reshape(zeros.shape),
                    self._model.initial_state(rows),
                )
        except (KeyError, RuntimeError, ValueError) as error:
            raise CheckpointError(
                f"{self.folder / LAST}: cannot be resumed ({error}); its best.safetensors can still be sampled"
            ) from error


def new_checkpoint(model: ModelConfig, corpus: Corpus, record: TrainingRecord) -> Checkpoint:
    """An untrained checkpoint: weights drawn from the training seed."""
    network = build_network(model, len(corpus.vocabulary))
    weights = initialize(network, np.random.default_rng(record.training.seed))
    return Checkpoint(model, corpus.vocabulary, weights, record)


def _versions() -> dict[str, str]:
    return {"lstmgen": lstmgen.__version__, "python": platform.python_version(), "torch": torch.__version__}
