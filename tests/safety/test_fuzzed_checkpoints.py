"""A file that is damaged or lies is refused in one line, or it is a checkpoint that every command can use."""

import json
import random
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load as from_safetensors
from safetensors.numpy import save as to_safetensors

from lstmgen.checkpoint import BEST, LAST, Checkpoint, _checksums, load_checkpoint
from lstmgen.errors import CheckpointError, LstmgenError
from lstmgen.training import run as training_run
from tests.command_line import controls, done, run
from tests.conftest import FABLE

KINDS = (
    "--cell lstm --layers 2",
    "--cell rnn --tied",
    "--cell peephole --attention 3",
    "--cell coupled --vocabulary bytes",
    "--cell gru --lines",
)
SIZES = "--hidden-size 5 --embedding-size 3 --batch-size 2 --chunk-length 8 --threads 1 --precision float32 --steps 4"
TARGET = Path("checkpoints/fuzzed", LAST)
LONGEST_MESSAGE = 1100
MOST_MEMORY = 300  # MB

DTYPES = ("F16", "BF16", "F64", "I8", "I32", "I64", "U8", "BOOL", "F8_E4M3", "C64", "X", "", "f32", "F32" * 5000)
SIZES_CLAIMED: tuple[Any, ...] = (
    0,
    1,
    2,
    7,
    2**31,
    2**32,
    2**53,
    2**62,
    2**63,
    2**64 - 1,
    2**64,
    10**30,
    -1,
    0.5,
    None,
    "5",
    [],
    True,
)
NUMBERS = (0, -1, 1, 2, 3, 100, 2**31, 2**53, 2**63 - 1, 2**63, 10**400, 0.5, -0.5, 1e12, 1e308, -1e308)
SPECIAL_NUMBERS = (float("nan"), float("inf"), float("-inf"))
WORDS = (
    "",
    "x",
    "\ud800",
    "\x1b[31m\n\t\0",
    "\u202e",
    "y" * 10_000,
    "cuda",
    "mps:7",
    "float32",
    "/dev/zero",
    "../..",
    "utf-16",
)
DEEP = "deeply nested"  # is replaced by a hundred thousand brackets
OTHERS: tuple[Any, ...] = (None, True, False, [], {}, [[[]]], ["a", "a"], {"a": 1}, [1e400], DEEP)
VALUES = (*NUMBERS, *SPECIAL_NUMBERS, *WORDS, *OTHERS)
NAMES = (
    "",
    "embedding",
    "resume/",
    "resume/state/9",
    "resume/optimizer/x/step",
    "\x1b[2J",
    "a\nb",
    "n" * 10_000,
    "é" * 99,
)
WEIGHTS = (np.nan, np.inf, -np.inf, 1e30, -1e30, 1e6, 9.9e5, 1e-45, -0.0)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[bytes]]:
    """The two checkpoints of a run of every kind; the tests work in the folder with its text."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("fuzzed"))
        Path("fable.txt").write_text(FABLE * 6, encoding="utf-8")
        for number, kind in enumerate(KINDS):
            done(
                "train", "fable.txt", "--run", f"kind{number}", "--quiet", "--layers", 1, *SIZES.split(), *kind.split()
            )
        TARGET.parent.mkdir()
        yield [
            Path("checkpoints", f"kind{number}", name).read_bytes()
            for number in range(len(KINDS))
            for name in (LAST, BEST)
        ]


class File:
    """A checkpoint as its parts, to be changed and put together again."""

    def __init__(self, content: bytes) -> None:
        length = int.from_bytes(content[:8], "little")
        self.header: dict[str, Any] = json.loads(content[8 : 8 + length])
        self.data = content[8 + length :]
        self.about: dict[str, Any] = json.loads(self.header["__metadata__"]["lstmgen"])
        self.tensors = {name: array.copy() for name, array in from_safetensors(content).items()}

    def with_header(self) -> bytes:
        """The file with a changed header, whatever that means for its data."""
        header = json.dumps(self.header).encode("utf-8", "surrogatepass")
        return len(header).to_bytes(8, "little") + header + self.data

    def with_checksums(self) -> bytes:
        """A file whose checksums are right, so that the checks behind them are reached."""
        self.about["checksums"] = _checksums(self.about, self.tensors)
        about = json.dumps(self.about, sort_keys=True).replace(json.dumps(DEEP), "[" * 100_000)
        return to_safetensors(self.tensors, {"lstmgen": about})


# What is done to a file


def cut(content: bytes, chance: random.Random) -> bytes:
    return content[: chance.randrange(len(content))]


def flipped(content: bytes, chance: random.Random) -> bytes:
    """One bit is another one; half of the time in the header."""
    end = 8 + int.from_bytes(content[:8], "little") if chance.random() < 0.5 else len(content)
    changed = bytearray(content)
    changed[chance.randrange(end)] ^= 1 << chance.randrange(8)
    return bytes(changed)


def with_false_length(content: bytes, chance: random.Random) -> bytes:
    length = chance.choice((0, 1, 8, len(content) - 8, len(content), 100_000_001, 2**31, 2**63, 2**64 - 1))
    return length.to_bytes(8, "little") + content[8:]


def with_false_header(content: bytes, chance: random.Random) -> bytes:
    file = File(content)
    name = chance.choice([name for name in file.header if name != "__metadata__"])
    tensor = file.header[name]
    match chance.randrange(6):
        case 0:
            tensor["dtype"] = chance.choice(DTYPES)
        case 1:
            shape = [chance.choice(SIZES_CLAIMED) for _ in range(chance.randrange(4))]
            tensor["shape"] = chance.choice((shape, [1] * 10_000, tensor["shape"][::-1], None, "5"))
        case 2:
            tensor["data_offsets"][chance.randrange(2)] = chance.choice(SIZES_CLAIMED)
        case 3:
            file.header[chance.choice(NAMES)] = file.header.pop(name)
        case 4:
            file.header["__metadata__"] = chance.choice(
                (None, {}, [], {"lstmgen": ""}, {"lstmgen": "[" * 10**5}, {"x": "y" * 10**6})
            )
        case _:
            text = file.with_header()[8:].decode("latin-1")
            first = json.dumps(name) + ": "
            header = text.replace(first, f"{first}{json.dumps(tensor)}, {first}", 1).encode("latin-1")
            length = len(header) - len(file.data)
            return length.to_bytes(8, "little") + header
    return file.with_header()


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every place in a JSON value: the object or list, and the key or index in it."""
    items = list(value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ())
    return [(value, key) for key, _ in items] + [place for _, item in items for place in places(item)]


