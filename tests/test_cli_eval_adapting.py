"""`lstmgen eval`: a copy that goes on learning, the run it is saved as, and what a model copies."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lstmgen.checkpoint import BEST, load_checkpoint
from lstmgen.evaluation.config import DynamicConfig
from lstmgen.evaluation.dynamic import AdaptingModel
from lstmgen.evaluation.novelty import compare_copying
from lstmgen.evaluation.own_text import read_own_text
from lstmgen.evaluation.score import add_up
from lstmgen.language_model import LanguageModel, load
from lstmgen.record import HELD_OUT
from lstmgen.text.corpus import SplitText
from lstmgen.text.vocabulary import Ids
from tests.command_line import done, evaluated, files_below, problem, run_of_text, usage_error

OTHER = "The grapes saw the fox. " * 9


@pytest.fixture(autouse=True)
def folder(trained_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a copy of the folder with the trained run; another text lies there."""
    shutil.copytree(trained_folder, tmp_path / "own")
    monkeypatch.chdir(tmp_path / "own")
    Path("other.txt").write_text(OTHER, encoding="utf-8")
    return tmp_path / "own"


def own_text(name: str) -> SplitText:
    model = load(name)
    return read_own_text(model.record, model.vocabulary, remedy="")


def adapting(name: str) -> AdaptingModel:
    checkpoint = load_checkpoint(Path("checkpoints", name, BEST))
    return AdaptingModel(checkpoint, own_text(name).training, DynamicConfig())


# Going on learning


def test_a_copy_that_goes_on_learning_is_scored_beside_the_model_and_nothing_is_saved(folder: Path) -> None:
    before = files_below(folder)
    found, static = evaluated("fable", "other.txt", "--dynamic"), evaluated("fable", "other.txt")
    score = add_up(adapting("fable").predict(load("fable").vocabulary.encode(OTHER)))
    assert found["dynamic"]["nats_per_character"] == pytest.approx(score.nats_per_character, rel=1e-6)
    assert found["dynamic"]["characters"] == found["characters"] == score.characters
    assert found["dynamic"]["nats_per_character"] < found["nats_per_character"]  # the text repeats itself
    assert {name: value for name, value in found.items() if name != "dynamic"} == static
    shown = done("eval", "fable", "other.txt", "--dynamic", "--novelty", "-n", 50).text
    assert f"{score.nats_per_character:.4f}" in shown and "going on learning" in shown
    assert files_below(folder) == before


# What is saved


def test_what_the_copy_has_become_is_saved_as_a_run(folder: Path) -> None:
    before = files_below(folder)
    ran = done("eval", "fable", "--dynamic", "--save-adapted", "adapted")
    assert "lstmgen sample adapted" in ran.err
    expected = adapting("fable")
    add_up(expected.predict(own_text("fable").validation))
    saved = load_checkpoint(Path("checkpoints", "adapted", BEST))
    for name, weight in expected.adapted(HELD_OUT).weights.items():
        np.testing.assert_allclose(saved.weights[name], weight, rtol=1e-5, atol=1e-7)
    assert saved.record.adapted_to == (HELD_OUT,)
    new = str(Path("checkpoints", "adapted", BEST))
    assert files_below(folder) == before | {new: Path(new).read_bytes()}

    assert len(done("sample", "adapted", "-n", 30, "--seed", 1).text) == 30
    (about,) = done("info", "adapted", "--json").json_lines
    assert about["record"]["adapted_to"] == [HELD_OUT]
    assert evaluated("adapted", "other.txt")["characters"] == len(OTHER) - 1
    assert done("eval", "adapted", "other.txt", "--json").json_lines[0]["baselines"]


def test_a_model_that_has_read_the_held_out_text_is_not_evaluated_on_it() -> None:
    done("eval", "fable", "--dynamic", "--save-adapted", "adapted")
    for choices in ([], ["--dynamic"], ["--novelty"], ["--json"], ["--no-baselines"]):
        line = problem("eval", "adapted", *choices)
        assert "name another run, or a TEXT" in line
    done("eval", "adapted", "other.txt", "--dynamic", "--save-adapted", "twice")
    assert load_checkpoint(Path("checkpoints", "twice", BEST)).record.adapted_to == (HELD_OUT, "other.txt")
    assert "adapted" in problem("eval", "twice")


def test_a_model_that_has_read_another_text_is_evaluated_on_its_own() -> None:
    done("eval", "fable", "other.txt", "--dynamic", "--save-adapted", "adapted", "--quiet")
    assert load_checkpoint(Path("checkpoints", "adapted", BEST)).record.adapted_to == ("other.txt",)
    assert evaluated("adapted")["characters"] == evaluated("fable")["characters"]
    adapted, before = (evaluated(name, "other.txt")["nats_per_character"] for name in ("adapted", "fable"))
    assert adapted < before


