"""OpenAI's completions interface: requests, responses, their OpenAPI description, and how requests become jobs.

A token is a character, or a byte for a model of bytes.
"""

import secrets
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from itertools import accumulate, groupby
from math import inf
from operator import attrgetter, itemgetter
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator

from lstmgen import __version__
from lstmgen.config import OnUnknown, SamplingConfig
from lstmgen.errors import LstmgenError, UnknownCharacterError
from lstmgen.generation.filters import Batch, build_filters
from lstmgen.generation.filters.base import Filter
from lstmgen.language_model import LanguageModel
from lstmgen.serving.batch import Job, Part, Token
from lstmgen.serving.config import ServingConfig
from lstmgen.serving.messages import RequestError, event, to_json
from lstmgen.text.vocabulary import Vocabulary, as_string

DEFAULT_TOKENS = 16
MAX_ANSWER = 1 << 18
_LARGE = 4096  # values; larger answers are built in another thread
_LOWEST = -9999.0
"""The lowest log-probability to report, as in OpenAI's interface, because JSON has no infinity."""
_UNSUPPORTED = ("suffix", "logit_bias", "presence_penalty", "frequency_penalty")

LISTED = AfterValidator(lambda value: [value] if isinstance(value, str) else value)
Fraction = Annotated[float, Field(ge=0, le=1)]
StopText = Annotated[str, Field(min_length=1, max_length=200)]
Unsupported = Annotated[float, Field(ge=0, le=0, description="Not supported.")]


def request_type(limits: ServingConfig) -> Any:
    """The pydantic model of a request within these limits."""

    class CompletionRequest(BaseModel):
        """A request; null means the same as leaving a field out."""

        model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, use_attribute_docstrings=True)

        model: str | None = None
        prompt: Annotated[
            str | Annotated[list[str], Field(min_length=1, max_length=limits.rows, fail_fast=True)],
            LISTED,
            Field(description=f"At most {limits.max_prompt} characters in all."),
        ] = [""]
        max_tokens: Annotated[int, Field(ge=0, le=limits.max_length)] = min(DEFAULT_TOKENS, limits.max_length)
        """The maximum length of a text."""
        temperature: Annotated[float, Field(ge=0, le=2)] = 1.0
        """0: always the most likely token."""
        top_p: Fraction | None = None
        """Choose among the most likely tokens that together have this probability."""
        top_k: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
        """Choose among this many of the most likely tokens. Not in OpenAI's interface."""
        min_p: Fraction | None = None
        """Leave out tokens below this fraction of the most likely one's probability. Not in OpenAI's interface."""
        n: Annotated[int, Field(ge=1, le=limits.rows)] = 1
        """The number of texts for each prompt."""
        best_of: Annotated[int, Field(ge=1, le=limits.rows)] | None = None
        """Write this many and return the n likeliest; not with stream."""
        stop: Annotated[StopText | Annotated[list[StopText], Field(max_length=4, fail_fast=True)], LISTED] = []
        """Stop before the first of these texts."""
        seed: Annotated[int, Field(ge=-(2**63), le=2**63 - 1)] | None = None
        """The same seed and prompt give the same text."""
        logprobs: Annotated[int, Field(ge=0, le=5)] | None = None
        """How many of the most likely tokens to report with each token."""
        echo: bool = False
        """Include the prompt in the text."""
        stream: bool = False
        """Send server-sent events, the last one being [DONE]."""
        stream_options: dict[Literal["include_usage", "include_obfuscation"], bool | None] = {}
        """Only with stream."""
        on_unknown: OnUnknown = OnUnknown.ERROR
        """What to do with characters that the model has never seen. Not in OpenAI's interface."""
        user: Any = None
        """Has no effect."""
        suffix: Annotated[str, Field(max_length=0, description="Not supported.")] | None = None
        logit_bias: Annotated[dict[str, Any], Field(max_length=0, description="Not supported.")] | None = None
        presence_penalty: Unsupported | None = None
        frequency_penalty: Unsupported | None = None

        @field_validator("*", mode="wrap")
        @classmethod
        def _null_is_absent(cls, value: Any, validate: Any, info: Any) -> Any:
            return cls.model_fields[info.field_name].default if value is None else validate(value)

    return CompletionRequest


