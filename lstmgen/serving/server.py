"""The server around the application: its socket, the limits of a connection, and shutdown."""

import asyncio
import errno
import logging
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address, IPv6Address, ip_address
from math import inf
from typing import Any, cast

import h11
from starlette.types import ASGIApp
from uvicorn import Config, Server
from uvicorn.protocols.http.h11_impl import H11Protocol

from lstmgen.errors import ConfigError
from lstmgen.serving.messages import RequestError, to_json

MAX_CONNECTIONS = 1000
REQUEST_SECONDS = 20.0  # from connecting, or from the end of a response, to the end of the next request
STALLED_SECONDS = 60.0  # how long a client may leave sent data unread
GRACE_SECONDS = 3.0
PROBE_SECONDS = 1.0  # between two signs of life to a client that has closed its side
IDLE_SECONDS = 1.0  # after which a connection without a request may be closed to make room
_REPORT_SECONDS = 60.0
_RESERVED_FILES = 64  # of the limit on open files, for everything but connections
_POLL_SECONDS = 0.1


def max_connections() -> int:
    """The number of connections that the limit on open files allows."""
    try:
        import resource
    except ImportError:  # Windows
        return MAX_CONNECTIONS
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    room = MAX_CONNECTIONS if files == resource.RLIM_INFINITY else files - min(_RESERVED_FILES, files // 2)
    return max(1, min(MAX_CONNECTIONS, room))


class Connection(H11Protocol):
    """A connection that is cut if it is the client's turn and it does nothing for too long.

    By itself, uvicorn waits forever for the rest of a request, and for a client that does not read.
    """

    since = inf
    """Since when the client has done nothing, as seen by `check`."""
    _seen: tuple[Any, ...] = ()
    _unread = 0  # bytes that the client had not read then
    _ended = False  # whether the client has closed its side

    def data_received(self, data: bytes) -> None:
        """Read, unless earlier data was not HTTP."""
        if self.conn.their_state is not h11.ERROR:
            super().data_received(data)

    def on_response_complete(self) -> None:
        """Wait for the next request, unless the client has closed its side."""
        super().on_response_complete()
        if self._ended and not self.answering:
            self.transport.close()

    def eof_received(self) -> bool:  # type: ignore[override]  # asyncio takes a bool, uvicorn only None
        """Keep the connection for the answer if the client closes only its own side after a request."""
        self._ended = True
        return self.answering

    def resume_writing(self) -> None:
        """The client has read."""
        super().resume_writing()
        self.since = time.monotonic()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002  # uvicorn's message says less
        """Answer data that is not HTTP with JSON; uvicorn calls this while handling the parser's error."""
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):  # the answer has begun
            return
        status = getattr(sys.exception(), "error_status_hint", 400)
        reason = "the request's header is too large" if status == 431 else "this is not an HTTP request"
        body = to_json(RequestError(reason).content)
        headers = [("content-type", "application/json"), ("content-length", str(len(body))), ("connection", "close")]
        for sent in (h11.Response(status_code=status, headers=headers), h11.Data(data=body), h11.EndOfMessage()):
            self.transport.write(self.conn.send(sent) or b"")
        self.transport.write_eof()  # closing at once could lose the answer while the client still sends

    @property
    def answering(self) -> bool:
        """Whether a whole request has arrived and its answer is not complete."""
        return self.cycle is not None and not self.cycle.response_complete and not self.cycle.more_body

    def check(self) -> None:
        """Cut the connection if the client has run out of time; called several times a second."""
        now, unread = time.monotonic(), self.transport.get_write_buffer_size()
        paused, answering = self.flow.write_paused, self.answering
        seen = (self.cycle, paused, answering)
        if seen != self._seen or unread < self._unread:
            self.since, self._seen = now, seen
        self._unread = unread
        idle = now - self.since
        if idle >= STALLED_SECONDS if paused else not answering and idle >= REQUEST_SECONDS:
            self.transport.abort()
        elif self._ended and answering and not paused and idle >= PROBE_SECONDS:
            self._probe()
            self.since = now

    def _probe(self) -> None:
        """Send an interim response, which clients skip; if the client is gone, its system replies with a reset."""
        if self.conn.our_state is h11.SEND_RESPONSE and self.conn.their_http_version == b"1.1":
            self.transport.write(self.conn.send(h11.InformationalResponse(status_code=100, headers=[])))


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 means any free one. Raises ConfigError if the address cannot be used."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family, backlog=MAX_CONNECTIONS)
    except (socket.gaierror, UnicodeError) as error:  # UnicodeError: not a valid host name
        reason = getattr(error, "strerror", None) or "not a valid host name"
        raise ConfigError("host", repr(host), f"{reason}; give an address of this machine") from error
    except OSError as error:
        reason = (error.strerror or str(error)).partition(" (while")[0]  # without the address
        if error.errno == errno.EADDRNOTAVAIL:
            raise ConfigError("host", repr(host), f"{reason}; give an address of this machine") from error
        raise ConfigError("port", f"{port} of {host}", f"{reason}; give another port, or 0 for a free one") from error


