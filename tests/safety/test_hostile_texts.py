"""No text, prompt or file name leads to a traceback, and none reaches a terminal or a web page in a form that acts.

A text that a person gives is data: it may hold any bytes.
"""

import os
import pkgutil
import random
import re
import sys
from collections.abc import Callable
from encodings import __path__ as encodings_path
from encodings.aliases import aliases
from functools import partial
from pathlib import Path

import pytest

import lstmgen
from lstmgen.config import TextConfig
from lstmgen.errors import LstmgenError, TextError
from lstmgen.printable import MESSAGE_LENGTH
from lstmgen.text.corpus import read_corpus
from lstmgen.text.vocabulary import code_points
from tests.command_line import controls, run, run_of_text, untrained_run

DIRECTIONS = "\u202e\u202d\u2066\u2069\u200f\u061c"
LETTERS = "The fox.\n"
HOSTILE = "\x1b[]0;\x07\x9b\r\n\t\x00\x7f</pre><script>'\"&" + DIRECTIONS + LETTERS
TINY = ["--steps", "1", "--dry-run", "--hidden-size", "4", "--layers", "1", "--precision", "float32", "--threads", "1"]

PIECES = [
    *(letter.encode() for letter in LETTERS + HOSTILE),
    *(b"\xff", b"\xc3", b"\xe2\x82", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\x00"),  # not UTF-8
    *(b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff", b"\xff\xfe\0\0"),  # byte order marks
    *(b"\r\n", b"\r", b"\n\n\n", b"\xc2\x85", b"\xe2\x80\xa8", b"\x0b", b"\x0c"),  # line ends
    *(b"\x1b[31m", b"\x1b]0;title\x07", b"\x9b", b"\xc2\x9b2J"),  # a terminal would obey these
    *(text.encode() for text in ("e\u0301", "\u0301" * 9, "\u05e9\u05dc", "\U0001f468\u200d", "\ufffe", "\U0010ffff")),
]
NAMES = ["text.txt", "a\nb.txt", "\x1b[31m.txt", "\u202etxt.exe", "\udcff.txt", "x" * 200, "-", "<b>.txt", "[a].txt"]
ENCODINGS = ["utf-16", "utf-32", "latin-1", "ascii", "cp1252"]
RUNS = ["fable", "names", "hostile", "octets"]


def content(generator: random.Random) -> bytes:
    """A text: pieces of every kind, a few kinds again and again, or one kind alone."""
    kinds = generator.choice([PIECES, generator.choices(PIECES, k=3), generator.choices(PIECES, k=1), [b"The fox.\n"]])
    text = b"".join(generator.choices(kinds, k=generator.choice([0, 1, 2, 9, 40, 200])))
    if generator.random() < 0.2:  # one byte is wrong
        at = generator.randrange(len(text) + 1)
        text = text[:at] + bytes([generator.randrange(256)]) + text[at + 1 :]
    return text


def command(generator: random.Random, name: str, text: bytes) -> list[str]:
    """A command that reads a file, or this text as a prompt."""
    prompt = os.fsdecode(text.replace(b"\0", b""))
    model, file = generator.choice(RUNS), name if name == "-" else f"./{name}"
    chosen = generator.choice(
        [
            ["train", file, *TINY],
            ["train", file, *TINY, generator.choice(["--lines", "--vocabulary=bytes", f"--preview={prompt}"])],
            ["train", file, *TINY, f"--encoding={generator.choice(ENCODINGS)}"],
            ["eval", model, file, generator.choice(["--no-baselines", "--json", "--quiet"])],
            ["score", model, file],
            ["score", model, file, generator.choice(["--lines", "--characters", "--heatmap", "--html=page.html"])],
            ["score", model, file, "--json", generator.choice(["--lines", "--characters", "--quiet"])],
            ["score", model, file, "--lines", generator.choice(["--separate", "--unranked"])],
            ["sample", model, "-n", "5", f"--prompt={prompt}", generator.choice(["--json", "--quiet"])],
            ["sample", model, "-n", "5", "-f", file],
            ["sample", model, "-n", "5", f"--stop={prompt}"],
            ["sample", model, "-n", "5", f"--match={prompt[:40]}"],
            ["inspect", model, f"--walk={prompt[:30]}", generator.choice(["--json", "--quiet"])],
            ["inspect", model, file, generator.choice(["--gates", "--units", "--memory"]), "-n", "30"],
        ]
    )
    takes_unknown = chosen[0] in ("eval", "score", "sample", "inspect")
    return [*chosen, *(["--on-unknown=skip"] if takes_unknown and generator.random() < 0.6 else [])]


@pytest.fixture
def folder(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a model of running text, of lines, of hostile characters and of bytes."""
    monkeypatch.setenv("TERM", "dumb")
    run_of_text("fable", LETTERS * 9)
    run_of_text("names", LETTERS * 9, lines=True)
    untrained_run("hostile", "".join(sorted(set(HOSTILE))))
    untrained_run("octets", None)
    return nowhere


def problem_with(line: list[str], text: bytes, *, terminal: bool) -> str | None:
    """What is wrong with how a command ended; None: nothing."""
    try:
        ran = run(*line, stdin=text, terminal=terminal)
    except BaseException as error:  # a traceback
        return f"{type(error).__name__}: {error}"
    if ran.code not in (0, 1, 2):
        return f"exit code {ran.code}"
    if ran.code == 1 and len(ran.err.splitlines()[-1]) > MESSAGE_LENGTH + 50:
        return f"long error {ran.err!r:.300}"
    if "Traceback" in ran.err:
        return "traceback"
    shown = (ran.text if terminal else "") + ran.err.replace("\r", "")
    if found := controls(shown) | (set(DIRECTIONS) & set(shown)):
        return f"raw {found} in {shown!r:.600}"
    if Path("page.html").exists():
        page = Path("page.html").read_text(encoding="utf-8")
        Path("page.html").unlink()
        tags = set(re.findall(r"<(?:script|b)\b", page, re.IGNORECASE))
        if found := controls(page) | (set(DIRECTIONS) & set(page)) | tags:
            return f"{found} in the page"
    return None


@pytest.mark.usefixtures("folder")
def test_no_text_and_no_name_leads_to_a_traceback_or_acts(trials: Callable[[int, int], int]) -> None:
    for seed in range(trials(60, 6000)):
        generator = random.Random(seed)
        text, name = content(generator), generator.choice(NAMES[:1] * 5 + NAMES)
        if sys.platform == "win32" and name not in ("text.txt", "-"):
            continue
        if name != "-":
            Path(name).write_bytes(text)
        line = command(generator, name, text)
        found = problem_with(line, text, terminal=generator.random() < 0.6)
        assert found is None, f"seed {seed}: lstmgen {line!r:.500} with {text!r:.300}: {found}"
        if name != "-":
            Path(name).unlink()


@pytest.mark.usefixtures("folder")
def test_no_string_given_to_the_library_leads_to_another_error_than_its_own(trials: Callable[[int, int], int]) -> None:
    models = [lstmgen.load(name) for name in RUNS]
    for seed in range(trials(60, 6000)):
        generator = random.Random(seed)
        text = content(generator).decode("utf-8", "surrogateescape")
        model, unknown = generator.choice(models), generator.choice(["error", "skip"])
        uses: list[Callable[[], object]] = [
            partial(model.sample, text, length=3, on_unknown=unknown, seed=0),
            partial(model.sample, length=3, stop=(text,), seed=0),
            partial(model.sample, length=3, match=text, seed=0),
            partial(model.score, text, on_unknown=unknown),
            partial(model.evaluate, text, on_unknown=unknown, baselines=bool(seed % 3)),
            partial(lstmgen.load, text),
        ]
        try:
            generator.choice(uses)()
        except LstmgenError as error:
            assert len(str(error).splitlines()) == 1 and len(str(error)) <= MESSAGE_LENGTH, f"seed {seed}"
            assert not controls(str(error)) and not set(DIRECTIONS) & set(str(error)), f"seed {seed}: {error!r}"
        except Exception as error:
            raise AssertionError(f"seed {seed}: {text!r:.300}") from error


# Every character encoding that Python knows, and words that are none, are either used or refused in one line


ENCODING_NAMES = sorted(
    {*aliases, *aliases.values(), *(module.name for module in pkgutil.iter_modules(encodings_path))}
)
NO_NAMES = ["", " ", "no such", "a\0b", "\udcff", "x" * 5000, "../utf-8", "\x1b[31m"]


def encoded_content(generator: random.Random) -> bytes:
    """A few bytes: of any kind, or of the kinds that escape sequences and internationalised names are made of."""
    alphabet = generator.choice([bytes(range(256)), b"\\xuUN{}0aD8d\n", b"xn--a.b-\xc3", b"+-AaZ9/,\n", b"abc \r\n"])
    return bytes(generator.choices(alphabet, k=generator.randrange(1, 60)))


@pytest.mark.filterwarnings("ignore:invalid:DeprecationWarning")  # of the escapes in unicode_escape
def test_every_encoding_is_used_or_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trials: Callable[[int, int], int]
) -> None:
    path, used = tmp_path / "text", set()
    for seed in range(trials(2, 20)):
        for name in ENCODING_NAMES + NO_NAMES:
            generator = random.Random(f"{seed} {name!r}")
            path.write_bytes(encoded_content(generator))
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
