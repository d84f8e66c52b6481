"""Drawing symbols: the loop that writes.

Each row of a batch has a generator of its own, so that a sample does not depend on how many are written beside it.

Knows: ids, logits and chance. Does not know: characters, files or terminals.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lstmgen.config import SamplingConfig
from lstmgen.generation.engine import Engine, FloatArray
from lstmgen.generation.filters import sharpen

_DRAWS = 256
_PROMPT_CHUNK = 1024


class Drawn(NamedTuple):
    """One symbol of one sample."""

    row: int
    id: int
    nats: float  # surprise: its negative log-probability under the model itself, at temperature 1


def draw_symbols(
    engine: Engine,
    prompt: NDArray[np.integer[Any]],
    config: SamplingConfig,
    seed: int,
    end: int | None = None,
) -> Iterator[Drawn]:
    """Read a prompt, then write; symbols come as they are drawn, row by row.

    Args:
        engine: the network.
        prompt: ids, (symbols,), at least one.
        config: length, temperature and number of samples.
        seed: with the row's number it decides all that is drawn.
        end: a symbol after which a sample is complete.
    """
    logits, state = _read_prompt(engine, prompt, config.samples)
    chances = [_uniform(seed, row) for row in range(config.samples)]
    writing = np.ones(config.samples, bool)
    written = 0
    while written != config.length and writing.any():
        drawn = _draw(sharpen(logits, config.temperature), np.array([next(chance) for chance in chances]))
        nats = surprise(logits, drawn)
        for row in np.flatnonzero(writing):
            yield Drawn(int(row), int(drawn[row]), float(nats[row]))
        if end is not None:
            writing &= drawn != end
        written += 1
        if written != config.length:
            logits, state = engine.step(drawn, state)


def surprise(logits: FloatArray, ids: NDArray[np.integer[Any]]) -> NDArray[np.float64]:
    """The negative log-probability of each id under its logits, in nats: (..., vocab) and (...) -> (...)."""
    shifted = (logits - logits.max(axis=-1, keepdims=True)).astype(np.float64)
    chosen = np.take_along_axis(shifted, ids[..., None], axis=-1)[..., 0]
    return np.log(np.exp(shifted).sum(axis=-1)) - chosen  # type: ignore[no-any-return]


def _read_prompt(engine: Engine, prompt: NDArray[np.integer[Any]], samples: int) -> tuple[FloatArray, Any]:
    state = engine.initial_state(samples)
    rows = np.broadcast_to(prompt, (samples, len(prompt)))
    for start in range(0, len(prompt), _PROMPT_CHUNK):
        logits, state = engine.read(rows[:, start : start + _PROMPT_CHUNK], state)
    return logits[:, -1], state


def _uniform(seed: int, row: int) -> Iterator[float]:
    """Numbers drawn from [0, 1), many at a time."""
    generator = np.random.default_rng([seed, row])
    while True:
        yield from generator.random(_DRAWS).tolist()


def _draw(logits: FloatArray, uniform: NDArray[np.float64]) -> NDArray[np.int64]:
    """Draw one symbol a row by inverting the cumulative distribution: (batch, vocab) and (batch,) -> (batch,)."""
    likelihood = np.exp((logits - logits.max(axis=-1, keepdims=True)).astype(np.float64))
    cumulative = likelihood.cumsum(axis=-1)
    drawn = (cumulative <= uniform[:, None] * cumulative[:, -1:]).sum(axis=-1)
    return np.minimum(drawn, logits.shape[-1] - 1)  # type: ignore[no-any-return]
