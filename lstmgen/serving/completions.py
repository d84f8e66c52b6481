"""OpenAI's completions interface as plain values: a request's JSON -> a job -> JSON of the response.

A token is a symbol of the model: a character, or a byte.

Knows: the names and bounds of the interface, vocabularies, jobs. Does not know: HTTP, asyncio or how text is drawn.
"""

import secrets
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import inf
from typing import Any

import numpy as np

from lstmgen.config import Finish, OnUnknown, SamplingConfig, ServingConfig
from lstmgen.errors import LstmgenError, UnknownCharacterError
from lstmgen.serving.batch import Job, Piece, Token
from lstmgen.text.vocabulary import Ids, Vocabulary, as_string

DEFAULT_TOKENS = 16
MAX_TEMPERATURE = 2
MAX_LOGPROBS = 5
MAX_STOPS = 4
MAX_STOP_LENGTH = 200

_LOWEST = -9999.0
"""Instead of a log-probability that JSON could not hold, as OpenAI does."""

IGNORED = ("user", "metadata", "store")
NEUTRAL: dict[str, Any] = {"suffix": "", "logit_bias": {}, "presence_penalty": 0, "frequency_penalty": 0}
"""The only values of the fields that this server does not have; null is another."""


class RequestError(Exception):
    """A request that cannot be answered, in the terms of OpenAI's errors."""

    def __init__(
        self,
        message: str,
        param: str | None = None,
        *,
        status: int = 400,
        kind: str = "invalid_request_error",
        code: str | None = None,
    ) -> None:
        """Compose the error: its one line, the field it is about, the HTTP status, OpenAI's type and code."""
        super().__init__(message)
        self.status = status
        self.content = {"error": {"message": message, "type": kind, "param": param, "code": code}}


@dataclass(frozen=True)
class Served:
    """What is served: a model under a name, within limits."""

    name: str
    vocabulary: Vocabulary
    lines: bool
    """Whether the model writes single lines."""
    item_end: int | None
    """The symbol with which the model itself ends a text; None if it does not."""
    created: int
    """When the model was saved, in seconds since 1970."""
    limits: ServingConfig

    def model_object(self) -> dict[str, Any]:
        """The model as `/v1/models` describes it."""
        return {"id": self.name, "object": "model", "created": self.created, "owned_by": "lstmgen"}

    def check_name(self, name: str) -> None:
        """Raise RequestError (404) unless this is the name of the model."""
        if name != self.name:
            message = f"the model {name[:80]!r} does not exist here; the only one is {self.name!r}"
            raise RequestError(message, "model", status=404, code="model_not_found")


class _Fields:
    """The fields of a request, each taken once; null is the same as absent."""

    def __init__(self, body: Mapping[str, Any]) -> None:
        self._left = dict(body)

    def take(self, name: str) -> Any:
        return self._left.pop(name, None)

    def boolean(self, name: str) -> bool:
        value = self.take(name)
        if value is not None and not isinstance(value, bool):
            raise RequestError(f"{name}: give true or false", name)
        return bool(value)

    def number(self, name: str, default: float | None, low: float, high: float) -> float | None:
        value = self.take(name)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise RequestError(f"{name}: give a number from {low:g} to {high:g}", name)
        return float(value)

    def integer(self, name: str, default: int | None, low: int, high: int) -> int | None:
        value = self.take(name)
        if value is None:
            return default
        if isinstance(value, float) and value.is_integer():  # 5.0 is an integer for JSON
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise RequestError(f"{name}: give a whole number from {low} to {high}", name)
        return value

    def texts(self, name: str, most: int) -> list[str]:
        value = self.take(name)
        texts = [] if value is None else [value] if isinstance(value, str) else value
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise RequestError(f"{name}: give a text or a list of texts", name)
        if len(texts) > most:
            raise RequestError(f"{name}: give at most {most} texts", name)
        return texts

    def refuse_the_rest(self) -> None:
        for name in IGNORED:
            self.take(name)
        for name, neutral in NEUTRAL.items():
            value = self.take(name)
            if value is not None and (value != neutral or isinstance(value, bool)):
                raise RequestError(f"{name}: this server does not have it; leave it out", name)
        if self._left:
            name = min(self._left)
            raise RequestError(f"{name[:80]!r} is not a field of a completion; leave it out", name[:80])


