"""OpenAI's completions interface: requests, responses and their OpenAPI description, and how they become jobs.

A token is a character of the model, or a byte.
"""

import json
import secrets
import time
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import groupby
from math import inf
from operator import itemgetter
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError, create_model
from typing_extensions import TypedDict

from lstmgen import __version__
from lstmgen.config import Finish, OnUnknown, SamplingConfig, ServingConfig
from lstmgen.errors import LstmgenError, UnknownCharacterError
from lstmgen.generation.filters import Batch, Filter, build_filters
from lstmgen.language_model import LanguageModel
from lstmgen.serving.batch import Job, Piece, Token
from lstmgen.text.vocabulary import Vocabulary, as_string

DEFAULT_TOKENS = 16
MAX_ANSWER = 1 << 18
_LONG_LIST = 1000
_LOWEST = -9999.0
"""Instead of a log-probability that JSON could not hold, as OpenAI does."""
UNSUPPORTED = ("suffix", "logit_bias", "presence_penalty", "frequency_penalty")


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value  # 5.0 is an integer for JSON


WHOLE = BeforeValidator(_whole)
StopText = Annotated[str, Field(min_length=1, max_length=200)]
Unsupported = Annotated[float, Field(ge=0, le=0, description="Not supported.")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, use_attribute_docstrings=True)


class StreamOptions(_Strict):
    """What a stream has besides its texts."""

    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class CompletionRequest(_Strict):
    """What a client asks for; null is the same as absent."""

    model: str | None = None
    prompt: str | list[str] | None = None
    max_tokens: int | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    """1 by default; 0: always the most likely token."""
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    """Choose among the most likely tokens that together have this probability."""
    top_k: Annotated[int, Field(ge=1, le=1_000_000), WHOLE] | None = None
    """Choose among this many of the most likely tokens. Not in OpenAI's interface."""
    min_p: Annotated[float, Field(ge=0, le=1)] | None = None
    """Leave out tokens below this fraction of the most likely one's probability. Not in OpenAI's interface."""
    n: int | None = None
    best_of: int | None = None
    stop: StopText | Annotated[list[StopText], Field(max_length=4, fail_fast=True)] | None = None
    """The text ends before the first of these."""
    seed: Annotated[int, Field(ge=-(2**63), le=2**63 - 1), WHOLE] | None = None
    """The same seed and prompt give the same text."""
    logprobs: Annotated[int, Field(ge=0, le=5), WHOLE] | None = None
    """How many of the most likely tokens come with each token."""
    echo: bool | None = None
    """The text begins with the prompt."""
    stream: bool | None = None
    """Server-sent events, the last one [DONE]."""
    stream_options: StreamOptions | None = None
    """Only with stream."""
    on_unknown: OnUnknown | None = None
    """What to do with characters that the model has never seen. Not in OpenAI's interface."""
    user: Any = None
    """Has no effect."""
    metadata: Any = None
    """Has no effect."""
    store: Any = None
    """Has no effect."""
    suffix: Annotated[str, Field(max_length=0, description="Not supported.")] | None = None
    logit_bias: Annotated[dict[str, Any], Field(max_length=0, description="Not supported.")] | None = None
    presence_penalty: Unsupported | None = None
    frequency_penalty: Unsupported | None = None


class Logprobs(TypedDict):
    """Log-probabilities of the model itself, before temperature and filters. Offsets count from the prompt's start."""

    tokens: list[str]
    token_logprobs: list[float | None]
    top_logprobs: list[dict[str, float] | None] | None
    text_offset: list[int]


class Choice(TypedDict):
    """One text, or a part of it in a stream."""

    text: str
    index: int
    logprobs: Logprobs | None
    finish_reason: Literal["length", "stop"] | None


class Usage(TypedDict):
    """The number of tokens."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class Completion(TypedDict):
    """The response, and each event of a stream."""

    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    choices: list[Choice]
    usage: Usage | None


class Model(TypedDict):
    """The model that is served."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str


