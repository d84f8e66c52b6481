"""The Python API: a trained model that generates and scores text.

    model = lstmgen.load("checkpoints/my-run")
    print(model.sample("To be", length=200, temperature=0.8, seed=1))
    print(model.score("To be or not to be").bits_per_character)
    print(model.evaluate().score.bits_per_character)

Only `evaluate(dynamic=True)` imports torch.
"""

import secrets
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from lstmgen.checkpoint import INDEX, Checkpoint, find_checkpoint, load_checkpoint
from lstmgen.config import ModelConfig, OnUnknown, SamplingConfig, TextConfig
from lstmgen.errors import ConfigError
from lstmgen.evaluation.characters import CharacterScore, score_characters
from lstmgen.evaluation.config import NoveltyConfig
from lstmgen.evaluation.own_text import NamedText, index_training_text, read_named_text
from lstmgen.evaluation.score import (
    LineScore,
    Predictions,
    Score,
    exact_protocol,
    lines_in_context,
    predict,
    score,
    separate_lines,
)
from lstmgen.generation.engine import Engine, NumpyEngine, PromptState, read_text
from lstmgen.generation.filters import Batch, build_filters
from lstmgen.generation.sampler import (
    Drawn,
    Ended,
    check_matches,
    collect,
    draw_tokens,
    keep_best,
    require_matches,
)
from lstmgen.record import TrainingRecord
from lstmgen.text.streams import first_block, lines_in_order, stream_of_blocks, whole_lines
from lstmgen.text.suffixes import SuffixIndex
from lstmgen.text.vocabulary import Ids, Vocabulary, as_string

if TYPE_CHECKING:
    from lstmgen.evaluation.evaluate import Evaluation

_LINES_AT_ONCE = 64


