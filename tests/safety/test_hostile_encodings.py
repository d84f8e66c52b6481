"""Every character encoding that Python knows, and words that are none, are either used or refused in one line."""

import pkgutil
import random
from collections.abc import Callable
from encodings import __path__ as encodings_path
from encodings.aliases import aliases
from pathlib import Path

import pytest

from lstmgen.config import TextConfig
from lstmgen.errors import TextError
from lstmgen.text.corpus import read_corpus
from lstmgen.text.vocabulary import code_points

NAMES = sorted({*aliases, *aliases.values(), *(module.name for module in pkgutil.iter_modules(encodings_path))})
NO_NAMES = ["", " ", "no such", "a\0b", "\udcff", "x" * 5000, "../utf-8", "\x1b[31m"]

pytestmark = pytest.mark.filterwarnings("ignore:invalid:DeprecationWarning")  # of the escapes in unicode_escape


def content(generator: random.Random) -> bytes:
    """A few bytes: of any kind, or of the kinds that escape sequences and internationalised names are made of."""
    alphabet = generator.choice([bytes(range(256)), b"\\xuUN{}0aD8d\n", b"xn--a.b-\xc3", b"+-AaZ9/,\n", b"abc \r\n"])
    return bytes(generator.choices(alphabet, k=generator.randrange(1, 60)))


def test_every_encoding_is_used_or_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trials: Callable[[int, int], int]
) -> None:
    path, used = tmp_path / "text", set()
    for seed in range(trials(2, 20)):
        for name in NAMES + NO_NAMES:
            generator = random.Random(f"{seed} {name!r}")
            path.write_bytes(content(generator))
            monkeypatch.setattr("lstmgen.text.sources.BLOCK_BYTES", generator.choice([1, 3, 1 << 20]))
            try:
                corpus = read_corpus(TextConfig((str(path),), encoding=name))
            except TextError as error:
                assert len(str(error).splitlines()) == 1, f"seed {seed}, encoding {name!r}"
            except Exception as error:
                raise AssertionError(f"seed {seed}, encoding {name!r}, {path.read_bytes()!r}") from error
            else:
                used.add(name)
                assert code_points(corpus.vocabulary.characters).max() > 0
    assert {"utf_8", "cp1252", "koi8_r"} <= used
    assert used.isdisjoint({*NO_NAMES, "rot_13", "hex_codec", "undefined"})