class Served:
    """The model to serve, its name and limits; `created` is in seconds since 1970."""

    def __init__(self, model: LanguageModel, name: str, limits: ServingConfig, created: int) -> None:
        """Prepare everything that requests share."""
        self.model, self.name, self.limits = model, name, limits
        self.request = request_type(limits)
        self.max_size = max(MAX_ANSWER, limits.max_prompt + limits.max_length)
        self.names = model.vocabulary.token_names()
        self.listed = {"id": name, "object": "model", "created": created, "owned_by": "lstmgen"}
        self.filters = lru_cache(64)(self._build_filters)

    def check_name(self, name: str | None) -> None:
        """Raise RequestError (404) unless this is the name of the model, or None."""
        if name not in (None, self.name):
            message = f"this server has no model {name[:80]!r}; its only model is {self.name!r}"
            raise RequestError(message, "model", status=404, code="model_not_found")

    def _build_filters(self, **options: Any) -> tuple[Filter, ...]:
        """The filters for these fields of `SamplingConfig`. Requests can share them because they have no memory."""
        config, model = SamplingConfig(**options), self.model
        batch = Batch(config, model.vocabulary, np.zeros(0, np.int64), model.end_token, model.training_index)
        return tuple(build_filters(batch))


def _parse(body: bytes, served: Served) -> Any:
    """Read a `CompletionRequest`; raises RequestError if it is invalid."""
    try:
        asked = served.request.model_validate_json(body)
    except ValidationError as error:
        raise _request_error(error) from error
    served.check_name(asked.model)
    limits, best_of = served.limits, asked.best_of or asked.n
    max_prompt = f"give at most {limits.max_prompt:,} characters in all"
    max_rows = f"one request can have at most {limits.rows} texts: prompts times n or best_of"
    for wrong, field, message in (
        (sum(map(len, asked.prompt)) > limits.max_prompt, "prompt", max_prompt),
        (best_of < asked.n, "best_of", "give at least n"),
        (best_of > asked.n and asked.stream, "best_of", "a stream cannot choose among candidates; leave it out"),
        (len(asked.prompt) * best_of > limits.rows, "n", max_rows),
        (asked.stream_options and not asked.stream, "stream_options", "only with stream"),
    ):
        if wrong:
            raise RequestError(f"{field}: {message}", field)
    return asked


def _request_error(error: ValidationError) -> RequestError:
    """The first of pydantic's errors, in one line that names the field."""
    errors = error.errors(include_url=False, include_input=False)
    kind, place = errors[0]["type"], errors[0]["loc"]
    if not place:
        return RequestError(f"the body is not valid JSON: {errors[0]['msg'].removeprefix('Invalid JSON: ')}")
    name = str(place[-1 if kind == "extra_forbidden" else 0])[:80]
    if kind == "extra_forbidden" or name in _UNSUPPORTED:
        return RequestError(f"this server has no field {name!r}; leave it out", name)
    reasons = dict.fromkeys(each["msg"].replace("Input", "it", 1) for each in errors if each["loc"][0] == place[0])
    return RequestError(f"{name}: {'; or '.join(list(reasons)[:3])}", name)


