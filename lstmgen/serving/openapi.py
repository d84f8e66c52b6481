"""The description of the interface that `/openapi.json` gives, in OpenAPI 3.1.

Knows: the names and bounds of requests and responses. Does not know: how they are answered.
"""

from typing import Any

from lstmgen import __version__
from lstmgen.config import OnUnknown
from lstmgen.serving.completions import (
    DEFAULT_TOKENS,
    IGNORED,
    MAX_LOGPROBS,
    MAX_STOP_LENGTH,
    MAX_STOPS,
    MAX_TEMPERATURE,
    NEUTRAL,
    Served,
)

_MODEL = {
    "type": "object",
    "required": ["id", "object", "created", "owned_by"],
    "properties": {
        "id": {"type": "string"},
        "object": {"const": "model"},
        "created": {"type": "integer"},
        "owned_by": {"type": "string"},
    },
}
_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "null"]},
            },
        }
    },
}
_LOGPROBS = {
    "type": ["object", "null"],
    "description": "Of the model itself, before temperature and filters. Offsets count from the prompt's beginning.",
    "required": ["tokens", "token_logprobs", "top_logprobs", "text_offset"],
    "properties": {
        "tokens": {"type": "array", "items": {"type": "string"}},
        "token_logprobs": {"type": "array", "items": {"type": ["number", "null"]}},
        "top_logprobs": {
            "type": ["array", "null"],
            "items": {"type": ["object", "null"], "additionalProperties": {"type": "number"}},
        },
        "text_offset": {"type": "array", "items": {"type": "integer"}},
    },
}
_USAGE = {
    "type": "object",
    "required": ["prompt_tokens", "completion_tokens", "total_tokens"],
    "properties": {name: {"type": "integer"} for name in ("prompt_tokens", "completion_tokens", "total_tokens")},
}
_COMPLETION = {
    "type": "object",
    "required": ["id", "object", "created", "model", "choices", "usage"],
    "properties": {
        "id": {"type": "string"},
        "object": {"const": "text_completion"},
        "created": {"type": "integer"},
        "model": {"type": "string"},
        "choices": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["text", "index", "logprobs", "finish_reason"],
                "properties": {
                    "text": {"type": "string"},
                    "index": {"type": "integer"},
                    "logprobs": _LOGPROBS,
                    "finish_reason": {"enum": ["length", "stop"]},
                },
            },
        },
        "usage": _USAGE,
    },
}


def describe(served: Served) -> dict[str, Any]:
    """The OpenAPI description of a served model, with its limits."""
    limits, unit = served.limits, served.vocabulary.unit

    def errors(*statuses: int) -> dict[str, Any]:
        meanings = {
            400: "The request cannot be answered; the message says why.",
            403: "The Host header does not name this machine.",
            404: "There is no such model.",
            408: "The body took too long to arrive.",
            413: "The body is too large.",
            415: "The body is not declared as application/json.",
            429: "Too many requests are open; try again after Retry-After seconds.",
            500: "An error of the server.",
            503: "The server stops.",
        }
        return {
            str(status): {
                "description": meanings[status],
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
            }
            for status in statuses
        }

    def answer(description: str, schema: dict[str, Any]) -> dict[str, Any]:
        return {"200": {"description": description, "content": {"application/json": {"schema": schema}}}}

    def limited(kind: str, low: float, high: float, description: str, **more: Any) -> dict[str, Any]:
        return {"type": [kind, "null"], "minimum": low, "maximum": high, "description": description, **more}

    text = {"type": "string"}
    request = {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "model": {"type": ["string", "null"], "description": f"Absent, or {served.name!r}."},
            "prompt": {
                "description": f"One text or several; together at most {limits.max_prompt} characters.",
                "anyOf": [text, {"type": "array", "items": text, "maxItems": limits.rows}, {"type": "null"}],
            },
            "max_tokens": limited(
                "integer",
                0,
                limits.max_length,
                f"A token is one {unit}.",
                default=min(DEFAULT_TOKENS, limits.max_length),
            ),
            "temperature": limited("number", 0, MAX_TEMPERATURE, "0: always the likeliest.", default=1),
            "top_p": limited("number", 0, 1, "Choose among the likeliest that together have this probability."),
            "top_k": limited(
                "integer", 1, 1_000_000, "Choose among so many of the likeliest. Not in OpenAI's interface."
            ),
            "min_p": limited(
                "number", 0, 1, "Leave out what is below this fraction of the likeliest. Not in OpenAI's interface."
            ),
            "n": limited("integer", 1, limits.rows, "The number of texts for each prompt.", default=1),
            "best_of": limited("integer", 1, limits.rows, "Write so many and return the n likeliest; not in a stream."),
            "stop": {
                "description": "The text ends before the first of these.",
                "anyOf": [
                    {**text, "minLength": 1, "maxLength": MAX_STOP_LENGTH},
                    {
                        "type": "array",
                        "items": {**text, "minLength": 1, "maxLength": MAX_STOP_LENGTH},
                        "maxItems": MAX_STOPS,
                    },
                    {"type": "null"},
                ],
            },
            "seed": limited("integer", -(2**63), 2**63 - 1, "The same seed and prompt give the same text."),
            "logprobs": limited("integer", 0, MAX_LOGPROBS, "So many of the likeliest tokens at each position."),
            "echo": {"type": ["boolean", "null"], "description": "The text begins with the prompt."},
            "stream": {"type": ["boolean", "null"], "description": "Server-sent events, the last one [DONE]."},
            "stream_options": {
                "type": ["object", "null"],
                "description": "Only with stream.",
                "additionalProperties": False,
                "properties": {
                    "include_usage": {"type": ["boolean", "null"]},
                    "include_obfuscation": {"type": ["boolean", "null"]},
                },
            },
            "on_unknown": {
                "enum": [*map(str, OnUnknown), None],
                "description": "What to do with characters that the model has never seen. Not in OpenAI's interface.",
            },
            **{name: {"description": "Has no effect."} for name in IGNORED},
            **{name: {"enum": [value, None], "description": "Not supported."} for name, value in NEUTRAL.items()},
        },
    }
    completion = answer("The text.", {"$ref": "#/components/schemas/Completion"})
    completion["200"]["content"]["text/event-stream"] = {
        "schema": {"description": "Each event is a part of a completion."}
    }
    name = {"name": "model", "in": "path", "required": True, "schema": text}
    model_list = {
        "type": "object",
        "required": ["object", "data"],
        "properties": {"object": {"const": "list"}, "data": {"type": "array", "items": _MODEL}},
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "lstmgen serve", "version": __version__},
        "paths": {
            "/v1/completions": {
                "post": {
                    "operationId": "createCompletion",
                    "requestBody": {
                        "required": True,
                        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/CompletionRequest"}}},
                    },
                    "responses": {**completion, **errors(400, 403, 404, 408, 413, 415, 429, 500, 503)},
                }
            },
            "/v1/models": {
                "get": {
                    "operationId": "listModels",
                    "responses": {**answer("The only model.", model_list), **errors(403)},
                }
            },
            "/v1/models/{model}": {
                "get": {
                    "operationId": "retrieveModel",
                    "parameters": [name],
                    "responses": {**answer("The model.", _MODEL), **errors(403, 404)},
                }
            },
        },
        "components": {
            "schemas": {"CompletionRequest": request, "Completion": _COMPLETION, "Error": _ERROR},
        },
    }
