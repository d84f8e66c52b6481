"""Checkpoints: whole, safe, and never lost."""

import hashlib
import io
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lstmgen.checkpoint import (
    BEST,
    LAST,
    Checkpoint,
    TrainingRecord,
    find_checkpoint,
    list_runs,
    load_checkpoint,
    save_checkpoint,
)
from lstmgen.config import (
    Budget,
    BudgetUnit,
    CellKind,
    ModelConfig,
    Peephole,
    Precision,
    Reset,
    TextConfig,
    TrainingConfig,
    VocabularyKind,
    to_mapping,
)
from lstmgen.errors import CheckpointError
from lstmgen.network.architecture import build_network
from lstmgen.network.initialization import initialize
from lstmgen.text.vocabulary import Vocabulary
from tests.command_line import untrained_checkpoint


def some_checkpoint(**model: Any) -> Checkpoint:
    config = ModelConfig(**{"hidden_size": 6, "embedding_size": 3, **model})
    vocabulary = Vocabulary(VocabularyKind.CHARACTERS, "\n abcé\u2028\U0001f600")
    training = TrainingConfig(budget=Budget(2.5, BudgetUnit.EPOCHS), every=7, preview="a")
    record = TrainingRecord(
        text=TextConfig(sources=("a.txt", "b/"), lines=True, validation=0.2),
        text_sha256="0" * 64,
        text_symbols=123,
        training=training,
        precision=Precision.FLOAT32,
        device="cpu",
        threads=1,
        step=5,
        validation_nats=1.25,
        versions={"torch": "1"},
    )
    weights = initialize(build_network(config, len(vocabulary)), np.random.default_rng(0))
    return Checkpoint(config, vocabulary, weights, record, {"state/0": np.arange(6, dtype=np.uint8)})


@pytest.mark.parametrize(
    "model",
    [
        {},
        {"cell": CellKind.PEEPHOLE, "peepholes": (Peephole.OUTPUT,), "num_layers": 3},
        {"cell": CellKind.GRU, "reset": Reset.BEFORE, "attention": 4},
    ],
)
def test_what_is_saved_is_loaded(model: dict[str, Any], tmp_path: Path) -> None:
    saved = some_checkpoint(**model)
    save_checkpoint(saved, tmp_path / "a")
    loaded = load_checkpoint(tmp_path / "a")
    assert (loaded.model, loaded.vocabulary, loaded.record) == (saved.model, saved.vocabulary, saved.record)
    for ours, theirs in ((loaded.weights, saved.weights), (loaded.extra, saved.extra)):
        assert ours.keys() == theirs.keys()
        assert all((ours[name] == theirs[name]).all() and ours[name].dtype == theirs[name].dtype for name in ours)


def test_the_same_checkpoint_is_the_same_bytes(tmp_path: Path) -> None:
    for name in "ab":
        save_checkpoint(some_checkpoint(), tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize("failing", ["fsync", "replace", "write"])
def test_a_save_that_fails_leaves_the_old_file_and_nothing_else(
    failing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / BEST
    save_checkpoint(some_checkpoint(), path)
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    class FullFile(io.BytesIO):
        write = full  # type: ignore[assignment]

    if failing == "write":
        monkeypatch.setattr(Path, "open", lambda *_, **__: FullFile())
    elif failing == "fsync":
        monkeypatch.setattr(os, "fsync", full)
    else:
        monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(CheckpointError, match="No space left"):
        save_checkpoint(replace(some_checkpoint(), extra={}), path)
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == [BEST]


def test_a_run_is_found_by_name_folder_and_file_and_the_newest_by_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match="lstmgen train"):
        find_checkpoint(None)
    for age, run in enumerate(("old", "new")):
        folder = Path("checkpoints", run)
        folder.mkdir(parents=True)
        for file in (BEST, LAST):
            save_checkpoint(some_checkpoint(), folder / file)
            os.utime(folder / file, (age, age))
    assert [run.name for run in list_runs()] == ["old", "new"]
    assert find_checkpoint(None) == Path("checkpoints", "new", BEST)
    assert find_checkpoint("old", LAST) == Path("checkpoints", "old", LAST)
    assert find_checkpoint("checkpoints/old") == Path("checkpoints", "old", BEST)
    assert find_checkpoint("checkpoints/old/" + LAST) == Path("checkpoints", "old", LAST)
    with pytest.raises(CheckpointError, match=r"lost: no such run.*new, old"):
        find_checkpoint("lost")


def test_the_fingerprint_of_a_network_that_older_versions_know_stays_the_same() -> None:
    checkpoint = untrained_checkpoint(Vocabulary(VocabularyKind.CHARACTERS, "ab"))
    assert "tied" in to_mapping(checkpoint.model)
    older = {name: value for name, value in to_mapping(checkpoint.model).items() if name != "tied"}
    described = json.dumps([older, checkpoint.vocabulary.to_mapping()], sort_keys=True)
    digest = hashlib.sha256(described.encode())
    for name, array in sorted(checkpoint.weights.items()):
        digest.update(name.encode() + array.tobytes())
    assert checkpoint.fingerprint() == digest.hexdigest()
