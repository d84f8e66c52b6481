"""The README is true: its commands run, its options exist, its links lead somewhere, its tree is the package."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import lstmgen
from lstmgen.config import TextConfig
from lstmgen.text.corpus import read_corpus
from tests.command_line import done, evaluation_event, run_of_text, serve_shortly, untrained_run, write_log

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = ("README.md", "RESULTS.md", "TRIALS.md", "data/README.md", "checkpoints/README.md")
CHARACTERS = "\n !',.:;?ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
VERSES = "The sea is calm.\nMary, Martha and Marcus sail on it.\n" * 40
MANY_CHARACTERS = "".join(map(chr, range(0x4E00, 0x4E00 + 1100)))


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


OF_TORCHRUN = {
    *("--standalone", "--nnodes", "--nproc-per-node", "--rdzv-backend", "--rdzv-endpoint", "--max-restarts"),
}

LINES = [line for block in blocks("sh") for line in block.splitlines()]
COMMANDS = [line for line in LINES if line.startswith("lstmgen ")]


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the texts and runs that the README names."""
    monkeypatch.chdir(tmp_path)
    for name in ("poems.txt", "names.txt", "letters.txt", "more.md"):
        Path(name).write_text(VERSES, encoding="utf-8")
    Path("poems-zh.txt").write_text(2 * MANY_CHARACTERS, encoding="utf-8")
    untrained_run("names", CHARACTERS, lines=True)
    for name in ("poems-gru", "poems-lstm"):
        write_log(run_of_text(name, CHARACTERS + VERSES).parent, evaluation_event(60, 1.5, 1.6))
    return tmp_path


@pytest.mark.usefixtures("workplace", "short_benchmark")
@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_runs(line: str) -> None:
    command, *arguments = shlex.split(line, comments=True)[1:]
    if command == "train":
        one_thread = ("--threads", "1", "--precision", "float32")
        if "--resume" in arguments:
            done("train", "poems.txt", "--run", "readme", "--steps", "1", "--hidden-size", "4", *one_thread)
            arguments = ["readme" if argument == "poems-lstm" else argument for argument in arguments]
        else:
            arguments += ["--run", "readme", *one_thread]
        arguments.append("--dry-run")
    if command == "bench":
        arguments = ["--cell", "rnn", "--hidden-size", "8", "--threads", "1", "--precision", "float32"]
    if command == "compare":
        arguments += ["--steps", "1", "--seeds", "1", "--hidden-size", "4", "--threads", "1"]
        arguments += ["--lags", "2"] if "recall" in arguments else ["--precision", "float32"]
    stdin = b"\n/quit\n"
    if "<" in arguments:
        *arguments, _, source = arguments
        stdin = Path(source).read_bytes()
    if "--load-state" in arguments:
        done("sample", "-p", "The sea", "-n", "0", "--save-state", "sea.state", "--seed", "1")
    if command == "serve":
        serve_shortly(*arguments)
        return
    ran = done(command, *arguments, stdin=stdin)
    assert ran.out or "readme" in ran.err or any(Path(f"poems.{kind}").exists() for kind in ("html", "onnx", "pt"))


@pytest.mark.usefixtures("workplace")
def test_a_text_can_be_piped_to_score() -> None:
    (line,) = (line for line in LINES if "| lstmgen score" in line)
    _, text, _, _, _, *arguments = shlex.split(line, comments=True)
    assert done("score", *arguments, stdin=f"{text}\n".encode()).out


def test_python_docs_can_be_saved_as_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (line,) = (line for line in LINES if line.startswith("python3 -c"))
    _, *program, _, name = shlex.split(line)
    Path(name).write_bytes(subprocess.run([sys.executable, *program], check=True, capture_output=True).stdout)
    saved, named = (read_corpus(TextConfig(sources=(source,))) for source in (name, "python-docs"))
    assert saved.sha256 == named.sha256


def test_every_option_exists(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    commands = ("train", "sample", "eval", "score", "inspect", "compare", "export", "bench", "runs", "info", "serve")
    known = set(options("".join(done(command, "--help").text for command in commands)))
    assert set(options(README)) - known == {"--long", *OF_TORCHRUN}  # --long is an option of the tests


def options(text: str) -> list[str]:
    return re.findall(r"(?<![\w-])--[a-z][a-z-]*", text)


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_files_and_headings(page: str) -> None:
    for path, _, heading in re.findall(
        r"\]\((?!https?:)([^)#]*)(#?)([^)]*)\)", (ROOT / page).read_text(encoding="utf-8")
    ):
        target = (ROOT / page).parent / path if path else ROOT / page
        assert target.exists(), path
        assert not heading or heading in headings(target.read_text(encoding="utf-8")), heading


def headings(text: str) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    found = re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in found}


@pytest.mark.usefixtures("workplace")
def test_the_python_example_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (example,) = (block for block in blocks("python") if "import lstmgen" in block)
    exec(compile(example, "README.md", "exec"), {})
    assert capsys.readouterr().out.startswith("The sea")


@pytest.mark.usefixtures("workplace")
def test_the_program_on_torch_alone_gives_the_same_number(capsys: pytest.CaptureFixture[str]) -> None:
    (program,) = (block for block in blocks("python") if "import torch" in block)
    assert "lstmgen" not in program
    done("export", "poems-lstm", "--torch", "poems.pt")
    exec(compile(program, "README.md", "exec"), {})
    nats, *words = capsys.readouterr().out.split()
    assert " ".join(words) == "nats per character"
    expected = lstmgen.load("poems-lstm").score("The sea is calm.").nats_per_character
    assert float(nats) == pytest.approx(expected, abs=1e-5)


@pytest.mark.usefixtures("workplace")
def test_the_program_on_onnx_alone_writes(capsys: pytest.CaptureFixture[str]) -> None:
    (program,) = (block for block in blocks("python") if "import onnxruntime" in block)
    done("export", "poems-lstm", "--onnx", "poems.onnx")
    exec(compile(program, "README.md", "exec"), {})
    written = capsys.readouterr().out.removesuffix("\n")
    assert written.startswith("The sea") and len(written) == 200
    assert set(written) <= set(CHARACTERS)
