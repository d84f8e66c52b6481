"""The starter model `english`, which is part of the package: what lstmgen asks of it besides training and sampling."""

from functools import cache

from lstmgen.checkpoint import BEST, STARTERS, Checkpoint, load_checkpoint, versioned_name
from lstmgen.config import OnUnknown
from lstmgen.evaluation.score import score
from lstmgen.generation.engine import NumpyEngine
from lstmgen.text.streams import cold_windows

STARTER = "english"
STARTER_READS = 4096
"""How many characters of a text show whether it is like those that the starter has read."""

WORDS = "words.txt"
_WINDOW = 256  # characters
_MAX_UNKNOWN = 0.02  # of the characters


@cache
def load_starter() -> Checkpoint:
    """The starter model."""
    return load_checkpoint(STARTERS / STARTER / BEST)


def starter_words(started_from: str | None) -> frozenset[str]:
    """The words, in lower case, that a run's base model has read if that is the starter; otherwise none."""
    if not (started_from or "").startswith(STARTER) or started_from != versioned_name(STARTER, load_starter()):
        return frozenset()
    return frozenset((STARTERS / STARTER / WORDS).read_text(encoding="utf-8").split())


def starter_nats(text: str) -> float | None:
    """How well the starter predicts the beginning of a text, in nats per character; None: it does not know the script.

    It reads short windows side by side, which takes less than half a second.
    """
    starter, text = load_starter(), text[:STARTER_READS]
    ids = starter.vocabulary.encode(text, on_unknown=OnUnknown.SKIP)
    if len(ids) < max(2, (1 - _MAX_UNKNOWN) * len(text)):
        return None
    return score(NumpyEngine(starter.network, starter.weights), cold_windows(ids, _WINDOW)).nats_per_character
