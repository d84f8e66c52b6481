"""How far back networks can be taught to remember: their accuracy on `recall_text`, lag by lag.

One network learns all lags. The lag of each batch is drawn from a range. At first the range ends at a few characters.
Whenever a batch from its longer half is answered well, the range grows. All networks have the same recipe and the same
budget. Then each is measured at every lag, on fresh text.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

from lstmgen.comparison.config import RecallConfig
from lstmgen.comparison.recall_text import SHORTEST_LAG, TOKENS, recall_chunk
from lstmgen.config import ModelConfig, Precision, TrainingConfig
from lstmgen.network.architecture import build_network
from lstmgen.network.initialization import initialize
from lstmgen.network.model import Model
from lstmgen.training.budget import BudgetMeter, RunningClock
from lstmgen.training.machine import require_memory, using_threads
from lstmgen.training.trainer import Trainer, learning_rate

_MEASURED_AT_ONCE = 100  # questions


@dataclass(frozen=True)
class RecallStepped:
    """One update of the weights of one network."""

    model: ModelConfig
    seed: int
    progress: float  # fraction of this network's budget that is used up
    longest_lag: int  # of the range from which lags are drawn
    nats: float  # per answer of this batch


@dataclass(frozen=True)
class RecallMeasured:
    """What one network with one seed has learned."""

    model: ModelConfig
    seed: int
    parameters: int
    steps: int
    seconds: float  # of training
    longest_lag: int  # that training reached
    accuracy: dict[int, float]  # of each lag, on fresh text


def compare_recall(
    config: RecallConfig, *, threads: int = 1, clock: Callable[[], float] = time.monotonic
) -> Iterator[RecallStepped | RecallMeasured]:
    """Train and measure each network with each seed, one after the other, on the CPU.

    With a budget of steps the results follow from the config alone. More threads than one hardly help: the networks are
    small. Raises ConfigError for a network that needs more memory than this machine has.
    """
    for model in config.models():
        require_memory(build_network(model, len(TOKENS)), TrainingConfig(config.budget, batch_size=config.batch_size))
    with using_threads(threads), RunningClock(clock) as clock:
        for model in config.models():
            for seed in range(config.seeds):
                yield from _learn(config, model, seed, clock)


def _learn(
    config: RecallConfig, model: ModelConfig, seed: int, clock: Callable[[], float]
) -> Iterator[RecallStepped | RecallMeasured]:
    network = build_network(model, len(TOKENS))
    weights = initialize(network, np.random.default_rng(seed))
    training = TrainingConfig(
        config.budget,
        batch_size=config.batch_size,
        learning_rate=config.learning_rate,
        weight_decay=0.0,
        dropout=0.0,
        state_reset=0.0,
        seed=seed,
    )
    trainer = Trainer(Model(network, weights, torch.device("cpu")), training, Precision.FLOAT32)
    learned_text, fresh_text = (np.random.default_rng([seed, part]) for part in (0, 1))
    longest: float = min(config.first_lag, max(config.lags))
    started = clock()
    meter = BudgetMeter(config.budget, started=started, clock=clock)
    step, progress = 0, 0.0
    while progress < 1:
        lag = int(learned_text.integers(SHORTEST_LAG, int(longest) + 1))
        chunk = recall_chunk(learned_text, lag, config.batch_size)
        nats, _ = trainer.step(chunk, None, learning_rate(training, progress))
        if 2 * lag > longest and nats < config.learned_nats:
            longest = min(longest * config.lag_growth, max(config.lags))
        step += 1
        progress = meter.progress(step, epochs=0)
        yield RecallStepped(model, seed, progress, int(longest), nats)
    seconds = clock() - started
    accuracy = {lag: measure_recall(trainer.model, lag, config.questions, fresh_text) for lag in config.lags}
    yield RecallMeasured(model, seed, network.parameter_count(), step, seconds, int(longest), accuracy)


@torch.no_grad()
def measure_recall(model: Model, lag: int, questions: int, generator: np.random.Generator) -> float:
    """The fraction of fresh questions that a network answers correctly at one lag."""
    correct = 0
    for start in range(0, questions, _MEASURED_AT_ONCE):
        chunk = recall_chunk(generator, lag, min(_MEASURED_AT_ONCE, questions - start))
        logits, _ = model.read(torch.from_numpy(chunk.inputs), model.initial_state(len(chunk.inputs)))
        correct += int((logits[:, -1].argmax(dim=-1).numpy() == chunk.targets[:, -1]).sum())
    return correct / questions
