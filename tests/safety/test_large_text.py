"""Large texts: memory is bounded by the size of a block, not by the size of the text."""

import os
import re
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from lstmgen.config import TextConfig
from lstmgen.text.corpus import read_corpus
from lstmgen.text.streams import build_text

MB = 1_000_000
"""What 2 GB of text may need more than a small text."""


TRAIN = """
import re
import sys
from pathlib import Path
from lstmgen.cli.app import main
try:
    main(sys.argv[1:])
except SystemExit as ended:
    assert not ended.code, ended.code
status = Path("/proc/self/status").read_text()
print(re.search(r"VmHWM:\\s+(\\d+) kB", status)[1])
"""


def write_text(path: Path, size: int) -> None:
    """A text in ASCII of about this size, whose lines differ."""
    line = "def f(x):  # {} a line of a program\n\n    return x + {}\n"
    piece = "".join(line.format(number, number * 7) for number in range(20_000)).encode()
    with path.open("wb") as file:
        for number in range(-(-size // len(piece))):
            file.write(b"# part %d\n" % number + piece)


@pytest.fixture
def small_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything that works block by block has small blocks, and arrays are in files."""
    monkeypatch.setenv("LSTMGEN_CACHE", str(tmp_path / "cache"))
    for name in ("sources.BLOCK_BYTES", "storage.BLOCK", "storage.IN_MEMORY_BYTES"):
        monkeypatch.setattr(f"lstmgen.text.{name}", 1 << 14)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize(("lines", "kind"), [(False, "source"), (True, "source"), (True, "feeds"), (True, "line")])
def test_reading_and_cutting_a_text_needs_memory_for_a_block(lines: bool, kind: str, tmp_path: Path) -> None:
    path = tmp_path / "large.txt"
    size = 8 * MB
    if kind == "source":
        write_text(path, size)
    else:
        path.write_bytes(b"a\nb\n" + (b"\n" if kind == "feeds" else b"x") * size + b"\nc\nd\n")
    config = TextConfig(sources=(str(path),), lines=lines, held_out_seed=0)
    tracemalloc.start()
    corpus = read_corpus(config)
    training, validation = corpus.split(config)
    assert len(training) + len(validation) == len(corpus.ids) >= size
    newline = corpus.vocabulary.newline if lines else None
    text = build_text(training, newline, batch_size=2, chunk_length=16, seed=0)
    next(text.chunks(0))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    table = 5 * MB  # from code points to ids, whatever the text
    assert peak < table + 3 * MB, f"{peak / MB:.1f} MB"


def peak_mb(folder: Path, text: Path, *options: str) -> float:
    """The largest resident memory of a process that trains a little; mapped files count too."""
    command = ["train", str(text), "--steps", "20", "--hidden-size", "64", "--layers", "1", "--threads", "1", "--quiet"]
    result = subprocess.run(
        [sys.executable, "-c", TRAIN, *command, *options],
        cwd=folder,
        env=os.environ
        | {"LSTMGEN_CACHE": str(folder / "cache"), "PYTHONPATH": str(Path.cwd()), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return int(re.findall(r"\d+", result.stdout)[-1]) / 1024


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the system does not tell a process's peak memory")
def test_a_large_text_trains_in_little_more_memory(trials: Callable[[int, int], int], tmp_path: Path) -> None:
    """`--long`: 2 GB within 600 MB more than a small text; otherwise 80 MB within 60 MB."""
    size, allowed = trials(80, 2000), trials(60, 600)
    small, large = tmp_path / "small.txt", tmp_path / "large.txt"
    write_text(small, 2 * MB)
    write_text(large, size * MB)
    base = peak_mb(tmp_path, small, "--run", "small")
    assert peak_mb(tmp_path, large, "--run", "large") <= base + allowed
    large.unlink()
