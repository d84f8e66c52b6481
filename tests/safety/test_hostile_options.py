"""No value of an option leads to a traceback, to more than a few lines, or to more memory than the machine has.

The options are read from the command line itself, so a new option is tried without a change here.
"""

import ctypes
import gc
import random
import socket
from collections.abc import Callable
from contextlib import suppress
from enum import StrEnum
from functools import cache, partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, get_args, get_origin

import pytest
import typer

from lstmgen import benchmark
from lstmgen.cli.app import app
from lstmgen.export import onnx_models
from lstmgen.generation.engine import NumpyEngine
from lstmgen.printable import MESSAGE_LENGTH
from lstmgen.serving import server
from lstmgen.training.trainer import Trainer
from tests.command_line import Ran, controls, run, run_of_text

resource = pytest.importorskip("resource")

TEXT = "A fox saw grapes on a vine.\nThe grapes hung high.\n\nThe fox left: sour, said the fox.\n" * 3

INTEGERS = [
    *("0", "1", "2", "3", "7", "60", "1000", "500", "65536", "10000000", "-1", "-7"),
    *(str(2**31), str(2**32), str(2**53 + 1), str(2**63 - 1), str(2**63), str(2**64), str(-(2**63)), str(10**21)),
]
NUMBERS = [
    *INTEGERS,
    *("0.5", "0.999", "1.5", "-0.5", "nan", "inf", "-inf", "1e308", "-1e308", "1e-308", "1e400", "1e21", "9" * 400),
]
WORDS = [
    *("9" * 5000, "0x10", "1_0", "\u0663", "2M", "999999999G", "1h30m", "9" * 400 + "h", "1.2.3", "1.1", "1,2", "0,0"),
    *(",", "", " ", "-", "--", "a\nb", "fable", "names", "rnn", "lstm,gru", "input", "\x1b[31m", "\u202eabc", "\udcff"),
    *("x" * 3000, "../..", "a/b", "(a", "[", "[a-]", "a.*|b+", "utf-16", "idna", "hex", "new", "new.png", "/dev/null"),
]

TINY = ["--hidden-size", "4", "--layers", "1", "--embedding-size", "2", "--precision", "float32", "--threads", "1"]
BASES: dict[str, list[list[str]]] = {
    "train": [
        ["fable.txt", "--steps", "1", *TINY],
        ["fable.txt", "--steps", "1", "--dry-run", *TINY],
        ["fable.txt", "--steps", "2", "--lines", *TINY],
        ["fable.txt", "--steps", "1", "--from", "names", "--precision", "float32", "--threads", "1"],
    ],
    "sample": [["fable", "-n", "3"], ["names", "-n", "9", "--samples", "2"], ["fable", "-n", "5", "--match", "[a-f]+"]],
    "eval": [["fable", "fable.txt"], ["names"], ["fable", "--novelty", "-n", "20", "--no-baselines"]],
    "score": [["fable", "fable.txt"], ["fable", "fable.txt", "--lines"], ["fable", "fable.txt", "--characters"]],
    "inspect": [["fable", "--walk", "fox"], ["fable", "fable.txt", "--gates", "-n", "9"]],
    "compare": [["fable.txt", "--steps", "1", "--cells", "rnn", "--hidden-size", "3", "--layers", "1"]],
    "export": [["fable", "--torch", "new.pt"], ["fable", "--html", "new.html"], ["fable"]],
    "serve": [["fable", "--port", "0"]],
    "bench": [["--hidden-size", "8", "--cell", "rnn", "--layers", "1", "--batch-size", "1", "--chunk-length", "2"]],
    "runs": [[], ["fable"]],
    "info": [["fable"], []],
}
"""For each command, arguments with which it works."""

WORK = 3000
"""How many tokens a command may read, write or learn from; then it is interrupted as Ctrl-C would."""


class Option(NamedTuple):
    """An option, and values for it; none: it takes no value."""

    name: str
    values: list[str]


@cache
def options() -> dict[str, list[Option]]:
    """The options of each command; without those that end it (--help) or wait for a user (--interactive)."""
    commands: Any = typer.main.get_command(app)
    return {
        name: [
            Option(each.opts[0], values(each))
            for each in command.params
            if each.param_type_name == "option" and each.name not in ("help", "interactive")
        ]
        for name, command in commands.commands.items()
    }


