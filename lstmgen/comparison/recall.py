"""How far back networks can learn to remember: their accuracy on a synthetic text, lag by lag.

    kq!wvbzx?w      the letter after ! is the key; the answer after ? repeats it; here the lag is 7

All other letters are distractors: they look like keys, but no ! precedes them. So a network must store one letter, and
ignore the same letters before and after it.

One network learns all lags. Most batches draw their lag from a range that starts with a few characters, and grows
whenever a batch from its longer half is answered well. Every fourth batch draws its lag from the whole range, so that
every network meets every lag. Finally the network is measured at each lag, on fresh text.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from string import ascii_lowercase

import numpy as np
import torch

from lstmgen.comparison.config import RecallConfig
from lstmgen.config import ModelConfig, Precision, TrainingConfig
from lstmgen.network.architecture import build_network
from lstmgen.network.forward import forward, head
from lstmgen.network.initialization import initialize
from lstmgen.network.kernels.torch_layers import run_layer
from lstmgen.network.model import Model, using_threads
from lstmgen.text.streams import IGNORED, Chunk
from lstmgen.training.budget import BudgetMeter, RunningClock
from lstmgen.training.machine import require_memory
from lstmgen.training.plan import hidden_size_for
from lstmgen.training.trainer import Trainer, learning_rate

TOKENS = ascii_lowercase + "!?"
"""Every token; its id is its position."""

CHANCE = 1 / len(ascii_lowercase)
"""The accuracy of guessing."""

HOLDS = 0.95
"""The accuracy at which a network counts as having learned to remember."""

MAX_BEFORE = 20
"""The maximum number of distractors before the key."""

_MIN_LAG = 2  # !w?w
_WHOLE_RANGE_EVERY = 4  # batches
_MEASURED_AT_ONCE = 100  # questions


@dataclass(frozen=True)
class RecallStepped:
    """One update of the weights of one network."""

    model: ModelConfig
    seed: int
    progress: float  # the used-up fraction of this network's budget
    lag: int  # of this batch
    nats: float  # per answer in it
    growing: int  # the end of the growing range of lags


@dataclass(frozen=True)
class RecallMeasured:
    """The results of one network with one seed."""

    model: ModelConfig
    seed: int
    parameters: int
    steps: int
    seconds: float  # of training
    longest_lag: int  # in training
    accuracy: dict[int, float]  # by lag, on fresh text
    updates: dict[int, int]  # by lag: how many it took to reach `HOLDS`; lags that never reached it are missing
    gradient: dict[int, float]  # by lag: see `key_gradient`


def compare_recall(
    config: RecallConfig, *, threads: int = 1, clock: Callable[[], float] = time.perf_counter
) -> Iterator[RecallStepped | RecallMeasured]:
    """Train and measure each network with each seed, one after the other, on the CPU.

    With a budget in steps, the config alone determines the results. More than one thread hardly helps, because the
    networks are small. Raises ConfigError for a network that needs more memory than this machine has.
    """
    models = networks(config)
    for model in models:
        require_memory(build_network(model, len(TOKENS)), TrainingConfig(config.budget, batch_size=config.batch_size))
    with using_threads(threads), RunningClock(clock) as clock:
        for model in models:
            for seed in range(config.seeds):
                yield from _learn(config, model, seed, clock)


def networks(config: RecallConfig) -> list[ModelConfig]:
    """The networks with their hidden sizes; raises ConfigError if one needs more parameters."""
    models = config.models()
    if config.hidden_size is not None:
        return list(models)
    return [replace(model, hidden_size=hidden_size_for(config.parameters, model, len(TOKENS))) for model in models]


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
    learned_text, fresh_text, checked_text = (np.random.default_rng([seed, part]) for part in range(3))
    growing: float = min(config.first_lag, max(config.lags))
    started = clock()
    meter = BudgetMeter(config.budget, started=started, clock=clock)
    step, progress, longest = 0, 0.0, 0
    updates: dict[int, int] = {}
    while progress < 1:
        hardest = int(growing) if step % _WHOLE_RANGE_EVERY else max(config.lags)
        lag = int(learned_text.integers(_MIN_LAG, hardest + 1))
        chunk = recall_chunk(learned_text, lag, config.batch_size)
        nats, _ = trainer.step(chunk, None, learning_rate(training, progress))
        if growing / 2 < lag <= growing and nats < config.learned_nats:
            growing = min(growing * config.lag_growth, max(config.lags))
        step, longest = step + 1, max(longest, lag)
        progress = meter.progress(step, epochs=0)
        yield RecallStepped(model, seed, progress, lag, nats, int(growing))
        if step % config.check_every == 0:
            for lag in [lag for lag in config.lags if lag not in updates]:
                if measure_recall(trainer.model, lag, config.checked, checked_text) >= HOLDS:
                    updates[lag] = step
    yield RecallMeasured(
        model,
        seed,
        network.parameter_count(),
        step,
        seconds=clock() - started,
        longest_lag=longest,
        accuracy={lag: measure_recall(trainer.model, lag, config.questions, fresh_text) for lag in config.lags},
        updates=updates,
        gradient={lag: key_gradient(trainer.model, lag, config.checked, fresh_text) for lag in config.lags},
    )


@torch.no_grad()
def measure_recall(model: Model, lag: int, questions: int, generator: np.random.Generator) -> float:
    """The fraction of fresh questions at one lag that a network answers correctly."""
    correct = 0
    for start in range(0, questions, _MEASURED_AT_ONCE):
        chunk = recall_chunk(generator, lag, min(_MEASURED_AT_ONCE, questions - start))
        logits, _ = model.read(torch.from_numpy(chunk.inputs), model.initial_state(len(chunk.inputs)))
        correct += int((logits[:, -1].argmax(dim=-1).numpy() == chunk.targets[:, -1]).sum())
    return correct / questions


def key_gradient(model: Model, lag: int, questions: int, generator: np.random.Generator) -> float:
    """The median norm of d logit of the right answer / d embedding of the key, over fresh questions.

    It is near 0 if the network latches, that is, settles into a lasting state for each letter, and of the order of 1 if
    it carries the letter unchanged (Bengio, Simard & Frasconi 1994).
    """
    chunk = recall_chunk(generator, lag, questions)
    weights = model.network.arrange({name: parameter.detach() for name, parameter in model.parameters.items()})
    # Give each character its own row in the table of embeddings, and so its own gradient.
    embedded = weights.embedding[torch.from_numpy(chunk.inputs.reshape(-1))].requires_grad_()
    numbers = torch.arange(chunk.inputs.size).reshape(chunk.inputs.shape)
    state = model.initial_state(questions)
    outputs = forward(model.network, weights._replace(embedding=embedded), numbers, state, run_layer)
    logits = head(outputs.head_inputs[:, -1], weights)
    (gradient,) = torch.autograd.grad(logits.gather(1, torch.from_numpy(chunk.targets[:, -1:])).sum(), embedded)
    norms = gradient.reshape(*chunk.inputs.shape, -1)[:, -lag].double().norm(dim=-1)  # in float32 the squares underflow
    return float(norms.median())


def recall_chunk(generator: np.random.Generator, lag: int, questions: int) -> Chunk:
    """Draw questions, (questions, time), each to be read from the initial state; only the answers are targets.

    The answer comes `lag` characters after the key. Every row has the same number of distractors before the key.
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
