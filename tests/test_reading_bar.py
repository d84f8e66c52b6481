"""The bar while a text is read: on a terminal, and only if reading takes a while."""

import io
import sys
from itertools import count

import pytest

from lstmgen.cli.reading_bar import reading_bar


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(stream: io.StringIO, monkeypatch: pytest.MonkeyPatch, *, seconds: float, quiet: bool = False) -> str:
    """What is written while a text of 100 blocks is read, on a clock that advances by itself."""
    clock = count()
    monkeypatch.setattr("tqdm.std.time", lambda: next(clock) * seconds / 100)
    monkeypatch.setattr(sys, "stderr", stream)
    with reading_bar(quiet) as progress:
        for block in range(1, 101):
            progress(block * 1000, 100_000)
    return stream.getvalue()


def test_a_long_reading_has_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    text = shown(Terminal(), monkeypatch, seconds=20)
    assert "reading the text" in text
    assert "100%" in text


def test_otherwise_nothing_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown(io.StringIO(), monkeypatch, seconds=20) == ""
    assert shown(Terminal(), monkeypatch, seconds=20, quiet=True) == ""
    assert "reading" not in shown(Terminal(), monkeypatch, seconds=0.1)
