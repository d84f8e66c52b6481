"""What a stranger's file says is shown as one printable line of bounded length: in errors, tables and pages."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import save_file

import lstmgen
from lstmgen.checkpoint import BEST
from lstmgen.errors import CheckpointError, ConfigError, LstmgenError, TextError
from lstmgen.printable import MESSAGE_LENGTH, message_line
from tests.command_line import controls, problem, run, run_of_text

HOSTILE = "\x1b[31m\x07\x9b\r\n\u202e\u2028\x7f\udcff"
DIRECTIONS = {"\u202e", "\u2028", "\u2066"}


def acts(text: str) -> set[str]:
    """The characters of a message that a terminal would obey, line feeds among them."""
    return controls(text) | ({*text} & ({"\n", "\t"} | DIRECTIONS))


@pytest.fixture
def folder(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder with a run."""
    monkeypatch.setenv("TERM", "dumb")
    run_of_text("fable", "The fox.\n" * 9)
    return nowhere


@given(st.text(st.characters(categories=None) | st.sampled_from(HOSTILE), max_size=50), st.integers(1, 400))
def test_every_message_is_a_printable_line_of_bounded_length(text: str, times: int) -> None:
    for error in (TextError(text * times), ConfigError("hidden_size", text * times, "give less")):
        message = str(error)
        assert len(message) <= MESSAGE_LENGTH
        assert not acts(message)
        assert message.encode("utf-8").decode("utf-8") == message
    assert message.endswith(": give less")


def test_a_short_message_stays_as_it_is_and_a_number_of_too_many_digits_can_be_named() -> None:
    assert str(LstmgenError("fable.txt: ä€𝄞 is 5 > 4; give less")) == "fable.txt: ä€𝄞 is 5 > 4; give less"
    assert message_line("a" * MESSAGE_LENGTH) == "a" * MESSAGE_LENGTH
    assert len(message_line("a" * (MESSAGE_LENGTH + 1))) == MESSAGE_LENGTH
    assert "very large" in str(ConfigError("seed", 10**5000, "give less"))


def test_a_tensor_with_a_hostile_name_is_named_in_printable_form(folder: Path) -> None:
    with safe_open(folder / "checkpoints" / "fable" / BEST, framework="numpy") as file:
        metadata, tensors = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # it is no dict
    for name in ("\x1b[31m" + "x" * 10_000, "\u202e\n"):
        save_file({**tensors, name: np.zeros(1, np.float32)}, "hostile.safetensors", metadata)
        with pytest.raises(CheckpointError) as refused:
            lstmgen.load("hostile.safetensors")
        assert not acts(str(refused.value))
        assert len(str(refused.value)) <= MESSAGE_LENGTH
        assert acts(problem("info", "hostile.safetensors", terminal=True)) <= {"\n"}  # a terminal gets wrapped lines


@pytest.mark.parametrize(
    "arguments",
    [
        *(["\x1b[31mcommand"], ["info", "--\x1b[31moption"], ["info", "a", "\x1b\u202eextra"]),
        *(["inspect", "--walk", "a", "--unit=\x1b[31m"], ["compare", "--cells=\x1b[31m"], ["train", "--time=\x1b[31m"]),
        ["train", f"--steps={'9' * 20_000}"],
    ],
    ids=lambda arguments: arguments[-1][:20].encode("unicode_escape").decode(),
)
@pytest.mark.usefixtures("folder")
def test_wrong_usage_is_told_in_printable_form(arguments: list[str]) -> None:
    ran = run(*arguments, terminal=True)
    assert ran.code == 2
    assert not controls(ran.err) | ({*ran.err} & DIRECTIONS)
    assert len(ran.err) < 5 * MESSAGE_LENGTH