def test_saving_needs_one_copy_that_learns_and_a_problem_leaves_no_run() -> None:
    for words in (["fable"], ["fable", "other.txt"], ["fable", "fable", "--dynamic"]):
        assert "--save-adapted" in usage_error("eval", *words, "--save-adapted", "adapted")
    Path("empty.txt").touch()
    for words in (["gone"], ["fable", "gone.txt"], ["fable", "empty.txt"]):
        problem("eval", *words, "--dynamic", "--save-adapted", "adapted")
    assert not Path("checkpoints", "adapted").exists()


# What is copied


def random_text(letters: str, count: int, seed: int = 0) -> str:
    return "".join(np.random.default_rng(seed).choice(list(letters), count))


def writing(monkeypatch: pytest.MonkeyPatch, write: Callable[[SplitText, int], Ids]) -> None:
    """Let every model write what is made of its own text."""

    def written(model: LanguageModel, tokens: int, temperature: float, seed: int) -> Ids:  # noqa: ARG001  # as `write`
        return write(read_own_text(model.record, model.vocabulary, remedy=""), tokens).astype(np.int64)

    monkeypatch.setattr(LanguageModel, "write", written)


def test_what_a_model_writes_is_compared_with_its_training_text() -> None:
    model, own = load("fable"), own_text("fable")
    expected = compare_copying(own.training, model.write(150, 0.5, 3), own.validation, model.vocabulary, lines=False)
    choices = ("eval", "fable", "--novelty", "-n", 150, "--temp", 0.5, "--seed", 3)
    found = done(*choices, "--json").json_lines[0]["novelty"]
    assert found["how"] == "temperature 0.5, seed 3"
    assert found["longest_run"] == {"text": expected.longest_run, "line": expected.line}
    assert expected.real is not None
    for name, copying in (("written", expected.written), ("held_out", expected.real)):
        assert found[name] == {
            "characters": copying.tokens,
            "longest_run": copying.longest,
            "found_in_training": {str(n): share for n, share in copying.fractions.items()},
            "lines_found_in_training": copying.lines,
        }
    shown = done(*choices).text
    assert "150 characters" in shown
    assert f"line {expected.line:,} of the training text" in shown
    assert "text of its own" in shown  # the fable comes again and again, held out too


def test_a_text_learned_by_heart_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    run_of_text("noise", random_text("abcdef \n", 5000))
    writing(monkeypatch, lambda own, tokens: own.training[700 : 700 + tokens])
    shown = done("eval", "noise", "--novelty", "-n", 400).text
    assert "100%" in shown and "lstmgen sample --max-copy" in shown
    found = evaluated("noise", "--novelty", "-n", 400)["novelty"]
    assert found["written"]["longest_run"] == 400
    assert set(found["written"]["found_in_training"].values()) == {1.0}
    text = Path("noise.txt").read_text(encoding="utf-8")
    assert found["longest_run"] == {"text": text[700:1100], "line": 1 + text[:700].count("\n")}

    writing(monkeypatch, lambda _, tokens: np.random.default_rng(5).integers(0, 8, tokens))
    assert "it writes text of its own" in done("eval", "noise", "--novelty", "-n", 400).text


def test_a_list_learned_by_heart_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    names = sorted({random_text("abcdefgh", 6, seed) for seed in range(300)})
    run_of_text("names", "".join(f"{name}\n" for name in names), lines=True)
    writing(monkeypatch, lambda own, tokens: own.training[:tokens])
    shown = done("eval", "names", "--novelty", "-n", 350).text
    assert "100% of the lines" in shown
    assert evaluated("names", "--novelty", "-n", 350)["novelty"]["written"]["lines_found_in_training"] == 1

    writing(monkeypatch, lambda own, tokens: own.validation[:tokens])
    assert "100% of the lines" not in done("eval", "names", "--novelty", "-n", 70).text


def test_numbers_that_cannot_be_are_refused() -> None:
    for choices in (["-n", "0"], ["-n", "-1"], ["--seed", "-1"]):
        assert choices[0] in usage_error("eval", "fable", "--novelty", *choices)
    for temperature in ("-1", "nan", "inf"):
        assert "--temp" in problem("eval", "fable", "--novelty", "--temp", temperature)


def test_where_nothing_was_held_out_what_was_written_stands_alone() -> None:
    done("train", "fable.txt", "--run", "all", "--steps", 1, "--validation", 0, "--hidden-size", 4, "--quiet")
    found = evaluated("all", "other.txt", "--novelty", "-n", 50)["novelty"]
    assert found["held_out"] is None
    assert found["written"]["characters"] == 50
    assert "held out" not in done("eval", "all", "other.txt", "--novelty", "-n", 50).text
