"""What the server sends: JSON, server-sent events, and errors in OpenAI's form."""

import json
from typing import Any

_LARGE = json.JSONEncoder(allow_nan=False, separators=(",", ":"))


def to_json(content: Any, *, large: bool = False) -> bytes:
    """JSON in ASCII, because a text may hold half of a surrogate pair.

    `large` content takes longer, but lets other threads run meanwhile; `json.dumps` does not.
    """
    return ("".join(_LARGE.iterencode(content)) if large else _LARGE.encode(content)).encode("ascii")


def event(content: Any) -> bytes:
    """A server-sent event."""
    return b"data: " + to_json(content) + b"\n\n"


class RequestError(Exception):
    """A request that cannot be answered, in the terms of OpenAI's errors."""

    def __init__(self, message: str, param: str | None = None, *, status: int = 400, code: str | None = None) -> None:
        """Compose the error from one line, the field it is about, the HTTP status and OpenAI's code."""
        super().__init__(message)
        self.status = status
        kind = {429: "rate_limit_error", 500: "server_error", 503: "server_error"}.get(status, "invalid_request_error")
        self.content = {"error": {"message": message, "type": kind, "param": param, "code": code}}


def server_error(error: Exception) -> RequestError:
    """What clients are told about an error of the server."""
    return RequestError(f"an error of the server: {type(error).__name__}", status=500)
