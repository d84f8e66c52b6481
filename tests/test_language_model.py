"""The Python API: load, sample, stream, score."""

import subprocess
import sys
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lstmgen
from lstmgen.config import SamplingConfig
from lstmgen.errors import ConfigError, UnknownCharacterError
from tests.command_line import untrained_run
from tests.conftest import FABLE


@pytest.fixture(scope="module")
def model(trained_folder: Path) -> lstmgen.LanguageModel:
    return lstmgen.load(trained_folder / "checkpoints" / "fable")


@pytest.mark.parametrize("length", [0, 1, 300])
def test_a_sample_and_a_stream_add_length_characters_to_the_prompt(model: lstmgen.LanguageModel, length: int) -> None:
    text = model.sample("A fox", length=length, seed=5)
    assert text.startswith("A fox")
    assert len(text) == len("A fox") + length
    pieces = list(model.stream("A fox", length=length, seed=5))
    assert pieces[0] == "A fox"
    assert "".join(pieces) == text
    assert all(len(piece) <= 1 for piece in pieces[1:])
    endless = model.stream("A fox", length=-1, seed=5)
    assert list(islice(endless, 1 + length)) == [piece for piece in pieces if piece]


@pytest.mark.parametrize(
    ("choices", "setting"),
    [
        ({"length": -1}, "length"),
        ({"length": -1, "samples": 2}, "length"),
        ({"length": -1, "match": "(.|\n)*"}, "length"),
        ({"length": -2}, "length"),
        ({"temperature": -0.1}, "temperature"),
        *(({"stop": empty}, "stop") for empty in ("", [""], ("fox", ""))),
        *(
            ({name: value}, name)
            for name in ("length", "top_k", "no_repeat", "max_copy", "samples", "best_of")
            for value in (2.5, "2")  # what is counted is a whole number
        ),
    ],
)
def test_a_choice_that_cannot_be_is_named(model: lstmgen.LanguageModel, choices: dict[str, Any], setting: str) -> None:
    with pytest.raises(ConfigError, match=f"`{setting}`"):
        model.sample(**choices)


@pytest.mark.parametrize("name", ["length", "top_k", "no_repeat", "samples", "best_of"])
def test_whole_numbers_of_numpy_are_whole_numbers(model: lstmgen.LanguageModel, name: str) -> None:
    choices: dict[str, Any] = {"length": 5, name: np.int64(3)}
    assert model.sample("A", **choices)


@pytest.mark.parametrize("several", [{"samples": 2}, {"best_of": 3}, {"samples": 2, "best_of": 2}])
def test_a_stream_is_one_text(model: lstmgen.LanguageModel, several: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"samples|best_of"):
        model.stream("A fox", **several)
    with pytest.raises(ConfigError, match=r"samples|best_of"):
        model.draw_one(model.read_prompt("A"), SamplingConfig(**several), seed=1)


def test_a_single_stop_text_needs_no_tuple(model: lstmgen.LanguageModel) -> None:
    wanted = model.sample("A", length=200, seed=1, stop=("fox",))
    assert model.sample("A", length=200, seed=1, stop="fox") == wanted
    assert model.sample("A", length=200, seed=1, stop=["fox"]) == wanted
    assert model.sample("A", length=60, seed=1, stop=None) == model.sample("A", length=60, seed=1)
    assert model.sample("A", length=-1, stop=" ", seed=1).startswith("A")


def test_a_stream_that_does_not_match_is_an_error(model: lstmgen.LanguageModel) -> None:
    with pytest.raises(ConfigError, match=r"`match`.*`no_repeat`"):
        list(model.stream(match="a{6}", length=20, no_repeat=1))


def test_options_of_a_text_that_is_not_written_are_an_error(model: lstmgen.LanguageModel) -> None:
    for name in ("length", "temperature", "seed"):
        useless: dict[str, Any] = {name: 3}
        with pytest.raises(ConfigError, match=f"`{name}`.*`novelty`"):
            model.evaluate(FABLE, baselines=False, **useless)


def test_an_unknown_character_is_an_error_or_skipped(model: lstmgen.LanguageModel) -> None:
    with pytest.raises(UnknownCharacterError, match="é"):
        model.sample("thé fox")
    with pytest.raises(UnknownCharacterError, match="'Q'"):
        model.score("A Q")
    skipped = model.sample("thé fox", length=20, seed=1, on_unknown="skip")
    assert skipped == model.sample("th fox", length=20, seed=1)
    assert model.score("A Qfox", on_unknown="skip") == model.score("A fox")


@pytest.mark.usefixtures("nowhere")
def test_a_model_of_lines_scores_each_line_from_its_beginning() -> None:
    names = lstmgen.load(untrained_run("names", "abc\n", lines=True))
    ab, c, both = (names.score(text) for text in ("ab\n", "c\n", "c\nab\n"))
    assert (ab.characters, c.characters, both.characters) == (3, 2, 5)
    assert both.nats == pytest.approx(ab.nats + c.nats, rel=1e-5)
    assert names.score("ab\nc") == pytest.approx(names.score("c\n\nab\n"))


@pytest.mark.usefixtures("nowhere")
def test_a_model_of_bytes_streams_whole_characters() -> None:
    octets = lstmgen.load(untrained_run("octets", None))
    assert octets.sample("日本 é", length=0) == "日本 é"
    pieces = list(octets.stream("é", length=400, seed=3))
    assert "".join(pieces) == octets.sample("é", length=400, seed=3)
    assert octets.score("é日").characters == len("é日".encode()) - 1


def test_importing_the_package_loads_no_large_library() -> None:
    script = "import sys, lstmgen; lstmgen.LstmgenError; print({'numpy', 'torch', 'typer', 'rich'} & set(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "set()"


def test_the_package_has_the_names_it_exports() -> None:
    assert {name for name in lstmgen.__all__ if hasattr(lstmgen, name)} == set(lstmgen.__all__)
    assert not hasattr(lstmgen, "no_such_name")
