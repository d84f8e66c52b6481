"""Evaluation from Python: `model.evaluate()` is what `lstmgen eval` says, and it leaves everything as it was."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import lstmgen
from lstmgen.checkpoint import load_checkpoint
from lstmgen.errors import ConfigError, TextError, UnknownCharacterError
from lstmgen.evaluation.config import NoveltyConfig
from lstmgen.evaluation.evaluate import evaluate_model, evaluation_json
from lstmgen.evaluation.score import Predictions, add_up
from lstmgen.language_model import LanguageModel
from lstmgen.record import HELD_OUT
from tests.command_line import evaluated
from tests.conftest import FABLE


@pytest.fixture(autouse=True)
def other_text(own_folder: Path) -> None:
    (own_folder / "other.txt").write_text(FABLE * 30, encoding="utf-16")


@pytest.mark.parametrize(
    ("choices", "options"),
    [
        ({}, ()),
        ({"baselines": False}, ("--no-baselines",)),
        ({"window": 7, "dynamic": True}, ("--window", 7, "--dynamic")),
        (
            {"novelty": True, "length": 90, "temperature": 0.5, "seed": 3},
            ("--novelty", "-n", 90, "--temp", 0.5, "--seed", 3),
        ),
    ],
)
def test_it_is_what_the_command_says_of_the_held_out_text(choices: dict[str, Any], options: tuple[object, ...]) -> None:
    assert evaluation_json(lstmgen.load("fable").evaluate(**choices)) == evaluated("fable", *options)


def test_it_is_what_the_command_says_of_another_file() -> None:
    found = lstmgen.load("fable").evaluate(Path("other.txt"), encoding="utf-16")
    assert evaluation_json(found) == evaluated("fable", "other.txt", "--encoding", "utf-16")


def test_a_string_is_the_text_itself() -> None:
    model = lstmgen.load("fable")
    found = model.evaluate(FABLE)
    assert found.score == found.exact.score == model.score(FABLE)
    assert [each.name for each in found.baselines][-1] == f"uniform, {len(model.vocabulary)} characters"
    assert model.evaluate("A Qfox", on_unknown="skip").score == model.score("A fox")
    assert model.evaluate(Path("fable.txt"), baselines=False).text == "fable.txt"
    for text in ("", "A"):
        with pytest.raises(TextError):
            model.evaluate(text)
    with pytest.raises(UnknownCharacterError, match="'Q'"):
        model.evaluate("A Qfox")


def test_what_is_not_asked_for_is_not_measured() -> None:
    found = lstmgen.load("fable").evaluate(FABLE, baselines=False)
    assert len(repr(found)) < 500  # fits a screen
    assert (found.window, found.dynamic, found.adapted, found.novelty, found.writing) == (None,) * 5
    assert (found.others, list(found.baselines), found.notes) == ({}, [], ())


def test_a_copy_goes_on_learning_and_the_model_and_torch_stay_as_they_were() -> None:
    import torch

    model, text = lstmgen.load("fable"), "The grapes saw the fox. " * 9
    before, threads = model.score(FABLE), torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        found = model.evaluate(text, dynamic=True)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    assert model.score(FABLE) == before
    assert found.dynamic is not None
    assert found.dynamic.score.nats < found.score.nats  # the text repeats itself
    assert found.adapted is not None
    assert found.adapted.record.adapted_to == ("the given text",)
    assert LanguageModel(found.adapted).score(text).nats < found.score.nats
    own = model.evaluate(dynamic=True).adapted
    assert own is not None
    assert own.record.adapted_to == (HELD_OUT,)
    with pytest.raises(TextError):
        LanguageModel(own).evaluate()
    (note,) = LanguageModel(found.adapted).evaluate(text).notes
    assert "learned from the given text" in note


def test_a_model_without_a_file_is_evaluated() -> None:
    path = Path("checkpoints", "fable", "best.safetensors")
    found, named = LanguageModel(load_checkpoint(path)).evaluate(), lstmgen.load("fable").evaluate()
    assert (found.checkpoint, found.name) == (None, "the model")
    assert (named.checkpoint, named.name) == (path, "fable")
    assert found.score == named.score


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"window": 0}, "`window`"),
        ({"novelty": True, "length": 0}, "`length`"),
        ({"novelty": True, "temperature": -1}, "`temperature`"),
        ({"novelty": True, "seed": -1}, "`seed`"),
    ],
)
def test_a_choice_that_cannot_work_is_a_problem(choices: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        lstmgen.load("fable").evaluate(**choices)


def test_each_measurement_can_be_watched() -> None:
    watched: dict[str, tuple[int, int]] = {}

    def watch(protocol: str, tokens: int, predictions: Iterator[Predictions]) -> Iterator[Predictions]:
        parts = list(predictions)
        watched[protocol] = tokens, add_up(parts).characters
        return iter(parts)

    model = lstmgen.load("fable")
    found = evaluate_model(model, window=9, novelty=NoveltyConfig(length=20), watch=watch)
    count = found.score.characters
    assert watched == {result.protocol: (count + 1, count) for result in (found.exact, *found.others.values())}
    assert len(watched) == 2
