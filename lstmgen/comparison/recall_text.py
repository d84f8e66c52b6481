"""A made text that asks for a character which was shown once, `lag` characters before.

    kq!wvbzx?w      the letter after ! is the key; the answer after ? repeats it; here the lag is 7

All other letters are distractors. They look like keys, but no ! stands before them. So a network has to store one
letter, and to ignore the same letters before and after it.
"""

from string import ascii_lowercase

import numpy as np

from lstmgen.text.streams import IGNORED, Chunk

TOKENS = ascii_lowercase + "!?"
"""Every token; its id is its position."""

CHANCE = 1 / len(ascii_lowercase)
"""The accuracy of guessing."""

SHORTEST_LAG = 2  # !w?w
MAX_BEFORE = 20
"""The largest number of distractors before the key."""


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
