"""Locales, widths of terminals, limits of memory, and what file systems refuse."""

import errno
import locale
import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest

from lstmgen.cli import environment
from lstmgen.cli.environment import as_typed, out_of_memory, show_colours, use_readable_size
from lstmgen.errors import unwritable
from tests.command_line import done, problem, run, run_of_text, untrained_run

pytestmark = pytest.mark.usefixtures("nowhere")
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="Windows has neither such locales nor such limits")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has one error for all of them")
@pytest.mark.parametrize("length", ["9", "-1"])
def test_what_cannot_be_written_is_told_with_a_remedy_for_its_cause(length: str) -> None:
    untrained_run("mine", "ab\n")
    Path("file").touch()
    told = {problem("sample", "mine", "-n", length, "-o", name) for name in ("no/such", "file/text", "x" * 5000)}
    assert len({line.rpartition("; ")[2] for line in told}) == 3
    assert unwritable(OSError("the cable is loose")).startswith("the cable is loose; ")  # it has no number
    assert unwritable(OSError()).startswith("OSError; ")


WIDTHS = [("0", None), ("-5", None), ("x", None), ("", None), ("²", None), ("1", 20), ("20", 20), ("70", 70)]


@pytest.mark.parametrize(("given", "columns"), [*WIDTHS, ("9" * 20, 1000)])
def test_a_width_is_one_to_read_text_in(given: str, columns: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "_terminal_columns", lambda: 0)
    for name in ("COLUMNS", "LINES", "TERMINAL_WIDTH"):
        monkeypatch.setenv(name, given)
    for command, code in ((["--help"], 0), (["sample", "--nope"], 2)):
        ran = run(*command)
        assert ran.code == code
        written = ran.text + ran.err
        assert "Usage:" in written
        assert all(len(line) <= (columns or 80) or len(line.split()) == 1 for line in written.splitlines())
    assert os.environ.get("COLUMNS") == (columns and str(columns))
    for terminal, wider in (0, None), (1, "20"), (19, "20"), (20, None), (300, None):
        monkeypatch.setattr(environment, "_terminal_columns", lambda terminal=terminal: terminal)
        monkeypatch.setenv("COLUMNS", "0")
        use_readable_size()
        assert os.environ.get("COLUMNS") == wider


def test_a_terminal_of_windows_is_told_to_show_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    monkeypatch.setitem(
        sys.modules, "colorama", SimpleNamespace(just_fix_windows_console=lambda: calls.append("fixed"))
    )
    show_colours()
    assert (sys.platform == "win32") == bool(calls)
    monkeypatch.setattr(sys, "platform", "win32")
    show_colours()
    assert calls[-1:] == ["fixed"]
    monkeypatch.setitem(sys.modules, "colorama", None)  # it is not installed
    show_colours()


@POSIX
@pytest.mark.parametrize(
    ("encoding", "text"),
    [("iso-8859-1", "\u00cb\u00dc"), ("euc-jp", "\u672c"), ("utf-8", None), ("ascii", None), ("no-such", None)],
)
def test_an_argument_is_what_was_typed(encoding: str, text: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """UTF-8 if it is that; otherwise what the locale says, or the bytes that nobody can read."""
    monkeypatch.setattr(locale, "getencoding", lambda: encoding)
    assert as_typed("caf\u00e9") == "caf\u00e9"
    typed = os.fsdecode("\u672c".encode("euc-jp"))
    assert as_typed(typed) == (text or typed)
    try:
        Path(typed).touch()
    except OSError:
        pytest.skip("this file system has names in UTF-8 only")
    assert as_typed(typed) == typed  # the name of a file that exists stays
    assert as_typed(f"--prompt-file={typed}") == f"--prompt-file={typed}"
    assert as_typed(f"--prompt={typed} ") == f"--prompt={text or typed} "


@POSIX
def test_the_locale_does_not_matter() -> None:
    """The names of a run and of its text, a prompt and what is written; in a locale that has only ASCII."""
    run_of_text("été", "un café à Noël\n" * 20)
    ascii_only = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}

    def ask(*command: str) -> str:
        line = [sys.executable, "-m", "lstmgen", *command]
        asked = subprocess.run(line, env=os.environ | ascii_only, capture_output=True, check=False)
        assert asked.returncode == 0, asked.stderr
        return asked.stdout.decode("utf-8")

    assert ask("sample", "été", "-p", "café", "-n", "0") == done("sample", "été", "-p", "café", "-n", "0").text
    assert ask("eval", "été", "--json") == done("eval", "été", "--json").text


def test_a_name_is_the_same_with_combining_accents() -> None:
    untrained_run("\u00e9t\u00e9", "ab\n")
    assert done("info", "e\u0301te\u0301").text.startswith("checkpoint")
    assert "exist" in problem("train", "--run", "e\u0301te\u0301", "--steps", 1)
    assert "exist" in problem("train", "--run", "\u00e9t\u00e9", "--steps", 1)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"), True),
        (RuntimeError("std::bad_alloc"), True),
        (RuntimeError("can't start new thread"), True),
        (ImportError("libtorch_cpu.so: failed to map segment from shared object"), True),
        (SystemError("<built-in function x> returned NULL without setting an exception"), True),
        (ValueError("memory"), False),
        (OSError(errno.ENOSPC, "full"), False),
        (KeyError("memory"), False),
    ],
)
def test_memory_that_runs_out_is_recognised(error: Exception, expected: bool) -> None:
    outer = ImportError("see the advice")
    outer.__cause__ = error
    for told in (out_of_memory(error), out_of_memory(outer)):
        assert (told or "").startswith("out of memory") == expected


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems do not keep to this limit")
@pytest.mark.parametrize(("megabytes", "command"), [(60, ["runs"]), (650, ["train", "text.txt", "--steps", "1"])])
def test_under_a_tight_limit_a_command_says_so_in_one_line(megabytes: int, command: list[str]) -> None:
    import resource

    Path("text.txt").write_text("some text\n" * 50, encoding="utf-8")
    limit = partial(resource.setrlimit, resource.RLIMIT_AS, (megabytes << 20, megabytes << 20))
    line = [sys.executable, "-m", "lstmgen", *command]
    ran = subprocess.run(line, preexec_fn=limit, capture_output=True, check=False)
    assert (ran.returncode, ran.stdout) == (1, b"")
    assert ran.stderr.startswith(b"lstmgen: out of memory: ulimit -v allows") and ran.stderr.count(b"\n") == 1
