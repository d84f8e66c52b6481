"""What a server does with too much, too slow, vanished and hostile clients, and how it ends."""

import json
import socket
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from lstmgen.language_model import LanguageModel, load
from lstmgen.serving import server
from lstmgen.serving.config import ServingConfig
from tests.serving import HEAD, Running, running

JSON = {"Content-Type": "application/json"}
LONG = {"prompt": "The fox", "max_tokens": 1_000_000}
LOGPROBS = {"prompt": "The fox", "max_tokens": 140_000, "logprobs": 5}
LIMITS = ServingConfig(max_length=1_000_000)
FIRST = b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture(scope="module")
def model(trained_folder: Path) -> LanguageModel:
    return load(trained_folder / "checkpoints" / "fable")


@pytest.fixture(scope="module")
def started(model: LanguageModel) -> Iterator[Running]:
    with running(model, LIMITS) as running_server:
        yield running_server
        assert running_server.reported == []


@pytest.fixture(autouse=True)
def short_times(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "GRACE_SECONDS", 0.1)
    monkeypatch.setattr(server, "PROBE_SECONDS", 0.001)


def completion(started: Running, body: bytes, headers: dict[str, str] = JSON) -> tuple[int, Any]:
    """Status and JSON of an answer to a completion; an error has the form of OpenAI's."""
    status, _, data = started.request("POST", "/v1/completions", body, headers)
    answer = json.loads(data)
    assert status == 200 or set(answer["error"]) == {"message", "type", "param", "code"}
    return status, answer


def rest_of(client: socket.socket) -> bytes:
    """All that the server sends until it ends the connection."""
    data = b""
    try:
        while received := client.recv(1 << 16):
            data += received
    except ConnectionResetError:
        pass
    return data


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"{}", {}, 415),
        (b"{}", {"Content-Type": "text/plain"}, 415),
        (b"", JSON, 400),
        (b"[1]", JSON, 400),
        (b"\xff\xfe", JSON, 400),
        (b'{"temperature": NaN}', JSON, 400),
        (b'{"temperature": 1e999}', JSON, 400),
        (b'{"seed": ' + b"9" * 5000 + b"}", JSON, 400),
        (b"[" * 100_000, JSON, 400),
        (b'{"prompt": "\\ud800"}', JSON, 400),
        (b" " * (1 << 20), JSON, 413),
        (b"{" + b'"a":' * 1000, JSON, 400),
        (b'{"stop": [' + b"1," * 50_000 + b"1]}", JSON, 400),
        (b'{"prompt": [' + b"1," * 50_000 + b"1]}", JSON, 400),
        (b"{}", {**JSON, "Content-Type": "application/json; charset=utf-8"}, 200),
    ],
)
def test_a_wrong_body_is_refused(started: Running, body: bytes, headers: dict[str, str], status: int) -> None:
    assert completion(started, body, headers)[0] == status


def test_a_body_without_a_length_is_limited_too(started: Running) -> None:
    parts = b"".join(b"10000\r\n" + b" " * 0x10000 + b"\r\n" for _ in range(20))
    with started.send(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + parts) as client:
        assert client.recv(12) == b"HTTP/1.1 413"


def test_only_names_of_this_machine_reach_a_loopback_server(started: Running) -> None:
    """So no page of another site does; and such a page gets no permission to ask."""
    for host in ("localhost", "LOCALHOST:8000", "127.0.0.1:99", "[::1]:8000"):
        assert started.request("GET", "/v1/models", headers={"Host": host})[0] == 200
    for host in ("evil.example", "localhost.evil.example:8000", ""):
        assert started.request("GET", "/v1/models", headers={"Host": host})[0] == 403
    origin = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    status, headers, _ = started.request("OPTIONS", "/v1/completions", headers=origin)
    assert status == 405 and not any(name.startswith("access-control") for name in headers)


def test_a_full_server_asks_to_try_again_later(model: LanguageModel) -> None:
    limits = ServingConfig(rows=1, queue=2, max_length=1_000_000)
    with running(model, limits) as server, server.begin(**LONG), server.begin(**LONG):
        server.wait_until(lambda: server.open == 2)
        status, headers, body = server.request("POST", "/v1/completions", b"{}", JSON)
        assert (status, headers["retry-after"]) == (429, "1")
        assert json.loads(body)["error"]["code"] == "rate_limit_exceeded"


