"""`lstmgen train`: what it writes and never overwrites, what it refuses, and how it continues after an interruption."""

import contextlib
import json
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lstmgen.checkpoint import load_checkpoint, save_checkpoint
from lstmgen.language_model import load
from lstmgen.text.sources import find_sources
from tests.command_line import done, files_below, problem, start, usage_error
from tests.conftest import FABLE

SMALL = ["--hidden-size", "8", "--layers", "1", "--embedding-size", "4", "--precision", "float32", "--batch-size", "4"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder with a text and no runs."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fable.txt").write_text(FABLE * 5, encoding="utf-8")
    return tmp_path


@pytest.fixture
def fable_run(folder: Path, trained_folder: Path) -> Path:
    """A copy of the trained run with its text; it has made 60 steps of 60."""
    shutil.copy(trained_folder / "fable.txt", folder)
    shutil.copytree(trained_folder / "checkpoints", folder / "checkpoints")
    return folder / "checkpoints" / "fable"


def events_of(*arguments: object, stdin: bytes | None = None) -> list[dict[str, Any]]:
    ran = done("train", *arguments, "--json", stdin=stdin)
    assert ran.err == ""
    return ran.json_lines


# What is written, and where


def test_the_plan_is_four_lines_and_more_only_when_asked() -> None:
    def plan(*options: str) -> list[str]:
        lines = done("train", "fable.txt", *SMALL, "--steps", 1, *options).err.splitlines()
        return [line.split()[0] for line in lines[: lines.index("") if "" in lines else None]]

    short = plan()
    assert [word for word in short if word != "note"] == ["text", "network", "training", "run"]
    for more in (["-v"], ["--verbose"], ["--dry-run"]):
        assert "reason" in plan(*more)


def test_a_list_is_told_from_running_text(folder: Path) -> None:
    (folder / "names.txt").write_text("".join(f"Name {number:o}\n" for number in range(400)), encoding="utf-8")
    for text, more, advised in (("names.txt", [], True), ("names.txt", ["--lines"], False), ("fable.txt", [], False)):
        plan = done("train", text, "--dry-run", "--json", "--steps", 1, *SMALL, *more).json_lines[0]
        assert any("`lines`" in note for note in plan["notes"]) == advised


def test_a_short_run_has_three_previews_and_a_list_has_several_items(folder: Path) -> None:
    (folder / "names.txt").write_text("".join(f"N{number:o}\n" for number in range(400)), encoding="utf-8")
    for text, options in (("fable.txt", []), ("names.txt", ["--lines"])):
        events = done("train", text, "--json", "--steps", 40, *SMALL, *options).json_lines
        previews = [event["preview"] for event in events if event["event"] == "evaluation" and event["preview"]]
        assert len(previews) == 3
        assert all(preview.count("\n") == 4 for preview in previews) or not options


def test_training_writes_to_stderr_and_makes_a_run() -> None:
    ran = done("train", "fable.txt", "--run", "small", "--steps", 12, *SMALL)
    assert ran.out == b""
    assert "lstmgen sample small" in ran.err and "validation" in ran.err
    assert set(files_below(Path("checkpoints/small"))) == {"best.safetensors", "last.safetensors", "log.jsonl"}
    assert load_checkpoint(Path("checkpoints/small/last.safetensors")).record.position.step == 12
    assert len(done("sample", "small", "-n", 20, "--seed", 1).text) == 20
    ran = done("train", "fable.txt", "--steps", 2, *SMALL, "-q")
    assert ran.text.split()[0] == "fable-lstm" and float(ran.text.split()[1]) > 0 and ran.text.count("\n") == 1
    assert ran.err == ""


