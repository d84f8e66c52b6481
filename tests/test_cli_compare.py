"""`lstmgen compare --task recall`: a table, JSON, and wrong usage in one line."""

import signal
import sys
from collections.abc import Callable
from typing import Any

import pytest

from lstmgen.cli.compare_recall import holds, recall_report
from lstmgen.cli.report import print_report
from lstmgen.comparison.config import RecallConfig
from lstmgen.comparison.recall import RecallMeasured
from lstmgen.comparison.recall_text import CHANCE
from lstmgen.comparison.report import recall_json
from lstmgen.config import CellKind
from tests.command_line import done, problem, start, usage_error

TINY = ["--hidden-size", 4, "--seeds", 2, "--steps", 2]


def recall(*arguments: object) -> Any:
    return done("compare", "--task", "recall", *TINY, *arguments)


def test_json_has_an_entry_for_each_network_and_lag() -> None:
    ran = recall("--json", "--quiet", "--cells", "gru,rnn", "--lags", "3,5", "--attention", 6)
    (found,) = ran.json_lines
    assert (found["task"], found["budget"]) == ("recall", {"amount": 2, "unit": "steps"})
    networks = found["networks"]
    named = [(entry["cell"], entry["attention"], entry["lag"]) for entry in networks]
    assert named == [(*network, lag) for network in (("gru", 0), ("rnn", 0), ("gru", 6)) for lag in (3, 5)]
    for entry in networks:
        assert entry["accuracy"] == pytest.approx(sum(entry["accuracy_by_seed"]) / 2)
        assert (entry["seeds"], entry["questions"], entry["steps"]) == (2, 2000, 2)
        assert entry["chance"] == CHANCE
    assert ran.err == ""


def test_the_table_has_a_row_for_each_network() -> None:
    lines = recall("--cells", "coupled", "--lags", "3,5").text.splitlines()
    header = next(number for number, line in enumerate(lines) if line.startswith("% right at lag"))
    assert lines[header].split()[4:6] == ["3", "5"]
    names = [line.strip().split("  ")[0] for line in lines[header + 1 : header + 5]]
    assert names == ["coupled", "worst seed", "coupled, attention 6", "worst seed"]


def test_marks_say_what_holds_and_what_is_at_chance(capsys: pytest.CaptureFixture[str]) -> None:
    config = RecallConfig(cells=(CellKind.RNN,), attention=0, lags=(10, 20, 30))
    (model,) = config.models()
    runs = [
        RecallMeasured(model, seed, 7452, 400, 1.0, 30, {10: 0.999 - 0.01 * seed, 20: 0.3, 30: 0.039})
        for seed in range(3)
    ]
    print_report(recall_report(config, runs))
    lines = capsys.readouterr().out.splitlines()
    (number,) = (number for number, line in enumerate(lines) if line.startswith("rnn"))
    assert lines[number].split() == ["rnn", "98.9", "*", "30.0", "3.9", "-", "7,452", "1"]
    assert lines[number + 1].split() == ["worst", "seed", "97.9", "30.0", "3.9"]
    assert recall_json(config, runs)["networks"][0]["accuracy"] == pytest.approx(0.989)


def test_one_seed_that_fails_is_not_holding() -> None:
    assert holds([0.95, 1.0], 1000) is True
    assert holds([0.94, 1.0], 1000) is None
    assert holds([CHANCE, CHANCE], 1000) is False
    assert holds([0.08, 0.08], 1000) is None


@pytest.mark.parametrize(
    ("arguments", "said", "refused"),
    [
        ("--attention 0,8", "--task", usage_error),
        ("--task poems", "'poems'", usage_error),
        ("--cells rnn,mamba", "--cells", usage_error),
        ("--lags ten", "--lags ten", usage_error),
        ("--seeds 0", "--seeds", usage_error),
        ("--steps 0", "--steps", usage_error),
        ("--steps 5 --time 1m", "--time", usage_error),
        ("--lags 1,10", "--lags", problem),
        ("--cells rnn,rnn", "--cells", problem),
        ("--layers 2000", "--layers 2000", problem),
    ],
)
def test_what_cannot_be_is_said_in_one_line(arguments: str, said: str, refused: Callable[..., str]) -> None:
    assert said in refused("compare", "--task", "recall", *arguments.split())


@pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot send Ctrl-C to one process alone")
def test_ctrl_c_ends_it_with_130_and_no_traceback() -> None:
    process = start("compare", "--task", "recall", "--steps", 10, "--seeds", 1000, "--lags", 5)
    assert process.stderr is not None
    assert b"rnn, seed 0: " in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    out, message = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, b"")
    assert b"Traceback" not in message
