"""The starter model `english`: it is found, it writes, it is recommended where it helps, and it can be fine-tuned."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load, save

from lstmgen.checkpoint import BEST, STARTERS, find_checkpoint, load_checkpoint, save_checkpoint, to_bytes
from lstmgen.config import VocabularyKind
from lstmgen.errors import CheckpointError
from lstmgen.evaluation.starter import STARTER, WORDS, load_starter, starter_nats, starter_words
from lstmgen.text.vocabulary import Vocabulary
from lstmgen.training import prepare
from lstmgen.training.fine_tuning import load_base_model
from tests.command_line import done, problem, run, untrained_checkpoint, untrained_run

LETTERS = "\n abcdefghijklmnopqrstuvwxyz"
ENGLISH = "It was late, and the old man sat by the window and looked at the rain. “Will they come?” he asked.\n\n" * 9
GERMAN = "Es war spät, und der alte Mann saß am Fenster und sah in den Regen. »Werden sie kommen?« fragte er.\n" * 9
CODE = (
    "def read(path: Path) -> list[int]:\n    return [int(line) for line in path.read_text().split()]  # one a line\n"
    * 9
)


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, text in {"tale.txt": ENGLISH, "code.txt": CODE, "deutsch.txt": GERMAN}.items():
        Path(name).write_text(text, encoding="utf-8")


def test_it_is_small_and_knows_what_people_type() -> None:
    files = list((STARTERS / STARTER).iterdir())
    assert {file.name for file in files} == {BEST, WORDS}
    assert sum(file.stat().st_size for file in files) <= 4_000_000
    assert set("\t\n “”—…éüñ0123456789[]{}<>@#%") <= set(load_starter().vocabulary.characters)


def test_it_writes_and_reads_without_any_run() -> None:
    written = done("sample", STARTER, "-n", "200", "--seed", "1", "-q").text
    assert len(written) == 200 and len(written.split()) > 9
    assert written == done("sample", STARTER, "-n", "200", "--seed", "1", "-q").text
    assert done("score", STARTER, "tale.txt", "--json").json_lines[0]["nats_per_character"] < 2
    assert done("eval", STARTER, "tale.txt", "--no-baselines", "--json").json_lines[0]["characters"] == len(ENGLISH) - 1
    assert "english" in done("info", STARTER).text
    assert STARTER in problem("sample")  # there is no run: it says what can be sampled
    assert "TEXT" in problem("eval", STARTER)
    problem("train", "--resume", STARTER)


def test_a_run_of_its_name_comes_first() -> None:
    path = untrained_run(STARTER, LETTERS)
    assert find_checkpoint(STARTER) == path
    assert starter_words(str(load_base_model(find_checkpoint(STARTER)))) == frozenset()
    for command in ("sample", "eval", "score", "info", "inspect --units"):
        name, *options = command.split()
        ran = run(name, STARTER, *([] if name in ("sample", "info") else ["tale.txt"]), *options)
        assert "lstmgen runs rename english" in ran.err, command
    assert "runs rename" not in done("info", str(path.parent.absolute())).err
    path.unlink()
    path.parent.rmdir()
    assert find_checkpoint(STARTER) == STARTERS / STARTER / BEST
    assert "whale" in starter_words(str(load_base_model(find_checkpoint(STARTER))))


@pytest.mark.parametrize(
    ("arguments", "advised"),
    [
        (["tale.txt"], True),
        (["tale.txt", "--from", STARTER], False),
        (["tale.txt", "--hidden-size", "32"], False),
        (["tale.txt", "--lines"], False),
        (["tale.txt", "--vocabulary", "bytes"], False),
        (["code.txt"], False),
        (["deutsch.txt"], False),
    ],
)
def test_it_is_recommended_for_small_english_texts(arguments: list[str], advised: bool) -> None:
    ran = done("train", *arguments, "--steps", "1", "--threads", "1", "--dry-run")
    assert ("lstmgen train tale.txt --from english" in " ".join(ran.err.split())) == advised


def test_how_well_it_predicts_tells_english_from_other_texts() -> None:
    english, german, code = map(starter_nats, (ENGLISH, GERMAN, CODE))
    assert english is not None and german is not None and code is not None
    assert english < 2 and min(german, code) > 2.6
    assert starter_nats("Когда-то тут жил дед. " * 20) is None


def test_it_can_be_fine_tuned() -> None:
    ran = done("train", "tale.txt", "--from", STARTER, "--run", "tale", "--steps", "1", "--batch-size", "2", "--json")
    assert ran.json_lines[0]["started_from"].startswith("english (")
    assert load_checkpoint(find_checkpoint("tale")).model == load_starter().model


def test_weights_in_8_bits_are_restored_to_half_a_step(tmp_path: Path) -> None:
    checkpoint = untrained_checkpoint(Vocabulary(VocabularyKind.CHARACTERS, LETTERS))
    path = tmp_path / "small.safetensors"
    path.write_bytes(to_bytes(checkpoint, in_8_bits=True))
    restored = load_checkpoint(path)
    assert restored.record == checkpoint.record
    for name, weight in checkpoint.weights.items():
        step = np.abs(weight).max(axis=-1, keepdims=True) / 127 if weight.ndim == 2 else 0
        assert (np.abs(restored.weights[name] - weight) <= 0.501 * step).all()
    save_checkpoint(restored, path)
    assert load_checkpoint(path).fingerprint() == restored.fingerprint()


def test_scales_that_do_not_fit_are_damage(tmp_path: Path) -> None:
    checkpoint = untrained_checkpoint(Vocabulary(VocabularyKind.CHARACTERS, LETTERS))
    good = to_bytes(replace(checkpoint, extra={}), in_8_bits=True)
    path, tensors = tmp_path / "small.safetensors", load(good)
    about = good[8 : 8 + int.from_bytes(good[:8], "little")]
    metadata = json.loads(about)["__metadata__"]
    for name, scale in {"scales/embedding": np.ones(3, np.float32), "scales/head.bias": np.ones(1, np.float32)}.items():
        path.write_bytes(save(tensors | {name: scale}, metadata))
        with pytest.raises(CheckpointError):
            load_checkpoint(path)
    del tensors["scales/embedding"]
    path.write_bytes(save(tensors, metadata))
    with pytest.raises(CheckpointError):
        load_checkpoint(path)


def test_the_machine_is_measured_before_the_starter_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    order = []  # the starter's products keep the cores busy for a moment, and training would begin on one thread

    def noted(name: str) -> Callable[..., object]:
        function = getattr(prepare, name)

        def call(*arguments: object) -> object:
            order.append(name)
            return function(*arguments)

        return call

    for name in ("starter_advice", "choose_execution"):
        monkeypatch.setattr(prepare, name, noted(name))
    done("train", "tale.txt", "--steps", "1", "--threads", "1", "--dry-run")
    assert order == ["choose_execution", "starter_advice"]
