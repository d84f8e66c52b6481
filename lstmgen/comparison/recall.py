"""How far back networks can be taught to remember: their accuracy on a synthetic text, lag by lag.

    kq!wvbzx?w      the letter after ! is the key; the answer after ? repeats it; here the lag is 7

All other letters are distractors: they look like keys, but no ! precedes them. So a network has to store one letter,
and to ignore the same letters before and after it.

One network learns all lags. The lag of each batch is drawn from a range, which at first ends at a few characters and
grows whenever a batch from its longer half is answered well. Then the network is measured at every lag, on fresh text.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from string import ascii_lowercase

import numpy as np
import torch

from lstmgen.comparison.config import RecallConfig
from lstmgen.config import ModelConfig, Precision, TrainingConfig
from lstmgen.network.architecture import build_network
from lstmgen.network.initialization import initialize
from lstmgen.network.model import Model, using_threads
from lstmgen.text.streams import IGNORED, Chunk
from lstmgen.training.budget import BudgetMeter, RunningClock
from lstmgen.training.machine import require_memory
from lstmgen.training.trainer import Trainer, learning_rate

TOKENS = ascii_lowercase + "!?"
"""Every token; its id is its position."""

CHANCE = 1 / len(ascii_lowercase)
"""The accuracy of guessing."""

MAX_BEFORE = 20
"""The largest number of distractors before the key."""

_MIN_LAG = 2  # !w?w
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
    config: RecallConfig, *, threads: int = 1, clock: Callable[[], float] = time.perf_counter
) -> Iterator[RecallStepped | RecallMeasured]:
    """Train and measure each network with each seed, one after the other, on the CPU.

    With a budget of steps the results follow from the config alone. More threads than one hardly help: the networks are
    small. Raises ConfigError for a network that needs more RAM than this machine has.
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
        lag = int(learned_text.integers(_MIN_LAG, int(longest) + 1))
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


def recall_chunk(generator: np.random.Generator, lag: int, questions: int) -> Chunk:
    """Draw questions, (questions, time), each to be read from the initial state; only the answers are targets.

    From the key to the answer there are `lag` characters. Every row has the same number of distractors before the key.
    """
    mark = int(generator.integers(MAX_BEFORE + 1))
    key, question = mark + 1, mark + lag
    inputs = generator.integers(len(ascii_lowercase), size=(questions, question + 1))
    inputs[:, mark] = TOKENS.index("!")
    inputs[:, question] = TOKENS.index("?")
    targets = np.full_like(inputs, IGNORED)
    targets[:, question] = inputs[:, key]
    return Chunk(inputs, targets, np.full(questions, 1), reset_state=True)


def example(lag: int) -> str:
    """One question with its answer, as text."""
    chunk = recall_chunk(np.random.default_rng(0), lag, questions=1)
    return "".join(TOKENS[number] for number in (*chunk.inputs[0], chunk.targets[0, -1]))
