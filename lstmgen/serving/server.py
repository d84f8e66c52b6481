"""The server around the application: the socket, limits of a connection, and how it ends."""

import asyncio
import errno
import logging
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

import h11
from starlette.types import ASGIApp
from uvicorn import Config, Server
from uvicorn.protocols.http.h11_impl import H11Protocol

from lstmgen.errors import ConfigError
from lstmgen.serving.completions import RequestError, to_json

MAX_CONNECTIONS = 1000
REQUEST_SECONDS = 20.0  # from the end of a response, or from the beginning, to the header of the next request
STALLED_SECONDS = 60.0
GRACE_SECONDS = 3.0
PROBE_SECONDS = 1.0  # between two signs of life to a client that has ended its side
IDLE_SECONDS = 1.0  # after which a connection without a request gives its place to another one
_REPORT_SECONDS = 60.0
_RESERVED_FILES = 64  # of the limit of open files, for everything but connections
_BACKLOG = 1024
_POLL_SECONDS = 0.1


def max_connections() -> int:
    """The number of connections that the limit of open files leaves room for."""
    try:
        import resource
    except ImportError:  # Windows
        return MAX_CONNECTIONS
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY:
        return MAX_CONNECTIONS
    return max(1, min(MAX_CONNECTIONS, files - min(_RESERVED_FILES, files // 2)))


class Connection(H11Protocol):
    """A connection that is cut if a request does not arrive, or if the client stops reading.

    uvicorn alone waits without end for the rest of a header, and for the rest of a body that it has refused.
    """

    _deadline: asyncio.TimerHandle | None = None
    _probe: asyncio.TimerHandle | None = None
    _ended = False  # whether the client has ended its side
    _refused = False  # whether what it sent was no HTTP
    idle_since = 0.0

    def connection_made(self, transport: Any) -> None:
        """Begin to wait for the first request."""
        super().connection_made(transport)
        # asyncio itself does this only for sockets whose protocol is named; without it each event waits for 40 ms.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Read; a request whose header is complete is no longer waited for."""
        if self._refused:
            return
        before = self._answering
        super().data_received(data)
        if self._answering and not before:
            self._wait()

    def on_response_complete(self) -> None:
        """Begin to wait for the next request."""
        super().on_response_complete()
        if self._ended and not self._answering:
            self.transport.close()
        self._wait()

    def eof_received(self) -> bool:  # type: ignore[override]  # asyncio takes a bool, uvicorn only None
        """Keep the connection for the answer if the client has sent its request, and ends only its own side."""
        self._ended = True
        if not self._answering or self.conn.their_state not in (h11.DONE, h11.MUST_CLOSE):
            return False
        self._probe = self.loop.call_later(PROBE_SECONDS, self._send_probe)
        return True

    def _send_probe(self) -> None:
        """Send an interim response, which clients skip; a client that has gone answers it by a reset."""
        if self._answering and self.conn.our_state is h11.SEND_RESPONSE and self.conn.their_http_version == b"1.1":
            self.transport.write(self.conn.send(h11.InformationalResponse(status_code=100, headers=[])))
            self._probe = self.loop.call_later(PROBE_SECONDS, self._send_probe)

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002  # uvicorn's message says less
        """Answer what is no HTTP in JSON; uvicorn calls this while it handles the error of its parser."""
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):  # an earlier request is being answered
            self.transport.abort()
            return
        self._refused = True
        status = getattr(sys.exception(), "error_status_hint", 400)
        reason = "the header of the request is too large" if status == 431 else "this is not a request of HTTP"
        body = to_json(RequestError(reason).content)
        headers = [("content-type", "application/json"), ("content-length", str(len(body))), ("connection", "close")]
        for sent in (h11.Response(status_code=status, headers=headers), h11.Data(data=body), h11.EndOfMessage()):
            self.transport.write(self.conn.send(sent) or b"")
        if self.transport.can_write_eof():
            self.transport.write_eof()  # closing at once could lose the answer while the client still sends
        else:
            self.transport.close()
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
        if self._probe is not None:
            self._probe.cancel()

    @property
    def idle(self) -> bool:
        """Whether no request is being answered."""
        return not self._answering

    @property
    def _answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _wait(self) -> None:
        """Wait for the client, if it is its turn: to read what was sent, or to send a request."""
        self._cancel()
        self.idle_since = time.monotonic()
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


def serve(
    app: ASGIApp,
    listening: socket.socket,
    *,
    stop: Callable[[], bool],
    cut: Callable[[], None],
    report: Callable[[str], None],
) -> None:
    """Answer requests until `stop` says so; `cut` is called in the event loop.

    Then no connection is accepted. Texts that are being written have a few seconds to become complete; then `cut` must
    end them. `report` takes one line about connections that cannot be accepted, at most one a minute.
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
        timeout_graceful_shutdown=max(1, int(GRACE_SECONDS + 1)),
    )
    asyncio.run(_serve(_Server(config, listening, report), stop, cut))


class _Server(Server):
    """A server that leaves signals to its caller, and accepts no more connections than there is room for."""

    def __init__(self, config: Config, listening: socket.socket, report: Callable[[str], None]) -> None:
        super().__init__(config)
        self._listening = listening
        self._report = report
        self._reported = -_REPORT_SECONDS
        self.servers = []

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle no signal."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:  # noqa: ARG002  # it has its own
        """Start the application, and accept connections."""
        await self.lifespan.startup()
        self._accepting = asyncio.create_task(self._accept(max_connections()))
        self.started = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:  # noqa: ARG002  # it has its own
        """End."""
        self._accepting.cancel()
        await asyncio.gather(self._accepting, return_exceptions=True)
        self._listening.close()
        await super().shutdown()

    async def _accept(self, room: int) -> None:
        """Accept connections while there is room; the others wait in the backlog of the socket.

        asyncio's own server accepts until the process has no file left, and then reports each failure.
        """
        loop = asyncio.get_running_loop()
        self._listening.setblocking(False)
        while True:
            if len(self.server_state.connections) >= room and not self._close_idle():
                self._say(f"{room:,} connections are open, as many as there is room for; more have to wait")
                await asyncio.sleep(_POLL_SECONDS)
                continue
            try:
                client, _ = await loop.sock_accept(self._listening)
            except OSError as error:
                self._say(f"a connection cannot be accepted: {error.strerror}")
                await asyncio.sleep(_POLL_SECONDS)
                continue
            try:
                await loop.connect_accepted_socket(self._connection, client)
            except OSError:  # the client has gone
                client.close()

    def _connection(self) -> Connection:
        return Connection(self.config, self.server_state, self.lifespan.state)

    def _close_idle(self) -> bool:
        """Close the connection that has been without a request for longest, if there is one; returns whether."""
        idle = [each for each in self.server_state.connections if isinstance(each, Connection) and each.idle]
        oldest = min(idle, key=lambda each: each.idle_since, default=None)
        if oldest is None or time.monotonic() - oldest.idle_since < IDLE_SECONDS:
            return False
        self.server_state.connections.discard(oldest)
        oldest.transport.abort()
        return True

    def _say(self, line: str) -> None:
        if time.monotonic() - self._reported >= _REPORT_SECONDS:
            self._reported = time.monotonic()
            self._report(line)


async def _serve(server: Server, stop: Callable[[], bool], cut: Callable[[], None]) -> None:
    async def watch() -> None:
        while not stop():
            await asyncio.sleep(_POLL_SECONDS)
        server.should_exit = True
        await asyncio.sleep(GRACE_SECONDS)
        cut()

    watching = asyncio.create_task(watch())
    try:
        await server.serve()
    finally:
        watching.cancel()
        for connection in list(server.server_state.connections):  # whose clients do not read the end
            connection.transport.abort()
        await asyncio.sleep(0)  # lets the event loop close them


def known_hosts(host: str, address: str) -> list[str] | None:
    """The names that requests may use for a server that only this machine reaches; None: any, for other servers."""
    return ["localhost", "127.0.0.1", "[::1]", bracketed(host)] if is_loopback(address) else None


def is_loopback(address: str) -> bool:
    """Whether only programs on this machine reach an address."""
    return _ip(address).is_loopback


def is_unspecified(address: str) -> bool:
    """Whether an address stands for all addresses of this machine: 0.0.0.0 or ::."""
    return _ip(address).is_unspecified


def url(host: str, address: str, port: int) -> str:
    """The beginning of the URLs of a server: with the host as the user named it, or one at which it can be opened."""
    if is_unspecified(address):
        host = "127.0.0.1" if _ip(address).version == 4 else "::1"
    return f"http://{bracketed(host)}:{port}"


def _ip(address: str) -> IPv4Address | IPv6Address:
    return ip_address(address.partition("%")[0])


def bracketed(host: str) -> str:
    """A host as it stands in a URL: an IPv6 address has brackets."""
    return f"[{host}]" if ":" in host else host
