"""`lstmgen compare` on a text and on the recall task: the table, JSON, wrong options, Ctrl-C."""

import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lstmgen.cli.compare_recall import holds, recall_report
from lstmgen.cli.report import print_report
from lstmgen.comparison.config import RecallConfig
from lstmgen.comparison.recall import CHANCE, RecallMeasured
from lstmgen.comparison.report import recall_json
from lstmgen.config import CellKind
from tests.command_line import controls, done, problem, start, usage_error
from tests.conftest import FABLE

TINY = ("--layers", "1", "--hidden-size", "6", "--batch-size", "4", "--chunk-length", "16", "--precision", "float32")
QUICK = (*TINY, "--threads", "1", "--steps", "4")


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("fable.txt").write_text(FABLE * 20, encoding="utf-8")


def networks(*arguments: object) -> list[dict[str, Any]]:
    (found,) = done("compare", "fable.txt", *QUICK, *arguments, "--json").json_lines
    return list(found["networks"])


def test_json_has_a_network_for_every_combination() -> None:
    found = networks("--cells", "rnn,gru", "--attention", "0,4", "--seeds", "2")
    assert [(each["cell"], each["attention"]) for each in found] == [("rnn", 0), ("rnn", 4), ("gru", 0), ("gru", 4)]
    for each in found:
        assert {"parameters", "spread", "characters_per_second", "memory_reach"} <= each.keys()
        assert (each["seeds"], each["layers"], each["hidden_size"]) == (2, 1, 6)
        assert sum(each["nats_per_character_by_seed"]) / 2 == pytest.approx(each["nats_per_character"])
    assert min(each["behind_best"]["nats"] for each in found) == 0
    (alone,) = networks("--cells", "rnn")
    assert (alone["spread"], alone["seeds"]) == (None, 1)
    ran = done("compare", "fable.txt", *QUICK, "--cells", "rnn", "--quiet")
    assert "1 x 6 rnn" in ran.text and "The best" not in ran.text
    assert ran.err == ""
    assert not Path("checkpoints").exists()  # without a name nothing is kept


def test_its_folder_does_not_confuse_runs_and_has_one_set_of_options() -> None:
    networks("--cells", "rnn", "--run", "cells")
    assert done("runs").text == ""
    problem("sample")
    assert done("sample", "cells/rnn-1", "-n", "5", "--quiet").text
    assert "--run cells" in problem("compare", "fable.txt", *QUICK, "--cells", "gru", "--run", "cells")


def test_the_table_comes_with_a_chart_and_a_conclusion_on_stdout_and_the_rest_on_stderr() -> None:
    ran = done("compare", "fable.txt", *QUICK, "--cells", "rnn,lstm", "--seeds", "2")
    rows = re.findall(r"^1 x 6 (rnn|lstm) +\S+.* +(\d\.\d{4}) ± \d\.\d{4} ", ran.text, re.MULTILINE)
    assert sorted(cell for cell, _ in rows) == ["lstm", "rnn"]
    assert [nats for _, nats in rows] == sorted(nats for _, nats in rows)
    assert "nats per character over seconds" in ran.text
    assert f"The best: 1 x 6 {rows[0][0]}." in ran.text
    assert re.search(r"nats per character more \(.* to .*\): (a real difference|noise)", ran.text)
    assert "networks 1 x 6 rnn, learning rate 0.008; 1 x 6 lstm\n" in ran.err
    assert "4 of 4: 1 x 6 lstm, seed 1" in ran.err and "4 of 4" not in ran.text
    assert not controls(ran.text)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot send a signal to one process alone")
@pytest.mark.parametrize(("number", "code", "keep"), [("SIGINT", 130, ["--run", "cells"]), ("SIGTERM", 143, [])])
def test_after_ctrl_c_the_same_command_continues_or_what_is_not_kept_is_shown(
    number: str, code: int, keep: list[str]
) -> None:
    command = ("compare", "fable.txt", *TINY, "--threads", "1", "--steps", "100", "--cells", "rnn,gru")
    process = start(*command, *keep)
    assert process.stderr is not None
    assert any(line.startswith(b"2 of 2") for line in process.stderr)
    process.send_signal(getattr(signal, number))
    out, err = process.communicate()
    assert process.returncode == code
    if not keep:
        assert b"1 x 6 rnn" in out and b"gru" not in out and b"--run NAME" in err
        return
    assert b"1 of 2" in err
    assert out == b""
    found = [done(*command, *more, "--json").json_lines[0]["networks"] for more in (keep, [])]
    for network in (*found[0], *found[1]):
        for name in [name for name in network if "per_second" in name]:
            del network[name]
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("arguments", "said", "refused"),
    [
        ("--cells rnn,tanh", "--cells", usage_error),
        ("--layers one", "--layers", usage_error),
        ("--hidden-size 8 --parameters 9k", "--hidden-size", usage_error),
        ("--steps 5 --time 1m", "--time", usage_error),
        ("--lags 10", "--lags", usage_error),
        ("--task poems", "'poems'", usage_error),
        ("--task recall", "TEXT", usage_error),
        ("--seeds 2000", "--seeds 2000", problem),
        ("--cells rnn,rnn", "--cells", problem),
        ("--layers 0", "--layers 0", problem),
        ("--parameters 5 --steps 5 --threads 1", "--parameters 5", problem),
        ("--run a/b", "--run a/b", problem),
        ("--validation 0 --steps 5 --threads 1", "fable.txt", problem),
    ],
)
def test_choices_that_cannot_work_are_refused(arguments: str, said: str, refused: Callable[..., str]) -> None:
    assert said in refused("compare", "fable.txt", *arguments.split())
    problem("compare", "-", *QUICK)


