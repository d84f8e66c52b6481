"""Read the text of a checkpoint again: the part it was trained on, its index, and the part that was held out."""

from contextlib import suppress
from pathlib import Path

from lstmgen.errors import TextError
from lstmgen.record import HELD_OUT, TrainingRecord
from lstmgen.text.corpus import SplitText, read_same_corpus
from lstmgen.text.sources import STANDARD_INPUT
from lstmgen.text.suffixes import SuffixIndex
from lstmgen.text.vocabulary import Ids, Vocabulary

NAME_A_TEXT = "name a TEXT to evaluate: lstmgen eval CHECKPOINT TEXT"


def read_own_text(record: TrainingRecord, vocabulary: Vocabulary, *, remedy: str) -> SplitText:
    """Read the text that a checkpoint was trained on.

    Raises TextError, whose message ends with `remedy`, if the text cannot be read again or has changed since.
    """
    names = record.text.name
    if STANDARD_INPUT in record.text.sources:
        raise TextError(f"the model was trained on standard input, which cannot be read again; {remedy}")
    try:
        corpus = read_same_corpus(record.text, vocabulary, record.text_sha256, record.text_symbols)
    except TextError as error:
        raise TextError(f"the model's training text cannot be read ({error}); {remedy}") from error
    if corpus is None:
        raise TextError(
            f"{names}: this is not the text that the model was trained on, or it has changed since; "
            f"restore it, or {remedy}"
        )
    return corpus.split(record.text)


def index_training_text(record: TrainingRecord, vocabulary: Vocabulary, path: Path | None) -> SuffixIndex:
    """The index of the training text: read from a file, or else built and saved there. None: there is no file.

    Raises TextError if it must be built and the training text cannot be read again, or has changed.
    """
    name = f"{record.text_sha256} {record.text.validation} {record.text.held_out_seed}"
    index = None if path is None else SuffixIndex.load(path, name)
    if index is None:
        own = read_own_text(record, vocabulary, remedy="leave out `max_copy`, which needs that text")
        index = SuffixIndex.build(own.training)
        if path is not None:
            with suppress(OSError):  # if the folder is not writable, the index is built again each time
                index.save(path, name)
    return index


def adaptation_notes(record: TrainingRecord) -> tuple[str, ...]:
    """A note for the user if a model has learned from texts while it was evaluated: a score on them says little."""
    texts = ", ".join(record.adapted_to)
    return (f"while it was evaluated, this model learned from {texts}",) if texts else ()


def require_validation_text(own: SplitText, record: TrainingRecord) -> Ids:
    """The held-out part of a run's text.

    Raises TextError if a score on it would mean nothing: the model has adapted to it, or it is too short.
    """
    names = record.text.name
    if HELD_OUT in record.adapted_to:
        remedy = "name another run, or a TEXT that the model has not read"
        raise TextError(f"{names}: the model has adapted to the held-out part of this text; {remedy}")
    if len(own.validation) < 2:
        raise TextError(
            f"{names}: training held out only {len(own.validation):,} characters, too few for a score; {NAME_A_TEXT}"
        )
    return own.validation
