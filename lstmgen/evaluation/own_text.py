"""Finding a checkpoint's own text again: what it was trained on, and what was held out from it.

Knows: what a training record says of its text. Does not know: networks or scores.
"""

from lstmgen.checkpoint import TrainingRecord
from lstmgen.errors import TextError
from lstmgen.text.corpus import Corpus, read_same_corpus
from lstmgen.text.sources import STANDARD_INPUT
from lstmgen.text.vocabulary import Ids, Vocabulary


def held_out_ids(record: TrainingRecord, vocabulary: Vocabulary) -> Ids:
    """The part of the training text that training did not see, (symbols,).

    Raises TextError if the text cannot be read again, has changed since, or had nothing held out.
    """
    remedy = "name a TEXT to evaluate: lstmgen eval CHECKPOINT TEXT"
    _, held_out = _own_corpus(record, vocabulary, remedy).split(record.text.validation, record.text.lines)
    if len(held_out) < 2:
        names = ", ".join(record.text.sources)
        raise TextError(f"{names}: only {len(held_out)} symbols were held out from training; {remedy}")
    return held_out


def training_ids(record: TrainingRecord, vocabulary: Vocabulary) -> Ids:
    """The part of the text that was learned from, (symbols,).

    Raises TextError if the text cannot be read again or has changed since.
    """
    corpus = _own_corpus(record, vocabulary, "leave out --max-copy, which looks things up in it")
    training, _ = corpus.split(record.text.validation, record.text.lines)
    return training


def _own_corpus(record: TrainingRecord, vocabulary: Vocabulary, remedy: str) -> Corpus:
    names = ", ".join(record.text.sources)
    if STANDARD_INPUT in record.text.sources:
        raise TextError(f"the model was trained from standard input, which cannot be read again; {remedy}")
    try:
        corpus = read_same_corpus(record.text, vocabulary, record.text_sha256)
    except TextError as error:
        raise TextError(f"the model's own text cannot be read ({error}); {remedy}") from error
    if corpus is None:
        raise TextError(f"{names}: not the text the model was trained on, or changed since; restore it, or {remedy}")
    return corpus
