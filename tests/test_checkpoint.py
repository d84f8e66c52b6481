"""Checkpoints: whole, safe, and never lost."""

import hashlib
import json
import os
import pickle
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save as to_safetensors
from safetensors.numpy import save_file

from lstmgen.checkpoint import (
    BEST,
    LAST,
    AnyArray,
    Checkpoint,
    FloatArray,
    find_checkpoint,
    has_checksums,
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
)
from lstmgen.errors import CheckpointError
from lstmgen.network.architecture import build_network
from lstmgen.network.initialization import initialize
from lstmgen.record import Position, TrainingRecord
from lstmgen.text.vocabulary import Vocabulary
from tests.command_line import untrained_checkpoint, untrained_run
from tests.safety.damage import File


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="the system does not tell which files are in use")
def test_a_file_that_was_read_is_not_in_use_any_more(tmp_path: Path) -> None:
    """Windows would not let training replace it."""
    path, damaged = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    save_checkpoint(some_checkpoint(), path)
    damaged.write_bytes(path.read_bytes()[:-1] + b"?")
    loaded = load_checkpoint(path)
    assert has_checksums(path)
    with pytest.raises(CheckpointError):
        load_checkpoint(damaged)
    assert loaded.weights
    open_files = [str(file.readlink()) for file in Path("/proc/self/fd").iterdir() if file.is_symlink()]
    assert str(tmp_path) not in Path("/proc/self/maps").read_text(encoding="utf-8") + "".join(open_files)


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
        position=Position(epoch=1, chunk=3, step=5, symbols_read=640, progress=0.4, best_nats=1.25, best_step=5),
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


@pytest.mark.usefixtures("nowhere")
def test_a_run_is_found_by_name_folder_and_file_and_the_newest_by_nothing() -> None:
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
    with pytest.raises(CheckpointError):
        find_checkpoint("lost")


OLDER_RECORD = {
    "text": asdict(TextConfig(sources=("a.txt",))),
    "text_sha256": "0" * 64,
    "text_symbols": 123,
    "training": asdict(TrainingConfig()),
    "precision": "float32",
    "device": "cpu",
    "threads": 2,
    "epoch": 3,
    "chunk": 4,
    "step": 50,
    "symbols_read": 6000,
    "seconds": 7.5,
    "progress": 0.25,
    "validation_nats": 1.5,
    "best_nats": 1.4,
    "best_step": 40,
    "best_progress": 0.2,
    "validation_chunks": 8,
    "versions": {"torch": "2"},
    "adapted_to": [],
}
"""What the first version of this format wrote: one flat object."""


def test_a_checkpoint_of_an_older_version_is_read_and_written_with_the_same_description(tmp_path: Path) -> None:
    checkpoint = some_checkpoint()
    about = {
        "format": 1,
        "model": asdict(checkpoint.model),
        "vocabulary": checkpoint.vocabulary.to_mapping(),
        "record": OLDER_RECORD,
    }
    save_file(checkpoint.weights, tmp_path / "older", {"lstmgen": json.dumps(about, sort_keys=True)})
    loaded = load_checkpoint(tmp_path / "older")
    assert not has_checksums(tmp_path / "older")
    assert loaded.record.position == Position(3, 4, 50, 6000, 0.25, 1.4, 40, 0.2)
    assert (loaded.record.text.sources, loaded.record.seconds, loaded.record.validation_chunks) == (("a.txt",), 7.5, 8)
    save_checkpoint(loaded, tmp_path / "again")
    with safe_open(tmp_path / "again", framework="numpy") as file:
        again = json.loads(file.metadata()["lstmgen"])
    assert again.pop("checksums").keys() == {"description", *checkpoint.weights}
    assert again == json.loads(json.dumps(about))


@pytest.mark.parametrize("name", ["embedding", "head.bias", "resume/state/0"])
def test_damage_is_named_and_the_good_file_is_offered(name: str, tmp_path: Path) -> None:
    for file in (BEST, LAST):
        save_checkpoint(some_checkpoint(), tmp_path / file)
    content = bytearray((tmp_path / LAST).read_bytes())
    size = int.from_bytes(content[:8], "little")
    begin, _ = json.loads(content[8 : 8 + size])[name]["data_offsets"]
    content[8 + size + begin] ^= 1  # the lowest bit of the lowest byte of a number
    (tmp_path / LAST).write_bytes(content)
    with pytest.raises(CheckpointError, match=rf"tensor {name} .*{BEST}, from step 5, is good"):
        load_checkpoint(tmp_path / LAST)
    (tmp_path / BEST).unlink()
    with pytest.raises(CheckpointError):
        load_checkpoint(tmp_path / LAST)


def test_a_damaged_description_is_named(tmp_path: Path) -> None:
    save_checkpoint(some_checkpoint(), tmp_path / "a")
    content = (tmp_path / "a").read_bytes()
    for was, now in ((b"sources", b"soerces"), (b'threads\\": 1', b'threads\\": 3')):
        assert was in content
        (tmp_path / "a").write_bytes(content.replace(was, now))
        with pytest.raises(CheckpointError):
            load_checkpoint(tmp_path / "a")


