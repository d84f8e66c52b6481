"""The ASGI application: routes, complete and streamed answers, and errors in OpenAI's form."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, asynccontextmanager
from functools import partial
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from lstmgen.network.rounding import Rounding
from lstmgen.pages.write import writing_page
from lstmgen.serving.batch import Part, Worker
from lstmgen.serving.completions import Answer, Served, describe
from lstmgen.serving.messages import RequestError, event, server_error, to_json

_OPEN_ANSWERS = 8  # of the maximum size; more are possible if they are smaller


def build_app(served: Served, hosts: Sequence[str] | None, report: Callable[[str], None]) -> tuple[ASGIApp, Worker]:
    """The application, and the worker that runs as long as it does.

    `hosts` are the allowed values of the Host header, so that no other web site can reach a server that only listens on
    this machine (DNS rebinding); None: any. `report` is called with one line about each failure in the server.
    """
    worker = Worker(served.model.engine, served.limits, _OPEN_ANSWERS * served.max_size, report)
    max_body = (1 << 16) + 12 * served.limits.max_prompt  # a character takes up to 12 bytes in JSON
    builder = ThreadPoolExecutor(1)  # builds large answers one by one, so that other requests need not wait

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        running = asyncio.create_task(worker.run())
        yield
        worker.stop()
        await running

    async def show_model(request: Request) -> Response:
        served.check_name(request.path_params["model"])
        return _json(served.listed)

    async def complete(request: Request) -> ASGIApp:
        body = await _body(request, max_body)
        answer = await asyncio.to_thread(
            Answer, body, served
        )  # an unknown character triggers a search for similar ones
        return partial(_send_answer, answer, worker, builder)

    async def show_error(request: Request, error: Exception) -> Response:
        headers: Mapping[str, str] | None = None
        if isinstance(error, HTTPException):  # Starlette's own 404 and 405
            known = "POST /v1/completions, GET /v1/models, GET /openapi.json and GET /"
            message = f"{error.detail}: {request.method} {request.url.path[:80]}; this server has {known}"
            headers = error.headers
            error = RequestError(message, status=error.status_code, code="unknown_url")
        elif not isinstance(error, RequestError):
            if not isinstance(error, ClientDisconnect):
                report(f"{type(error).__name__}: {error}")
            error = server_error(error)
        return _error(error, headers)

    handlers: Any = dict.fromkeys((HTTPException, RequestError, Exception), show_error)
    content = writing_page(served.model.checkpoint, served.name, Rounding.FLOAT16)  # the closest that a page can hold
    routes = [
        Route("/", HTMLResponse(content), methods=["GET"]),
        Route("/openapi.json", _json(describe(served)), methods=["GET"]),
        Route("/v1/models", _json({"object": "list", "data": [served.listed]}), methods=["GET"]),
        Route("/v1/models/{model:path}", show_model),
        Route("/v1/completions", complete, methods=["POST"]),
    ]
    app = Starlette(routes=routes, lifespan=lifespan, exception_handlers=handlers)

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and hosts is not None:
            name = re.sub(r":\d*$", "", Request(scope).headers.get("host", ""))
            if name.lower() not in map(str.lower, hosts):
                message = f"the Host header must be one of {', '.join(hosts)}"
                await _error(RequestError(message, status=403, code="unknown_host"))(scope, receive, send)
                return
        await app(scope, receive, send)

    return guarded, worker


async def _send_answer(
    answer: Answer, worker: Worker, builder: ThreadPoolExecutor, scope: Scope, receive: Receive, send: Send
) -> None:
    """Run a completion and send it, complete or as a stream; stop if the client disconnects."""

    async def build(make: Callable[[list[Part]], bytes], parts: list[Part]) -> bytes:
        return await asyncio.get_running_loop().run_in_executor(builder, make, parts) if answer.large else make(parts)

    leaving = asyncio.create_task(_disconnected(receive))
    written: list[Part] = []
    started = False
    try:
        async with aclosing(worker.write(answer.job)) as groups:
            async for parts in groups:
                if leaving.done():
                    return
                if not answer.stream:
                    written += parts
                    continue
                events = await build(answer.events, parts)
                if not started:
                    await send({"type": "http.response.start", "status": 200, "headers": _STREAM_HEADERS})
                    started = True
                await send({"type": "http.response.body", "body": events, "more_body": True})
        if answer.stream:
            await send({"type": "http.response.body", "body": answer.last_events()})
        else:
            body = await build(answer.response, written)
            await Response(body, media_type="application/json")(scope, receive, send)
    except RequestError as error:
        if not started:
            raise
        await send({"type": "http.response.body", "body": event(error.content)})
    finally:
        leaving.cancel()


_STREAM_HEADERS = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-store")]


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _body(request: Request, max_body: int) -> bytes:
    """The body of a request. Raises RequestError if its header does not say JSON, or if it is too large."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise RequestError("send the header Content-Type: application/json", status=415)
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > max_body:
            raise RequestError(f"the body is larger than {max_body:,} bytes", status=413)
    return bytes(body)


def _json(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(to_json(content), status, headers, "application/json")


def _error(error: RequestError, headers: Mapping[str, str] | None = None) -> Response:
    return _json(error.content, error.status, {"Retry-After": "1"} if error.status in (429, 503) else headers)
