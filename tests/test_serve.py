"""`/v1/completions` and its neighbours over loopback, with OpenAI's own client."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from numpy.testing import assert_allclose
from openai import APIStatusError, OpenAI

from lstmgen.config import VocabularyKind
from lstmgen.language_model import LanguageModel, load
from lstmgen.network.rounding import Rounding
from lstmgen.pages.write import writing_page
from lstmgen.serving.config import ServingConfig
from lstmgen.text.vocabulary import Vocabulary
from tests.command_line import untrained_checkpoint
from tests.conftest import FABLE
from tests.serving import NAME, Running, client_of, running


@pytest.fixture(scope="module")
def model(trained_folder: Path) -> LanguageModel:
    return load(trained_folder / "checkpoints" / "fable")


@pytest.fixture(scope="module")
def server(model: LanguageModel) -> Iterator[Running]:
    with running(model) as started:
        yield started
        assert started.reported == []


@pytest.fixture(scope="module")
def client(server: Running) -> Iterator[OpenAI]:
    with client_of(server) as opened:
        yield opened


def create(client: OpenAI, prompt: Any = "The fox", **choices: Any) -> Any:
    return client.completions.create(**{"model": NAME, "prompt": prompt, **choices})


def refused(client: OpenAI, **choices: Any) -> dict[str, Any]:
    """What the server says about a request that it refuses as wrong."""
    with pytest.raises(APIStatusError) as raised:
        create(client, **{"prompt": "The fox", **choices})
    assert raised.value.status_code == 400
    body = raised.value.body
    assert isinstance(body, dict) and set(body) == {"message", "type", "param", "code"}
    assert body["type"] == "invalid_request_error" and "\n" not in body["message"]
    return body


def test_the_model_is_found_under_its_name_alone(client: OpenAI) -> None:
    (listed,) = client.models.list().data
    assert (listed.id, listed.owned_by) == (NAME, "lstmgen")
    assert client.models.retrieve(NAME) == listed
    for ask in (lambda: create(client, model="gpt-5"), lambda: client.models.retrieve("gpt-5")):
        with pytest.raises(APIStatusError) as raised:
            ask()
        assert (raised.value.status_code, raised.value.code) == (404, "model_not_found")


def test_a_completion_is_the_text_that_sample_writes_with_this_seed(client: OpenAI, model: LanguageModel) -> None:
    made = create(client, max_tokens=80, seed=7, temperature=0.7)
    assert "The fox" + made.choices[0].text == model.sample("The fox", length=80, seed=7, temperature=0.7)
    assert (made.object, made.model, made.choices[0].finish_reason) == ("text_completion", NAME, "length")
    usage = made.usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (7, 80, 87)


def test_without_choices_it_writes_16_characters_at_temperature_1(client: OpenAI, model: LanguageModel) -> None:
    written = create(client, seed=3).choices[0].text
    assert "The fox" + written == model.sample("The fox", length=16, temperature=1.0, seed=3)
    neutral: dict[str, Any] = {"presence_penalty": 0, "frequency_penalty": 0, "logit_bias": {}, "user": "me"}
    assert create(client, seed=3, **neutral).choices[0].text == written
    null = dict.fromkeys(("temperature", "max_tokens", "n", "stop", "stream_options", "echo"))
    assert create(client, seed=3, extra_body=null).choices[0].text == written


def test_the_seed_is_random_and_temperature_0_ignores_it(client: OpenAI) -> None:
    assert len({create(client, max_tokens=60).choices[0].text for _ in range(3)}) > 1
    assert len({create(client, max_tokens=40, temperature=0, seed=seed).choices[0].text for seed in range(3)}) == 1


def test_each_prompt_of_a_list_is_continued_as_if_it_were_alone(client: OpenAI) -> None:
    prompts = ["The", "A fox saw", ""]
    made = create(client, prompts, max_tokens=25, n=2, seed=4, echo=True)
    single = [create(client, prompt, max_tokens=25, n=2, seed=4, echo=True) for prompt in prompts]
    assert [choice.text for choice in made.choices] == [choice.text for one in single for choice in one.choices]
    assert [choice.index for choice in made.choices] == list(range(6)) and made.usage.completion_tokens == 150
    assert made.usage.prompt_tokens == sum(map(len, prompts))


def test_a_stream_brings_the_same_text_piece_by_piece(client: OpenAI, server: Running) -> None:
    choices: dict[str, Any] = {"max_tokens": 1000, "seed": 2, "n": 2}
    whole = create(client, **choices)
    *chunks, last = create(client, **choices, stream=True, stream_options={"include_usage": True})
    parts = [choice for chunk in chunks for choice in chunk.choices]
    texts = ["".join(part.text for part in parts if part.index == index) for index in (0, 1)]
    assert texts == [choice.text for choice in whole.choices]
    assert [part.index for part in parts if part.finish_reason == "length"] == [0, 1] and len(chunks) > 4
    assert last.usage == whole.usage and last.choices == []
    body, json_type = b'{"prompt": "The", "stream": true, "max_tokens": 20}', {"Content-Type": "application/json"}
    status, headers, data = server.request("POST", "/v1/completions", body, json_type)
    assert status == 200 and headers["content-type"].startswith("text/event-stream")
    assert data.startswith(b"data: {") and data.endswith(b"\n\ndata: [DONE]\n\n")


@pytest.mark.parametrize("stream", [False, True])
def test_a_text_ends_before_a_stop_text(client: OpenAI, stream: bool) -> None:
    choices: dict[str, Any] = {"max_tokens": 500, "temperature": 0.5, "seed": 1}
    whole = create(client, **choices).choices[0].text
    stops = ["grapes", "le", "日", "never there"]
    positions = [whole.find(stop) for stop in stops if stop in whole]
    assert positions
    made = create(client, **choices, stop=stops, stream=stream)
    answers = [chunk.choices[0] for chunk in made] if stream else [made.choices[0]]
    assert "".join(answer.text for answer in answers) == whole[: min(positions)]
    assert answers[-1].finish_reason == "stop"


def test_echo_and_logprobs_score_the_whole_text(client: OpenAI, model: LanguageModel) -> None:
    made = create(client, max_tokens=30, seed=1, temperature=0.6, top_p=0.8, echo=True, logprobs=3).choices[0]
    table = made.logprobs
    assert "".join(table.tokens) == made.text and made.text.startswith("The fox")
    assert table.text_offset == list(range(37))
    assert table.token_logprobs[0] is None and table.top_logprobs[0] is None
    assert_allclose(-sum(table.token_logprobs[1:]), model.score(made.text).nats, rtol=1e-4)
    for token, value, top in zip(table.tokens[1:], table.token_logprobs[1:], table.top_logprobs[1:], strict=True):
        assert len(top) == 3 and all(top[other] >= value - 1e-5 for other in top if token not in top)
    prompt = create(client, FABLE, max_tokens=0, echo=True, logprobs=0).choices[0]  # nothing is written
    assert (prompt.text, prompt.finish_reason, prompt.logprobs.top_logprobs) == (FABLE, "length", None)
    assert_allclose(-sum(prompt.logprobs.token_logprobs[1:]), model.score(FABLE).nats, rtol=1e-4)


def test_streamed_logprobs_are_those_of_the_whole(client: OpenAI) -> None:
    choices: dict[str, Any] = {"max_tokens": 200, "seed": 1, "logprobs": 2, "echo": True, "stop": ["zzz"]}
    whole = create(client, **choices).choices[0].logprobs
    parts = [chunk.choices[0].logprobs for chunk in create(client, **choices, stream=True)]
    for field in ("tokens", "text_offset"):
        assert [value for part in parts for value in getattr(part, field)] == getattr(whole, field)
    nats = [value for part in parts for value in part.token_logprobs]
    assert nats[0] is whole.token_logprobs[0] is None
    assert_allclose(nats[1:], whole.token_logprobs[1:], rtol=1e-3)


def test_the_best_of_several_is_the_one_that_the_model_finds_likeliest(client: OpenAI) -> None:
    choices: dict[str, Any] = {"max_tokens": 20, "seed": 8, "logprobs": 0}
    every, best = create(client, **choices, n=6), create(client, **choices, n=2, best_of=6)
    likeliest = sorted(every.choices, key=lambda choice: -sum(choice.logprobs.token_logprobs))
    assert [choice.text for choice in best.choices] == [choice.text for choice in likeliest[:2]]
    assert [choice.index for choice in best.choices] == [0, 1] and best.usage == every.usage


def test_echo_adds_no_tokens_to_the_usage_and_leaves_the_best_the_best(client: OpenAI) -> None:
    choices: dict[str, Any] = {"max_tokens": 20, "seed": 8, "n": 2, "best_of": 4, "stop": "e"}
    plain, echoed = create(client, **choices), create(client, **choices, echo=True)
    assert [choice.text for choice in echoed.choices] == ["The fox" + choice.text for choice in plain.choices]
    assert echoed.usage == plain.usage


def test_other_filters_are_there_as_extra_fields(client: OpenAI, model: LanguageModel) -> None:
    extra = {"top_k": 3, "min_p": 0.1, "on_unknown": "skip"}
    made = create(client, "The 日fox", max_tokens=50, seed=1, temperature=1.5, extra_body=extra)
    written = model.sample("The fox", length=50, seed=1, temperature=1.5, top_k=3, min_p=0.1)
    assert "The fox" + made.choices[0].text == written


def test_bytes_come_as_characters() -> None:
    model = LanguageModel(untrained_checkpoint(Vocabulary(VocabularyKind.BYTES)))
    with running(model) as server, client_of(server) as client:
        choices: dict[str, Any] = {"max_tokens": 400, "seed": 1}
        whole = create(client, "é", **choices, logprobs=2, echo=True).choices[0]
        assert whole.text == model.sample("é", length=400, temperature=1.0, seed=1)
        assert whole.logprobs.tokens[:2] == ["0xC3", "0xA9"] and whole.logprobs.text_offset[:3] == [0, 0, 1]
        assert "".join(chunk.choices[0].text for chunk in create(client, "é", **choices, stream=True)) == whole.text[1:]


def test_a_model_of_lines_writes_one_line_without_its_end() -> None:
    model = LanguageModel(untrained_checkpoint(Vocabulary(VocabularyKind.CHARACTERS, "\nab"), lines=True))
    assert model.end_token == 0
    with running(model) as server, client_of(server) as client:
        made = create(client, "ab", max_tokens=200, seed=1, echo=True, logprobs=1).choices[0]
        assert made.finish_reason == "stop" and "\n" not in made.text
        assert made.text + "\n" == model.sample("ab", length=200, temperature=1.0, seed=1)
        assert made.logprobs.token_logprobs[0] is not None  # the beginning of a line predicts the first character
        streamed = create(client, "ab", max_tokens=200, seed=1, stream=True)
        assert "ab" + "".join(chunk.choices[0].text for chunk in streamed) == made.text
        assert "line" in refused(client, prompt="a\nb")["message"]


WRONG: dict[str, list[Any]] = {
    "temperature": [3, "hot"],
    "top_p": [-0.1],
    "max_tokens": [5000, -1, 1.5, True],
    "n": [65],
    "logprobs": [6],
    "stop": [[""], ["a"] * 5, "a" * 201],
    "prompt": [[], [1, 2], ["a"] * 65, "a" * 20_000, "日"],
    "suffix": ["end"],
    "logit_bias": [{"5": 1}],
    "presence_penalty": [0.5],
    "frequency_penalty": [False],
    "on_unknown": ["guess"],
    "stream": ["yes"],
    "stream_options": [{"include_usage": True}, {"other": True}],
    "temprature": [1, None],
}
TOGETHER: list[tuple[str, dict[str, Any]]] = [
    ("n", {"n": 40, "prompt": ["a", "a"]}),
    ("best_of", {"best_of": 1, "n": 2}),
    ("best_of", {"best_of": 2, "stream": True}),
    ("max_tokens", {"prompt": ["a" * 16_000], "n": 64, "echo": True}),
    ("max_tokens", {"prompt": "a" * 16_000, "n": 64, "echo": True, "max_tokens": 0, "logprobs": 5}),
    ("max_tokens", {"n": 33, "max_tokens": 4096, "logprobs": 0, "stream": True}),
    ("max_tokens", {"best_of": 64, "max_tokens": 4096, "logprobs": 5}),
]


@pytest.mark.parametrize(
    ("param", "fields"), [*((param, {param: value}) for param, values in WRONG.items() for value in values), *TOGETHER]
)
def test_what_cannot_be_answered_names_the_field(client: OpenAI, param: str, fields: dict[str, Any]) -> None:
    said = refused(client, extra_body=fields)
    assert said["param"] == param and param in said["message"]


def test_the_page_is_the_one_that_export_writes(server: Running, model: LanguageModel) -> None:
    status, headers, body = server.request("GET", "/")
    assert status == 200 and headers["content-type"].startswith("text/html")
    assert body.decode() == writing_page(model.checkpoint, NAME, Rounding.FLOAT16)


def test_the_description_has_the_limits(model: LanguageModel) -> None:
    with running(model, ServingConfig(rows=5, max_length=70, max_prompt=9)) as server:
        described = json.loads(server.request("GET", "/openapi.json")[2])
        fields = described["components"]["schemas"]["CompletionRequest"]["properties"]
        limits = [fields["n"]["maximum"], fields["best_of"]["anyOf"][0]["maximum"], fields["max_tokens"]["maximum"]]
        assert limits == [5, 5, 70] and fields["prompt"]["anyOf"][1]["maxItems"] == 5
        assert "error" in server.complete(prompt="a" * 10) and "choices" in server.complete(prompt="A fox saw")
        assert "error" in server.complete(n=6) and "error" in server.complete(max_tokens=71)
