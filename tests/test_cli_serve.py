"""`lstmgen serve` as a process: what it says, how it ends, and what it does not need."""

import json
import signal
import socket
import sys
import urllib.request
from pathlib import Path

import pytest

from lstmgen.serving import server
from lstmgen.serving.server import url
from tests.command_line import done, problem, start, usage_error

pytestmark = pytest.mark.usefixtures("in_trained_folder")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot send a signal to one process alone")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_it_answers_until_it_is_interrupted(number: signal.Signals, code: int) -> None:
    process = start("serve", Path("checkpoints/fable").absolute(), "--port", "0", "--json")
    assert process.stdout is not None and process.stderr is not None
    ready = json.loads(process.stdout.readline())
    assert ready["model"] == "fable" and ready["url"].startswith("http://127.0.0.1:")
    body, headers = b'{"prompt": "The fox", "max_tokens": 9}', {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{ready['url']}/v1/completions", body, headers)
    with urllib.request.urlopen(request) as response:
        assert len(json.load(response)["choices"][0]["text"]) == 9
    process.send_signal(number)
    out, err = process.communicate()
    assert (process.returncode, out) == (code, b"")
    assert ready["url"] in err.decode() and err.count(b"\n") == 2


def test_an_address_that_others_can_reach_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server.HttpServer, "run", lambda *_: None)  # it would wait for Ctrl-C
    here, everywhere = (done("serve", "fable", "--port", 0, "--host", host).err for host in ("127.0.0.1", "0.0.0.0"))
    assert (here.count("\n"), everywhere.count("\n")) == (1, 2)


def test_a_taken_port_a_foreign_address_and_a_missing_package_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"--port {port} of 127.0.0.1: " in problem("serve", "fable", "--port", port)
    for host, shown in ("no.such.host.invalid", "--host"), ("192.0.2.1", "--host '192.0.2.1'"), ("\u202e", ""):
        assert shown in problem("serve", "fable", "--host", host, "--port", 0)
    assert "--rows 0" in problem("serve", "fable", "--rows", 0)
    assert "65535" in usage_error("serve", "fable", "--port", 70000)
    assert "nothing-here" in problem("serve", "nothing-here")
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert "pip install 'lstmgen[serve]'" in problem("serve", "fable")


def test_the_reason_why_a_port_cannot_be_had_is_the_system_s_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows has numbers for errors of sockets that Python has no words for."""

    def refuse(address: object, **_: object) -> None:
        raise OSError(10048, f"Only one usage is permitted (while attempting to bind on address {address!r})")

    monkeypatch.setattr(socket, "create_server", refuse)
    said = problem("serve", "fable", "--port", 8000)
    assert "--port 8000 of 127.0.0.1: Only one usage is permitted; " in said


def test_the_url_is_one_that_can_be_opened() -> None:
    assert url("localhost", "127.0.0.1", 8000) == "http://localhost:8000"
    assert url("::1", "::1", 8000) == "http://[::1]:8000"
    assert url("0.0.0.0", "0.0.0.0", 8000) == "http://127.0.0.1:8000"
    assert url("::", "::", 8000) == "http://[::1]:8000"