def test_json_is_an_event_a_line_and_the_log_holds_the_same() -> None:
    events = events_of("fable.txt", "--run", "small", "--steps", 60, "--every", 20, *SMALL)
    names = [event["event"] for event in events]
    assert names == ["plan", "evaluation", "evaluation", "step", "evaluation", "finished"]
    assert [event["step"] for event in events[1:]] == [20, 40, 50, 60, 60]
    finished = events[-1]
    assert {"checkpoint", "validation_nats", "characters_per_second"} <= finished.keys()
    assert Path(finished["checkpoint"]) == Path("checkpoints", "small", "best.safetensors")
    assert finished["validation_nats"] == min(e["validation_nats"] for e in events if e["event"] == "evaluation")
    log = Path("checkpoints/small/log.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in log] == events


def test_a_dry_run_shows_the_plan_and_writes_nothing(folder: Path) -> None:
    before = set(folder.rglob("*"))
    ran = done("train", "fable.txt", "--cell", "gru", "--dry-run", *SMALL)
    assert ran.out == b""
    assert "1 x 8 gru" in ran.err
    assert [event["event"] for event in events_of("fable.txt", "--dry-run", *SMALL)] == ["plan"]
    assert set(folder.rglob("*")) == before


def test_the_plan_holds_what_was_asked_for() -> None:
    numbers = {"batch_size": 2, "chunk_length": 9, "learning_rate": 0.01, "weight_decay": 0, "clip": 2, "dropout": 0.5}
    numbers |= {"weight_drop": 0.25, "every": 7, "seed": 5}
    sizes = {"attention": 3, "hidden_size": 6, "embedding_size": 5}
    options = [f"--{name.replace('_', '-')}={value}" for name, value in (numbers | sizes).items()]
    options += ["--cell", "peephole", "--peepholes", "output,input", "--layers", "2", "--epochs", "2.5"]
    options += ["--precision", "float32", "--preview", "The", "--validation", "0.2", "--run", "mine"]
    (plan,) = events_of("fable.txt", *options, "--dry-run")
    asked = {"cell": "peephole", "num_layers": 2, "peepholes": ["input", "output"]}
    assert plan["model"].items() >= (sizes | asked).items()
    asked = {"preview": "The", "budget": {"amount": 2.5, "unit": "epochs"}}
    assert plan["training"].items() >= (numbers | asked).items()
    assert Path(plan["run"]) == Path("checkpoints", "mine")
    assert (plan["training_symbols"], plan["validation_symbols"]) == (len(FABLE) * 4, len(FABLE))
    (plan,) = events_of("fable.txt", "--parameters", "20k", "--steps", 1, "--dry-run")
    assert plan["parameters"] == pytest.approx(20_000, rel=0.05)


def test_a_second_run_gets_a_name_of_its_own_and_leaves_the_first_alone() -> None:
    runs = [Path(events_of("fable.txt", "--steps", 1, *SMALL)[0]["run"]).name]
    before = files_below(Path("checkpoints/fable-lstm"))
    runs += [Path(events_of("fable.txt", "--steps", 1, *SMALL)[0]["run"]).name for _ in range(2)]
    assert runs == ["fable-lstm", "fable-lstm-2", "fable-lstm-3"]
    assert files_below(Path("checkpoints/fable-lstm")) == before


@pytest.mark.parametrize("name", ["../outside", "a/b", "..", ".", "", "/", "x" * 5000, "con", "Nul.txt", "LPT9", "a."])
def test_a_run_name_that_is_no_name_is_a_problem(name: str, folder: Path) -> None:
    before = set(folder.rglob("*"))
    assert "--run" in problem("train", "fable.txt", "--run", name, "--steps", 1, *SMALL)
    assert set(folder.rglob("*")) == before


# What is refused


BUDGETS = ("--time 3m --steps 5", "--time 3m --epochs 5", "--epochs 1 --steps 5")


@pytest.mark.parametrize(
    ("options", "named"),
    [
        *((budgets.split(), "--time") for budgets in BUDGETS),
        (["--time=soon"], "--time"),
        (["--parameters", "1M", "--hidden-size", "8"], "--parameters"),
        (["--parameters", "many"], "'many'"),
        (["--reset", "before"], "--reset"),
        (["--peepholes", "input", "--cell", "gru"], "--peepholes"),
        (["--peepholes", "input,door", "--cell", "peephole"], "input,forget,output"),
    ],
)
def test_options_that_make_no_sense_or_would_be_ignored_are_wrong_usage(options: list[str], named: str) -> None:
    assert named in usage_error("train", "fable.txt", *options)


FIXED = """--run b, --cell lstm, --peepholes input, --reset after, --hidden-size 24, --layers 1, --embedding-size 64,
--attention 0, --lines, --vocabulary characters, --encoding utf-8, --validation 0.1, --batch-size 8, --chunk-length 16,
--learning-rate 0.008, --weight-decay 0, --clip 1, --dropout 0, --weight-drop 0, --parameters 1M, --precision float32,
--seed 0, --every 5, --preview a"""


@pytest.mark.parametrize("option", FIXED.split(","))
def test_resuming_with_an_option_that_would_change_the_run_is_wrong_usage(option: str) -> None:
    message = usage_error("train", "--resume", "fable", *option.split())
    assert message.split("leave out ")[1].split()[0] == option.split()[0]


IMPOSSIBLE = f"""hidden-size 0, hidden-size {10**15}, embedding-size -1, attention -1, validation 1, validation -0.1,
validation nan, time 0s, steps 0, epochs nan, batch-size 0, chunk-length 0, learning-rate 0, learning-rate nan,
layers 0, weight-decay -1, clip 0, clip nan, dropout 1, every 0, seed -1, seed {2**70}, preview é,
encoding no-such"""


@pytest.mark.parametrize("choice", IMPOSSIBLE.split(","))
def test_a_value_that_cannot_work_is_a_problem_that_names_it(choice: str) -> None:
    option, value = choice.split()
    budget = [] if option in ("time", "epochs", "steps") else ["--steps", 1]
    line = problem("train", "fable.txt", *SMALL, *budget, f"--{option}", value)
    assert (f"'{value}'" if option == "preview" else f"--{option} ") in line
    assert "--on-unknown" not in line  # train has no such option
    assert not Path("checkpoints").exists()


def test_a_text_that_is_not_there_or_cannot_be_learned_is_a_problem() -> None:
    assert "missing.txt" in problem("train", "missing.txt")
    Path("empty").mkdir()
    assert "empty" in problem("train", "fable.txt", "empty")
    Path("one.txt").write_text("a single line", encoding="utf-8")
    assert "--lines" in problem("train", "one.txt", "--lines", "--steps", 1, *SMALL)
    for content in (b"", b"aaaaaaaa", b"\x89PNG\r\n\x1a\n\0\0\0\xff", "Größe".encode("latin-1") * 9):
        Path("text.txt").write_bytes(content)
        assert "text.txt" in problem("train", "text.txt", "--steps", 1, *SMALL)
    assert not Path("checkpoints").exists()


# Texts of every kind


def test_a_model_of_bytes_is_trained_and_listed_per_byte() -> None:
    byte_run = ("--vocabulary", "bytes", "--run", "octets", "--steps", 3)
    shown = done("train", "fable.txt", *byte_run, *SMALL).err
    assert re.search(r" bytes/s, validation \d\.\d{4} nats per byte\n", shown)
    assert "char" not in shown.split("\nrun ")[1]
    best = f"{load('octets').record.position.best_nats:.4f}"
    assert done("info", "octets").text.count(f"  {best} nats per byte\n") == 2
    assert f" {best} per byte " in done("runs").text
    done("train", "fable.txt", "--run", "letters", "--steps", 3, *SMALL)
    for names, unit in (["octets"], "byte"), (["letters", "octets"], "byte or character"):
        assert done("runs", *names, "--plot").text.startswith(f"nats per {unit} over epochs ")


def test_any_bytes_can_be_learned_and_come_out_as_bytes() -> None:
    content = np.random.default_rng(0).bytes(2000)
    Path("any.bin").write_bytes(content)
    problem("train", "any.bin", "--steps", 1, *SMALL)
    done("train", "any.bin", "--vocabulary", "bytes", "--run", "any", "--steps", 3, *SMALL)
    assert len(done("sample", "any", "-n", 777, "--seed", 1).out) == 777
    assert done("eval", "any", "any.bin", "--json").json_lines[0]["characters"] == 1999


def test_training_from_standard_input_in_a_process_of_its_own() -> None:
    process = start("train", "-", "--steps", 2, "--threads", 1, *SMALL, stdin=subprocess.PIPE)
    out, message = process.communicate(FABLE.encode() * 3, timeout=60)
    assert (process.returncode, out) == (0, b"")
    assert b"lstmgen sample stdin-lstm" in message
    assert load("stdin-lstm").record.text.sources == ("-",)
    problem("eval", "stdin-lstm")
    assert "empty" in problem("train", "-", stdin=b"")
    assert "lstmgen train - --resume stdin-lstm" in problem("train", "--resume", "stdin-lstm", "--steps", 3)
    done("train", "-", "--resume", "stdin-lstm", "--steps", 3, stdin=FABLE.encode() * 3)
    assert load_checkpoint(Path("checkpoints/stdin-lstm/last.safetensors")).record.position.step == 3


# Going on


@pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot send a signal to one process alone")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_run_is_saved_and_continues(number: signal.Signals, code: int, folder: Path) -> None:
    process = start("train", "fable.txt", "--run", "stopped", "--time", "1h", "--every", 5, *SMALL)
    assert process.stderr is not None
    assert any(b"step 5 " in line for line in process.stderr), "the process ended before step 5"
    process.send_signal(number)
    out, message = process.communicate(timeout=60)
    assert (process.returncode, out) == (code, b"")
    assert b"lstmgen train --resume stopped" in message
    assert b"Traceback" not in message

    step = load_checkpoint(folder / "checkpoints" / "stopped" / "last.safetensors").record.position.step
    assert f"stopped at step {step:,}," in message.decode("utf-8")
    assert done("sample", "stopped", "-n", 5, "--seed", 1).text
    events = events_of("--resume", "stopped", "--steps", step + 3)
    assert (events[0]["event"], events[-1]["event"], events[-1]["step"]) == ("plan", "finished", step + 3)


def test_a_run_that_used_up_its_budget_is_left_alone_until_it_gets_a_larger_one(fable_run: Path) -> None:
    before = files_below(fable_run)
    for budget in ([], ["--steps", 30]):
        assert "60" in done("train", "--resume", "fable", *budget).err
        events = events_of("--resume", "fable", *budget)
        assert [(event["event"], event.get("step")) for event in events] == [("plan", None), ("finished", 60)]
    assert "step 60" in done("train", "--resume", "fable", "--steps", 70, "--dry-run").err
    assert files_below(fable_run) == before
    assert events_of("--resume", fable_run, "--steps", 64)[-1]["step"] == 64
    assert load_checkpoint(fable_run / "last.safetensors").record.position.step == 64


def test_a_run_whose_text_is_gone_can_be_told_where_it_is(fable_run: Path) -> None:
    """A run of an older version names a folder, which must be named again."""
    path = fable_run / "last.safetensors"
    Path("texts").mkdir()
    Path("fable.txt").rename("texts/moved.txt")
    line = problem("train", "--resume", "fable", "--steps", 70)
    assert "fable.txt" in line and "lstmgen train TEXT --resume fable" in line
    assert "python-docs" not in line
    assert "nowhere.txt" in problem("train", "nowhere.txt", "--resume", "fable", "--steps", 70)
    old = load_checkpoint(path)
    text = replace(old.record.text, sources=("texts",))
    save_checkpoint(replace(old, record=replace(old.record, text=text)), path)
    assert "lstmgen train TEXT --resume fable" in problem("train", "--resume", "fable", "--steps", 62)
    assert events_of("texts", "--resume", "fable", "--steps", 62)[-1]["step"] == 62
    assert load_checkpoint(path).record.text.sources == ("texts/moved.txt",)
    assert events_of("--resume", "fable", "--steps", 64)[-1]["step"] == 64


def test_a_record_names_files_and_the_run_is_named_by_what_was_typed() -> None:
    Path("poems").mkdir()
    for name in ("a", "b", "c", "d", "-"):
        Path("poems", name).write_text(FABLE * 5, encoding="utf-8")
    ran = done("train", "poems", "--steps", 1, "--hidden-size", 8, "--threads", 1)
    record = load_checkpoint(Path("checkpoints", "poems-lstm", "last.safetensors")).record
    assert record.text.sources == tuple(f"poems/{name}" for name in "-abcd")
    shown = "5 files in poems/"
    assert shown in ran.err and shown in done("info", "poems-lstm").text and "5 files" in done("runs").text
    assert shown in done("eval", "poems-lstm", "--no-baselines").text
    with contextlib.chdir("poems"):
        assert find_sources(["."]).names[0] == "./-"


def test_what_cannot_be_resumed_is_a_problem(fable_run: Path) -> None:
    for change in ("New ones: QZé!", ""):
        Path("fable.txt").write_text(change + FABLE * 19, encoding="utf-8")
        assert "lstmgen train TEXT --resume fable" in problem("train", "--resume", "fable", "--steps", 70)
    problem("train", "--resume", "other")
    assert "resume" in problem("train", "--resume", fable_run / "best.safetensors")
    last = fable_run / "last.safetensors"
    last.write_bytes(last.read_bytes()[:5000])
    assert "last.safetensors" in problem("train", "--resume", "fable", "--steps", 70)