class ModelList(TypedDict):
    """All models that are served."""

    object: Literal["list"]
    data: list[Model]


class ErrorDetail(TypedDict):
    """Why a request was not answered."""

    message: str
    type: str
    param: str | None
    code: str | None


class Error(TypedDict):
    """The response to a request that cannot be answered."""

    error: ErrorDetail


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
        self.content: Error = {"error": {"message": message, "type": kind, "param": param, "code": code}}


class Served:
    """What is served: a model under a name, within limits; `created` is in seconds since 1970."""

    def __init__(self, model: LanguageModel, name: str, limits: ServingConfig, created: int) -> None:
        """Prepare what all requests need."""
        self.model, self.name, self.limits = model, name, limits
        self.max_size = max(MAX_ANSWER, limits.max_prompt + limits.max_length)
        self.names = model.vocabulary.symbol_names()
        self.lines = model.lines
        self.listed: Model = {"id": name, "object": "model", "created": created, "owned_by": "lstmgen"}
        self.filters = lru_cache(64)(self._build_filters)
        number = Annotated[int, Field(ge=1, le=limits.rows), WHOLE] | None
        length = Annotated[int, Field(ge=0, le=limits.max_length), WHOLE] | None
        texts = Annotated[list[str], Field(min_length=1, max_length=limits.rows, fail_fast=True)]
        fields: dict[str, Any] = {
            "prompt": (
                str | texts | None,
                Field(None, description=f"{limits.max_prompt} characters together at most."),
            ),
            "max_tokens": (length, Field(min(DEFAULT_TOKENS, limits.max_length), description="The length of a text.")),
            "n": (number, Field(None, description="The number of texts for each prompt; 1 by default.")),
            "best_of": (number, Field(None, description="Write this many, return the n likeliest; not in a stream.")),
        }
        self.request: type[CompletionRequest] = create_model("CompletionRequest", __base__=CompletionRequest, **fields)

    def check_name(self, name: str | None) -> None:
        """Raise RequestError (404) unless this is the name of the model, or None."""
        if name not in (None, self.name):
            message = f"the model {name[:80]!r} does not exist here; the only one is {self.name!r}"
            raise RequestError(message, "model", status=404, code="model_not_found")

    def _build_filters(self, **options: Any) -> tuple[Filter, ...]:
        """The filters of these fields of `SamplingConfig`; kept for further requests, because they have no memory."""
        config, model = SamplingConfig(**options), self.model
        batch = Batch(config, model.vocabulary, np.zeros(0, np.int64), model.item_end, model.training_index)
        return tuple(build_filters(batch))


def parse(body: bytes, served: Served) -> Any:
    """Read the body of a request: a `CompletionRequest` with defaults. Raises RequestError for what is wrong."""
    try:
        asked = served.request.model_validate_json(body)
    except ValidationError as error:
        raise _request_error(error) from error
    n, texts, limits = asked.n or 1, asked.stop or [], served.limits
    prompts = [asked.prompt or ""] if not isinstance(asked.prompt, list) else asked.prompt
    best_of = asked.best_of or n
    served.check_name(asked.model)
    if sum(map(len, prompts)) > limits.max_prompt:
        raise RequestError(f"prompt: give at most {limits.max_prompt:,} characters in all", "prompt")
    if best_of < n:
        raise RequestError("best_of: give at least n", "best_of")
    if asked.stream and best_of > n:
        raise RequestError("best_of: a stream cannot choose among candidates; leave it out", "best_of")
    if len(prompts) * best_of > limits.rows:
        message = f"n: at most {limits.rows} texts in one request, the prompts times n or best_of"
        raise RequestError(message, "n")
    if asked.stream_options and not asked.stream:
        raise RequestError("stream_options: only with stream", "stream_options")
    default = min(DEFAULT_TOKENS, limits.max_length)
    return asked.model_copy(
        update={
            "prompt": prompts,
            "n": n,
            "best_of": best_of,
            "stop": [texts] if isinstance(texts, str) else texts,
            "max_tokens": default if asked.max_tokens is None else asked.max_tokens,
            "temperature": 1.0 if asked.temperature is None else asked.temperature,
        }
    )


