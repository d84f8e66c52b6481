"""The Python API: a trained model that writes and scores.

    model = lstmgen.load("checkpoints/my-run")
    print(model.sample("To be", length=200, temperature=0.8, seed=1))
    print(model.score("To be or not to be").bits_per_character)

Knows: how checkpoint, engine, sampler and score fit together. Does not know: training, terminals or torch.
"""

import secrets
from collections.abc import Iterator
from pathlib import Path

from lstmgen.checkpoint import Checkpoint, TrainingRecord, find_checkpoint, load_checkpoint
from lstmgen.config import ModelConfig, OnUnknown, SamplingConfig
from lstmgen.errors import ConfigError
from lstmgen.evaluation.score import Score, score
from lstmgen.generation.engine import Engine
from lstmgen.generation.sampler import Drawn, draw_symbols
from lstmgen.text.streams import Chunk, every_line, one_stream
from lstmgen.text.vocabulary import Ids, Vocabulary

_SCORING_ROWS = 32


class LanguageModel:
    """A trained network with its vocabulary; nothing it does changes it."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.vocabulary: Vocabulary = checkpoint.vocabulary
        self.config: ModelConfig = checkpoint.model
        self.record: TrainingRecord = checkpoint.record
        self.engine = Engine(checkpoint.network, checkpoint.weights)

    @property
    def lines(self) -> bool:
        """Whether the model writes items, one a line, and ends each by itself."""
        return self.record.text.lines

    def sample(
        self,
        prompt: str = "",
        *,
        length: int = SamplingConfig.length,
        temperature: float = SamplingConfig.temperature,
        seed: int | None = None,
        on_unknown: str = OnUnknown.ERROR,
    ) -> str:
        """Write one text.

        Args:
            prompt: what the text begins with; it is part of the result.
            length: how many symbols to add; a model of lines may end before.
            temperature: 0 always takes the likeliest, 1 follows the model, above is bolder.
            seed: the same seed gives the same text; None draws one.
            on_unknown: "error", or "skip" to go on without characters that the model has never seen.

        Raises:
            UnknownCharacterError: the prompt holds such a character.
            ValueError: `on_unknown` is neither of the two, or the seed is below 0.
            ConfigError: the length (which must have an end here) or the temperature is below 0.
        """
        if length < 0:
            raise ConfigError(f"length {length}: an endless text has no result; iterate over stream() instead")
        pieces = self.stream(prompt, length=length, temperature=temperature, seed=seed, on_unknown=on_unknown)
        return "".join(pieces)

    def stream(
        self,
        prompt: str = "",
        *,
        length: int = SamplingConfig.length,
        temperature: float = SamplingConfig.temperature,
        seed: int | None = None,
        on_unknown: str = OnUnknown.ERROR,
    ) -> Iterator[str]:
        """Write one text piece by piece as it comes, the prompt first; see `sample`. A length of -1 has no end.

        Errors are raised when the first piece is asked for.
        """
        ids = self.read_prompt(prompt, OnUnknown(on_unknown))
        config = SamplingConfig(length, temperature)
        decoder = self.vocabulary.decoder()
        yield self.vocabulary.decode(self.vocabulary.encode(prompt, on_unknown=OnUnknown(on_unknown)))
        for drawn in self.draw(ids, config, secrets.randbits(32) if seed is None else seed):
            yield decoder.feed(drawn.id)
        yield decoder.finish()

    def read_prompt(self, prompt: str, on_unknown: OnUnknown = OnUnknown.ERROR) -> Ids:
        """The ids that the network reads before it writes; raises UnknownCharacterError."""
        return self.vocabulary.opening(prompt, lines=self.lines, on_unknown=on_unknown)

    def draw(self, prompt: Ids, config: SamplingConfig, seed: int) -> Iterator[Drawn]:
        """Write symbols after a prompt from `read_prompt`; a model of lines ends each sample with a line feed."""
        end = self.vocabulary.newline if self.lines else None
        return draw_symbols(self.engine, prompt, config, seed, end)

    def score(self, text: str, *, on_unknown: str = OnUnknown.ERROR) -> Score:
        """How well the model predicts a text of at least 2 characters; see `score_ids`.

        Raises TextError for a text with nothing to predict, and UnknownCharacterError.
        """
        return self.score_ids(self.vocabulary.encode(text, on_unknown=OnUnknown(on_unknown)))

    def score_ids(self, ids: Ids) -> Score:
        """How well the model predicts symbols, by the exact protocol.

        One stream over the whole text with carried state, every symbol but the first predicted once. For a model of
        lines each line from the initial state, all its symbols and its end predicted once.
        """
        return score(self.engine, self.exact_protocol(ids))

    def exact_protocol(self, ids: Ids) -> Iterator[Chunk]:
        """The text cut as `score_ids` reads it."""
        newline = self.vocabulary.newline
        if self.lines and newline is not None:
            return every_line(ids, newline, _SCORING_ROWS)
        return one_stream(ids)


def load(checkpoint: str | Path | None = None) -> LanguageModel:
    """Load a model: a run's name, a run's folder or a file; None: the newest run in checkpoints/.

    Raises CheckpointError if there is none or it cannot be used.
    """
    return LanguageModel(load_checkpoint(find_checkpoint(None if checkpoint is None else str(checkpoint))))
