"""The documents are true: their commands run, their options exist, their links lead somewhere."""

import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer

import lstmgen
from lstmgen.cli.app import app
from lstmgen.config import TextConfig
from lstmgen.text.corpus import read_corpus
from tests.command_line import done, evaluation_event, run_of_text, serve_shortly, untrained_run, write_log

ROOT = Path(__file__).parent.parent
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for folder in ("", "checkpoints", "data", "docs")
    for path in sorted((ROOT / folder).glob("*.md"))
}
"""Every page of the project, by its path."""

README, REFERENCE = PAGES["README.md"], PAGES["docs/REFERENCE.md"]
CHARACTERS = "\n !',.:;?ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
VERSES = "The sea is calm.\nMary, Martha and Marcus sail on it.\n" * 40
MANY_CHARACTERS = "".join(map(chr, range(0x4E00, 0x4E00 + 1100)))


def blocks(language: str, *pages: str) -> list[str]:
    return [
        block for page in pages or PAGES.values() for block in re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)
    ]


OF_TORCHRUN = {
    *("--standalone", "--nnodes", "--nproc-per-node", "--rdzv-backend", "--rdzv-endpoint", "--max-restarts"),
}

OF_INSTALLERS = {"--extra-index-url", "--no-sources", "--pip-args", "--torch-backend"}

LINES = list(dict.fromkeys(line.split("  #")[0].strip() for block in blocks("sh") for line in block.splitlines()))
"""Every line of commands, once and without its comment."""

