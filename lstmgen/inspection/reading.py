"""Which text an inspection reads, and what its tokens are called."""

import numpy as np

from lstmgen.checkpoint import Checkpoint
from lstmgen.config import OnUnknown, TextConfig
from lstmgen.errors import TextError
from lstmgen.evaluation.evaluate import NamedText, read_named_text
from lstmgen.evaluation.own_text import read_own_text
from lstmgen.text.vocabulary import Ids

_REMEDY = "name a TEXT to read"


def text_to_read(
    checkpoint: Checkpoint,
    source: str | None = None,
    *,
    length: int | None = None,
    encoding: str = TextConfig.encoding,
    on_unknown: OnUnknown = OnUnknown.ERROR,
) -> NamedText:
    """The first `length` tokens of a text; None: all. A source of None is what training held out.

    Raises:
        TextError: the text cannot be read, or training held nothing out.
        UnknownCharacterError: the text has a character that the model has never seen.
    """
    if source is not None:
        text = read_named_text(source, checkpoint, encoding=encoding, on_unknown=on_unknown)
    else:
        record = checkpoint.record
        ids = read_own_text(record, checkpoint.vocabulary, remedy=_REMEDY).validation
        if len(ids) < 2:
            raise TextError(f"{record.text.name}: training held out nothing; {_REMEDY}")
        text = NamedText(record.text.validation_name, ids)
    return text._replace(ids=begun(text.ids[:length], checkpoint.end_token))


def begun(ids: Ids, end_token: int | None) -> Ids:
    """The tokens, (time,), as a model reads them: a model of lines reads a line feed before the first line."""
    if end_token is None or (len(ids) and ids[0] == end_token):
        return np.asarray(ids, np.int64)
    return np.concatenate([[end_token], ids]).astype(np.int64)
