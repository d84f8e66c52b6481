"""The server around the application: the socket, limits of a connection, and how it ends.

Knows: uvicorn, sockets. Does not know: what is served.
"""

import asyncio
import errno
import logging
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from starlette.types import ASGIApp
from uvicorn import Config, Server
from uvicorn.protocols.http.h11_impl import H11Protocol

from lstmgen.errors import ConfigError

MAX_CONNECTIONS = 1000
REQUEST_SECONDS = 20.0  # from the end of a response, or from the beginning, to the header of the next request
STALLED_SECONDS = 60.0
GRACE_SECONDS = 5
_BACKLOG = 128
_POLL_SECONDS = 0.1


class Connection(H11Protocol):
    """A connection that is cut if a request does not arrive, or if the client stops reading.

    uvicorn alone waits without end for the rest of a header, and for the rest of a body that it has refused.
    """

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Begin to wait for the first request."""
        super().connection_made(transport)
        # asyncio itself does this only for sockets whose protocol is named; without it each event waits for 40 ms.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if len(self.connections) > MAX_CONNECTIONS:
            transport.abort()
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Read; a request whose header is complete is no longer waited for."""
        before = self._answering
        super().data_received(data)
        if self._answering and not before:
            self._wait()

    def on_response_complete(self) -> None:
        """Begin to wait for the next request."""
        super().on_response_complete()
        self._wait()

    def pause_writing(self) -> None:
        """Begin to wait for the client to read."""
        super().pause_writing()
        self._wait()

    def resume_writing(self) -> None:
        """The client has read."""
        super().resume_writing()
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        super().connection_lost(exc)
        self._cancel()

    @property
    def _answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _wait(self) -> None:
        """Wait for the client, if it is its turn: to read what was sent, or to send a request."""
        self._cancel()
        if self.transport.is_closing():
            return
        if self.flow.write_paused:
            self._deadline = self.loop.call_later(STALLED_SECONDS, self.transport.abort)
        elif not self._answering:
            self._deadline = self.loop.call_later(REQUEST_SECONDS, self.transport.abort)

    def _cancel(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens; port 0 is any free one. Raises ConfigError if the address cannot be used."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError) as error:  # the second one for a name that no host can have
        reason = getattr(error, "strerror", None) or "not the name of a host"
        raise ConfigError("host", repr(host), f"{reason}; give an address of this machine") from error
    try:
        return socket.create_server(address[:2], family=family, backlog=_BACKLOG)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        if error.errno == errno.EADDRNOTAVAIL:
            raise ConfigError("host", repr(host), f"{reason}; give an address of this machine") from error
        raise ConfigError("port", f"{port} of {host}", f"{reason}; give another port, or 0 for a free one") from error


def serve(app: ASGIApp, listening: socket.socket, *, stop: Callable[[], bool], cut: Callable[[], None]) -> None:
    """Answer requests until `stop` says so; `cut` is called in the event loop.

    Then no connection is accepted. Texts that are being written have a few seconds to become complete; then `cut` must
    end them.
    """
    logging.getLogger("uvicorn").setLevel(logging.CRITICAL + 1)  # its lines repeat what clients send
    config = Config(
        app,
        http=Connection,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=int(REQUEST_SECONDS),
        timeout_graceful_shutdown=2 * GRACE_SECONDS,
    )
    asyncio.run(_serve(_Server(config), listening, stop, cut))


class _Server(Server):
    """A server that leaves signals to its caller."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle no signal."""
        yield


async def _serve(server: Server, listening: socket.socket, stop: Callable[[], bool], cut: Callable[[], None]) -> None:
    async def watch() -> None:
        while not stop():
            await asyncio.sleep(_POLL_SECONDS)
        server.should_exit = True
        await asyncio.sleep(GRACE_SECONDS)
        cut()

    watching = asyncio.create_task(watch())
    try:
        await server.serve([listening])
    finally:
        watching.cancel()
        for connection in list(server.server_state.connections):  # whose clients do not read the end
            connection.transport.abort()
        await asyncio.sleep(0)  # lets the event loop close them
