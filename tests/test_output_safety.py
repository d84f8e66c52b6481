"""Sampled text on a terminal, in a pipe and in a file."""

from pathlib import Path

import pytest

from tests.command_line import controls, done, problem, untrained_run

HOSTILE = "\x1b[\x07\x9b\r\u202e\nab"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder with a model that writes escape sequences, and one that writes any bytes."""
    monkeypatch.chdir(tmp_path)
    untrained_run("hostile", HOSTILE)
    untrained_run("octets", None)
    return tmp_path


@pytest.mark.parametrize(
    "choices", [[], ["--json"], ["--samples", "3"], ["-p", "\x1b[a"], ["--temp", "0", "-p", "\x9b"]]
)
@pytest.mark.parametrize("name", ["hostile", "octets"])
def test_a_terminal_gets_no_control_characters(name: str, choices: list[str]) -> None:
    ran = done("sample", name, "-n", 300, "--seed", 1, *choices, terminal=True)
    assert controls(ran.text + ran.err) == set()
    assert "\u202e" not in ran.text
    assert ran.text.endswith("\n")  # the prompt of the shell begins on a line of its own


def test_a_pipe_gets_the_exact_bytes() -> None:
    text = done("sample", "hostile", "-n", 500, "--seed", 1).out.decode("utf-8")
    assert len(text) == 500
    assert set(text) == set(HOSTILE)


def test_a_model_of_bytes_writes_so_many_bytes_to_a_pipe() -> None:
    written = done("sample", "octets", "-n", 4000, "--seed", 1).out
    assert len(written) == 4000
    assert len(set(written)) > 100
    assert written != written.decode("utf-8", "replace").encode("utf-8")


def test_a_model_of_bytes_takes_a_prompt_that_is_not_utf_8() -> None:
    assert done("sample", "octets", "-p", "\udcff", "-n", 0, "--seed", 1).out == b"\xff"
    (sample,) = done("sample", "octets", "-p", "\udcff", "-n", 3, "--seed", 1, "--json").json_lines
    assert sample["text"].startswith("\ufffd")


@pytest.mark.parametrize("name", ["hostile", "octets"])
@pytest.mark.parametrize("choices", [[], ["--json"], ["--samples", "3"]])
def test_a_file_gets_what_a_pipe_would(name: str, choices: list[str]) -> None:
    wanted = done("sample", name, "-n", 200, "--seed", 1, *choices)
    ran = done("sample", name, "-n", 200, "--seed", 1, *choices, "-o", "text.out", terminal=True)
    assert (ran.out, ran.err) == (b"", "")
    assert Path("text.out").read_bytes() == wanted.out


def test_a_file_is_never_overwritten() -> None:
    Path("text.out").write_bytes(b"mine")
    assert "exists" in problem("sample", "hostile", "-o", "text.out", "--seed", 1)
    assert Path("text.out").read_bytes() == b"mine"


@pytest.mark.parametrize(
    "arguments",
    [["-o", "no/such/folder.txt"], ["-o", "checkpoints"], ["-p", "unknown", "-o", "new.txt"], ["-o", "x" * 5000]],
)
def test_a_problem_leaves_no_file_behind(arguments: list[str], folder: Path) -> None:
    before = set(folder.iterdir())
    problem("sample", "hostile", "--seed", 1, *arguments)
    assert set(folder.iterdir()) == before


def test_facts_on_a_terminal_hold_no_control_characters(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")  # so that what is left of control characters is not our own colour
    for arguments in (["info"], ["info", "--json"], ["runs"], ["runs", "--json"]):
        assert controls(done(*arguments, terminal=True).text) == set()
    (folder / "text.txt").write_text(HOSTILE * 9, encoding="utf-8", newline="")
    for arguments in (["eval", "hostile", "text.txt"], ["eval", "hostile", "text.txt", "--json"]):
        ran = done(*arguments, terminal=True)
        assert controls(ran.text + ran.err.replace("\r", "")) == set()
