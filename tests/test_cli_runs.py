"""`lstmgen runs`: the list of runs, and their learning curves in a terminal, a pipe or a picture."""

import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lstmgen.checkpoint import load_checkpoint
from lstmgen.cli.chart import describe, limits, picture, terminal_chart
from lstmgen.language_model import load
from lstmgen.training.learning_curve import LearningCurve, Loss
from lstmgen.training.storage import FolderLock
from tests.command_line import (
    controls,
    done,
    evaluation_event,
    problem,
    run,
    step_event,
    untrained_run,
    usage_error,
    write_log,
)

LEARNS = [step_event(50, 3.5), evaluation_event(100, 2.5, 2.4), step_event(150, 2.0)]
LEARNS += [evaluation_event(200, 1.8, 1.95), evaluation_event(300, 1.6, 1.85)]
OVERFITS = [step_event(50, 3.0), evaluation_event(150, 2.0, 2.1), evaluation_event(250, 1.5, 1.75)]
OVERFITS += [evaluation_event(400, 0.9, 1.9), evaluation_event(500, 0.6, 2.0)]

LOSSES = st.lists(st.tuples(st.floats(0, 1e12), st.floats(0, 1000)), max_size=6).map(
    lambda pairs: tuple(Loss(step, epoch, epoch, nats) for step, (epoch, nats) in enumerate(sorted(pairs)))
)
CURVES = st.builds(LearningCurve, LOSSES, LOSSES).filter(lambda curve: bool(curve.training + curve.validation))


