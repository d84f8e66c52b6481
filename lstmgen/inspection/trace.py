"""The text that an inspection reads, and its trace: everything that the network computes at each token.

All numbers come from `network.forward.step`, the cells' own equations in NumPy. Nothing is reimplemented here.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lstmgen.cells.arrays import tanh
from lstmgen.checkpoint import Checkpoint
from lstmgen.config import OnUnknown, TextConfig
from lstmgen.errors import TextError, UnknownCharacterError
from lstmgen.evaluation.own_text import NamedText, held_out_text, read_named_text, read_own_text
from lstmgen.network.architecture import Network, NetworkState
from lstmgen.network.forward import step
from lstmgen.text.vocabulary import Ids, Vocabulary

FloatArray = NDArray[Any]
"""Of the same type as the weights: float32 for a checkpoint."""

_PIECE = 1024  # tokens
_REMEDY = "name a TEXT to read"


def text_to_read(
    checkpoint: Checkpoint,
    source: str | None = None,
    *,
    length: int | None = None,
    encoding: str = TextConfig.encoding,
    on_unknown: OnUnknown = OnUnknown.ERROR,
) -> NamedText:
    """Read the first `length` tokens of a text, by default all; without a source, the text that training held out.

    Raises TextError if the text cannot be read or training held nothing out, and the errors of `read_named_text`.
    """
    record = checkpoint.record
    if source is not None:
        text = read_named_text(source, checkpoint, encoding=encoding, on_unknown=on_unknown)
    else:
        text = held_out_text(read_own_text(record, checkpoint.vocabulary, remedy=_REMEDY), record, remedy=_REMEDY)
    return text._replace(ids=text.ids[:length])


def texts_to_read(
    models: Sequence[tuple[str, Checkpoint]],
    source: str | None = None,
    *,
    length: int | None = None,
    encoding: str = TextConfig.encoding,
    on_unknown: OnUnknown = OnUnknown.ERROR,
) -> list[NamedText]:
    """Read the same text for several named models; without a source, the text that the first one held out.

    What a model does not know is an error that names the model, or is left out for all of them. So are bytes that are
    not UTF-8, if some models read characters.

    Raises the errors of `text_to_read`, and TextError if nothing is left.
    """
    (name, first), *others = models
    with _naming(name if others else None):
        read = text_to_read(first, source, length=length, encoding=encoding, on_unknown=on_unknown)
    if all(checkpoint.vocabulary == first.vocabulary for _, checkpoint in others):
        return [read] * len(models)
    text = first.vocabulary.to_bytes(read.ids).decode("utf-8", "ignore")
    for name, checkpoint in others:
        with _naming(name):
            known = checkpoint.vocabulary.encode(text, on_unknown=on_unknown)
        text = checkpoint.vocabulary.decode(known)
    texts = [read._replace(ids=checkpoint.vocabulary.encode(text)) for _, checkpoint in models]
    if not text:
        raise TextError(f"{read.name}: the models know no character of it in common; give another text")
    if left_out := len(read.ids) - len(texts[0].ids):
        unit = first.vocabulary.unit
        note = f"left out {left_out:,} {unit}{'' if left_out == 1 else 's'} that not all models know"
        texts = [each._replace(notes=(*read.notes, note)) for each in texts]
    return texts


@contextmanager
def _naming(model: str | None) -> Iterator[None]:
    """Name the model, if there is one to name, that does not know a character."""
    try:
        yield
    except UnknownCharacterError as error:
        raise UnknownCharacterError(f"{model}: {error}" if model else str(error)) from error


def begun(ids: Ids, end_token: int | None) -> Ids:
    """The tokens, (time,), as a model reads them: a model of lines reads a line feed before the first line."""
    if end_token is None or (len(ids) and ids[0] == end_token):
        return np.asarray(ids, np.int64)
    return np.concatenate([[end_token], ids]).astype(np.int64)


def one_character_each(vocabulary: Vocabulary, ids: Ids) -> str:
    """A text with exactly one character for each token; U+FFFD for a byte outside ASCII."""
    characters = [character or "\ufffd" for character in vocabulary.characters_by_id()]
    return "".join(characters[number] for number in ids)


def line_starts(ids: Ids, end_token: int | None) -> NDArray[np.int64]:
    """Where reading began for each token, (time,): at the line feed before its line, or at 0 without lines."""
    return np.maximum.accumulate(np.where(np.asarray(ids) == end_token, np.arange(len(ids)), 0))


@dataclass(frozen=True)
class LayerTrace:
    """What one layer computed at each token of a text; every array is (time, hidden)."""

    gates: Mapping[str, FloatArray]  # by name, in the cell's order, such as input, forget, candidate, output
    before: Mapping[str, FloatArray]  # the state before each token: `hidden`, and for the LSTM family `cell`
    after: Mapping[str, FloatArray]  # the state after each token, with the same names

    @property
    def memory_name(self) -> str:
        """The field of the state that holds this cell's memory: `cell`, or `hidden` for GRU and RNN."""
        return "cell" if "cell" in self.after else "hidden"

    @property
    def activity(self) -> FloatArray:
        """What each unit remembers after each token, between -1 and 1: tanh(c'), or h' for GRU and RNN."""
        memory = self.after[self.memory_name]
        return np.asarray(tanh(memory) if self.memory_name == "cell" else memory)