def values(option: Any) -> list[str]:
    """Values for an option, most of them of its type, but many out of its bounds."""
    if option.is_flag:
        return []
    kind = option.type_descriptor.annotation
    kind = get_args(kind)[0] if get_origin(kind) is list else kind
    if issubclass(kind, StrEnum):
        return [*kind]
    return {int: INTEGERS, float: NUMBERS}.get(kind, NUMBERS + WORDS)


class Work:
    """Counts the tokens that a command works on."""

    def __init__(self) -> None:
        self.left = WORK

    def limit(self, patch: pytest.MonkeyPatch, owner: type, name: str, tokens: Callable[[Any], int]) -> None:
        """Interrupt a command that has worked enough, when it calls this method, whose first argument has tokens."""
        method = getattr(owner, name)

        def limited(self_: Any, read: Any, *more: Any, **rest: Any) -> Any:
            if self.left < 0:
                raise KeyboardInterrupt
            self.left -= tokens(read)
            return method(self_, read, *more, **rest)

        patch.setattr(owner, name, limited)


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Work:
    """A folder with two tiny runs; a command that works on too many tokens is interrupted."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("TERM", "dumb")
    run_of_text("fable", TEXT)
    run_of_text("names", TEXT, lines=True)
    work = Work()
    work.limit(monkeypatch, NumpyEngine, "step", len)
    work.limit(monkeypatch, NumpyEngine, "read", lambda ids: int(ids.size))
    work.limit(monkeypatch, Trainer, "step", lambda chunk: int(chunk.inputs.size))
    measure = partial(benchmark.measure, effort=benchmark.Effort(rounds=1, round_seconds=0.0, peak_sizes=(8,)))
    monkeypatch.setattr(benchmark, "measure", lambda *arguments: islice(measure(*arguments), 1))
    monkeypatch.setattr(onnx_models, "onnx_files", lambda *_: (b"", b""))  # it takes seconds
    monkeypatch.setattr(server.HttpServer, "run", lambda *_: None)  # it would wait for Ctrl-C
    numeric_addresses = partial(socket.getaddrinfo, flags=socket.AI_NUMERICHOST)  # asks no network for a name
    monkeypatch.setattr(socket, "getaddrinfo", numeric_addresses)
    return work


def hostile_command(generator: random.Random) -> list[str]:
    """A command line that works, and one to three options with values that nobody would choose."""
    command = generator.choice([name for name in BASES for _ in options()[name]])
    line = [command, *generator.choice(BASES[command])]
    for option in generator.choices(options()[command], k=generator.choice([1, 1, 1, 2, 3])):
        value = generator.choice(WORDS if generator.random() < 0.05 else option.values or [""])
        line += [option.name if not option.values else f"{option.name}={value}"]
    return line


def problem_with(line: list[str], work: Work, *, terminal: bool) -> str | None:
    """What is wrong with how a command line ended; None: nothing."""
    work.left = WORK
    try:
        ran: Ran = run(*line, stdin=b"", terminal=terminal)
    except BaseException as error:  # a traceback
        return f"{type(error).__name__}: {error}"
    if ran.code not in (0, 1, 2) and not (ran.code == 130 and work.left < 0):
        return f"exit code {ran.code}"
    if ran.code == 1:
        line_of_error = ran.err.splitlines()[-1]
        if not line_of_error.startswith("lstmgen: ") or len(line_of_error) > MESSAGE_LENGTH + 50:
            return f"error {line_of_error[:200]!r}"
    if terminal and controls(ran.err.replace("\r", "")):
        return f"control characters {ran.err!r:.300}"
    return "traceback" if "Traceback" in ran.err else None


def test_no_value_of_an_option_leads_to_a_traceback(work: Work, trials: Callable[[int, int], int]) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for seed in range(trials(30, 6000)):
        generator = random.Random(seed)
        line = hostile_command(generator)
        found = problem_with(line, work, terminal=generator.random() < 0.5)
        assert found is None, f"seed {seed}: lstmgen {line!r:.500}: {found}"
        gc.collect()
        with suppress(OSError, AttributeError):  # another C library than glibc keeps what is freed, and it adds up
            ctypes.CDLL(None).malloc_trim(0)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 600_000, f"memory grew by {grown:,} kB"