def test_the_fingerprint_of_a_network_that_older_versions_know_stays_the_same() -> None:
    checkpoint = untrained_checkpoint(Vocabulary(VocabularyKind.CHARACTERS, "ab"))
    assert "tied" in asdict(checkpoint.model)
    older = {name: value for name, value in asdict(checkpoint.model).items() if name != "tied"}
    described = json.dumps([older, checkpoint.vocabulary.to_mapping()], sort_keys=True)
    digest = hashlib.sha256(described.encode())
    for name, array in sorted(checkpoint.weights.items()):
        digest.update(name.encode() + array.tobytes())
    assert checkpoint.fingerprint() == digest.hexdigest()


# Files that are damaged, or were never whole. tests/safety/test_fuzzed_checkpoints.py damages them at random.


class _Bomb:
    """Makes a file if a pickle of it is ever loaded."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("exploded"),)


@pytest.fixture
def victim(nowhere: Path) -> Path:
    """A good checkpoint of a run, `victim`, in the working directory."""
    return nowhere / untrained_run("victim", "ab\n", attention=2)


def assert_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="victim"):
        load_checkpoint(path)


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"\0" * 100, b"PK\x03\x04", b"\xff" * 8),
        pickle.dumps(_Bomb()),
        to_safetensors({"weight": np.zeros(3, np.float32)}, {"format": "pt"}),
    ],
)
def test_a_file_that_is_no_checkpoint_is_refused_and_not_run(victim: Path, content: bytes) -> None:
    assert_refused(victim, content)
    assert not Path("exploded").exists()


BIAS = "layers.0.bias"


@pytest.mark.parametrize(
    "change",
    [
        lambda _: {},
        lambda bias: {BIAS: bias[None]},
        lambda bias: {BIAS: bias, "layers.0.other": bias},
        *(lambda bias, kind=kind: {BIAS: bias.astype(kind)} for kind in (np.int32, np.float16, np.float64, np.uint8)),
        *(lambda bias, value=value: {BIAS: bias * 0 + value} for value in (np.nan, np.inf, -np.inf, 3e38)),
    ],
)
def test_weights_of_no_training_are_refused(victim: Path, change: Callable[[FloatArray], dict[str, AnyArray]]) -> None:
    file = File(victim.read_bytes())
    file.tensors |= change(file.tensors.pop(BIAS))
    assert_refused(victim, file.with_checksums())


@pytest.mark.parametrize(
    ("part", "name", "value"),
    [
        *(("model", size, 10**12) for size in ("hidden_size", "embedding_size", "num_layers", "attention")),
        *(("model", "hidden_size", value) for value in (8.0, "8", -1, None)),
        *(("model", "num_layers", value) for value in (1.0, 2)),
        *(("model", "cell", value) for value in ("transformer", None)),
        ("model", "peepholes", 5),
        ("model", "peepholes", [[]]),
        ("model", "no_such_setting", 1),
        ("vocabulary", "kind", "words"),
        ("vocabulary", "kind", []),
        *(("vocabulary", "characters", value) for value in ("", "aab", 3)),
        *(("record", "text", value) for value in ("a text", {"sources": [5]}, {"sources": 5}, {"encoding": 5})),
        *(("record", "training", value) for value in (None, {"budget": "all"}, {"batch_size": "many"})),
        *(("record", name, 5) for name in ("text_sha256", "versions", "no_such_fact")),
        *(("record", name, "5") for name in ("text_symbols", "step", "best_nats")),
        *(
            ("record", name, value)
            for name in ("best_nats", "validation_nats")
            for value in (-1.0, float("nan"), 10**400)
        ),
        *(("record", name, -1) for name in ("step", "best_step", "seconds", "threads", "validation_chunks")),
        *(("record", "progress", value) for value in (2.0, np.nan, [1.0])),
        ("record", "symbols_read", 2**70),
    ],
)
def test_a_description_that_cannot_be_true_is_refused(victim: Path, part: str, name: str, value: Any) -> None:
    file = File(victim.read_bytes())
    file.about[part][name] = value
    assert_refused(victim, file.with_checksums())


@pytest.mark.parametrize("description", [[], "text", {}, {"format": 1}, {"format": 99}, {"unknown": 1}])
def test_a_description_of_another_form_is_refused(victim: Path, description: Any) -> None:
    file = File(victim.read_bytes())
    about = file.about | description if description in ({"format": 99}, {"unknown": 1}) else description
    file.header["__metadata__"] = {"lstmgen": json.dumps(about)}
    assert_refused(victim, file.with_header())


def test_a_checkpoint_that_cannot_be_written_is_an_error(victim: Path) -> None:
    with pytest.raises(CheckpointError, match="victim"):
        save_checkpoint(load_checkpoint(victim), victim / "file")