def _request_error(error: ValidationError) -> RequestError:
    """The first of pydantic's errors, in one line that names the field."""
    errors = error.errors(include_url=False, include_input=False)
    kind, place = errors[0]["type"], errors[0]["loc"]
    if not place:
        reason = errors[0]["msg"].removeprefix("Invalid JSON: ") if kind == "json_invalid" else "give an object"
        return RequestError(f"the body is not JSON of a request: {reason}")
    name = str(place[0])[:80]
    if kind == "extra_forbidden":
        name = str(place[-1])[:80]
        return RequestError(f"{name!r} is not a field of a completion; leave it out", name)
    if name in UNSUPPORTED:
        return RequestError(f"{name}: this server does not have it; leave it out", name)
    reasons = dict.fromkeys(each["msg"].replace("Input", "it", 1) for each in errors if each["loc"][0] == place[0])
    return RequestError(f"{name}: {'; or '.join(list(reasons)[:3])}", name)


class Writing:
    """One request while it is answered: its job, and its response."""

    def __init__(self, asked: Any, served: Served) -> None:
        """Prepare the job of what `parse` returned. Raises RequestError for unknown characters and large answers."""
        model, vocabulary = served.model, served.model.vocabulary
        self.asked, self._served, self._names = asked, served, served.names
        self._head = {
            "id": f"cmpl-{secrets.token_hex(12)}",
            "object": "text_completion",
            "created": int(time.time()),
            "model": served.name,
        }
        unknown = asked.on_unknown or OnUnknown.ERROR
        try:
            self._prompts = [vocabulary.encode(text, where="prompt", on_unknown=unknown) for text in asked.prompt]
            read = [vocabulary.prompt_ids(text, lines=served.lines, on_unknown=unknown) for text in asked.prompt]
        except LstmgenError as error:
            raise RequestError(str(error).replace("`", ""), "prompt") from error
        self._prompt_tokens = sum(map(len, self._prompts))
        tokens = asked.best_of * (len(read) * asked.max_tokens + (self._prompt_tokens if asked.echo else 0))
        columns = 1 if asked.logprobs is None else 2 + asked.logprobs
        if tokens * columns > served.max_size:
            raise RequestError(
                f"max_tokens: the answer may have {tokens:,} {vocabulary.unit}s in {len(read) * asked.best_of} texts, "
                f"with {columns} values each: {tokens * columns:,}, but {served.max_size:,} at most; "
                "ask for fewer or shorter texts, or for fewer logprobs",
                "max_tokens",
            )
        self._prompt_texts = [vocabulary.decode(ids) for ids in self._prompts]
        options = {name: getattr(asked, name) for name in ("temperature", "top_k", "top_p", "min_p")}
        self.job = Job(
            prompts=read,
            seeds=[secrets.randbits(32) if asked.seed is None else asked.seed % 2**64 for _ in read],
            filters=served.filters(**options),
            length=asked.max_tokens,
            copies=asked.best_of,
            stops=_known_stops(asked.stop, vocabulary),
            end=model.item_end,
            scored=asked.logprobs is not None or asked.best_of > asked.n,
            scores_prompts=asked.logprobs is not None and bool(asked.echo),
            alternatives=asked.logprobs or 0,
            size=tokens * columns,
        )
        self._texts = [
            _Text(vocabulary, len(self._prompt_texts[number // asked.best_of]))
            for number in range(len(read) * asked.best_of)
        ]

    def events(self, pieces: Iterable[Piece]) -> bytes:
        """The events of a stream for the next pieces: at most one for each text."""
        events, options = [], self.asked.stream_options
        for number, group in groupby(sorted(pieces, key=lambda piece: piece.text), key=lambda piece: piece.text):
            choice = self._choice(number, number, list(group))
            if choice["text"] or choice["logprobs"] or choice["finish_reason"]:
                usage = {"usage": None} if options and options.include_usage else {}
                events.append(event({**self._head, "choices": [choice], **usage}))
        return b"".join(events)

    def last_events(self) -> bytes:
        """The events after all others: the number of tokens, if it is wanted, and the end."""
        options = self.asked.stream_options
        usage = (
            event({**self._head, "choices": [], "usage": self._usage()}) if options and options.include_usage else b""
        )
        return usage + b"data: [DONE]\n\n"

    def response(self, pieces: Iterable[Piece]) -> bytes:
        """The whole response, from all pieces."""
        n, best_of = self.asked.n, self.asked.best_of
        by_text: list[list[Piece]] = [[] for _ in self._texts]
        for piece in pieces:
            by_text[piece.text].append(piece)
        kept: list[int] = []
        for first in range(0, len(by_text), best_of):
            candidates = list(range(first, first + best_of))
            if best_of > n:
                candidates.sort(key=lambda number: _mean_nats(by_text[number]))
            kept += candidates[:n]
        for number in set(range(len(by_text))) - set(
            kept
        ):  # candidates that were written in vain are tokens all the same
            self._texts[number].add(by_text[number], None)
        choices = [self._choice(index, number, by_text[number]) for index, number in enumerate(kept)]
        return to_json({**self._head, "choices": choices, "usage": self._usage()})

    def _choice(self, index: int, number: int, pieces: list[Piece]) -> Choice:
        """One choice: all that these pieces add to a text, and before its beginning the prompt, if it is echoed."""
        text, prompt, before = self._texts[number], number // self.asked.best_of, ""
        table = None if self.asked.logprobs is None else _Table(self._names)
        if self.asked.echo and not text.begun:
            before = self._prompt_texts[prompt]
            if table is not None:
                ids, scored = self._prompts[prompt], self.job.prompt_tokens[prompt]
                given: list[Token] = [(number, None, ()) for number in ids[: len(ids) - len(scored)].tolist()]
                _Text(self._served.model.vocabulary, 0).add([Piece(0, given + scored, None)], table)
        finish = pieces[-1].finish
        return {
            "text": before + text.add(pieces, table),
            "index": index,
            "logprobs": None if table is None else table.content(bool(self.asked.logprobs)),
            "finish_reason": None if finish is None else "length" if finish is Finish.LENGTH else "stop",
        }

    def _usage(self) -> Usage:
        prompt, written = self._prompt_tokens, sum(text.tokens for text in self._texts)
        return {"prompt_tokens": prompt, "completion_tokens": written, "total_tokens": prompt + written}


class _Table:
    """The log-probabilities of a choice while they come."""

    def __init__(self, names: list[str]) -> None:
        self._names = names
        self._tokens: list[Token] = []
        self.offsets: list[int] = []

    def add(self, token: Token, offset: int) -> None:
        self._tokens.append(token)
        self.offsets.append(offset)

    def content(self, alternatives: bool) -> Logprobs:
        names, tops = self._names, None
        if alternatives:
            tops = [{names[other]: _logprob(nats) for other, nats in likely} or None for _, _, likely in self._tokens]
        return {
            "tokens": [names[number] for number, _, _ in self._tokens],
            "token_logprobs": [None if nats is None else _logprob(nats) for _, nats, _ in self._tokens],
            "top_logprobs": tops,
            "text_offset": self.offsets,
        }


class _Text:
    """One text while it comes."""

    def __init__(self, vocabulary: Vocabulary, offset: int) -> None:
        self.tokens = 0
        self.begun = False
        self._decoder = vocabulary.decoder()
        self._offset = offset

    def add(self, pieces: Iterable[Piece], table: _Table | None) -> str:
        """Add pieces; returns the characters that they complete. The line feed that ends a line is not part of it."""
        self.begun, written = True, []
        for _, tokens, finish in pieces:
            shown = tokens[:-1] if finish is Finish.LINE else tokens
            self.tokens += len(shown)
            if table is None:  # all at once, because nobody asks where each token begins
                written.append(self._decoder.feed(*map(itemgetter(0), shown)))
            else:
                for token in shown:
                    table.add(token, self._offset)
                    characters = self._decoder.feed(token[0])
                    self._offset += len(characters)
                    written.append(characters)
            if finish is not None:
                written.append(self._decoder.finish())
        return "".join(written)


def _known_stops(stops: list[str], vocabulary: Vocabulary) -> list[str]:
    """The stop texts as strings of ids; one with a character that the model never writes cannot occur."""
    known = []
    for stop in stops:
        try:
            known.append(as_string(vocabulary.encode(stop)))
        except UnknownCharacterError:
            continue
    return known


def _mean_nats(pieces: list[Piece]) -> float:
    nats = [nats or 0.0 for piece in pieces for _, nats, _ in piece.tokens]
    return float(np.mean(nats)) if nats else inf


def _logprob(nats: float) -> float:
    return max(-nats, _LOWEST)


def to_json(content: Any) -> bytes:
    """JSON in ASCII, because a text may hold half of a surrogate pair."""
    return "".join(_json_parts(content)).encode("ascii")


def _json_parts(content: Any) -> Iterator[str]:
    """The JSON of some content in short parts: `json` lets no other thread run while it writes one."""
    if isinstance(content, dict):
        for number, (name, value) in enumerate(content.items()):
            yield f"{',' if number else '{'}{json.dumps(name)}:"
            yield from _json_parts(value)
        yield "}" if content else "{}"
    elif isinstance(content, list) and content and isinstance(content[0], dict) and "index" in content[0]:
        for number, choice in enumerate(content):
            yield "," if number else "["
            yield from _json_parts(choice)
        yield "]"
    elif isinstance(content, list) and len(content) > _LONG_LIST:
        for start in range(0, len(content), _LONG_LIST):
            yield "," if start else "["
            yield _dumps(content[start : start + _LONG_LIST])[1:-1]
        yield "]"
    else:
        yield _dumps(content)


def _dumps(content: Any) -> str:
    return json.dumps(content, allow_nan=False, separators=(",", ":"))


def event(content: Any) -> bytes:
    """A server-sent event."""
    return b"data: " + to_json(content) + b"\n\n"


def describe(served: Served) -> dict[str, Any]:
    """The OpenAPI description of a served model, with its limits."""
    kinds = {
        "CompletionRequest": served.request,
        "Completion": Completion,
        "Model": Model,
        "ModelList": ModelList,
        "Error": Error,
    }
    inputs = [(name, "validation", TypeAdapter[Any](kind)) for name, kind in kinds.items()]
    schemas = TypeAdapter.json_schemas(inputs, ref_template="#/components/schemas/{model}")[1]["$defs"]  # type: ignore[arg-type]  # the modes are literals

    def refer(name: str) -> dict[str, Any]:
        return {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}}

    def responses(name: str, **more: Any) -> dict[str, Any]:
        return {
            "200": {"description": "The answer.", "content": {**refer(name), **more}},
            "default": {"description": "The message says why there is no answer.", "content": refer("Error")},
        }

    stream = {"text/event-stream": {"schema": {"description": "Each event is a part of a completion."}}}
    model = {"name": "model", "in": "path", "required": True, "schema": {"type": "string"}}
    return {
        "openapi": "3.1.0",
        "info": {"title": "lstmgen serve", "version": __version__},
        "paths": {
            "/v1/completions": {
                "post": {
                    "operationId": "createCompletion",
                    "requestBody": {"required": True, "content": refer("CompletionRequest")},
                    "responses": responses("Completion", **stream),
                }
            },
            "/v1/models": {"get": {"operationId": "listModels", "responses": responses("ModelList")}},
            "/v1/models/{model}": {
                "get": {"operationId": "retrieveModel", "parameters": [model], "responses": responses("Model")}
            },
        },
        "components": {"schemas": schemas},
    }