class Completion:
    """One request, what the model is asked to do for it, and its response."""

    def __init__(self, body: Any, served: Served) -> None:
        """Read the JSON of a request. Raises RequestError for what it must not hold."""
        if not isinstance(body, dict):
            raise RequestError("the body must be a JSON object")
        fields, limits = _Fields(body), served.limits
        self.served = served
        self.id = f"cmpl-{secrets.token_hex(12)}"
        self.created = int(time.time())
        name = fields.take("model")
        if name is not None:
            if not isinstance(name, str):
                raise RequestError("model: give its name", "model")
            served.check_name(name)
        self.prompts = fields.texts("prompt", limits.rows) or [""]
        if sum(map(len, self.prompts)) > limits.max_prompt:
            raise RequestError(f"prompt: give at most {limits.max_prompt} characters in all", "prompt")
        length = fields.integer("max_tokens", min(DEFAULT_TOKENS, limits.max_length), 0, limits.max_length)
        temperature = fields.number("temperature", 1, 0, MAX_TEMPERATURE)
        filters = {
            "top_p": fields.number("top_p", None, 0, 1),
            "top_k": fields.integer("top_k", None, 1, 1_000_000),
            "min_p": fields.number("min_p", None, 0, 1),
        }
        self.n = fields.integer("n", None, 1, limits.rows) or 1
        self.best_of = fields.integer("best_of", None, 1, limits.rows) or self.n
        self.seed = fields.integer("seed", None, -(2**63), 2**63 - 1)
        self.logprobs = fields.integer("logprobs", None, 0, MAX_LOGPROBS)
        self.echo, self.stream = fields.boolean("echo"), fields.boolean("stream")
        self.include_usage = self._include_usage(fields.take("stream_options"))
        self._stops = fields.texts("stop", MAX_STOPS)
        self._on_unknown = fields.take("on_unknown")
        fields.refuse_the_rest()
        self.config = SamplingConfig(length=length or 0, temperature=temperature or 0, **filters)  # type: ignore[arg-type]  # checked as they were taken
        self._check_together()

    def _include_usage(self, options: Any) -> bool:
        if options is None:
            return False
        if not isinstance(options, dict) or not set(options) <= {"include_usage", "include_obfuscation"}:
            raise RequestError('stream_options: give {"include_usage": true}', "stream_options")
        if not self.stream:
            raise RequestError("stream_options: only with stream", "stream_options")
        fields = _Fields(options)
        fields.boolean("include_obfuscation")
        return fields.boolean("include_usage")

    def _check_together(self) -> None:
        rows = self.served.limits.rows
        if self.best_of < self.n:
            raise RequestError("best_of: give at least n", "best_of")
        if self.stream and self.best_of > self.n:
            raise RequestError("best_of: a stream cannot choose among candidates; leave it out", "best_of")
        if len(self.prompts) * self.best_of > rows:
            raise RequestError(f"n: at most {rows} texts in one request, the prompts times n or best_of", "n")
        if "" in self._stops or any(len(stop) > MAX_STOP_LENGTH for stop in self._stops):
            raise RequestError(f"stop: each text has 1 to {MAX_STOP_LENGTH} characters", "stop")
        if self._on_unknown is not None and self._on_unknown not in list(OnUnknown):
            raise RequestError(f"on_unknown: give one of {', '.join(OnUnknown)}", "on_unknown")

    def job(self) -> Job:
        """What the shared batch has to do. Raises RequestError for characters that the model has never seen."""
        served, on_unknown = self.served, OnUnknown(self._on_unknown or OnUnknown.ERROR)
        try:
            self._prompt_ids = [
                served.vocabulary.encode(text, where="prompt", on_unknown=on_unknown) for text in self.prompts
            ]
            read = [
                served.vocabulary.prompt_ids(text, lines=served.lines, on_unknown=on_unknown) for text in self.prompts
            ]
        except LstmgenError as error:
            raise RequestError(str(error).replace("`", ""), "prompt") from error
        if self.seed is None:
            seeds = [secrets.randbits(32) for _ in self.prompts]
        else:
            seeds = [self.seed % 2**64] * len(self.prompts)
        self._names = served.vocabulary.symbol_names() if self.logprobs is not None else []
        self._prompt_texts = [served.vocabulary.decode(ids) for ids in self._prompt_ids]
        self._job = Job(
            prompts=read,
            seeds=seeds,
            config=self.config,
            copies=self.best_of,
            stops=self._known_stops(),
            end_symbol=served.item_end,
            scored=self.logprobs is not None or self.best_of > self.n,
            scores_prompts=self.logprobs is not None and self.echo,
            alternatives=self.logprobs or 0,
        )
        self._texts = [
            _Text(served.vocabulary, number, len(self._prompt_texts[number // self.best_of]))
            for number in range(self._job.places)
        ]
        return self._job

    def _known_stops(self) -> list[str]:
        """The stop texts as strings of ids; one with a character that the model never writes cannot occur."""
        stops = []
        for stop in self._stops:
            try:
                stops.append(as_string(self.served.vocabulary.encode(stop)))
            except UnknownCharacterError:
                continue
        return stops

    def chunks(self, pieces: Iterable[Piece]) -> Iterable[dict[str, Any]]:
        """The chunks of a stream for the next pieces: at most one for each text."""
        for number, group in groupby(sorted(pieces, key=lambda piece: piece.text), key=lambda piece: piece.text):
            choice = self._choice(number, number, list(group))
            if choice["text"] or choice["logprobs"] or choice["finish_reason"]:
                usage = {"usage": None} if self.include_usage else {}
                yield {**self._head(), "choices": [choice], **usage}

    def last_chunk(self) -> dict[str, Any] | None:
        """The chunk after all others: the number of tokens, if it is wanted."""
        return {**self._head(), "choices": [], "usage": self._usage()} if self.include_usage else None

    def response(self, pieces: Iterable[Piece]) -> dict[str, Any]:
        """The whole response, from all pieces."""
        by_text: list[list[Piece]] = [[] for _ in self._texts]
        for piece in pieces:
            by_text[piece.text].append(piece)
        kept: list[int] = []
        for first in range(0, len(by_text), self.best_of):
            candidates = range(first, first + self.best_of)
            best = (
                sorted(candidates, key=lambda number: _mean_nats(by_text[number]))
                if self.best_of > self.n
                else candidates
            )
            kept += best[: self.n]
        counted = set(range(len(by_text))) - set(kept)
        choices = [self._choice(index, number, by_text[number]) for index, number in enumerate(kept)]
        for number in counted:  # candidates that were written in vain are tokens all the same
            self._choice(0, number, by_text[number])
        return {**self._head(), "choices": choices, "usage": self._usage()}

    def _head(self) -> dict[str, Any]:
        return {"id": self.id, "object": "text_completion", "created": self.created, "model": self.served.name}

    def _choice(self, index: int, number: int, pieces: list[Piece]) -> dict[str, Any]:
        """One choice: all that these pieces add to a text, and before its beginning the prompt, if it is echoed."""
        text, prompt = self._texts[number], number // self.best_of
        tokens = [token for piece in pieces for token in piece.tokens]
        finish = next((piece.finish for piece in pieces if piece.finish is not None), None)
        before = ""
        table = Logprobs(self.served.vocabulary, self._names) if self.logprobs is not None else None
        if self.echo and not text.begun:
            before = self._prompt_texts[prompt]
            if table is not None:
                table.add_prompt(self._prompt_ids[prompt], self._job.prompt_tokens[prompt])
        written = before + text.add(tokens, finish, table)
        return {
            "text": written,
            "index": index,
            "logprobs": None if table is None else table.content(self.logprobs),
            "finish_reason": None if finish is None else "length" if finish is Finish.LENGTH else "stop",
        }

    def _usage(self) -> dict[str, int]:
        prompt = sum(map(len, self._prompt_ids))
        written = sum(text.tokens for text in self._texts)
        return {"prompt_tokens": prompt, "completion_tokens": written, "total_tokens": prompt + written}


class Logprobs:
    """The table `logprobs` of a choice. Its probabilities are the model's own, before temperature and filters."""

    def __init__(self, vocabulary: Vocabulary, names: Sequence[str]) -> None:
        """Begin an empty table; `names` are the names of the symbols."""
        self._names = names
        self._vocabulary = vocabulary
        self._offsets: list[int] = []
        self._tokens: list[Token] = []

    def add(self, token: Token, offset: int) -> None:
        """Add a token that begins at an offset, in characters from the beginning of the prompt."""
        self._tokens.append(token)
        self._offsets.append(offset)

    def add_prompt(self, ids: Ids, scored: list[Token]) -> None:
        """Add a prompt; its first symbol has no log-probability unless something stood before it."""
        decoder, offset = self._vocabulary.decoder(), 0
        for token in [*map(Token, ids[: len(ids) - len(scored)].tolist()), *scored]:
            self.add(token, offset)
            offset += len(decoder.feed(token.id))

    def content(self, alternatives: int | None) -> dict[str, Any]:
        """The table as OpenAI writes it."""
        names = self._names
        return {
            "tokens": [names[token.id] for token in self._tokens],
            "token_logprobs": [None if token.nats is None else _logprob(token.nats) for token in self._tokens],
            "top_logprobs": [
                {names[number]: _logprob(nats) for number, nats in token.alternatives} or None for token in self._tokens
            ]
            if alternatives
            else None,
            "text_offset": self._offsets,
        }


class _Text:
    """One text while it comes."""

    def __init__(self, vocabulary: Vocabulary, number: int, offset: int) -> None:
        self.number = number
        self.tokens = 0
        self.begun = False
        self._decoder = vocabulary.decoder()
        self._offset = offset

    def add(self, tokens: list[Token], finish: Finish | None, table: Logprobs | None) -> str:
        """Add tokens; returns the characters that they complete. The line feed that ends a line is not part of it."""
        self.begun = True
        if finish is Finish.LINE:
            tokens = tokens[:-1]
        self.tokens += len(tokens)
        written = []
        for token in tokens:
            if table is not None:
                table.add(token, self._offset)
            characters = self._decoder.feed(token.id)
            self._offset += len(characters)
            written.append(characters)
        if finish is not None:
            written.append(self._decoder.finish())
        return "".join(written)


def _mean_nats(pieces: list[Piece]) -> float:
    nats = [token.nats or 0.0 for piece in pieces for token in piece.tokens]
    return float(np.mean(nats)) if nats else inf


def _logprob(nats: float) -> float:
    return max(-nats, _LOWEST)