class LanguageModel:
    """A trained network with its vocabulary; no method changes the network."""

    def __init__(self, checkpoint: Checkpoint, path: Path | None = None, engine: Engine | None = None) -> None:
        """Wrap a checkpoint, from the file `path` if there is one; the index of the training text is saved next to it.

        The engine runs the network, for example on a GPU; None: NumPy, on the CPU.
        """
        self.checkpoint = checkpoint
        self.path = path
        self.vocabulary: Vocabulary = checkpoint.vocabulary
        self.config: ModelConfig = checkpoint.model
        self.record: TrainingRecord = checkpoint.record
        self.end_token: int | None = checkpoint.end_token
        self.engine: Engine = engine or NumpyEngine(checkpoint.network, checkpoint.weights)
        self.index_path = None if path is None else path.with_name(INDEX)
        self._training_index: SuffixIndex | None = None

    @property
    def lines(self) -> bool:
        """Whether the model was trained on single lines: it then writes one line and ends it by itself."""
        return self.record.text.lines

    @overload
    def sample(
        self, prompt: str = "", *, samples: None = None, seed: int | None = None, on_unknown: str = ..., **choices: Any
    ) -> str: ...

    @overload
    def sample(
        self, prompt: str = "", *, samples: int, seed: int | None = None, on_unknown: str = ..., **choices: Any
    ) -> list[str]: ...

    def sample(
        self,
        prompt: str = "",
        *,
        samples: int | None = None,
        seed: int | None = None,
        on_unknown: str = OnUnknown.ERROR,
        **choices: Any,
    ) -> str | list[str]:
        """Generate a text, or a list of texts.

        Args:
            prompt: the beginning of each text; it is part of the result.
            samples: the number of texts in the list; None: return one text as a str.
            seed: the same seed gives the same text; None: a random seed.
            on_unknown: "error", or "skip" to leave out characters of the prompt that the model has never seen.
            choices: the other fields of `lstmgen.config.SamplingConfig` by name, such as length or temperature.

        Raises UnknownCharacterError for the prompt or a stop text; ValueError for `on_unknown` or a negative seed;
        ConfigError for an invalid option, a text without an end, or one that ended before it matched `match`; and
        TextError if `max_copy` needs the training text and it cannot be read.
        """
        config = SamplingConfig(samples=1 if samples is None else samples, **choices)
        if self.never_ends(config):
            raise ConfigError("length", config.length, "nothing ends this text; give a length, or use stream()")
        prompt_state = self.read_prompt(prompt, OnUnknown(on_unknown))
        events = self.draw(prompt_state, config, _chosen(seed))
        kept = keep_best(collect(events, config.samples * config.best_of), config.best_of)
        require_matches([sample.finish_reason for sample in kept], config)
        decode = self.vocabulary.decode
        texts = [decode(prompt_state.text) + decode(np.array(sample.ids, np.int64)) for sample in kept]
        return texts[0] if samples is None else texts

    def stream(
        self, prompt: str = "", *, seed: int | None = None, on_unknown: str = OnUnknown.ERROR, **choices: Any
    ) -> Iterator[str]:
        """Generate one text piece by piece, the prompt first; takes the same arguments as `sample`.

        A length of -1 means no end. Raises what `sample` raises, and ConfigError for `samples` or `best_of` other than
        1. A text that does not match raises only after its last piece.
        """
        config = SamplingConfig(**choices)
        prompt_state = self.read_prompt(prompt, OnUnknown(on_unknown))
        return self._pieces(prompt_state.text, self.draw_one(prompt_state, config, _chosen(seed)))

    def _pieces(self, prompt: Ids, events: Iterable[Drawn | Ended]) -> Iterator[str]:
        decoder = self.vocabulary.decoder()
        yield self.vocabulary.decode(prompt)
        for event in events:
            if isinstance(event, Drawn):
                yield decoder.feed(event.id)
        yield decoder.finish()

    def read_prompt(
        self, prompt: str, on_unknown: OnUnknown = OnUnknown.ERROR, after: PromptState | None = None
    ) -> PromptState:
        """Read a prompt, either at the beginning of a text or `after` another prompt state.

        Raises UnknownCharacterError, and ConfigError if a model of lines is given a line feed.
        """
        ids = self.vocabulary.prompt_ids(prompt, lines=self.lines, on_unknown=on_unknown)
        text = self.vocabulary.encode(prompt, on_unknown=on_unknown)
        if after is not None:
            return self.read_on(after, text)
        return read_text(self.engine, ids, self.engine.initial_state(1))._replace(text=text)

    def read_on(self, prompt_state: PromptState, ids: Ids) -> PromptState:
        """Read more tokens, (tokens,), after a prompt state; returns a new one and leaves the given one unchanged."""
        if len(ids) == 0:
            return prompt_state
        text = np.concatenate([prompt_state.text, ids])
        return read_text(self.engine, ids, prompt_state.state)._replace(text=text)

    def draw(self, prompt_state: PromptState, config: SamplingConfig, seed: int) -> Iterator[Drawn | Ended]:
        """Draw samples that continue a prompt; a model of lines ends each sample with a line feed.

        Raises UnknownCharacterError for a stop text, ConfigError for a regular expression that cannot be matched, and
        TextError if the training text is needed and cannot be read.
        """
        batch = Batch(config, self.vocabulary, prompt_state.text, self.end_token, self.training_index)
        remedy = "the model never writes it; leave it out"
        stops = [self.vocabulary.encode(stop, where="stop text", remedy=remedy) for stop in config.stop]
        events = draw_tokens(
            self.engine,
            prompt_state,
            build_filters(batch),
            rows=batch.rows,
            length=config.length,
            seed=seed,
            end=self.end_token,
            stops=list(map(as_string, stops)),
        )
        if config.match is None:
            return events
        return check_matches(events, batch.automaton, batch.rows, self.end_token)

    def draw_one(self, prompt_state: PromptState, config: SamplingConfig, seed: int) -> Iterator[Drawn | Ended]:
        """Draw one sample, as `draw` does.

        Raises ConfigError if the configuration asks for several samples or candidates, because their tokens would be
        interleaved; and at the end of a sample that does not match its expression.
        """
        for name in ("samples", "best_of"):
            if (count := getattr(config, name)) != 1:
                raise ConfigError(
                    name, count, "only a single text can be written piece by piece; leave it out, or use sample()"
                )
        return self._require_match(self.draw(prompt_state, config, seed), config)

    def _require_match(self, events: Iterator[Drawn | Ended], config: SamplingConfig) -> Iterator[Drawn | Ended]:
        for event in events:
            if isinstance(event, Ended):
                require_matches([event.finish_reason], config)
            yield event

    def never_ends(self, config: SamplingConfig) -> bool:
        """Whether a sample may be endless: without a length, a stop text or a model of lines.

        Even with a regular expression, because one such as .* never has to end.
        """
        return config.length < 0 and not (self.lines or config.stop)

    def write(self, tokens: int, temperature: float, seed: int) -> Ids:
        """Generate exactly `tokens` tokens, (tokens,): one text, or lines one after another for a model of lines."""
        rows = _LINES_AT_ONCE if self.lines else 1
        config = SamplingConfig(length=tokens, temperature=temperature, samples=rows)
        prompt_state, written = self.read_prompt(""), np.zeros(0, np.int64)
        while len(written) < tokens:
            samples = collect(self.draw(prompt_state, config, seed), rows)
            written = np.concatenate([written, *(sample.ids for sample in samples)]).astype(np.int64)
            seed += 1
        return written[:tokens]

    def training_index(self) -> SuffixIndex:
        """The index of the training text, built on the first call and saved in the checkpoint's folder.

        Raises TextError if the training text is needed for that and cannot be read again, or has changed.
        """
        if self._training_index is None:
            self._training_index = index_training_text(self.record, self.vocabulary, self.index_path)
        return self._training_index

    def score(self, text: str, *, on_unknown: str = OnUnknown.ERROR) -> Score:
        """How well the model predicts a text of at least 2 characters; see `score_ids`.

        Raises TextError for a text with nothing to predict, and UnknownCharacterError unless `on_unknown` is "skip".
        """
        return self.score_ids(self.vocabulary.encode(text, on_unknown=OnUnknown(on_unknown)))

    def score_ids(self, ids: Ids) -> Score:
        """How well the model predicts tokens, under the exact protocol.

        The model reads the text as one stream with carried state, and predicts every token but the first once. A model
        of lines reads each line from the initial state, and predicts all its tokens and its line feed once.
        """
        return score(self.engine, exact_protocol(ids, self.end_token))

    def evaluate(
        self,
        text: str | Path | None = None,
        *,
        encoding: str = TextConfig.encoding,
        on_unknown: str = OnUnknown.ERROR,
        window: int | None = None,
        baselines: bool = True,
        dynamic: bool = False,
        novelty: bool = False,
        length: int = NoveltyConfig.length,
        temperature: float = NoveltyConfig.temperature,
        seed: int = NoveltyConfig.seed,
    ) -> "Evaluation":
        """How well the model predicts a text, compared with baselines that know its training text.

        Args:
            text: the text itself, or the path of its file; None: the text that training held out.
            encoding: the character encoding of the file.
            on_unknown: "error", or "skip" to leave out characters of the text that the model has never seen.
            window: also score windows of this many tokens, each from the initial state.
            baselines: also compute the baselines: n-grams, compressors, frequencies, uniform guesses.
            dynamic: also score a copy of the model that keeps learning as it reads.
            novelty: also let the model write a text, and measure how much of it is copied from its training text.
            length: the length of that text, in tokens.
            temperature: the temperature for it.
            seed: the same seed gives the same text.

        Raises UnknownCharacterError for the text, ConfigError for an invalid argument, and TextError if there is
        nothing to predict, or a text that is needed cannot be read.
        """
        from lstmgen.evaluation.evaluate import evaluate_model

        unknown, given, default = OnUnknown(on_unknown), None, NoveltyConfig()
        for name, value in (("length", length), ("temperature", temperature), ("seed", seed)):
            if not novelty and value != getattr(default, name):
                raise ConfigError(name, value, "it only affects the text of `novelty`; add novelty=True")
        if isinstance(text, Path):
            given = read_named_text(str(text), self.checkpoint, encoding=encoding, on_unknown=unknown)
        elif text is not None:
            given = NamedText("the given text", self.vocabulary.encode(text, on_unknown=unknown))
        writing = NoveltyConfig(length, temperature, seed) if novelty else None
        return evaluate_model(self, given, window=window, baselines=baselines, dynamic=dynamic, novelty=writing)

    def score_blocks(self, blocks: Iterable[Ids]) -> Score:
        """The score of `score_ids` for a text that comes in blocks, (tokens,); no block is kept in memory."""
        if (newline := self.end_token) is None:
            return score(self.engine, stream_of_blocks(blocks))
        return score(
            self.engine, (chunk for ids in whole_lines(blocks, newline) for chunk in exact_protocol(ids, newline))
        )

    def predict(self, blocks: Iterable[Ids]) -> tuple[Ids, Iterator[Predictions]]:
        """Read a text that comes in blocks, (tokens,), in order.

        Returns the tokens that are not predicted, and the predictions of all others. In one stream, the first token is
        not predicted. With a model of lines every token is: each line starts from the initial state, and its line feed
        is predicted too.
        """
        if (newline := self.end_token) is not None:
            chunks = (chunk for lines in whole_lines(blocks, newline) for chunk in lines_in_order(lines, newline))
            return np.zeros(0, np.int64), predict(self.engine, chunks)
        head, blocks = first_block(blocks)
        return head[:1], predict(self.engine, stream_of_blocks(blocks))

    def score_characters(self, blocks: Iterable[Ids], alternatives: int = 5) -> Iterator[CharacterScore]:
        """The surprisal of each character of a text that comes in blocks, (tokens,).

        Each character comes with the `alternatives` most likely tokens at its position.
        """
        return score_characters(self.vocabulary, *self.predict(blocks), alternatives)

    def score_lines(self, blocks: Iterable[Ids], *, separate: bool = False) -> Iterator[LineScore]:
        """The score of each line of a text that comes in blocks, (tokens,).

        Each line is scored given all the text before it. With `separate`, and always with a model of lines, it is
        scored alone, from the initial state. Raises ConfigError for separate lines if the model knows no line feed.
        """
        newline = self.vocabulary.newline
        if not (separate or self.lines):
            return lines_in_context(self.engine, blocks, newline)
        if newline is None:
            raise ConfigError("separate", True, "the model has never seen a line feed; leave it out")
        return separate_lines(self.engine, blocks, newline)


def _chosen(seed: int | None) -> int:
    return secrets.randbits(32) if seed is None else seed


def load(checkpoint: str | Path | None = None) -> LanguageModel:
    """Load a model by the name of a run, the folder of a run, or a file; None: the newest run in checkpoints/.

    Raises CheckpointError if there is no such model or it cannot be used.
    """
    path = find_checkpoint(None if checkpoint is None else str(checkpoint))
    return LanguageModel(load_checkpoint(path), path)
