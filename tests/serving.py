"""How tests run a server in this process, and speak to it without a client library."""

import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Any

from openai import OpenAI

from lstmgen.language_model import LanguageModel
from lstmgen.serving.app import build_app
from lstmgen.serving.batch import Worker
from lstmgen.serving.completions import Served
from lstmgen.serving.config import ServingConfig
from lstmgen.serving.server import HttpServer, known_hosts, listen

NAME = "fable"
HEAD = b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


@dataclass(frozen=True)
class Running:
    """A server that runs."""

    port: int
    worker: Worker
    reported: list[str]

    @property
    def open(self) -> int:
        """The number of open jobs."""
        return len(self.worker.open)

    @property
    def slots(self) -> int:
        """The number of slots of the jobs that are not complete."""
        return sum(job.max_slots for job in self.worker.open)

    def request(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, Mapping[str, str], bytes]:
        """Send one request; returns status, headers and body."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body, dict(headers or {}))
            response = connection.getresponse()
            return response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()
        finally:
            connection.close()

    def complete(self, **fields: Any) -> dict[str, Any]:
        """Send a completion; returns the JSON of the response."""
        headers = {"Content-Type": "application/json"}
        return json.loads(self.request("POST", "/v1/completions", json.dumps(fields).encode(), headers)[2])  # type: ignore[no-any-return]  # its type is known, but not to mypy

    def begin(self, **fields: Any) -> socket.socket:
        """Send a completion and read nothing."""
        body = json.dumps(fields).encode()
        return self.send(HEAD + f"Content-Length: {len(body)}\r\n\r\n".encode() + body)

    def send(self, data: bytes) -> socket.socket:
        """Send bytes over a new connection with a small buffer for what comes back."""
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(60)
        client.connect(("127.0.0.1", self.port))
        client.sendall(data)
        return client

    def wait_until(self, condition: Callable[[], bool]) -> None:
        """Wait for something that the server does by itself; each request gives it time."""
        for _ in range(5000):
            if condition():
                return
            assert self.request("GET", "/v1/models")[0] == 200
        raise AssertionError("it did not happen")


@contextmanager
def running(model: LanguageModel, limits: ServingConfig | None = None) -> Iterator[Running]:
    """Run a server for the length of the context."""
    reported: list[str] = []
    with listen("127.0.0.1", 0) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        address, port = listening.getsockname()[:2]
        served = Served(model, NAME, limits or ServingConfig(), 0)
        app, worker = build_app(served, known_hosts("127.0.0.1", address), reported.append)
        stop = threading.Event()
        http = HttpServer(app, listening, stop=stop.is_set, cut=worker.stop, report=reported.append)
        thread = threading.Thread(target=http.run)
        thread.start()
        try:
            yield Running(port, worker, reported)
        finally:
            stop.set()
            thread.join(60)
            assert not thread.is_alive()


@contextmanager
def client_of(server: Running) -> Iterator[OpenAI]:
    """OpenAI's own client."""
    with OpenAI(base_url=f"http://127.0.0.1:{server.port}/v1", api_key="none", max_retries=0) as client:
        yield client