def test_the_answers_that_are_open_together_are_bounded(started: Running) -> None:
    with ExitStack() as clients:
        for _ in range(8):
            clients.enter_context(started.begin(**LONG))
        started.wait_until(lambda: started.open == 8)
        assert completion(started, json.dumps(LONG).encode())[0] == 429
        assert completion(started, b"{}")[0] == 200
    started.wait_until(lambda: started.open == 0)


@pytest.mark.parametrize("stream", [False, True])
def test_a_vanished_client_frees_its_slots(started: Running, stream: bool) -> None:
    with started.begin(prompt="The fox", max_tokens=100_000, n=8, stream=stream):
        started.wait_until(lambda: started.slots == 8)
    started.wait_until(lambda: started.open == 0)


def test_a_client_that_vanishes_while_others_have_the_slots_leaves_nothing(model: LanguageModel) -> None:
    with running(model, ServingConfig(rows=1, max_length=1_000_000)) as started, started.begin(**LONG):
        started.wait_until(lambda: started.open == 1)
        with started.begin(**LONG):
            started.wait_until(lambda: started.open == 2)
        started.wait_until(lambda: started.open == 1)


def test_a_slow_reader_gets_its_whole_text_and_holds_up_nobody(started: Running) -> None:
    wanted: dict[str, Any] = {"prompt": "The fox", "max_tokens": 1500, "logprobs": 1, "seed": 1}
    with started.begin(**wanted, stream=True) as slow:
        started.wait_until(lambda: started.open == 1)
        started.wait_until(lambda: started.slots == 0)  # it is complete before it is read
        whole = started.complete(**wanted)  # others are served meanwhile
        data = b""
        while b"[DONE]" not in data:
            received = slow.recv(1 << 16)
            assert received
            data += received
    events = [json.loads(line[6:]) for line in data.decode().splitlines() if line.startswith("data: {")]
    assert "".join(one["choices"][0]["text"] for one in events) == whole["choices"][0]["text"]


def test_a_client_that_sends_but_never_reads_is_cut_off(started: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "STALLED_SECONDS", 0.3)
    with started.begin(**LOGPROBS, stream=True) as client:
        started.wait_until(lambda: started.open == 1)
        client.sendall(b"G")
        started.wait_until(lambda: started.open == 0)


def test_a_client_that_reads_slowly_is_not_cut_off(started: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "STALLED_SECONDS", 0.2)
    with started.begin(prompt="The fox" * 2000, echo=True, max_tokens=0, n=64) as client:
        data = b""
        while b'"usage"' not in data[-200:]:
            received = client.recv(1 << 12)
            assert received
            data += received
            started.request("GET", "/v1/models")
    assert data.count(b"The fox") == 64 * 2000


UNFINISHED = {
    "nothing": b"",
    "part": b"GET / HTTP/1.1\r\nHost: loc",
    "no second one": FIRST,
    "part of a second one": FIRST + b"GET / HTTP/1.1\r\nHost: loc",
    "part of a body": HEAD + b"Content-Length: 9\r\n\r\n{",
}


@pytest.mark.parametrize("beginning", UNFINISHED.values(), ids=UNFINISHED)
def test_an_unfinished_request_is_cut_off(started: Running, monkeypatch: pytest.MonkeyPatch, beginning: bytes) -> None:
    monkeypatch.setattr(server, "REQUEST_SECONDS", 0.05)
    with started.send(beginning) as client:
        assert rest_of(client).count(b"HTTP/1.1 200") == beginning.count(FIRST)