class HttpServer(Server):
    """A server that leaves signals to its caller, and only accepts as many connections as it has room for."""

    def __init__(
        self,
        app: ASGIApp,
        listening: socket.socket,
        *,
        stop: Callable[[], bool],
        cut: Callable[[], None],
        report: Callable[[str], None],
    ) -> None:
        """Prepare the server, which closes the socket `listening` at the end.

        It ends when `stop` returns true. Unfinished texts have a few seconds to complete; then `cut` is called in the
        event loop. `report` is called with one line about connections that cannot be accepted, at most once a minute.
        """
        logging.getLogger("uvicorn").setLevel(logging.CRITICAL + 1)  # its messages repeat what clients send
        config = Config(
            app,
            http=Connection,
            loop="asyncio",
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=int(REQUEST_SECONDS),
            timeout_graceful_shutdown=int(GRACE_SECONDS + 1),
        )
        super().__init__(config)
        self.servers = []
        self._listening, self._stop, self._cut, self._report = listening, stop, cut, report

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle no signals."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:  # noqa: ARG002  # it has its own
        """Start the application, and accept connections."""
        await self.lifespan.startup()
        self._accepting = asyncio.create_task(self._accept(max_connections()))
        self.started = True

    async def on_tick(self, counter: int) -> bool:
        """Check the connections, and return whether to end; uvicorn calls this ten times a second."""
        for connection in [*self.server_state.connections]:
            cast(Connection, connection).check()
        return self._stop() or await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:  # noqa: ARG002  # it has its own
        """Stop accepting connections, and end."""
        self._accepting.cancel()
        await asyncio.gather(self._accepting, return_exceptions=True)
        self._listening.close()
        asyncio.get_running_loop().call_later(GRACE_SECONDS, self._cut)
        await super().shutdown()
        for connection in list(self.server_state.connections):  # of clients that do not read the end
            connection.transport.abort()
        await asyncio.sleep(0)  # lets the event loop close them

    async def _accept(self, room: int) -> None:
        """Accept connections while there is room; the others wait in the socket's backlog.

        asyncio's own server accepts until the process runs out of files, and then reports each failure.
        """
        loop, reported = asyncio.get_running_loop(), -_REPORT_SECONDS
        self._listening.setblocking(False)
        while True:
            try:
                if len(self.server_state.connections) < room or self._close_idle():
                    client, _ = await loop.sock_accept(self._listening)
                    # asyncio only does this for sockets with a named protocol; without it each event waits 40 ms.
                    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    await loop.connect_accepted_socket(self._connection, client)
                    continue
                reason = f"the maximum of {room:,} connections are open; more must wait"
            except OSError as error:
                reason = f"cannot accept a connection: {error.strerror}"
            if time.monotonic() - reported >= _REPORT_SECONDS:
                reported = time.monotonic()
                self._report(reason)
            await asyncio.sleep(_POLL_SECONDS)

    def _connection(self) -> Connection:
        return Connection(self.config, self.server_state, self.lifespan.state)

    def _close_idle(self) -> bool:
        """Close the connection that has had no request for longest; return whether there was one."""
        connections = cast(set[Connection], self.server_state.connections)
        idle = [each for each in connections if not each.answering and not each.flow.write_paused]
        oldest = min(idle, key=lambda each: each.since, default=None)
        if oldest is None or time.monotonic() - oldest.since < IDLE_SECONDS:
            return False
        connections.discard(oldest)
        oldest.transport.abort()
        return True


def ip(address: str) -> IPv4Address | IPv6Address:
    """The address of a socket, without the zone of a link-local one."""
    return ip_address(address.partition("%")[0])


def known_hosts(host: str, address: str) -> list[str] | None:
    """The host names allowed in requests if only this machine can reach the server; None: any, for other servers."""
    return ["localhost", "127.0.0.1", "[::1]", bracketed(host)] if ip(address).is_loopback else None


def url(host: str, address: str, port: int) -> str:
    """The beginning of a server's URLs: with the host that the user named, or an address that can be opened."""
    if ip(address).is_unspecified:  # 0.0.0.0 or ::
        host = "127.0.0.1" if ip(address).version == 4 else "::1"
    return f"http://{bracketed(host)}:{port}"


def bracketed(host: str) -> str:
    """A host as in a URL, where an IPv6 address has brackets."""
    return f"[{host}]" if ":" in host else host
