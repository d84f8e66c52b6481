"""Fine-tuning: the trained network that a run starts from, and the characters that a new text adds to it."""

import shlex
from collections.abc import Set
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from lstmgen.checkpoint import (
    Checkpoint,
    FloatArray,
    checkpoint_name,
    load_checkpoint,
    versioned_name,
)
from lstmgen.config import TextConfig, VocabularyKind
from lstmgen.errors import ConfigError
from lstmgen.evaluation.starter import STARTER, STARTER_READS, starter_nats
from lstmgen.generation.engine import NumpyEngine
from lstmgen.network.architecture import build_network
from lstmgen.network.initialization import grow
from lstmgen.record import HELD_OUT
from lstmgen.text.corpus import Corpus
from lstmgen.text.vocabulary import Ids, Vocabulary, token_counts

_LARGE_TEXT = 1_000_000  # characters; longer texts were not tried
_ENGLISH_NATS = 1.8  # per character: prose and verse are below; documentation with code is above, and gets worse
_SHOWN_SOURCES = 3
_ANOTHER_SCRIPT = 0.5  # a text with a larger share of new characters is probably in another script
_CALIBRATION_TOKENS = 2048  # of the text, to choose the bias of new tokens
_CALIBRATION_LOGITS = 2**24  # the maximum: a large vocabulary uses fewer tokens


@dataclass(frozen=True)
class BaseModel:
    """The checkpoint that a run starts from, and the name that the run records for it."""

    checkpoint: Checkpoint
    name: str

    def __str__(self) -> str:
        return versioned_name(self.name, self.checkpoint)

    def fit_text(self, text: TextConfig, planned: Set[str]) -> TextConfig:
        """Give the text this model's kind of tokens, if `vocabulary` is among the planned fields.

        Raises ConfigError if it is not, and the text has another kind.
        """
        kind = self.checkpoint.vocabulary.kind
        if "vocabulary" in planned:
            return replace(text, vocabulary=kind)
        if text.vocabulary is not kind:
            raise ConfigError("vocabulary", text.vocabulary, f"{self.name} reads {kind}; leave it out")
        return text

    def weights(self, vocabulary: Vocabulary, text: Ids, seed: int) -> dict[str, FloatArray]:
        """The model's parameters, extended for a larger vocabulary and the text to train on, (tokens,).

        Each new token starts with a probability close to its frequency in the text. Without that, a text with many new
        tokens would start with a very large loss.
        """
        before = self.checkpoint.vocabulary
        weights = grow(self.checkpoint.weights, before, vocabulary, np.random.default_rng(seed))
        old = before.ids_in(vocabulary)
        new = np.setdiff1d(np.arange(len(vocabulary)), old)
        if len(new):
            engine = NumpyEngine(build_network(self.checkpoint.model, len(vocabulary)), weights)
            count = min(_CALIBRATION_TOKENS, _CALIBRATION_LOGITS // len(vocabulary))
            (logits,), _ = engine.read(text[None, :count], engine.initial_state(1))
            frequencies = np.maximum(1, token_counts(text, len(vocabulary))[new]) / len(text)
            certain = np.logaddexp.reduce(logits[:, old], axis=1, keepdims=True)  # the logit of probability 1
            usual = np.logaddexp.reduce(logits[:, new] - certain, axis=0) - np.log(count)  # with the bias it has
            weights["head.bias"][new] += np.log(frequencies) - usual
        return weights

    def adapted_to(self) -> tuple[str, ...]:
        """The texts that the model learned from during evaluations, by names that another run can use."""
        record = self.checkpoint.record
        return tuple(record.text.validation_name if name == HELD_OUT else name for name in record.adapted_to)

    def notes(self, text: TextConfig, corpus: Corpus) -> list[str]:
        """What the user should know about this checkpoint and the text."""
        before, record = self.checkpoint.vocabulary, self.checkpoint.record
        notes = []
        if added := len(corpus.vocabulary) - len(before):
            known = token_counts(corpus.ids, len(corpus.vocabulary))[before.ids_in(corpus.vocabulary)].sum()
            unknown = 1 - known / len(corpus.ids)
            characters = before.unit + ("" if added == 1 else "s")
            advice = "; a new network may learn it better" if unknown > _ANOTHER_SCRIPT else ""
            notes.append(f"{added:,} {characters} are new to {self.name}, {unknown:.1%} of the text{advice}")
        if record.text.lines and not text.lines:
            notes.append(f"{self.name} writes single lines; if each line of this text is an item too, give `lines`")
        same_text = corpus.sha256 == record.text_sha256
        if same_text and _validation(text) != _validation(record.text):
            notes.append(f"{self.name} was trained on part of what is now held out: the validation loss says little")
        return notes


def starter_advice(text: TextConfig, corpus: Corpus) -> list[str]:
    """A line that recommends the starter model for a small text that it predicts well, with the command."""
    if corpus.vocabulary.kind is VocabularyKind.BYTES or text.lines or len(corpus.ids) > _LARGE_TEXT:
        return []
    nats = starter_nats(corpus.vocabulary.decode(corpus.ids[:STARTER_READS]))
    if nats is None or nats > _ENGLISH_NATS:
        return []
    sources = " ".join(map(shlex.quote, text.sources[:_SHOWN_SOURCES]))
    more = " ..." if len(text.sources) > _SHOWN_SOURCES else ""
    return [
        f"a small English text: `from` {STARTER} starts from a model trained on 9 million characters: "
        f"lstmgen train {sources}{more} `from` {STARTER}"
    ]


def load_base_model(path: Path) -> BaseModel:
    """The base model in a file; raises CheckpointError if it cannot be read."""
    return BaseModel(load_checkpoint(path), checkpoint_name(path))


def _validation(text: TextConfig) -> tuple[float, bool, int | None]:
    """The settings that determine which part of a text is held out."""
    return text.validation, text.lines, text.held_out_seed