def with_false_description(content: bytes, chance: random.Random) -> bytes:
    """One or two values of the description are others."""
    file = File(content)
    for _ in range(chance.choice((1, 1, 2))):
        container, key = chance.choice(places({name: file.about[name] for name in ("model", "vocabulary", "record")}))
        if chance.random() < 0.1 and isinstance(container, dict):
            container[chance.choice(WORDS)] = container.pop(key)
        else:
            container[key] = chance.choice(VALUES)
    return file.with_checksums()


def with_false_vocabulary(content: bytes, chance: random.Random) -> bytes:
    file = File(content)
    characters = file.about["vocabulary"]["characters"]
    count = len(characters) or 256
    hostile = "\0\n\x1b\x7f\x9b\ud800\udfff\udc80\u202e\u2028\ufeff\U0010ffff\u0301"
    start = chance.choice((0, 0xD7F0, 0x10FFFF - count))
    file.about["vocabulary"]["characters"] = chance.choice(
        (
            hostile + characters[len(hostile) :],
            "".join(map(chr, range(start, start + count))),
            characters[:-1] + characters[:1],
            characters + "é",
            "".join(map(chr, range(1, 10_001))),
            "a" * 10_000,
        )
    )
    return file.with_checksums()


def with_false_numbers(content: bytes, chance: random.Random) -> bytes:
    """Weights, or the state of the optimizer, that no training gives."""
    file = File(content)
    array = file.tensors[chance.choice(sorted(file.tensors))]
    if array.dtype == np.uint8:  # the random generator
        array[...] = chance.choice((0, 255))
    else:
        with np.errstate(over="ignore", invalid="ignore"):
            array[tuple(chance.randrange(size) for size in array.shape)] = np.array(chance.choice(WEIGHTS)).astype(
                array.dtype
            )
    return file.with_checksums()


def with_false_tensors(content: bytes, chance: random.Random) -> bytes:
    """Tensors of other names, types and shapes, more of them or fewer."""
    file = File(content)
    name = chance.choice(sorted(file.tensors))
    array = file.tensors.pop(name)
    match chance.randrange(6):
        case 0:
            pass
        case 1:
            file.tensors[chance.choice(NAMES)] = array
        case 2:
            file.tensors[name] = array.astype(chance.choice((np.float16, np.float64, np.int64, np.uint8, np.bool_)))
        case 3:
            file.tensors[name] = np.zeros(chance.choice(((), (0,), (1,), (3, 0), (1,) * 9, (5000,))), array.dtype)
        case 4:
            file.tensors[name] = array.reshape(-1)[: chance.randrange(array.size + 1)]
        case _:
            file.tensors |= {name: array, chance.choice(NAMES): np.zeros(chance.randrange(9), array.dtype)}
    return file.with_checksums()