COMMANDS = [line for line in LINES if line.startswith("lstmgen ")]


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the texts and runs that the pages name."""
    monkeypatch.chdir(tmp_path)
    for name in ("poems.txt", "names.txt", "letters.txt", "more.md"):
        Path(name).write_text(VERSES, encoding="utf-8")
    Path("poems-zh.txt").write_text(2 * MANY_CHARACTERS, encoding="utf-8")
    untrained_run("names", CHARACTERS, lines=True)
    run_of_text("learn-lstm", CHARACTERS + VERSES)
    for name in ("poems-gru", "poems-lstm"):
        write_log(run_of_text(name, CHARACTERS + VERSES).parent, evaluation_event(60, 1.5, 1.6))
    return tmp_path


@pytest.mark.usefixtures("workplace", "short_benchmark")
@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_runs(line: str) -> None:
    command, *arguments = shlex.split(line.replace("$cell", "gru"), comments=True)[1:]
    if command == "train":
        one_thread = ("--threads", "1", "--precision", "float32")
        if "--resume" in arguments:
            done("train", "poems.txt", "--run", "readme", "--steps", "1", "--hidden-size", "4", *one_thread)
            arguments = ["readme" if argument == "poems-lstm" else argument for argument in arguments]
        else:
            arguments += ["--run", "readme", *one_thread]
        arguments += [] if "--dry-run" in arguments else ["--dry-run"]
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
    written = (Path(name) for name in ("poems.html", "poems.onnx", "poems.pt", "learn.html"))
    assert ran.out or "readme" in ran.err or any(path.exists() for path in (Path("curves.png"), *written))


def test_every_line_of_commands_is_tested() -> None:
    others = [line for line in LINES if line not in COMMANDS]
    piped = [line for line in others if "| lstmgen score" in line]
    installing = [line for line in others if line.startswith("python3 -m venv")]
    saving = [line for line in others if line.startswith("python3 -c")]
    loop = [line for line in others if line.startswith("for cell in ") or line == "done"]
    assert [len(lines) for lines in (piped, installing, saving, loop)] == [1, 2, 1, 2]
    assert len(others) == 6 + others.count("")


@pytest.mark.usefixtures("workplace")
@pytest.mark.parametrize("line", [line for line in LINES if "| lstmgen score" in line])
def test_a_text_can_be_piped_to_score(line: str) -> None:
    _, text, _, _, _, *arguments = shlex.split(line, comments=True)
    assert done("score", *arguments, stdin=f"{text}\n".encode()).out


def test_python_docs_can_be_saved_as_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (line,) = (line for line in LINES if line.startswith("python3 -c"))
    _, *program, _, name = shlex.split(line)
    Path(name).write_bytes(subprocess.run([sys.executable, *program], check=True, capture_output=True).stdout)
    saved, named = (read_corpus(TextConfig(sources=(source,))) for source in (name, "python-docs"))
    assert saved.sha256 == named.sha256


KNOWN = {
    name: {
        option
        for parameter in command.params
        for option in (*parameter.opts, *parameter.secondary_opts)
        if option.startswith("--")
    }
    for name, command in typer.main.get_command(app).commands.items()  # type: ignore[attr-defined]  # a group
}
"""The long options of each command."""


@pytest.mark.parametrize("page", PAGES)
def test_every_option_exists(page: str) -> None:
    of_all = {"--help", "--version", "--install-completion", "--show-completion"}
    of_tests = {"--long", "--check"}
    known = set().union(of_all, of_tests, OF_TORCHRUN, OF_INSTALLERS, *KNOWN.values())
    assert options(PAGES[page]) <= known


@pytest.mark.parametrize("command", KNOWN)
def test_the_reference_names_every_option(command: str) -> None:
    assert KNOWN[command] <= options(REFERENCE)


def options(text: str) -> set[str]:
    return set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", text))


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_files_and_headings(page: str) -> None:
    for path, _, heading in re.findall(r"\]\((?!https?:)([^)#]*)(#?)([^)]*)\)", PAGES[page]):
        target = (ROOT / page).parent / path if path else ROOT / page
        assert target.exists(), path
        assert not heading or heading in headings(target.read_text(encoding="utf-8")), heading


def headings(text: str) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    found = re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in found}


@pytest.mark.usefixtures("workplace")
@pytest.mark.parametrize("example", [block for block in blocks("python") if "import lstmgen" in block])
def test_the_python_examples_run(example: str, capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(example, "example", "exec"), {})
    assert capsys.readouterr().out.startswith("The sea")


@pytest.mark.usefixtures("workplace")
def test_the_program_on_torch_alone_gives_the_same_number(capsys: pytest.CaptureFixture[str]) -> None:
    (program,) = (block for block in blocks("python") if "import torch" in block)
    assert "lstmgen" not in program
    done("export", "poems-lstm", "--torch", "poems.pt")
    exec(compile(program, "REFERENCE.md", "exec"), {})
    nats, *words = capsys.readouterr().out.split()
    assert " ".join(words) == "nats per character"
    expected = lstmgen.load("poems-lstm").score("The sea is calm.").nats_per_character
    assert float(nats) == pytest.approx(expected, abs=1e-5)


@pytest.mark.usefixtures("workplace")
def test_the_program_on_onnx_alone_writes(capsys: pytest.CaptureFixture[str]) -> None:
    (program,) = (block for block in blocks("python") if "import onnxruntime" in block)
    done("export", "poems-lstm", "--onnx", "poems.onnx")
    exec(compile(program, "REFERENCE.md", "exec"), {})
    written = capsys.readouterr().out.removesuffix("\n")
    assert written.startswith("The sea") and len(written) == 200
    assert set(written) <= set(CHARACTERS)


def test_it_opens_with_the_two_commands() -> None:
    first, second = (block.strip() for block in blocks("sh", README)[:2])
    for command in (first, second):
        assert "\n" not in command
        assert command.startswith("python3 -m venv .venv && .venv/bin/pip install -c constraints.txt ")
    assert "lstmgen train" in first and "lstmgen sample" in first
    assert second.endswith(".venv/bin/pytest")


def test_the_changelog_has_this_version() -> None:
    versions = re.findall(r"^## \[(.*?)\]", PAGES["CHANGELOG.md"], re.MULTILINE)
    assert versions[0] == lstmgen.__version__


def test_the_picture_can_be_made(tmp_path: Path) -> None:
    maker = runpy.run_path(str(ROOT / "docs" / "make_terminal.py"))
    commands = [command for command, _ in maker["COMMANDS"]]
    assert all(command.partition("lstmgen ")[2].split()[0] in KNOWN for command in commands)
    namespace = maker["main"].__globals__
    namespace |= {"COMMANDS": [("lstmgen --version", "")], "PICTURE": tmp_path / "picture.svg"}
    maker["main"]()
    assert lstmgen.__version__ in (tmp_path / "picture.svg").read_text(encoding="utf-8")
