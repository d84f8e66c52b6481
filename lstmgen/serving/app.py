"""The ASGI application: routes, limits, errors, and streams of server-sent events."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any, TypeVar

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from lstmgen.export.rounding import Rounding
from lstmgen.pages.write import writing_page
from lstmgen.serving.batch import BusyError, Piece, SharedBatch, StoppedError, Worker
from lstmgen.serving.completions import RequestError, Served, Writing, describe, event, parse, to_json

BODY_SECONDS = 20.0
RETRY_AFTER = "1"  # seconds
_OPEN_ANSWERS = 8  # as large as one may be; more and smaller ones may be open together
_SMALL = 4096  # values of an answer that the event loop can build by the way
_SLICE = 1 << 16  # bytes of a response that are sent at once

Result = TypeVar("Result")


def build_app(served: Served, hosts: Sequence[str] | None, report: Callable[[str], None]) -> tuple[ASGIApp, Worker]:
    """The application, and the worker that runs as long as it does.

    Args:
        served: the model and the limits.
        hosts: the names that the Host header may have, so that no web page of another site can reach a server that
            listens only on this machine (DNS rebinding); None: any.
        report: takes one line about an error of the server.
    """
    limits = served.limits
    batch = SharedBatch(served.model.engine, limits.rows)
    worker = Worker(batch, max_jobs=limits.queue, max_size=_OPEN_ANSWERS * served.max_size, report=report)
    content = writing_page(served.model.checkpoint, served.name, Rounding.FLOAT16)  # the nearest a page can hold
    description = to_json(describe(served))
    max_body = _SLICE + 12 * limits.max_prompt  # a character has up to 12 bytes in JSON
    building = asyncio.Semaphore(1)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        running = asyncio.create_task(worker.run())
        yield
        worker.stop()
        await running

    async def show_page(_request: Request) -> Response:
        return _Page(content)

    async def show_description(_request: Request) -> Response:
        return _Json(description)

    async def list_models(_request: Request) -> Response:
        return _Json(to_json({"object": "list", "data": [served.listed]}))

    async def show_model(request: Request) -> Response:
        served.check_name(request.path_params["model"])
        return _Json(to_json(served.listed))

    async def complete(request: Request) -> Response:
        asked = parse(await _body(request, max_body), served)
        if len(served.names) * sum(map(len, asked.prompt)) > _SMALL * 10:  # similar characters are searched in an error
            return _Answer(await asyncio.to_thread(Writing, asked, served), worker, building)
        return _Answer(Writing(asked, served), worker, building)

    routes = [
        Route("/", show_page),
        Route("/openapi.json", show_description),
        Route("/v1/models", list_models),
        Route("/v1/models/{model:path}", show_model),
        Route("/v1/completions", complete, methods=["POST"]),
    ]
    handlers: Any = {HTTPException: _http_error, RequestError: _request_error}
    app = Starlette(routes=routes, lifespan=lifespan, exception_handlers=handlers)
    return (app if hosts is None else _KnownHosts(app, hosts)), worker


class _Sliced(Response):
    """A response that is sent slice by slice, so that a slow client is seen to read."""

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        for start in range(0, len(self.body), _SLICE):
            await send({"type": "http.response.body", "body": self.body[start : start + _SLICE], "more_body": True})
        await send({"type": "http.response.body", "body": b""})


class _Page(_Sliced, HTMLResponse):
    pass


class _Json(_Sliced):
    media_type = "application/json"


class _Answer(Response):
    """Runs a completion and sends it, at once or as a stream. It ends when the client has gone."""

    def __init__(self, writing: Writing, worker: Worker, building: asyncio.Semaphore) -> None:
        self.background = None
        self._writing = writing
        self._worker = worker
        self._building = building

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await _while_connected(receive, self._answer(scope, receive, send))

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        started, stream, writing = False, self._writing.asked.stream, self._writing
        written: list[Piece] = []
        try:
            async with aclosing(self._worker.write(writing.job)) as groups:
                async for pieces in groups:
                    if not stream:
                        written += pieces
                        continue
                    events = await self._built(writing.events, pieces)
                    if not started:
                        await send({"type": "http.response.start", "status": 200, "headers": _STREAM_HEADERS})
                        started = True
                    if events:
                        await send({"type": "http.response.body", "body": events, "more_body": True})
                response = writing.last_events() if stream else await self._built(writing.response, written)
        except BusyError:
            message = "too many requests are open; try again later"
            error = RequestError(message, status=429, kind="rate_limit_error", code="rate_limit_exceeded")
        except StoppedError:
            error = RequestError("the server stops", status=503, kind="server_error", code="server_stops")
        except Exception as problem:  # the worker has reported it
            error = RequestError(f"an error of the server: {type(problem).__name__}", status=500, kind="server_error")
        else:
            if not stream:
                await _Json(response)(scope, receive, send)
                return
            await send({"type": "http.response.body", "body": response})
            return
        if started:
            await send({"type": "http.response.body", "body": event(error.content)})
        else:
            await _error(error)(scope, receive, send)

    async def _built(self, build: Callable[[list[Piece]], bytes], pieces: list[Piece]) -> bytes:
        """Build a part of the answer: a large one in a thread, one after another, so that nobody waits for it."""
        if self._writing.job.size <= _SMALL:
            return build(pieces)
        async with self._building:
            return await asyncio.to_thread(build, pieces)


_STREAM_HEADERS = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-store")]


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


async def _body(request: Request, max_body: int) -> bytes:
    """The body of a request. Raises RequestError if it is not JSON by its header, too large or too slow."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise RequestError("send the header Content-Type: application/json", status=415)
    too_large = RequestError(f"the body is larger than {max_body:,} bytes", status=413)
    length = request.headers.get("content-length", "0")
    if length.isdecimal() and int(length) > max_body:
        raise too_large
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for part in request.stream():
                body += part
                if len(body) > max_body:
                    raise too_large
    except TimeoutError as error:
        raise RequestError("the body took too long to arrive", status=408) from error
    return bytes(body)


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


def _error(error: RequestError) -> Response:
    headers = {"Retry-After": RETRY_AFTER} if error.status in (429, 503) else None
    return _Json(to_json(error.content), error.status, headers)


async def _request_error(_request: Request, error: RequestError) -> Response:
    return _error(error)


async def _http_error(request: Request, error: HTTPException) -> Response:
    """Starlette's own errors, 404 and 405, in OpenAI's terms."""
    known = "POST /v1/completions, GET /v1/models, GET /openapi.json and GET /"
    message = f"{error.detail}: {request.method} {request.url.path[:80]}; there are {known}"
    response = _error(RequestError(message, status=error.status_code, code="unknown_url"))
    response.headers.update(error.headers or {})
    return response
