"""How tests run the command line, and runs for it that need no training."""

import io
import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

import pytest

import lstmgen
from lstmgen.checkpoint import BEST, LOG, Checkpoint, save_checkpoint
from lstmgen.cli.app import main
from lstmgen.config import ModelConfig, Precision, TextConfig, TrainingConfig, VocabularyKind
from lstmgen.network.architecture import build_network
from lstmgen.record import TrainingRecord
from lstmgen.text.corpus import read_corpus
from lstmgen.text.vocabulary import Vocabulary
from tests.conftest import random_weights, single


class _Bytes(io.BytesIO):
    """The bytes of a standard stream; perhaps a terminal."""

    terminal = False

    def isatty(self) -> bool:
        return self.terminal


class _Stream(io.TextIOWrapper):
    """A standard stream that remembers its bytes; perhaps a terminal."""

    def __init__(self, content: bytes = b"", *, terminal: bool = False) -> None:
        content_stream = _Bytes(content)
        content_stream.terminal = terminal
        super().__init__(content_stream, encoding="utf-8", newline="")

    def written(self) -> bytes:
        self.flush()
        assert isinstance(self.buffer, io.BytesIO)
        return self.buffer.getvalue()


@dataclass(frozen=True)
class Ran:
    """What a command wrote, and its exit code."""

    code: object
    out: bytes
    err: str

    @property
    def text(self) -> str:
        return self.out.decode("utf-8").replace(os.linesep, "\n")

    @property
    def json_lines(self) -> list[dict[str, Any]]:
        return [json.loads(line, parse_constant=_refuse) for line in self.text.splitlines()]


def run(*arguments: object, stdin: bytes | None = None, terminal: bool = False) -> Ran:
    """Run a command in this process; `terminal`: stdout and stderr are one."""
    out, err = _Stream(terminal=terminal), _Stream(terminal=terminal)
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        if stdin is not None:
            patch.setattr(sys, "stdin", _Stream(stdin))
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
    code = ended.value.code
    return Ran(0 if code is None else code, out.written(), err.written().decode("utf-8"))


def done(*arguments: object, stdin: bytes | None = None, terminal: bool = False) -> Ran:
    """Run a command that succeeds."""
    ran = run(*arguments, stdin=stdin, terminal=terminal)
    assert ran.code == 0, ran.err
    return ran


def evaluated(*arguments: object, stdin: bytes | None = None) -> dict[str, Any]:
    """What `lstmgen eval` says of one checkpoint."""
    (found,) = done("eval", *arguments, "--json", stdin=stdin).json_lines
    return found


def problem(*arguments: object, stdin: bytes | None = None, terminal: bool = False) -> str:
    """Run a command that meets a problem the user can fix; the one line it says, which is wrapped on a terminal."""
    ran = run(*arguments, stdin=stdin, terminal=terminal)
    assert (ran.code, ran.out) == (1, b""), ran
    line = ran.err.removesuffix("\n")
    assert line.startswith("lstmgen: ") and (terminal or len(line.splitlines()) == 1), ran.err
    return line


def usage_error(*arguments: object) -> str:
    """Run a command that is used wrongly; what it says, without the frame around it."""
    ran = run(*arguments)
    assert (ran.code, ran.out) == (2, b""), ran
    assert "Traceback" not in ran.err
    return " ".join(ran.err.replace("│", " ").split())


def start(*arguments: object, **options: Any) -> subprocess.Popen[bytes]:
    """Start a command in a process of its own. It is killed after two minutes: no test waits forever."""
    process = subprocess.Popen(
        [sys.executable, "-m", "lstmgen", *map(str, arguments)],
        stdout=options.pop("stdout", subprocess.PIPE),
        stderr=subprocess.PIPE,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(lstmgen.__file__).parent.parent)},
        **options,
    )
    watchdog = threading.Timer(120, process.kill)
    watchdog.daemon = True  # the tests may end before it
    watchdog.start()
    return process


def serve_shortly(*arguments: object) -> None:
    """Run `lstmgen serve` in a process of its own until it is ready, on any free port; then end it."""
    process = start("serve", *arguments, "--port", "0", "--json")
    assert process.stdout is not None
    ready = process.stdout.readline()
    process.terminate()
    _, err = process.communicate()
    ended = 1 if sys.platform == "win32" else 143  # Windows ends a process without a signal
    assert b"http://" in ready and process.returncode == ended, err.decode()


def untrained_checkpoint(vocabulary: Vocabulary, *, lines: bool = False, **model: Any) -> Checkpoint:
    """A checkpoint with random weights, so that its text is noise of its vocabulary."""
    config = ModelConfig(**{"hidden_size": 8, "num_layers": 1, "embedding_size": 4, **model})
    weights = single(random_weights(build_network(config, len(vocabulary))))
    text = TextConfig(sources=("nowhere.txt",), vocabulary=vocabulary.kind, lines=lines)
    record = TrainingRecord(
        text=text,
        text_sha256="0" * 64,
        text_symbols=100,
        training=TrainingConfig(),
        precision=Precision.FLOAT32,
        device="cpu",
        threads=1,
    )
    return Checkpoint(config, vocabulary, weights, record)


def untrained_run(name: str, characters: str | None, *, lines: bool = False, **model: Any) -> Path:
    """A run in `checkpoints/` with random weights, over characters or, for None, bytes; its checkpoint."""
    kind = VocabularyKind.BYTES if characters is None else VocabularyKind.CHARACTERS
    return _saved(name, untrained_checkpoint(Vocabulary(kind, characters or ""), lines=lines, **model))


def run_of_text(name: str, text: str, *, lines: bool = False, **model: Any) -> Path:
    """A run in `checkpoints/` with random weights that says it was trained on a file that holds this text."""
    config = TextConfig(sources=(f"{name}.txt",), lines=lines)
    Path(f"{name}.txt").write_text(text, encoding="utf-8", newline="")
    corpus = read_corpus(config)
    checkpoint = untrained_checkpoint(corpus.vocabulary, lines=lines, **model)
    record = replace(checkpoint.record, text=config, text_sha256=corpus.sha256, text_symbols=len(corpus.ids))
    return _saved(name, replace(checkpoint, record=record))


def _saved(name: str, checkpoint: Checkpoint) -> Path:
    path = Path("checkpoints", name, BEST)
    path.parent.mkdir(parents=True)
    save_checkpoint(checkpoint, path)
    return path


def step_event(step: int, nats: float | None) -> dict[str, Any]:
    """A step as the log keeps it."""
    return {"event": "step", "step": step, "epoch": step / 100, "seconds": step / 10, "nats": nats}


def evaluation_event(step: int, training_nats: float | None, validation_nats: float | None) -> dict[str, Any]:
    """An evaluation as the log keeps it."""
    losses = {"training_nats": training_nats, "validation_nats": validation_nats}
    return {"event": "evaluation", "step": step, "epoch": step / 100, "seconds": step / 10, **losses}


def write_log(run: Path, *events: Mapping[str, Any]) -> None:
    """Give a run's folder a log of these events."""
    lines = (json.dumps(event) + "\n" for event in events)
    (run / LOG).write_text("".join(lines), encoding="utf-8")


def files_below(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, byte for byte."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def controls(text: str) -> set[str]:
    """The characters of a text that a terminal would obey; line feeds and tabs aside."""
    return {character for character in text if character < " " or "\x7f" <= character < "\xa0"} - {"\n", "\t"}


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")
