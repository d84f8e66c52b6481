"""`lstmgen train --from`: a trained network learns another text, as a run of its own, with a larger vocabulary."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lstmgen.checkpoint import Checkpoint, find_checkpoint, load_checkpoint
from lstmgen.config import Budget, BudgetUnit, ModelConfig, Precision, TextConfig, TrainingConfig, VocabularyKind
from lstmgen.generation.engine import NumpyEngine
from lstmgen.language_model import load
from lstmgen.network.initialization import grow
from lstmgen.record import HELD_OUT, TrainingRecord
from lstmgen.text.corpus import read_corpus
from lstmgen.text.vocabulary import Vocabulary
from lstmgen.training.fine_tuning import BaseModel, load_base_model
from lstmgen.training.loop import Preparation
from lstmgen.training.plan import PLANNED
from lstmgen.training.prepare import prepare
from lstmgen.training.state import frequency_nats
from tests.command_line import done, files_below, problem, run_of_text, untrained_checkpoint, untrained_run, usage_error
from tests.conftest import FABLE, NETWORKS, form, random_weights, single, small_network
from tests.test_training import assert_same_tensors

OTHER = "Zwölf Füchse sahen Trauben. Die Füchse sprangen; die Trauben hingen höher.\n"
QUICK = ["--precision", "float32", "--threads", "1"]


@pytest.fixture(autouse=True)
def folder(own_folder: Path) -> Path:
    """Work in a folder with a trained run, `fable`, its text, and another text with other characters."""
    (own_folder / "other.txt").write_text(OTHER * 20, encoding="utf-8")
    return own_folder


def events_of(*arguments: object) -> list[dict[str, Any]]:
    return done("train", *arguments, "--json", *QUICK).json_lines


@pytest.mark.parametrize("config", NETWORKS.values(), ids=NETWORKS)
def test_old_tokens_keep_their_weights_and_logits_and_new_ones_have_some(config: ModelConfig) -> None:
    network = small_network(config, attention=2)
    before = single(random_weights(network))
    new_ids = np.array([0, 2, 3, 5, 6, 8, 9])
    all_known = Vocabulary(VocabularyKind.CHARACTERS, "aàcdeghiéz")
    known = replace(all_known, characters="".join(all_known.characters[number] for number in new_ids))
    grown = grow(before, known, all_known, np.random.default_rng(0))
    larger = replace(network, vocab_size=10)
    assert {name: array.shape for name, array in grown.items()} == larger.shapes()
    assert all(array.dtype == np.float32 and np.isfinite(array).all() for array in grown.values())
    for name, array in before.items():
        of_tokens = name in ("embedding", "head.weight", "head.bias")
        assert (grown[name][new_ids] if of_tokens else grown[name]).tobytes() == array.tobytes()
    new = np.setdiff1d(np.arange(10), new_ids)
    assert len(np.unique(grown["embedding"][new], axis=0)) == len(new)
    first = grown["embedding"]
    noise = np.abs(first[1] - first[0]).max()
    assert 0 < noise < np.abs(first[7] - first[6]).max()  # an à begins as an a, and an i as the mean
    engine, grown_engine = NumpyEngine(network, before), NumpyEngine(larger, grown)
    ids = np.array([[0, 3, 6, 1, 1, 5]])
    logits, _ = engine.read(ids, engine.initial_state(1))
    after, _ = grown_engine.read(new_ids[ids], grown_engine.initial_state(1))
    assert after[..., new_ids] == pytest.approx(logits, abs=1e-5)
    same = grow(before, known, known, np.random.default_rng(0))
    assert all(same[name].tobytes() == before[name].tobytes() for name in before)


def nats_of(checkpoint: Checkpoint, text: str) -> float:
    engine = NumpyEngine(checkpoint.network, checkpoint.weights)
    ids = checkpoint.vocabulary.encode(text)
    logits, _ = engine.read(ids[None, :-1], engine.initial_state(1))
    logarithms = logits[0] - np.log(np.exp(logits[0]).sum(axis=-1, keepdims=True))
    return float(-logarithms[np.arange(len(ids) - 1), ids[1:]].mean())


def test_new_tokens_begin_as_unlikely_ones_and_another_script_with_the_loss_of_its_frequencies() -> None:
    base, near = load_base_model(find_checkpoint("fable")), fine_tuning("other.txt")
    assert base.checkpoint.vocabulary.encode("The fox").tolist() != vocabulary(near).encode("The fox").tolist()
    old, new = (nats_of(checkpoint, "The fox leapt") for checkpoint in (base.checkpoint, near.checkpoint))
    assert old <= new < old + 0.3
    foreign = "Лиса увидела гроздь винограда. Лиса прыгнула; виноград висел высоко.\n" * 20
    Path("foreign.txt").write_text(foreign, encoding="utf-8")
    far = fine_tuning("foreign.txt")
    assert [any("a new network" in note for note in run.planned.notes) for run in (near, far)] == [False, True]
    frequencies = frequency_nats(far.text.training, len(vocabulary(far)))
    assert nats_of(far.checkpoint, foreign[:1000]) < frequencies + 1
    events = events_of("--from", "fable", "foreign.txt", "--steps", 60, "--every", 20)
    assert "rolled_back" not in [event["event"] for event in events]
    losses = [event["validation_nats"] for event in events if event["event"] == "evaluation"]
    assert losses == sorted(losses, reverse=True)


def test_a_large_vocabulary_is_calibrated_on_fewer_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lstmgen.training.fine_tuning._CALIBRATION_LOGITS", 5000)
    read: list[int] = []
    engine_read = NumpyEngine.read

    def counted(engine: NumpyEngine, ids: Any, state: Any) -> Any:
        read.append(ids.size * engine.network.vocab_size)
        return engine_read(engine, ids, state)

    monkeypatch.setattr(NumpyEngine, "read", counted)
    assert np.isfinite(fine_tuning("other.txt").checkpoint.weights["head.bias"]).all()
    assert len(read) == 1 and 4900 < read[0] <= 5000


def vocabulary(prepared: Preparation) -> Vocabulary:
    return prepared.checkpoint.vocabulary


def fine_tuning(source: str, base: BaseModel | None = None, **text: Any) -> Preparation:
    """A prepared run from `fable`, or from another checkpoint."""
    base = base or load_base_model(find_checkpoint("fable"))
    config = TextConfig(sources=(source,), **text)
    training = TrainingConfig(Budget(10, BudgetUnit.STEPS), precision=Precision.FLOAT32)
    planned = (PLANNED | {"vocabulary"}) - set(text)
    return prepare(config, base.checkpoint.model, training, threads=1, planned=planned, base=base)


def test_the_vocabulary_is_that_of_both_texts_in_the_order_of_code_points() -> None:
    both = fine_tuning("other.txt")
    assert vocabulary(both).characters == "".join(sorted(set(FABLE + OTHER)))
    assert read_corpus(TextConfig(sources=("other.txt",))).vocabulary.characters == "".join(sorted(set(OTHER)))
    base = load_base_model(find_checkpoint("fable"))
    assert vocabulary(fine_tuning("fable.txt")) == base.checkpoint.vocabulary
    record = replace(base.checkpoint.record, adapted_to=("letters.txt", HELD_OUT))
    adapted = fine_tuning("other.txt", BaseModel(replace(base.checkpoint, record=record), "adapted"))
    known = adapted.checkpoint.record.adapted_to
    assert known[0] == "letters.txt" and known[1].startswith("fable.txt: ")


def test_a_fine_tuned_run_is_a_new_run_that_says_where_it_came_from(folder: Path) -> None:
    before = files_below(folder / "checkpoints" / "fable")
    fingerprint = load("fable").checkpoint.fingerprint()
    options = ["--steps", 30, "--learning-rate", 0.005, "--dropout", 0.25, "--seed", 3]
    plan = events_of("--from", "fable", "other.txt", *options)[0]
    assert Path(plan["run"]) == Path("checkpoints", "other-lstm")
    assert plan["started_from"] == f"fable ({fingerprint[:12]})"
    assert (plan["model"]["hidden_size"], plan["vocab_size"]) == (24, len(set(FABLE + OTHER)))
    asked = {"learning_rate": 0.005, "dropout": 0.25, "seed": 3, "warm_up": 0.01}
    assert plan["training"].items() >= asked.items()
    assert any("fable" in note for note in plan["notes"])
    tuned = load("other-lstm").checkpoint
    assert tuned.record.started_from == plan["started_from"]
    assert replace(tuned, record=replace(tuned.record, started_from="")).fingerprint() == tuned.fingerprint()
    assert f"started from fable ({fingerprint[:12]}) " in " ".join(done("info", "other-lstm").text.split()) + " "
    assert done("info", "other-lstm", "--json").json_lines[0]["record"]["started_from"] == plan["started_from"]
    assert len(done("sample", "other-lstm", "-p", "The Füchse", "-n", 20, "--seed", 1).text) == 30
    assert done("eval", "other-lstm", "--json").json_lines
    assert files_below(folder / "checkpoints" / "fable") == before


def test_the_base_may_be_a_file_or_a_fine_tuned_run_and_the_run_may_have_a_name(folder: Path) -> None:
    file = folder / "checkpoints" / "fable" / "last.safetensors"
    assert str(file) in done("train", "--from", file, "other.txt", "--steps", 2, "--run", "second", *QUICK).err
    problem("train", "--from", "fable", "other.txt", "--run", "second", "--steps", 1, *QUICK)
    done("train", "--from", "second", "fable.txt", "--steps", 2, "--run", "third", *QUICK)
    third = load("third")
    assert third.vocabulary.characters == "".join(sorted(set(FABLE + OTHER)))
    assert (third.record.started_from or "").startswith("second (")


def test_a_trained_network_learns_a_similar_text_faster() -> None:
    similar = "The vine hung high. Sour grapes, said a fox on a high vine.\nThe grapes said: the fox hung.\n"
    Path("similar.txt").write_text(similar * 20, encoding="utf-8")
    starts = (["--from", "fable"], ["--hidden-size", 24, "--layers", 1])
    tuned, new = (events_of("similar.txt", *start, "--steps", 20)[-1]["validation_nats"] for start in starts)
    assert tuned < new - 0.15


@pytest.mark.parametrize(("steps", "lines"), [(1, False), (4, True)])
def test_resuming_a_fine_tuned_run_gives_the_same_bytes_as_never_stopping(steps: int, lines: bool) -> None:
    options = ["--from", "fable", "other.txt", "--every", 3, *(["--lines"] if lines else [])]
    done("train", *options, "--steps", 10, "--run", "whole", *QUICK)
    base = load_base_model(find_checkpoint("fable"))
    text = TextConfig(sources=("other.txt",), lines=lines)
    training = TrainingConfig(Budget(10, BudgetUnit.STEPS), precision=Precision.FLOAT32, every=3)
    planned = (PLANNED | {"vocabulary"}) - {"lines"}
    prepared = prepare(text, base.checkpoint.model, training, run="cut", threads=1, planned=planned, base=base)
    stops = iter([False] * (steps - 1) + [True])
    with prepared.start(0.0) as session:
        list(session.events(lambda: next(stops)))
    shutil.rmtree("checkpoints/fable")  # the run needs its base no longer
    done("train", "--resume", "cut")
    for file in ("last", "best"):
        whole, cut = (load_checkpoint(Path("checkpoints", name, f"{file}.safetensors")) for name in ("whole", "cut"))
        assert_same_tensors(cut, whole)
        assert cut.record.started_from == whole.record.started_from
        assert cut.record.training == whole.record.training


@pytest.mark.parametrize(("held_out", "share"), [(FABLE, 0.75), (OTHER, 0.0)])
def test_a_mean_of_the_weights_at_the_start_and_at_the_end_is_kept_if_it_is_the_best(
    held_out: str, share: float
) -> None:
    Path("parts.txt").write_text(OTHER * 20 + held_out * round(2 * len(OTHER) / len(held_out)), encoding="utf-8")
    start = fine_tuning("parts.txt").checkpoint.weights
    events = events_of("--from", "fable", "parts.txt", "--steps", 30, "--every", 30, "--learning-rate", 0.02)
    averaged = [event for event in events if event["event"] == "averaged"]
    assert [event["share_of_start"] for event in averaged] == ([share] if share else [])
    best, last = (
        load_checkpoint(Path("checkpoints", "parts-lstm", f"{file}.safetensors")) for file in ("best", "last")
    )
    for name, array in best.weights.items():
        assert array.tobytes() == (share * start[name] + (1 - share) * last.weights[name]).astype(np.float32).tobytes()
    assert (best.record.share_of_start, last.record.share_of_start) == (share, 0)
    [after_steps] = [event["validation_nats"] for event in events if event["event"] == "evaluation"]
    assert last.record.validation_nats == after_steps
    assert best.record.validation_nats == last.record.position.best_nats == events[-1]["validation_nats"]
    [measured] = done("eval", "parts-lstm", "--json", "--no-baselines").json_lines
    assert best.record.validation_nats == pytest.approx(measured["nats_per_character"], abs=0.03)
    assert (f"{share:.0%} of these weights" in done("info", "parts-lstm").text) == bool(share)
    done("train", "--resume", "parts-lstm", "--steps", 31)
    resumed = load_checkpoint(Path("checkpoints", "parts-lstm", "last.safetensors"))
    assert all(resumed.extra[f"start/{name}"].tobytes() == array.tobytes() for name, array in start.items())


@pytest.mark.parametrize("config", NETWORKS.values(), ids=NETWORKS)
def test_every_network_can_be_fine_tuned(config: ModelConfig) -> None:
    untrained_run("any", "".join(sorted(set(FABLE))), attention=2, **form(config))
    plan, *_, finished = events_of("--from", "any", "other.txt", "--steps", 2, "--run", "tuned")
    assert (finished["step"], plan["model"]["tied"]) == (2, config.tied)
    assert load("tuned").config == load("any").config


def test_a_model_of_bytes_learns_bytes() -> None:
    untrained_run("octets", None)
    plan, *_ = events_of("--from", "octets", "other.txt", "--steps", 2, "--run", "more")
    assert plan["vocab_size"] == 256
    assert not any("are new to" in note for note in plan["notes"])
    assert load("more").record.text.vocabulary == "bytes"
    line = problem("train", "--from", "octets", "other.txt", "--vocabulary", "characters", "--steps", 1)
    assert "--vocabulary characters" in line
    problem("train", "--from", "fable", "other.txt", "--vocabulary", "bytes", "--steps", 1)


def test_lines_belong_to_the_text_and_not_to_the_base() -> None:
    run_of_text("items", FABLE, lines=True)
    base = load_base_model(find_checkpoint("items"))
    as_text, as_lines = fine_tuning("other.txt", base), fine_tuning("other.txt", base, lines=True)
    assert not as_text.checkpoint.record.text.lines
    assert any("give `lines`" in note for note in as_text.planned.notes)
    assert as_lines.checkpoint.record.text.lines
    assert not any("give `lines`" in note for note in as_lines.planned.notes)


def test_a_held_out_text_that_the_base_was_trained_on_is_named() -> None:
    warned = [
        any("was trained on" in note for note in fine_tuning(**text).planned.notes)
        for text in ({"source": "fable.txt"}, {"source": "fable.txt", "validation": 0.3}, {"source": "other.txt"})
    ]
    assert warned == [False, True, False]


OF_THE_NETWORK = "--cell lstm|--peepholes input|--reset after|--hidden-size 24|--layers 1|--embedding-size 64"


@pytest.mark.parametrize("option", [*OF_THE_NETWORK.split("|"), "--attention 0", "--tied", "--parameters 1M"])
def test_an_option_that_would_change_the_network_is_wrong_usage(option: str) -> None:
    message = usage_error("train", "--from", "fable", "other.txt", "--steps", 1, *option.split())
    assert message.split("leave out ")[1].split("/")[0].split()[0] == option.split()[0]


def test_fine_tuning_needs_a_text_and_is_not_resuming() -> None:
    assert "--from" in usage_error("train", "--from", "fable", "--steps", 1)
    assert "--from" in usage_error("train", "--resume", "fable", "--from", "fable")


def test_a_preview_that_neither_text_has_and_a_base_that_cannot_be_read_are_problems(folder: Path) -> None:
    assert "'中'" in problem("train", "--from", "fable", "other.txt", "--preview", "中", "--steps", 1)
    assert events_of("--from", "fable", "other.txt", "--preview", "The Füchse", "--steps", 1, "--dry-run")
    problem("train", "--from", "nowhere", "other.txt", "--steps", 1)
    broken = folder / "broken.safetensors"
    broken.write_bytes((folder / "checkpoints" / "fable" / "best.safetensors").read_bytes()[:500])
    assert "broken.safetensors" in problem("train", "--from", broken, "other.txt", "--steps", 1)
    assert not Path("checkpoints/other-lstm").exists()


def test_a_record_without_base_or_other_processes_has_no_field_for_them_and_can_be_read() -> None:
    record = untrained_checkpoint(read_corpus(TextConfig(sources=("other.txt",))).vocabulary).record
    values = record.to_mapping()
    assert values.keys().isdisjoint({"started_from", "share_of_start", "processes"})  # older versions do not know them
    assert TrainingRecord.from_mapping(values) == record
    started = replace(record, started_from="fable (0123456789ab)", share_of_start=0.25, processes=2)
    assert TrainingRecord.from_mapping(started.to_mapping()) == started
