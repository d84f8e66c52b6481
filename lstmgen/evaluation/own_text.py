"""The text of a checkpoint, read again: the part it was trained on, its index, and the held-out part."""

from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from lstmgen.checkpoint import Checkpoint
from lstmgen.config import OnUnknown, TextConfig
from lstmgen.errors import TextError
from lstmgen.record import TrainingRecord
from lstmgen.text.corpus import SplitText, read_corpus, read_same_corpus
from lstmgen.text.sources import STANDARD_INPUT
from lstmgen.text.suffixes import SuffixIndex
from lstmgen.text.vocabulary import Ids, Vocabulary


class NamedText(NamedTuple):
    """A text to evaluate or to inspect."""

    name: str
    ids: Ids  # (tokens,)
    notes: tuple[str, ...] = ()  # for the user


def read_named_text(source: str, checkpoint: Checkpoint, *, encoding: str, on_unknown: OnUnknown) -> NamedText:
    """Read a text that is not the model's own; raises the errors of `read_corpus`."""
    config = TextConfig(sources=(source,), encoding=encoding, lines=checkpoint.record.text.lines)
    corpus = read_corpus(config, checkpoint.vocabulary, on_unknown)
    return NamedText(config.name, corpus.ids, corpus.notes)


def read_own_text(record: TrainingRecord, vocabulary: Vocabulary, *, remedy: str) -> SplitText:
    """Read the text that a checkpoint was trained on.

    Raises TextError, whose message ends with `remedy`, if the text cannot be read again or has changed since.
    """
    if STANDARD_INPUT in record.text.sources:
        raise TextError(f"the model was trained on standard input, which is gone; {remedy}")
    try:
        corpus = read_same_corpus(record.text, vocabulary, record.text_sha256, record.text_symbols)
    except TextError as error:
        raise TextError(f"the model's training text cannot be read ({error}); {remedy}") from error
    if corpus is None:
        raise TextError(
            f"{record.text.name}: this is not the text that the model was trained on, or it has changed; "
            f"restore it, or {remedy}"
        )
    return corpus.split(record.text)


def held_out_text(own: SplitText, record: TrainingRecord, *, remedy: str) -> NamedText:
    """The part of a checkpoint's text that training held out; raises TextError if it is too short to predict."""
    count = len(own.validation)
    if count < 2:
        raise TextError(f"{record.text.name}: training held out only {count:,} characters; {remedy}")
    return NamedText(record.text.validation_name, own.validation)


def index_training_text(record: TrainingRecord, vocabulary: Vocabulary, path: Path | None) -> SuffixIndex:
    """The index of the training text, read from a file, or else built and saved there. Path None: no file.

    Raises TextError if the training text is needed and cannot be read again, or has changed.
    """
    name = f"{record.text_sha256} {record.text.validation} {record.text.held_out_seed}"
    index = None if path is None else SuffixIndex.load(path, name)
    if index is None:
        own = read_own_text(record, vocabulary, remedy="leave out `max_copy`, which needs that text")
        index = SuffixIndex.build(own.training)
        if path is not None:
            with suppress(OSError):  # in a read-only folder, it is rebuilt each time
                index.save(path, name)
    return index


def adaptation_notes(record: TrainingRecord) -> tuple[str, ...]:
    """A note for the user if a model has learned from texts during evaluations: its score on them says little."""
    texts = ", ".join(record.adapted_to)
    return (f"this model has learned from {texts} during an evaluation",) if texts else ()
