"""What a fuzz does to the file of a checkpoint: damage of every kind, and lies with right checksums."""

import json
import random
from typing import Any

import numpy as np
from safetensors.numpy import load as from_safetensors
from safetensors.numpy import save as to_safetensors

from lstmgen.checkpoint import _checksums

DTYPES = ("F16", "BF16", "F64", "I8", "I32", "I64", "U8", "BOOL", "F8_E4M3", "C64", "X", "", "f32", "F32" * 5000)
SIZES_CLAIMED: tuple[Any, ...] = (0, 1, 2, 7, 2**31, 2**32, 2**53, 2**62, 2**63, 2**64 - 1, 2**64, 10**30)
SIZES_CLAIMED += (-1, 0.5, None, "5", [], True)
NUMBERS = (0, -1, 1, 2, 3, 100, 2**31, 2**53, 2**63 - 1, 2**63, 10**400, 0.5, -0.5, 1e12, 1e308, -1e308)
WORDS: tuple[str, ...] = ("", "x", "\ud800", "\x1b[31m\n\t\0", "\u202e", "y" * 10_000, "cuda", "mps:7", "float32")
WORDS += ("/dev/zero", "../..", "utf-16")
DEEP = "deeply nested"  # is replaced by a hundred thousand brackets
OTHERS: tuple[Any, ...] = (None, True, False, [], {}, [[[]]], ["a", "a"], {"a": 1}, [1e400], DEEP)
VALUES = (*NUMBERS, float("nan"), float("inf"), float("-inf"), *WORDS, *OTHERS)
NAMES = ("", "embedding", "resume/", "resume/state/9", "resume/optimizer/x/step", "\x1b[2J", "a\nb", "n" * 10_000)
WEIGHTS = (np.nan, np.inf, -np.inf, 1e30, -1e30, 1e6, 9.9e5, 1e-45, -0.0)


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
    """A tensor of another name, type or shape, one more, or one fewer."""
    file = File(content)
    name = chance.choice(sorted(file.tensors))
    array = file.tensors.pop(name)
    shape = chance.choice(((), (0,), (1,), (3, 0), (1,) * 9, (5000,)))
    kind = chance.choice((np.float16, np.float64, np.int64, np.uint8, np.bool_))
    file.tensors |= chance.choice(
        (
            {},
            {chance.choice(NAMES): array},
            {name: array.astype(kind)},
            {name: np.zeros(shape, array.dtype)},
            {name: array.reshape(-1)[: chance.randrange(array.size + 1)]},
            {name: array, chance.choice(NAMES): np.zeros(chance.randrange(9), array.dtype)},
        )
    )
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
