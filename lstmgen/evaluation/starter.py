"""The starter model `english` that comes with lstmgen: its weights, its words, and how well it predicts a text."""

from functools import cache

from lstmgen.checkpoint import BEST, STARTERS, Checkpoint, load_checkpoint, versioned_name
from lstmgen.config import OnUnknown
from lstmgen.evaluation.score import score
from lstmgen.generation.engine import NumpyEngine
from lstmgen.text.streams import cold_windows

STARTER = "english"
STARTER_READS = 4096
"""How many characters of a text the starter reads to tell how well it knows texts of this kind."""

WORDS = "words.txt"
_WINDOW = 256  # characters
_MAX_UNKNOWN = 0.02  # of the characters


@cache
def load_starter() -> Checkpoint:
    """The starter model."""
    return load_checkpoint(STARTERS / STARTER / BEST)


def starter_words(started_from: str | None) -> frozenset[str]:
    """The lower-case words that the starter was trained on, if a run started from it; otherwise none."""
    if not (started_from or "").startswith(STARTER) or started_from != versioned_name(STARTER, load_starter()):
        return frozenset()
    return frozenset((STARTERS / STARTER / WORDS).read_text(encoding="utf-8").split())


def starter_nats(text: str) -> float | None:
    """Score the beginning of a text with the starter, in nats per character; None if it does not know the script.

    The starter reads short windows in parallel, which takes less than half a second.
    """
    starter, text = load_starter(), text[:STARTER_READS]
    ids = starter.vocabulary.encode(text, on_unknown=OnUnknown.SKIP)
    if len(ids) < max(2, (1 - _MAX_UNKNOWN) * len(text)):
        return None
    return score(NumpyEngine(starter.network, starter.weights), cold_windows(ids, _WINDOW)).nats_per_character
