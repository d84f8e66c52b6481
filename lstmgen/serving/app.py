"""The ASGI application: routes, limits, errors, and streams of server-sent events.

Knows: starlette, HTTP, the worker. Does not know: sockets, signals, or how a completion is made.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any, NoReturn, TypeVar

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from lstmgen.serving.batch import Piece
from lstmgen.serving.completions import Completion, RequestError, Served
from lstmgen.serving.openapi import describe
from lstmgen.serving.worker import BusyError, Reading, StoppedError, Worker

MAX_BODY = 1 << 20
BODY_SECONDS = 20.0
RETRY_AFTER = "1"  # seconds

Result = TypeVar("Result")


def build_app(served: Served, worker: Worker, page: str, hosts: Sequence[str] | None) -> ASGIApp:
    """The application.

    Args:
        served: the model and the limits.
        worker: writes the texts; it runs as long as the application.
        page: what `/` shows, HTML.
        hosts: the names that the Host header may have, so that no web page of another site can reach a server that
            listens only on this machine (DNS rebinding); None: any.
    """
    description = describe(served)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        running = asyncio.create_task(worker.run())
        yield
        worker.stop()
        await running

    async def show_page(_request: Request) -> Response:
        return HTMLResponse(page)

    async def show_description(_request: Request) -> Response:
        return _json(description)

    async def list_models(_request: Request) -> Response:
        return _json({"object": "list", "data": [served.model_object()]})

    async def show_model(request: Request) -> Response:
        served.check_name(request.path_params["model"])
        return _json(served.model_object())

    async def complete(request: Request) -> Response:
        completion = Completion(_parsed(await _body(request)), served)
        return _CompletionResponse(completion, worker)

    routes = [
        Route("/", show_page),
        Route("/openapi.json", show_description),
        Route("/v1/models", list_models),
        Route("/v1/models/{model:path}", show_model),
        Route("/v1/completions", complete, methods=["POST"]),
    ]
    handlers: Any = {HTTPException: _http_error, RequestError: _request_error}
    app = Starlette(routes=routes, lifespan=lifespan, exception_handlers=handlers)
    return app if hosts is None else _KnownHosts(app, hosts)


class _CompletionResponse(Response):
    """Runs a completion and sends it, at once or as a stream. It ends when the client has gone."""

    def __init__(self, completion: Completion, worker: Worker) -> None:
        self.background = None
        self._completion = completion
        self._worker = worker
        self._job = completion.job()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        try:
            async with self._worker.write(self._job) as reading:
                if self._completion.stream:
                    await _while_connected(receive, self._send_stream(reading, send))
                    return
                pieces = await _while_connected(receive, _all_pieces(reading))
        except BusyError:
            message = "too many requests are open; try again later"
            error = RequestError(message, status=429, kind="rate_limit_error", code="rate_limit_exceeded")
        except StoppedError:
            error = RequestError("the server stops", status=503, kind="server_error", code="server_stops")
        except Exception as problem:  # the worker has reported it
            error = RequestError(f"an error of the server: {type(problem).__name__}", status=500, kind="server_error")
        else:
            if pieces is not None:
                await _json(self._completion.response(pieces))(scope, receive, send)
            return
        await _error(error)(scope, receive, send)

    async def _send_stream(self, reading: Reading, send: Send) -> None:
        headers = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-store")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        try:
            async for pieces in reading.pieces():
                events = b"".join(_event(chunk) for chunk in self._completion.chunks(pieces))
                if events:
                    await send({"type": "http.response.body", "body": events, "more_body": True})
            last = self._completion.last_chunk()
            end = (b"" if last is None else _event(last)) + b"data: [DONE]\n\n"
        except StoppedError:
            end = _event(RequestError("the server stops", kind="server_error", code="server_stops").content)
        except Exception as problem:  # the worker has reported it; the status line has been sent
            end = _event(RequestError(f"an error of the server: {type(problem).__name__}", kind="server_error").content)
        await send({"type": "http.response.body", "body": end})


async def _all_pieces(reading: Reading) -> list[Piece]:
    return [piece async for pieces in reading.pieces() for piece in pieces]


async def _while_connected(receive: Receive, work: Coroutine[Any, Any, Result]) -> Result | None:
    """Do some work, but give it up when the client has gone; returns None then."""
    working, leaving = asyncio.ensure_future(work), asyncio.ensure_future(_disconnected(receive))
    try:
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
        return working.result() if working.done() else None
    finally:
        for task in (working, leaving):
            task.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _body(request: Request) -> bytes:
    """The body of a request. Raises RequestError if it is not JSON by its header, too large or too slow."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise RequestError("send the header Content-Type: application/json", status=415)
    too_large = RequestError(f"the body is larger than {MAX_BODY:,} bytes", status=413)
    length = request.headers.get("content-length", "0")
    if length.isdecimal() and int(length) > MAX_BODY:
        raise too_large
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for part in request.stream():
                body += part
                if len(body) > MAX_BODY:
                    raise too_large
    except TimeoutError as error:
        raise RequestError("the body took too long to arrive", status=408) from error
    return bytes(body)


def _parsed(body: bytes) -> Any:
    def refuse(constant: str) -> NoReturn:
        raise ValueError(f"{constant} is not JSON")

    try:
        return json.loads(body.decode("utf-8"), parse_constant=refuse)
    except RecursionError as error:
        raise RequestError("the body is nested too deeply") from error
    except ValueError as error:
        raise RequestError(f"the body is not JSON: {error}") from error


class _KnownHosts:
    """Refuses requests whose Host header does not name this machine."""

    def __init__(self, app: ASGIApp, hosts: Sequence[str]) -> None:
        self._app = app
        self._hosts = {host.lower() for host in hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and _host_name(scope) not in self._hosts:
            message = f"the Host header must be one of {', '.join(sorted(self._hosts))}"
            await _error(RequestError(message, status=403, code="unknown_host"))(scope, receive, send)
            return
        await self._app(scope, receive, send)


def _host_name(scope: Scope) -> str:
    """The Host header without its port, in lower case; empty if there is not exactly one."""
    values: list[str] = [value.decode("latin-1").strip().lower() for name, value in scope["headers"] if name == b"host"]
    if len(values) != 1:
        return ""
    name, colon, port = values[0].rpartition(":")
    return name if colon and port.isdecimal() else values[0]


def _json(content: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A response of JSON. In ASCII, because a text may hold half of a surrogate pair."""
    body = json.dumps(content, allow_nan=False, separators=(",", ":"))
    return Response(body, status, headers, media_type="application/json")


def _event(content: Any) -> bytes:
    return b"data: " + json.dumps(content, allow_nan=False, separators=(",", ":")).encode() + b"\n\n"


def _error(error: RequestError) -> Response:
    headers = {"Retry-After": RETRY_AFTER} if error.status in (429, 503) else None
    return _json(error.content, error.status, headers)


async def _request_error(_request: Request, error: RequestError) -> Response:
    return _error(error)


async def _http_error(request: Request, error: HTTPException) -> Response:
    """Starlette's own errors, 404 and 405, in OpenAI's terms."""
    known = "POST /v1/completions, GET /v1/models, GET /openapi.json and GET /"
    message = f"{error.detail}: {request.method} {request.url.path[:80]}; there are {known}"
    response = _error(RequestError(message, status=error.status_code, code="unknown_url"))
    response.headers.update(error.headers or {})
    return response
