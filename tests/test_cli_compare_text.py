"""`lstmgen compare TEXT`: the table, JSON, wrong options, Ctrl-C."""

import re
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.command_line import controls, done, problem, start, usage_error
from tests.conftest import FABLE

TINY = ("--layers", "1", "--hidden-size", "6", "--batch-size", "4", "--chunk-length", "16", "--precision", "float32")
QUICK = (*TINY, "--threads", "1", "--steps", "8")


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("fable.txt").write_text(FABLE * 20, encoding="utf-8")


def networks(*arguments: object) -> list[dict[str, Any]]:
    (found,) = done("compare", "fable.txt", *QUICK, *arguments, "--json").json_lines
    return list(found["networks"])


def without_speed(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in each.items() if "per_second" not in name} for each in found]


def test_json_has_a_network_for_every_combination() -> None:
    found = networks("--cells", "rnn,gru", "--attention", "0,4", "--seeds", "2")
    assert [(each["cell"], each["attention"]) for each in found] == [("rnn", 0), ("rnn", 4), ("gru", 0), ("gru", 4)]
    for each in found:
        assert {"parameters", "spread", "characters_per_second", "memory_reach"} <= each.keys()
        assert (each["seeds"], each["layers"], each["hidden_size"]) == (2, 1, 6)
        assert sum(each["nats_per_character_by_seed"]) / 2 == pytest.approx(each["nats_per_character"])
    assert min(each["behind_best"]["nats"] for each in found) == 0


def test_one_seed_has_no_spread() -> None:
    (found,) = networks("--cells", "rnn")
    assert (found["spread"], found["seeds"]) == (None, 1)


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


def test_one_network_alone_is_not_compared() -> None:
    ran = done("compare", "fable.txt", *QUICK, "--cells", "rnn", "--quiet")
    assert "1 x 6 rnn" in ran.text and "The best" not in ran.text
    assert ran.err == ""


def test_without_a_name_nothing_is_kept() -> None:
    networks("--cells", "rnn")
    assert not Path("checkpoints").exists()


def test_its_folder_does_not_confuse_runs() -> None:
    networks("--cells", "rnn", "--run", "cells")
    assert done("runs").text == ""
    problem("sample")
    assert done("sample", "cells/rnn-1", "-n", "5", "--quiet").text


def test_after_ctrl_c_the_same_command_goes_on() -> None:
    command = ("compare", "fable.txt", *TINY, "--threads", "1", "--steps", "100", "--cells", "rnn,gru")
    process = start(*command, "--run", "cells")
    assert process.stderr is not None and process.stdout is not None
    for line in process.stderr:
        if line.startswith(b"2 of 2"):
            break
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    assert process.returncode == 130
    assert "stopped: 1 of 2 are trained and measured; the same command goes on from here" in err.decode()
    assert out == b""
    ((continued,), (whole,)) = (done(*command, *more, "--json").json_lines for more in (("--run", "cells"), ()))
    assert without_speed(continued["networks"]) == without_speed(whole["networks"])


def test_what_is_not_kept_is_shown_after_ctrl_c() -> None:
    process = start("compare", "fable.txt", *TINY, "--threads", "1", "--steps", "300", "--cells", "rnn,gru")
    assert process.stderr is not None and process.stdout is not None
    for line in process.stderr:
        if line.startswith(b"2 of 2"):
            break
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate()
    assert process.returncode == 143
    assert "1 x 6 rnn" in out.decode() and "gru" not in out.decode()
    assert "give --run NAME to keep the networks, and to go on" in err.decode()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--cells", "rnn,tanh"), "--cells"),
        (("--layers", "one"), "--layers one"),
        (("--hidden-size", "8", "--parameters", "9k"), "--hidden-size"),
        (("--steps", "5", "--time", "1m"), "--time"),
        (("--lags", "10"), "--lags"),
        (("--task", "recall", "--run", "a"), "--task"),
        (("--task", "recall", "--learning-rate", "0.1"), "--learning-rate"),
    ],
)
def test_options_that_do_not_go_together_are_wrong_usage(arguments: tuple[str, ...], message: str) -> None:
    assert message in usage_error("compare", "fable.txt", *arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--seeds", "2000"), "--seeds 2000"),
        (("--cells", "rnn,rnn"), "--cells"),
        (("--layers", "0"), "--layers 0"),
        (("--parameters", "5", "--steps", "5", "--threads", "1"), "--parameters 5"),
        (("--run", "a/b"), "--run a/b"),
        (("--validation", "0", "--steps", "5", "--threads", "1"), "fable.txt"),
    ],
)
def test_choices_that_cannot_work_are_problems_of_one_line(arguments: tuple[str, ...], message: str) -> None:
    assert message in problem("compare", "fable.txt", *arguments)


def test_other_options_on_the_same_name_are_refused() -> None:
    networks("--cells", "rnn", "--run", "cells")
    assert "--run cells" in problem("compare", "fable.txt", *QUICK, "--cells", "gru", "--run", "cells")


def test_standard_input_is_refused() -> None:
    problem("compare", "-", *QUICK)