class Answer:
    """The answer to one request: its job, and its response."""

    def __init__(self, body: bytes, served: Served) -> None:
        """Prepare the job for a request's body; raises RequestError if it cannot be answered."""
        asked, model, vocabulary = _parse(body, served), served.model, served.model.vocabulary
        self._asked, self._names = asked, served.names
        self._head = {"id": f"cmpl-{secrets.token_hex(12)}", "object": "text_completion", "created": int(time.time())}
        self._head["model"] = served.name
        self._best_of = best_of = asked.best_of or asked.n
        try:
            prompts = [vocabulary.encode(text, where="prompt", on_unknown=asked.on_unknown) for text in asked.prompt]
            read = [
                vocabulary.prompt_ids(text, lines=model.lines, on_unknown=asked.on_unknown) for text in asked.prompt
            ]
        except LstmgenError as error:
            raise RequestError(str(error).replace("`", ""), "prompt") from error
        lengths = list(map(len, prompts))
        texts, echoed = len(read) * best_of, best_of * sum(lengths) if asked.echo else 0
        tokens = texts * asked.max_tokens + echoed
        columns = 1 if asked.logprobs is None else 2 + asked.logprobs
        if tokens * columns > served.max_size:
            raise RequestError(
                f"max_tokens: the answer may have {tokens:,} {vocabulary.unit}s in {texts} texts, "
                f"with {columns} values each: {tokens * columns:,}, but at most {served.max_size:,} are allowed; "
                "ask for fewer or shorter texts, or for fewer logprobs",
                "max_tokens",
            )
        self.stream, self.large = asked.stream, tokens * columns > _LARGE
        options = {name: getattr(asked, name) for name in ("temperature", "top_k", "top_p", "min_p")}
        self.job = Job(
            prompts=read,
            seeds=[secrets.randbits(32) if asked.seed is None else asked.seed % 2**64 for _ in read],
            filters=served.filters(**options),
            length=asked.max_tokens,
            copies=best_of,
            stops=_known_stops(asked.stop, vocabulary),
            end=model.end_token,
            logprobs=0 if asked.logprobs is None and best_of > asked.n else asked.logprobs,
            echo=lengths if asked.echo else (),
            size=tokens * columns,
        )
        self._offsets = [0 if asked.echo else len(vocabulary.decode(ids)) for ids in prompts for _ in range(best_of)]
        self._decoders = [vocabulary.decoder() for _ in self._offsets]
        self._prompt_tokens, self._written = sum(lengths), -echoed
        self._counts = asked.stream_options.get("include_usage")

    def events(self, parts: Sequence[Part]) -> bytes:
        """The events of a stream for the next parts, at most one per text."""
        events = []
        for index, group in groupby(sorted(parts, key=attrgetter("text")), key=attrgetter("text")):
            choice = self._choice(index, list(group))
            if choice["text"] or choice["logprobs"] or choice["finish_reason"]:
                usage = {"usage": None} if self._counts else {}
                events.append(event({**self._head, "choices": [choice], **usage}))
        return b"".join(events)

    def last_events(self) -> bytes:
        """The last events: the number of tokens, if requested, and the end."""
        usage = event({**self._head, "choices": [], "usage": self._usage()}) if self._counts else b""
        return usage + b"data: [DONE]\n\n"

    def response(self, parts: Sequence[Part]) -> bytes:
        """The whole response, from all parts."""
        n, best_of = self._asked.n, self._best_of
        by_text: list[list[Part]] = [[] for _ in self._decoders]
        for part in parts:
            by_text[part.text].append(part)
        choices = [self._choice(text, one) for text, one in enumerate(by_text)]
        if n < best_of:
            costs = [_mean_nats(one[1:]) for one in by_text]  # the first part is the echo of the prompt
            groups = (range(first, first + best_of) for first in range(0, len(choices), best_of))
            kept = [text for group in groups for text in sorted(group, key=costs.__getitem__)[:n]]
            choices = [{**choices[text], "index": index} for index, text in enumerate(kept)]
        return to_json({**self._head, "choices": choices, "usage": self._usage()}, large=self.large)

    def _choice(self, text: int, parts: Sequence[Part]) -> dict[str, Any]:
        """One choice: everything these parts add to a text."""
        tokens = [token for part in parts for token in part.tokens]
        self._written += len(tokens)
        decoder, finish_reason, table = self._decoders[text], parts[-1].finish_reason, None
        if self._asked.logprobs is None:
            content = decoder.feed(*map(itemgetter(0), tokens))
        else:  # one at a time, because the response says where each token begins
            characters = [decoder.feed(number) for number, _, _ in tokens]
            content = "".join(characters)
            *offsets, self._offsets[text] = accumulate(map(len, characters), initial=self._offsets[text])
            table = {**self._table(tokens), "text_offset": offsets}
        if finish_reason is not None:
            content += decoder.finish()
        return {"text": content, "index": text, "logprobs": table, "finish_reason": finish_reason}

    def _table(self, tokens: Sequence[Token]) -> dict[str, Any]:
        """Log-probabilities of the model itself, before temperature and filters."""
        names, tops = self._names, None
        if self._asked.logprobs:
            tops = [{names[other]: _logprob(nats) for other, nats in likely} or None for _, _, likely in tokens]
        return {
            "tokens": [names[number] for number, _, _ in tokens],
            "token_logprobs": [None if nats is None else _logprob(nats) for _, nats, _ in tokens],
            "top_logprobs": tops,
        }

    def _usage(self) -> dict[str, int]:
        prompt, written = self._prompt_tokens, self._written
        return {"prompt_tokens": prompt, "completion_tokens": written, "total_tokens": prompt + written}


def _known_stops(stops: list[str], vocabulary: Vocabulary) -> list[str]:
    """The stop texts as strings of ids, without those that the model cannot write."""
    known = []
    for stop in stops:
        with suppress(UnknownCharacterError):
            known.append(as_string(vocabulary.encode(stop)))
    return known


def _mean_nats(parts: Sequence[Part]) -> float:
    """The nats per token of a text; infinite for an empty one."""
    nats = [nats or 0.0 for part in parts for _, nats, _ in part.tokens]
    return sum(nats) / len(nats) if nats else inf


def _logprob(nats: float) -> float:
    return max(-nats, _LOWEST)


def describe(served: Served) -> dict[str, Any]:
    """The OpenAPI description of a request, with the limits of this server."""
    schema = served.request.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas = {**schema.pop("$defs"), "CompletionRequest": schema}
    body = {"application/json": {"schema": {"$ref": "#/components/schemas/CompletionRequest"}}}
    responses = {
        "200": {"description": "The answer, in OpenAI's form: JSON, or server-sent events."},
        "default": {"description": 'The error: {"error": {"message", "type", "param", "code"}}.'},
    }
    complete = {"operationId": "createCompletion", "requestBody": {"required": True, "content": body}}
    return {
        "openapi": "3.1.0",
        "info": {"title": "lstmgen serve", "version": __version__},
        "paths": {"/v1/completions": {"post": {**complete, "responses": responses}}},
        "components": {"schemas": schemas},
    }
