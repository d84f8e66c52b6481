"""A file that is damaged or lies is refused in one line, or it is a checkpoint that every command can use."""

import random
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest

from lstmgen.checkpoint import BEST, LAST, Checkpoint, load_checkpoint
from lstmgen.errors import CheckpointError, LstmgenError
from lstmgen.training import prepare as training_run
from tests.command_line import controls, done, run
from tests.conftest import FABLE
from tests.safety.damage import CHANGES, File, cut, flipped
from tests.test_training import assert_same_tensors

KINDS = (
    "--cell lstm --layers 2",
    "--cell rnn --tied",
    "--cell peephole --attention 3",
    "--cell coupled --vocabulary bytes",
    "--cell gru --lines",
)
SIZES = "--hidden-size 5 --embedding-size 3 --batch-size 2 --chunk-length 8 --threads 1 --precision float32 --steps 4"
TARGET = Path("checkpoints/fuzzed", LAST)
MAX_MEMORY = 300  # MB


def memory() -> float:
    """The most memory that this process has used, in MB."""
    if sys.platform == "win32":
        return 0.0
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[bytes]]:
    """The two checkpoints of a run of every kind; the tests work in the folder with its text."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("fuzzed"))
        Path("fable.txt").write_text(FABLE * 6, encoding="utf-8")
        for number, kind in enumerate(KINDS):
            command = f"train fable.txt --run kind{number} --quiet --layers 1 {SIZES} {kind}"
            done(*command.split())
        TARGET.parent.mkdir()
        folders = [Path("checkpoints", f"kind{number}") for number in range(len(KINDS))]
        yield [(folder / name).read_bytes() for folder in folders for name in (LAST, BEST)]


def assert_one_line(message: str) -> None:
    assert len(message) < 1100
    assert "\n" not in message
    assert not controls(message)


def assert_refused_or_usable(content: bytes) -> Checkpoint | None:
    """Load a file, and give it to commands if it can be loaded."""
    TARGET.write_bytes(content)
    try:
        loaded = load_checkpoint(TARGET)
    except CheckpointError as error:
        assert_one_line(str(error))
        return None
    for command in (["sample", TARGET, "-n", 3, "--seed", 1], ["info", TARGET, "--json"], ["runs", "fuzzed"]):
        ran = run(*command)
        assert ran.code in (0, 1), ran
        if ran.code == 1:
            assert_one_line(ran.err.removesuffix("\n"))
    with suppress(LstmgenError), training_run.resume("fuzzed").start(started=0.0) as session:
        list(islice(session.events(), 3))
    return loaded


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_file_is_refused_or_usable(
    change: Callable[[bytes, random.Random], bytes], files: list[bytes], trials: Callable[[int, int], int]
) -> None:
    before = memory()
    for seed in range(trials(10, 2500)):
        content = files[seed % len(files)]
        changed = change(content, random.Random(seed))
        try:
            loaded = assert_refused_or_usable(changed)
            if change is flipped and loaded is not None:
                TARGET.write_bytes(content)
                original = load_checkpoint(TARGET)
                assert_same_tensors(loaded, original)
                assert replace(loaded, weights={}, extra={}) == replace(original, weights={}, extra={})
        except BaseException as error:
            error.add_note(f"{change.__name__}, seed {seed}")
            raise
        for made in TARGET.parent.iterdir():
            made.unlink()
    assert memory() - before < MAX_MEMORY


@pytest.mark.parametrize("name", ["zero", "resume/generator", "resume/state/9"])
def test_a_file_that_claims_to_be_huge_costs_no_memory(name: str, files: list[bytes]) -> None:
    """It has a hole of 4 GB, which takes no room on the disk."""
    size = 1 << 32
    for dtype, width in ("F32", 4), ("U8", 1), ("F64", 8):
        file = File(files[0])
        offsets = [len(file.data), len(file.data) + size]
        file.header[name] = {"dtype": dtype, "shape": [size // width], "data_offsets": offsets}
        with TARGET.open("wb") as target:
            target.write(file.with_header())
            target.truncate(target.tell() + size)
        before = memory()
        with pytest.raises(CheckpointError):
            load_checkpoint(TARGET)
        assert memory() - before < MAX_MEMORY


def test_a_vocabulary_that_claims_a_million_characters_is_refused(files: list[bytes]) -> None:
    for characters in ("".join(map(chr, range(1, 1_000_001))), "a" * 1_000_000):
        file = File(files[0])
        file.about["vocabulary"]["characters"] = characters
        assert assert_refused_or_usable(file.with_checksums()) is None


def test_a_damaged_run_does_not_hide_the_others(files: list[bytes]) -> None:
    for content in files[:2]:
        TARGET.write_bytes(cut(content, random.Random(1)))
        ran = run("runs")
        assert (ran.code, len(re.findall(r"^ *kind\d ", ran.text, re.MULTILINE))) == (0, len(KINDS))
        assert "fuzzed" in ran.err
    shutil.rmtree(TARGET.parent)
    TARGET.parent.mkdir()
