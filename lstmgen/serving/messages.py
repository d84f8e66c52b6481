"""What the server sends: JSON, server-sent events, and errors in OpenAI's form."""

import json
from typing import Any

_LARGE = json.JSONEncoder(allow_nan=False, separators=(",", ":"))


def to_json(content: Any, *, large: bool = False) -> bytes:
    """JSON in ASCII, because a text may contain half of a surrogate pair.

    With `large`, encoding takes longer but lets other threads run meanwhile.
    """
    return ("".join(_LARGE.iterencode(content)) if large else _LARGE.encode(content)).encode("ascii")


def event(content: Any) -> bytes:
    """A server-sent event."""
    return b"data: " + to_json(content) + b"\n\n"


class RequestError(Exception):
    """A request that cannot be answered, as an error in OpenAI's form."""

    def __init__(self, message: str, param: str | None = None, *, status: int = 400, code: str | None = None) -> None:
        """Compose the error from a message of one line, the field, the HTTP status and OpenAI's code."""
        super().__init__(message)
        self.status = status
        kind = {429: "rate_limit_error", 500: "server_error", 503: "server_error"}.get(status, "invalid_request_error")
        self.content = {"error": {"message": message, "type": kind, "param": param, "code": code}}


def server_error(error: Exception) -> RequestError:
    """The error that clients get for a failure in the server."""
    return RequestError(f"the server failed: {type(error).__name__}", status=500)