@pytest.fixture
def two_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that learns, and a newer one that overfits."""
    monkeypatch.chdir(tmp_path)
    for age, (name, events) in enumerate((("overfits", OVERFITS), ("learns", LEARNS))):
        path = untrained_run(name, "ab\n")
        os.utime(path, (10**9 - age, 10**9 - age))
        write_log(path.parent, *events)


# The list


@pytest.mark.usefixtures("nowhere")
def test_runs_are_listed_newest_last_and_a_damaged_one_is_skipped_with_a_note() -> None:
    for age, name in enumerate(["c", "a", "damaged", "b"]):
        os.utime(untrained_run(name, "ab\n"), (10**9 - age, 10**9 - age))
    path = Path("checkpoints", "damaged", "best.safetensors")
    path.write_bytes(path.read_bytes()[:100])
    Path("checkpoints", "no-run").mkdir()
    ran = done("runs", "--json")
    assert [found["run"] for found in ran.json_lines] == ["b", "a", "c"]
    assert ran.err.startswith("lstmgen: ")
    assert "damaged" in ran.err
    table = done("runs")
    assert [line.split()[0] for line in table.text.splitlines()] == ["run", "b", "a", "c"]
    assert table.err == ran.err


@pytest.mark.usefixtures("nowhere")
def test_runs_are_listed_without_reading_their_weights() -> None:
    """Damage of what is read is told; `info --verify` reads the rest."""
    path = untrained_run("mine", "ab\n")
    good = path.read_bytes()
    path.write_bytes(good[:-1] + b"\x7f")
    assert [found["run"] for found in done("runs", "--json").json_lines] == ["mine"]
    assert "damaged" in run("info", "mine", "--verify").err
    assert load_checkpoint(path, tensors=False).weights == {}
    for damaged in (good.replace(b"nowhere", b"nowhera"), good[:-1], good.replace(b"head.weight", b"head.weighs"), b""):
        assert damaged != good
        path.write_bytes(damaged)
        ran = done("runs", "--json")
        assert ran.out == b"" and ran.err.startswith("lstmgen: ")


@pytest.mark.usefixtures("in_trained_folder")
def test_a_run_is_listed_with_what_it_learned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (found,) = done("runs", "--json").json_lines
    assert (found["run"], found["step"], found["text"]) == ("fable", 60, ["fable.txt"])
    assert found["validation_nats"] == load_checkpoint(Path(found["checkpoint"])).record.position.best_nats
    assert found["parameters"] == load("fable").engine.network.parameter_count()
    monkeypatch.chdir(tmp_path)  # without runs
    ran = done("runs")
    assert (ran.out, done("runs", "--json").out) == (b"", b"")
    assert "lstmgen train" in ran.err


# Learning curves


@pytest.mark.usefixtures("two_runs")
def test_the_newest_run_is_drawn_in_plain_text_for_a_pipe_and_several_over_each_other() -> None:
    ran = done("runs", "--plot")
    assert ran.err == ""
    assert ran.text == done("runs", "overfits", "--plot").text
    assert controls(ran.text) == set()
    assert ran.text.count("★") == 2  # the key's, and the best
    assert max(map(len, ran.text.splitlines())) <= 100
    *_, words = ran.text.rstrip("\n").split("\n\n")
    assert words.startswith("● overfits: ")
    assert re.findall(r"\d+\.\d+", words) == ["1.7500", "2.50", "0.250", "0.900"]
    both = done("runs", "learns", "checkpoints/overfits", "--plot").text
    assert both.count("●") == 2 + 2  # in the key and below; the evaluations that are not the best
    assert both.count("■") == 2 + 3
    assert "\n● learns: best validation 1.8500" in both and "\n■ overfits: best validation 1.7500" in both
    for names in (["overfits", "learns"], ["checkpoints/learns"]):
        found = done("runs", *names, "--json").json_lines
        assert [each["run"] for each in found] == [Path(name).name for name in names]
    assert [line.split()[0] for line in done("runs", "learns").text.splitlines()] == ["run", "learns"]
    problem("runs", "learns", "none")


@pytest.mark.usefixtures("two_runs")
def test_colours_are_for_terminals_that_want_them(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("COLUMNS", "80"), ("LINES", "30")):
        monkeypatch.setenv(name, value)
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    coloured = done("runs", "--plot", terminal=True).text
    assert controls(coloured) == {"\x1b"}
    monkeypatch.setenv("NO_COLOR", "1")
    plain = done("runs", "--plot", terminal=True).text
    assert controls(plain) == set()
    assert [line.rstrip() for line in re.sub(r"\x1b\[\d+m", "", coloured).splitlines()] == plain.splitlines()
    assert max(map(len, plain.splitlines())) <= 80
    assert len(plain.splitlines()) < 30


@pytest.mark.usefixtures("two_runs")
def test_a_picture_is_a_new_file_with_its_text_the_same_each_time() -> None:
    ran = done("runs", "learns", "overfits", "--plot", "-o", "curves.PNG")
    assert ran.out == b""
    assert "curves.PNG" in ran.err
    assert Path("curves.PNG").read_bytes().startswith(b"\x89PNG")
    assert "no/folder/a.svg" in problem("runs", "--plot", "-o", "no/folder/a.svg").replace("\\", "/")
    for name in ("curves.pdf", "curves", ".png"):
        problem("runs", "--plot", "-o", name)
        assert not Path(name).exists()
    for name in ("a.svg", "b.svg"):
        done("runs", "learns", "overfits", "--plot", "-o", name)
    text = " ".join(ElementTree.parse("a.svg").getroot().itertext())
    assert "learns" in text and "1.8500" in text and "epochs" in text
    assert Path("a.svg").read_bytes() == Path("b.svg").read_bytes()
    for options in ("-o a.png", "--output a.png --json", "--plot --json"):
        assert "--plot" in usage_error("runs", *options.split())


@pytest.mark.usefixtures("two_runs")
@pytest.mark.parametrize(("library", "more"), [("plotille", []), ("matplotlib", ["-o", "a.png"])])
def test_without_the_libraries_the_remedy_is_said(
    library: str, more: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    line = problem("runs", "--plot", *more)
    assert f"{library} is not installed" in line
    assert "pip install 'lstmgen[plot]'" in line
    assert not Path("a.png").exists()
    assert "overfits" in done("runs").text


@pytest.mark.usefixtures("nowhere")
def test_a_run_without_losses_cannot_be_drawn() -> None:
    path = untrained_run("old", "ab\n").parent
    assert "log.jsonl" in problem("runs", "--plot")
    write_log(path, {"event": "plan"})
    assert "log.jsonl" in problem("runs", "old", "--plot")
    shutil.rmtree("checkpoints")
    assert "lstmgen train" in problem("runs", "--plot")


@pytest.mark.usefixtures("nowhere")
@pytest.mark.parametrize(
    ("events", "numbers"),
    [
        ([step_event(50, 2.5), evaluation_event(60, 2.25, None)], ("2.2500", "0.60")),
        ([evaluation_event(0, 2.5, 2.25)], ("2.2500", "0.00")),
        ([evaluation_event(60, None, 2.25)], ("2.2500", "0.60")),
    ],
)
def test_a_curve_may_lack_much(events: list[dict[str, object]], numbers: tuple[str, str]) -> None:
    write_log(untrained_run("short", "ab\n").parent, *events)
    assert re.search(rf"short: .*{numbers[0]} .*{numbers[1]}", done("runs", "--plot").text)
    done("runs", "--plot", "-o", "a.png")


def curve(*validation: float) -> LearningCurve:
    losses = tuple(Loss(step, step / 10, step, nats) for step, nats in enumerate(validation))
    return LearningCurve(losses, losses)


@pytest.mark.parametrize("name", ["🙂 日本語", "$x_1$ \\frac{", "_hidden", "a\x1b[31m\x07\nb\x85", "x" * 300, ""])
def test_any_name_can_be_drawn(name: str) -> None:
    curves = {name: curve(3, 2, 2.5), "other": curve(3, 2)}
    assert picture(curves, "character", "png")
    text = " ".join(ElementTree.fromstring(picture(curves, "character", "svg")).itertext())
    assert describe(name, curves[name])[:40] in text
    chart = terminal_chart(curves, "character", 80, 24)
    assert controls(chart) == set()
    assert describe(name, curves[name])[:20] in chart


@settings(deadline=None, max_examples=50)
@given(st.lists(CURVES, min_size=1, max_size=8), st.integers(0, 200), st.integers(0, 100))
def test_any_curves_can_be_drawn(curves: list[LearningCurve], columns: int, lines: int) -> None:
    chart = terminal_chart({str(number): curve for number, curve in enumerate(curves)}, "character", columns, lines)
    assert max(map(len, chart.splitlines())) <= min(max(40, columns), 160)
    assert all(f" {number}: " in chart for number in range(len(curves)))


def test_the_opening_of_a_run_does_not_flatten_the_rest() -> None:
    curves = {"long": curve(9, 4, *[2 - 0.01 * step for step in range(50)]), "short": curve(8, *[1.9] * 20)}
    last, low, high = limits(curves)
    assert last == 5.1
    assert low < 1.51 < 1.9 < high < 3


def test_verifying_tells_which_file_is_as_it_was_saved(trained_folder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(trained_folder / "checkpoints" / "fable", tmp_path / "fable"))
    first, second = done("info", folder, "--verify").text.splitlines()
    assert "best.safetensors: step 60, intact" in first
    assert "last.safetensors: step 60, intact" in second
    last = folder / "last.safetensors"
    last.write_bytes(last.read_bytes()[:-1] + b"\xff")
    ran = run("info", folder, "--verify")
    assert (ran.code, ran.text) == (1, first + "\n")
    assert "last.safetensors" in ran.err
    assert "damaged" in ran.err
    assert "best.safetensors, from step 60, is good" in ran.err
    states = run("info", folder, "--verify", "--json").json_lines
    found = [(state["good"], state["step"], state["checksums"]) for state in states]
    assert found == [(True, 60, True), (False, None, False)]


# Removing and renaming


@pytest.mark.usefixtures("two_runs")
def test_runs_are_removed_all_or_none_and_only_with_consent() -> None:
    both = {"learns", "overfits"}
    usage_error("runs", "rm", "learns")  # nobody can be asked
    for others in (["nowhere"], ["../learns"], [".", "--plot"]):
        assert run("runs", "rm", "overfits", *others, "--yes").code in (1, 2)
    usage_error("runs", "rm")
    usage_error("runs", "--yes")
    assert {path.name for path in Path("checkpoints").iterdir()} == both
    done("runs", "rm", "learns", "checkpoints/overfits", "-y")
    assert not list(Path("checkpoints").iterdir())


@pytest.mark.usefixtures("two_runs")
def test_a_run_that_trains_or_holds_files_of_others_stays() -> None:
    folder = Path("checkpoints", "learns")
    lock = FolderLock(folder)
    for arguments in (["rm", "learns", "--yes"], ["rename", "learns", "new"]):
        assert "is training here" in problem("runs", *arguments)
    lock.release()
    (folder / "notes.txt").write_text("mine", encoding="utf-8")
    for arguments in (["rm", "learns", "--yes"], ["rename", "learns", "new"]):
        assert "notes.txt" in problem("runs", *arguments)
    assert load_checkpoint(folder / "best.safetensors")


@pytest.mark.usefixtures("two_runs")
def test_a_run_is_renamed_and_replaces_no_other() -> None:
    content = Path("checkpoints", "learns", "best.safetensors").read_bytes()
    for name in ("overfits", "a/b", ""):
        problem("runs", "rename", "learns", name)
    usage_error("runs", "rename", "learns")
    done("runs", "rename", "learns", "new")
    assert Path("checkpoints", "new", "best.safetensors").read_bytes() == content
    assert {path.name for path in Path("checkpoints").iterdir()} == {"new", "overfits"}


def test_runs_are_found_in_the_folder_that_the_environment_names(tmp_path: Path) -> None:
    code = "import lstmgen.checkpoint; print(lstmgen.checkpoint.RUNS_FOLDER)"
    for home, folder in ((str(tmp_path), str(tmp_path)), ("", "checkpoints")):
        ran = subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, "LSTMGEN_HOME": home}, capture_output=True, check=True
        )
        assert ran.stdout.decode().strip() == folder


# Other names of commands


@pytest.mark.parametrize(("typed", "meant"), [("list", "runs"), ("generate", "sample"), ("rm", "runs rm")])
def test_the_names_of_other_programs_lead_to_a_command(typed: str, meant: str) -> None:
    assert f"lstmgen {meant}" in usage_error(typed, "poems")


def test_a_mistyped_command_leads_to_the_nearest_and_others_to_none() -> None:
    assert "lstmgen sample" in usage_error("smaple")
    assert "lstmgen " not in usage_error("xyzzy").split("Error")[1]
    assert done("-V").text == done("--version").text