@dataclass(frozen=True)
class Trace:
    """What a network computed at each token of a text.

    Entry t of every array belongs to the step that reads token t. Its logits predict token t + 1.
    """

    ids: Ids  # (time,): the tokens that were read
    layers: tuple[LayerTrace, ...]  # the first layer first
    attention: FloatArray | None
    """The weight of each past output, (time, window): the last column is one token back. None without attention.

    A column from before the beginning of the text belongs to an output of zeros.
    """
    logits: FloatArray  # (time, vocab)
    state: NetworkState  # after the last token; pass it to `trace` to continue reading


def trace(
    network: Network,
    weights: Mapping[str, FloatArray],
    ids: Ids,
    state: NetworkState | None = None,
    *,
    end_token: int | None = None,
) -> Trace:
    """Read a text, (time,), of at least one token, and record every step.

    Reading starts from `state`, which has one row, or from the initial state. `end_token` is the id of the line feed
    for a model of lines (`checkpoint.end_token`): each line begins with it, from the initial state, as in training.

    A trace has about time * layers * hidden * 8 numbers; use `traces` for a long text.
    """
    arranged = network.arrange(weights)
    initial = network.initial_state(1, like=weights["embedding"])
    state = initial if state is None else state
    gates, before, after, attention, logits = [], [], [], [], []
    for number in np.asarray(ids, np.int64):
        if number == end_token:
            state = initial
        before.append(state.layers)
        with np.errstate(invalid="ignore", over="ignore"):  # BLAS also computes on unused lanes of vector registers
            done = step(network, arranged, number[None], state)
        state = done.state
        gates.append(done.gates)
        after.append(state.layers)
        attention.append(done.attention)
        logits.append(done.logits[0])
    layers = tuple(
        LayerTrace(
            gates=_by_name(cell.gate_names, [each[layer] for each in gates]),
            before=_by_name(initial.layers[layer]._fields, [each[layer] for each in before]),
            after=_by_name(initial.layers[layer]._fields, [each[layer] for each in after]),
        )
        for layer, cell in enumerate(network.cells)
    )
    return Trace(
        ids=np.asarray(ids),
        layers=layers,
        attention=np.concatenate(attention) if network.attention else None,
        logits=np.stack(logits),
        state=state,
    )


def traces(
    network: Network, weights: Mapping[str, FloatArray], ids: Ids, *, end_token: int | None = None
) -> Iterator[Trace]:
    """Trace a long text piece by piece, carrying the state, so that memory does not grow with the text."""
    state = None
    for start in range(0, len(ids), _PIECE):
        piece = trace(network, weights, ids[start : start + _PIECE], state, end_token=end_token)
        state = piece.state
        yield piece


def _by_name(names: tuple[str, ...], steps: list[tuple[Any, ...]]) -> dict[str, FloatArray]:
    """Join the fields, each (1, hidden), of one named tuple per step into arrays, (time, hidden), by name."""
    return {name: np.concatenate(arrays) for name, arrays in zip(names, zip(*steps, strict=True), strict=True)}
