"""Finding a checkpoint's own text again: what it was trained on, and what was held out from it.

Knows: what a training record says of its text. Does not know: networks or scores.
"""

from typing import NamedTuple

from lstmgen.checkpoint import HELD_OUT, TrainingRecord
from lstmgen.errors import TextError
from lstmgen.text.corpus import read_same_corpus
from lstmgen.text.sources import STANDARD_INPUT
from lstmgen.text.vocabulary import Ids, Vocabulary

NAME_A_TEXT = "name a TEXT to evaluate: lstmgen eval CHECKPOINT TEXT"


class OwnText(NamedTuple):
    """The text of a run, cut as training cut it."""

    training: Ids  # (symbols,): what was learned from
    held_out: Ids  # (symbols,): what was not


def read_own_text(record: TrainingRecord, vocabulary: Vocabulary, *, remedy: str) -> OwnText:
    """Read the text that a checkpoint was trained on.

    Raises TextError, ending in the remedy, if it cannot be read again or has changed since.
    """
    names = ", ".join(record.text.sources)
    if STANDARD_INPUT in record.text.sources:
        raise TextError(f"the model was trained from standard input, which cannot be read again; {remedy}")
    try:
        corpus = read_same_corpus(record.text, vocabulary, record.text_sha256, record.text_symbols)
    except TextError as error:
        raise TextError(f"the model's own text cannot be read ({error}); {remedy}") from error
    if corpus is None:
        raise TextError(f"{names}: not the text the model was trained on, or changed since; restore it, or {remedy}")
    return OwnText(*corpus.split(record.text.validation, record.text.lines))


def require_held_out(own: OwnText, record: TrainingRecord) -> Ids:
    """The part that was held out, if a score on it says something; otherwise raises TextError."""
    names = ", ".join(record.text.sources)
    if HELD_OUT in record.adapted_to:
        remedy = "name another run, or a TEXT it has not seen"
        raise TextError(f"{names}: the model has adapted to the text that training held out; {remedy}")
    if len(own.held_out) < 2:
        raise TextError(f"{names}: only {len(own.held_out)} symbols were held out from training; {NAME_A_TEXT}")
    return own.held_out