@pytest.mark.parametrize(
    ("arguments", "said", "refused"),
    [
        ("--run a", "--run", usage_error),
        ("--learning-rate 0.1", "--learning-rate", usage_error),
        ("--attention 0,8", "--attention", usage_error),
        ("--hidden-size 8 --parameters 9k", "--hidden-size", usage_error),
        ("--parameters 50", "--parameters 50", problem),
        ("--lags ten", "--lags", usage_error),
        ("--seeds 0", "--seeds", usage_error),
        ("--steps 0", "--steps", problem),
        ("--lags 1,10", "--lags", problem),
        ("--cells rnn,rnn", "--cells", problem),
        ("--layers 2000", "--layers 2000", problem),
    ],
)
def test_choices_that_recall_cannot_have_are_refused(arguments: str, said: str, refused: Callable[..., str]) -> None:
    assert said in refused("compare", "--task", "recall", *arguments.split())


# Recall


def recall(*arguments: object) -> Any:
    return done("compare", "--task", "recall", "--hidden-size", 4, "--seeds", 2, "--steps", 2, *arguments)


def test_json_has_an_entry_for_each_network_and_lag() -> None:
    ran = recall("--json", "--quiet", "--cells", "gru,rnn", "--lags", "3,5", "--attention", 6)
    (found,) = ran.json_lines
    assert (found["task"], found["budget"]) == ("recall", {"amount": 2, "unit": "steps"})
    networks = found["networks"]
    named = [(entry["cell"], entry["attention"], entry["lag"]) for entry in networks]
    assert named == [(*network, lag) for network in (("gru", 0), ("rnn", 0), ("gru", 6)) for lag in (3, 5)]
    for entry in networks:
        assert entry["accuracy"] == pytest.approx(sum(entry["accuracy_by_seed"]) / 2)
        assert (entry["accuracies"], entry["hidden_size"]) == (entry["accuracy_by_seed"], 4)
        assert (entry["seeds"], entry["questions"], entry["steps"]) == (2, 2000, 2)
        assert (entry["chance"], entry["updates_to_95"]) == (CHANCE, None)
        assert 2 <= entry["longest_lag"] <= 5 and entry["gradient"] > 0
    assert ran.err == ""


def test_each_network_has_rows_for_its_seeds_its_updates_and_its_gradient() -> None:
    ran = recall("--cells", "coupled", "--lags", "10,25,50,100,200")
    lines = ran.text.splitlines()
    header = next(number for number, line in enumerate(lines) if line.startswith("% right at lag"))
    assert lines[header].split()[4:] == ["10", "25", "50", "100", "200"]
    names = [line.strip().split("  ")[0] for line in lines[header + 1 : header + 11]]
    rows = ["seed 0", "seed 1", "updates until 95%", "gradient"]
    assert names == ["coupled", *rows, "coupled, attention 201", *rows]
    assert all(len(line) <= 80 for line in lines[header : header + 11])


def test_marks_say_what_holds_and_what_is_at_chance(capsys: pytest.CaptureFixture[str]) -> None:
    config = RecallConfig(cells=(CellKind.RNN,), attention=0, lags=(10, 20, 30))
    (model,) = config.models()
    runs = [
        RecallMeasured(
            model,
            seed,
            parameters=8400,
            steps=400,
            seconds=1.0,
            longest_lag=30 - seed,
            accuracy={10: 0.999 - 0.01 * seed, 20: 0.3, 30: 0.039},
            updates={10: 50 + 25 * seed} | ({20: 75} if seed else {}),
            gradient={10: 10.0**-seed, 20: 1e-18, 30: 0.0},
        )
        for seed in range(3)
    ]
    print_report(recall_report(config, runs))
    lines = capsys.readouterr().out.splitlines()
    (number,) = (number for number, line in enumerate(lines) if line.startswith("rnn") and "*" in line)
    assert lines[number].split() == ["rnn", "98.9", "*", "30.0", "3.9", "-"]
    assert [line.split()[-3:] for line in lines[number + 1 : number + 6]] == [
        ["99.9", "30.0", "3.9"],
        ["98.9", "30.0", "3.9"],
        ["97.9", "30.0", "3.9"],
        ["100", "never", "never"],
        ["1e-01", "1e-18", "0e+00"],
    ]
    assert lines[-1].split() == ["rnn", str(model.hidden_size), "8,400", "28", "1"]
    first = recall_json(config, runs)["networks"][0]
    assert (first["accuracy"], first["longest_lag"]) == (pytest.approx(0.989), 28)
    assert (first["updates_to_95"], first["gradient"]) == (100, 0.1)
    assert [each["updates_to_95"] for each in recall_json(config, runs)["networks"][1:]] == [None, None]


def test_one_seed_that_fails_is_not_holding() -> None:
    assert holds([0.95, 1.0], 1000) is True
    assert holds([0.94, 1.0], 1000) is None
    assert holds([CHANCE, CHANCE], 1000) is False
    assert holds([0.08, 0.08], 1000) is None


@pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot send Ctrl-C to one process alone")
def test_ctrl_c_ends_it_with_130_and_no_traceback() -> None:
    process = start("compare", "--task", "recall", "--steps", 10, "--seeds", 1000, "--lags", 5)
    assert process.stderr is not None
    assert b"rnn, seed 0: " in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    out, message = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, b"")
    assert b"Traceback" not in message
