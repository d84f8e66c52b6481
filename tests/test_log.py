"""A run's log, read back: what led to its weights, whatever else is in the file."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lstmgen.errors import CheckpointError
from lstmgen.training.learning_curve import LearningCurve, Loss, read_log
from tests.command_line import evaluation_event, step_event

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
FIELDS = ("event", "step", "epoch", "seconds", "nats", "training_nats", "validation_nats")
EVENTS = st.fixed_dictionaries(
    {"event": st.sampled_from(["step", "evaluation", "finished", "of a newer version"]) | JSON},
    optional={name: st.integers(0, 20) | st.floats(0, 20) | JSON for name in FIELDS[1:]},
)
LINES = st.one_of(EVENTS.map(json.dumps), JSON.map(json.dumps), st.text(max_size=20)).map(str.encode)


def curve_of(path: Path, *lines: dict[str, Any] | bytes) -> LearningCurve:
    path.write_bytes(b"\n".join(line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines))
    return read_log(path)


def steps(losses: tuple[Loss, ...]) -> list[int]:
    return [loss.step for loss in losses]


def test_what_training_logs_is_read_back(trained_folder: Path) -> None:
    path = trained_folder / "checkpoints" / "fable" / "log.jsonl"
    events = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    evaluated = [event for event in events if event["event"] == "evaluation"]
    curve = read_log(path)
    assert [loss.nats for loss in curve.validation] == [event["validation_nats"] for event in evaluated]
    assert {loss.nats for loss in curve.training} >= {event["training_nats"] for event in evaluated}
    assert steps(curve.training) == sorted({e["step"] for e in events if e["event"] in ("step", "evaluation")})
    assert curve.best is not None
    assert curve.best.nats == events[-1]["validation_nats"]


def test_steps_that_are_done_again_count_once(tmp_path: Path) -> None:
    before = [
        step_event(50, 3),
        step_event(100, 2),
        evaluation_event(100, 2, 2.1),
        step_event(150, 9),
        step_event(200, 9),
    ]
    after = [{"event": "plan"}, step_event(150, 1.8), evaluation_event(160, 1.7, 1.9), step_event(200, 1.6)]
    curve = curve_of(tmp_path / "log.jsonl", *before, *after)
    training = [(loss.step, loss.nats) for loss in curve.training]
    assert training == [(50, 3), (100, 2), (150, 1.8), (160, 1.7), (200, 1.6)]
    assert [(loss.step, loss.nats) for loss in curve.validation] == [(100, 2.1), (160, 1.9)]


def test_what_comes_last_does_not_undo_the_last_evaluation(tmp_path: Path) -> None:
    events = [evaluation_event(60, 2, 2.5), {"event": "overfitting", "step": 60}, {"event": "finished", "step": 60}]
    assert steps(curve_of(tmp_path / "log.jsonl", *events).validation) == [60]


@pytest.mark.parametrize(
    "line",
    [
        b'{"event": "step", "step": 75, "epo',
        b"\xff\xfe\x00",
        b"",
        b"[]",
        b"[" * 100_000,
        b"9" * 10_000,
        b'"step"',
        b'{"event": ["step"]}',
        b'{"event": "of a newer version", "step": 1}',
        *(json.dumps(step_event(75, 2) | {"step": value}).encode() for value in ("75", None)),
        *(json.dumps(step_event(75, 2) | {"epoch": value}).encode() for value in (True, 10**400)),
        *(json.dumps(step_event(75, nats)).encode() for nats in (float("nan"), float("inf"), 1e300)),
        json.dumps(step_event(75, 2) | {"seconds": -1}).encode(),
        json.dumps(evaluation_event(75, None, None)).encode(),
    ],
)
def test_a_line_that_says_nothing_is_skipped(line: bytes, tmp_path: Path) -> None:
    curve = curve_of(tmp_path / "log.jsonl", step_event(50, 3), line, step_event(100, 2))
    assert steps(curve.training) == [50, 100]
    assert curve.validation == ()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(LINES, max_size=8))
def test_any_file_is_a_curve_or_a_problem(tmp_path: Path, lines: list[bytes]) -> None:
    try:
        curve = curve_of(tmp_path / "log.jsonl", *lines)
    except CheckpointError as error:
        assert "no loss" in str(error)
        return
    assert curve.training or curve.validation
    for losses in (curve.training, curve.validation):
        assert steps(losses) == sorted(set(steps(losses)))
        assert all(0 <= loss.nats <= 1000 for loss in losses)
    assert (curve.best is None) == (curve.validation == ())


def test_a_log_that_is_missing_or_empty_is_a_problem(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"none\.jsonl.*cannot be drawn"):
        read_log(tmp_path / "none.jsonl")
    with pytest.raises(CheckpointError, match=r"log\.jsonl.*cannot be drawn"):
        curve_of(tmp_path / "log.jsonl", {"event": "plan"})


def test_a_network_overfits_if_validation_rises_while_the_training_loss_falls(tmp_path: Path) -> None:
    def overfitted(*losses: tuple[float | None, float | None]) -> tuple[float, float] | None:
        events = [evaluation_event(step, *pair) for step, pair in enumerate(losses)]
        return curve_of(tmp_path / "log.jsonl", *events).overfitted

    assert overfitted((3, 2), (2, 1.5), (1, 1.75), (0.5, 2)) == (0.5, 1.5)
    assert overfitted((3, 2), (2, 1.5), (1, 1.505)) is None  # chance
    assert overfitted((3, 2), (2, 1.5), (2.5, 1.75)) is None  # worse at both
    assert overfitted((3, 2), (2, 1.5), (1, 1.25)) is None
    assert overfitted((3, None), (2, None)) is None
    assert overfitted((None, 1), (None, 2)) is None
