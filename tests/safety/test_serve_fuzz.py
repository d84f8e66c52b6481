"""Requests that the description allows, and requests that it does not: the server never fails, and keeps running.

Schemathesis does the same from the description that the server gives. It is no dependency of the tests; in an
environment of its own: `st run http://127.0.0.1:8000/openapi.json --exclude-checks positive_data_acceptance`. The check
that is left out knows no bounds between two fields, such as `best_of` and `n`.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lstmgen.language_model import load
from lstmgen.serving.config import ServingConfig
from tests.serving import running

FIELDS = [
    *("model", "prompt", "max_tokens", "temperature", "top_p", "top_k", "min_p", "n", "best_of", "stop", "seed"),
    *("logprobs", "echo", "stream", "stream_options", "on_unknown", "user", "suffix", "logit_bias", "other"),
]
LIMITS = ServingConfig(rows=8, max_length=200, max_prompt=300)

texts = st.text(max_size=12) | st.sampled_from(["fable", "The fox", "grapes", "\ud800", "\n", "skip", "error"])
numbers = st.integers() | st.integers(0, 8) | st.floats(allow_nan=False) | st.floats(0, 2)
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts | st.just("include_usage"), inner, max_size=2),
    max_leaves=6,
)
likely = st.fixed_dictionaries(
    {},
    optional={
        "prompt": st.lists(st.sampled_from(["The fox", "", "A", "grapes"]), max_size=3)
        | st.text("Thefox. ", max_size=40),
        "max_tokens": st.integers(0, 200),
        "temperature": st.floats(0, 2),
        "top_p": st.floats(0, 1),
        "top_k": st.integers(1, 50),
        "min_p": st.floats(0, 1),
        "n": st.integers(1, 4),
        "best_of": st.integers(1, 4),
        "stop": st.lists(st.text("thefox", min_size=1, max_size=3), max_size=4),
        "seed": st.integers(-(2**63), 2**63 - 1),
        "logprobs": st.integers(0, 5),
        "echo": st.booleans(),
        "stream": st.booleans(),
    },
)


def test_no_request_makes_the_server_fail(trained_folder: Path, trials: Callable[[int, int], int]) -> None:
    with running(load(trained_folder / "checkpoints" / "fable"), LIMITS) as server:

        @given(st.dictionaries(st.sampled_from(FIELDS), values, max_size=6) | likely | values)
        @settings(max_examples=trials(150, 5000), deadline=None, suppress_health_check=list(HealthCheck), database=None)
        def answer(body: Any) -> None:
            sent = json.dumps(body).encode()
            status, headers, data = server.request(
                "POST", "/v1/completions", sent, {"Content-Type": "application/json"}
            )
            assert status in (200, 400, 404), data
            if headers["content-type"].startswith("text/event-stream"):
                assert data.endswith(b"data: [DONE]\n\n") and b'"error"' not in data
            else:
                assert set(json.loads(data)) & {"error", "choices"}

        answer()
        server.wait_until(lambda: server.slots == server.open == 0)
        assert server.reported == []


def test_no_method_or_address_makes_the_server_fail(trained_folder: Path) -> None:
    paths = (
        "/",
        "/openapi.json",
        "/v1/models",
        "/v1/models/%ff%00",
        "/v1/completions",
        "/%2e%2e/etc",
        "//x",
        "/v1/chat",
    )
    with running(load(trained_folder / "checkpoints" / "fable"), LIMITS) as server:
        for method in ("GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "TRACE"):
            for path in paths:
                status, _, body = server.request(method, path)
                assert status < 400 or status in (404, 405, 415)
                assert status < 400 or method == "HEAD" or set(json.loads(body)) == {"error"}
        assert server.reported == []