CHANGES = (
    cut,
    flipped,
    with_false_length,
    with_false_header,
    with_false_description,
    with_false_vocabulary,
    with_false_numbers,
    with_false_tensors,
)


# What a file must be


def assert_one_line(message: str) -> None:
    assert len(message) < LONGEST_MESSAGE
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
    for command in (
        ("sample", TARGET, "-n", 3, "--seed", 1),
        ("info", TARGET),
        ("info", TARGET, "--json"),
        ("runs", "fuzzed"),
    ):
        ran = run(*command)
        assert ran.code in (0, 1), ran
        if ran.code == 1:
            assert_one_line(ran.err.removesuffix("\n"))
    with suppress(LstmgenError), training_run.resume("fuzzed").start(started=0.0) as session:
        list(islice(session.events(), 3))
    return loaded


def assert_same(loaded: Checkpoint | None, content: bytes) -> None:
    TARGET.write_bytes(content)
    original = load_checkpoint(TARGET)
    assert loaded is not None
    assert (loaded.model, loaded.vocabulary, loaded.record) == (original.model, original.vocabulary, original.record)
    for ours, theirs in ((loaded.weights, original.weights), (loaded.extra, original.extra)):
        assert {name: array.tobytes() for name, array in ours.items()} == {
            name: array.tobytes() for name, array in theirs.items()
        }


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_file_is_refused_or_usable(
    change: Callable[[bytes, random.Random], bytes], files: list[bytes], trials: Callable[[int, int], int]
) -> None:
    before = memory()
    for seed in range(trials(15, 2500)):
        content = files[seed % len(files)]
        changed = change(content, random.Random(seed))
        try:
            loaded = assert_refused_or_usable(changed)
            if change is flipped and loaded is not None:
                assert_same(loaded, content)
        except BaseException as error:
            error.add_note(f"{change.__name__}, seed {seed}")
            raise
        for made in TARGET.parent.iterdir():
            made.unlink()
    assert memory() - before < MOST_MEMORY


def test_a_header_that_is_cut_anywhere_is_refused(files: list[bytes], trials: Callable[[int, int], int]) -> None:
    for content in files[: trials(1, len(files))]:
        for length in range(0, 8 + int.from_bytes(content[:8], "little"), 8):
            TARGET.write_bytes(content[:length])
            with pytest.raises(CheckpointError) as refused:
                load_checkpoint(TARGET)
            assert_one_line(str(refused.value))


@pytest.mark.parametrize("dtype", ["F32", "U8", "F64"])
@pytest.mark.parametrize("name", ["zero", "resume/generator", "resume/state/9"])
def test_a_file_that_claims_to_be_huge_costs_no_memory(name: str, dtype: str, files: list[bytes]) -> None:
    """It has a hole of 4 GB, which takes no room on the disk."""
    file, size = File(files[0]), 1 << 32
    count = size // {"F32": 4, "U8": 1, "F64": 8}[dtype]
    file.header.pop(name, None)
    file.header[name] = {"dtype": dtype, "shape": [count], "data_offsets": [len(file.data), len(file.data) + size]}
    with TARGET.open("wb") as target:
        target.write(file.with_header())
        target.truncate(target.tell() + size)
    before = memory()
    with pytest.raises(CheckpointError):
        load_checkpoint(TARGET)
    assert memory() - before < MOST_MEMORY


def test_a_vocabulary_that_claims_a_million_characters_is_refused(files: list[bytes]) -> None:
    for characters in ("".join(map(chr, range(1, 1_000_001))), "a" * 1_000_000):
        file = File(files[0])
        file.about["vocabulary"]["characters"] = characters
        assert assert_refused_or_usable(file.with_checksums()) is None


def test_a_damaged_run_does_not_hide_the_others(files: list[bytes]) -> None:
    for change, content in ((with_false_numbers, files[0]), (cut, files[1]), (flipped, files[2])):
        TARGET.write_bytes(change(content, random.Random(1)))
        ran = run("runs")
        assert (ran.code, len(re.findall(r"^ *kind\d ", ran.text, re.MULTILINE))) == (0, len(KINDS))
        assert "fuzzed" in ran.err
    shutil.rmtree(TARGET.parent)
    TARGET.parent.mkdir()


def memory() -> float:
    """The most memory that this process has used, in MB."""
    if sys.platform == "win32":
        return 0.0
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