def test_a_request_that_comes_in_pieces_is_answered(started: Running) -> None:
    with started.send(FIRST) as client:
        assert client.recv(12) == b"HTTP/1.1 200"
        client.sendall(FIRST[:20])
        client.sendall(FIRST[20:].replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        assert b"HTTP/1.1 200" in rest_of(client)


def test_a_refused_body_is_not_read_for_ever(started: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "REQUEST_SECONDS", 0.05)
    head = b"POST /nowhere HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000000000\r\n\r\n"
    with started.send(head) as client, pytest.raises(ConnectionError):
        while True:
            client.sendall(b" " * 1000)


NOT_HTTP = {
    "tls": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "short": b"GET\r\n\r\n",
    "two hosts": b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "length": b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\n",
    "header": b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 300_000,
    "chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\nnot hexadecimal\r\n",
}


@pytest.mark.parametrize("kind", NOT_HTTP)
def test_what_is_not_http_is_refused_in_json(started: Running, kind: str) -> None:
    with started.send(NOT_HTTP[kind]) as client:
        head, _, body = rest_of(client).partition(b"\r\n\r\n")
    assert head.split()[1] == (b"431" if kind == "header" else b"400")
    assert set(json.loads(body)["error"]) == {"message", "type", "param", "code"}
    assert started.request("GET", "/v1/models")[0] == 200


@pytest.mark.parametrize("header", [b"", b"Connection: close\r\n"], ids=["kept", "close"])
@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_ends_its_side_gets_its_answer(started: Running, stream: bool, header: bytes) -> None:
    body = json.dumps({"prompt": "The fox", "max_tokens": 3000, "stream": stream}).encode()
    with started.send(HEAD + header + f"Content-Length: {len(body)}\r\n\r\n".encode() + body) as client:
        client.shutdown(socket.SHUT_WR)
        interim, _, answer = rest_of(client).partition(b"HTTP/1.1 200")
    assert interim.replace(b"HTTP/1.1 100 \r\n\r\n", b"") == b""
    assert (b"[DONE]" if stream else b'"finish_reason":"length"') in answer


def test_a_request_of_which_a_part_is_missing_ends_with_its_connection(started: Running) -> None:
    with started.send(HEAD + b"Content-Length: 9\r\n\r\n{") as client:
        client.shutdown(socket.SHUT_WR)
        assert rest_of(client) == b""


def test_connections_are_bounded_the_oldest_gives_way(model: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "max_connections", lambda: 3)
    monkeypatch.setattr(server, "IDLE_SECONDS", 0.05)
    with running(model) as started, ExitStack() as clients:
        idle = [clients.enter_context(started.send(b"")) for _ in range(5)]
        assert started.request("GET", "/v1/models")[0] == 200
        assert rest_of(idle[0]) == b""
    assert len(started.reported) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="without a limit of open files")
@pytest.mark.parametrize(("files", "room"), [(32, 16), (256, 192), (100_000, server.MAX_CONNECTIONS)])
def test_connections_leave_room_for_other_files(files: int, room: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resource.getrlimit", lambda _kind: (files, files))
    assert server.max_connections() == room


def test_an_error_in_the_batch_ends_no_server(model: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_ids: Any, _state: Any) -> None:
        raise MemoryError("no room")

    with running(model) as server:
        with monkeypatch.context() as patch:
            patch.setattr(model.engine, "step", fail)
            assert completion(server, b"{}")[0] == 500
            streamed = server.request("POST", "/v1/completions", b'{"stream": true}', JSON)[2]
            assert b'"server_error"' in streamed and b"[DONE]" not in streamed
        assert len(server.reported) == 2 and "no room" in server.reported[0]
        assert server.complete(prompt="The", max_tokens=5)["choices"][0]["finish_reason"] == "length"


@pytest.mark.parametrize("stream", [False, True])
def test_at_the_end_running_texts_are_cut_off_after_the_grace(model: LanguageModel, stream: bool) -> None:
    with ThreadPoolExecutor(1) as pool:
        with running(model, LIMITS) as started:
            body = json.dumps({**LONG, "stream": stream}).encode()
            answer = pool.submit(started.request, "POST", "/v1/completions", body, JSON)
            started.wait_until(lambda: started.slots == 1)
        status, _, data = answer.result()
    assert status == (200 if stream else 503)
    assert b"server_stops" in data and b"[DONE]" not in data


def test_at_the_end_a_client_that_does_not_read_is_not_waited_for(model: LanguageModel) -> None:
    with running(model, LIMITS) as started:
        client = started.begin(**LOGPROBS, stream=True)
        started.wait_until(lambda: started.open == 1)
    client.close()


def test_at_the_end_a_short_text_is_still_completed(model: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "GRACE_SECONDS", 30)
    with running(model) as started:
        client = started.begin(prompt="The fox", max_tokens=1000)
        started.wait_until(lambda: started.open == 1)
    with client:
        assert client.recv(12) == b"HTTP/1.1 200"
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", started.port))
