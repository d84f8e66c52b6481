"""Which files of a folder are its text: not what git ignores, and not what programs made."""

import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lstmgen.errors import TextError
from lstmgen.text.folder import files_below
from lstmgen.text.sources import find_sources
from tests.command_line import done, run_of_text, untrained_run

RULES = "a /a a/ *.log !a.log **/b b/** !b/ /* !/a/ * !*/ !*.txt a* [ab] a/b"
"""Lines of a `.gitignore`."""


pytestmark = pytest.mark.usefixtures("nowhere")


def write(files: dict[str, str]) -> None:
    for name, text in files.items():
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(text, encoding="utf-8")


def found(*names: str) -> list[str]:
    return [Path(name).as_posix() for name in find_sources(names).names]


def test_what_programs_made_is_left_out() -> None:
    write(
        {
            "work/poem.txt": "poem",
            "work/checkpoints/README.md": "runs",
            "work/my-run/log.jsonl": "{}",
            "work/my-run/best.safetensors": "x",
            "work/stopped/log.jsonl": "{}",
            "work/stopped/last.safetensors": "x",
            "work/a/node_modules/left-pad/index.js": "code",
            "work/a/venv/pyvenv.cfg": "home",
            "work/a/venv/lib/six.py": "code",
            "work/cache/CACHEDIR.TAG": "Signature",
            "work/cache/page": "cached",
            "work/compared/comparison.json": "{}",
            "work/compared/lstm/log.jsonl": "{}",
            "work/log.json": '{"event": "plan", "run": "x"}\n',
            "work/growing.log": "",
            "work/logs/log.jsonl": "a log of something else",
        }
    )
    assert found("work") == ["work/poem.txt", "work/logs/log.jsonl"]
    (note,) = find_sources(["work"]).notes
    assert "checkpoints/" in note and "5 more" in note


def test_exported_pages_are_left_out() -> None:
    run_of_text("fable", "The fox leapt; the grapes hung high.\n" * 9)
    Path("work").mkdir()
    done("export", "fable", "--html", "work/write.html")
    done("inspect", "fable", "--html", "work/inside.html")
    done("score", "fable", "fable.txt", "--html", "work/heat.html")
    write({"work/other.html": "<!doctype html>\n<p>A page that someone wrote."})
    assert found("work") == ["work/other.html"]
    assert found("work/*.html") == [f"work/{name}.html" for name in ("heat", "inside", "other", "write")]


def test_a_folder_that_holds_its_own_runs_is_the_same_text_each_time() -> None:
    write({"poem.txt": "The fox leapt; the grapes hung high.\n" * 9})
    untrained_run("noise", "abc")
    assert found(".") == ["poem.txt"]
    done("train", ".", "--steps", 2, "--hidden-size", 8, "--run", "poem", "-q", "--threads", 1)
    assert found(".") == ["poem.txt"]
    assert "nats per character" in done("eval", "poem", "--no-baselines").text
    (event, *_) = done("train", "--resume", "poem", "--steps", 4, "--json", "-q", "--threads", 1).json_lines
    assert event["text"] == ["poem.txt"]


def test_a_gitignore_leaves_out_files_at_any_depth_and_takes_them_back() -> None:
    write(
        {
            "work/.gitignore": "# generated\n*.log\nbuild/\n/top.txt\n!keep.log\n[\n!\n///\n\ufeff\n",
            "work/a.txt": "a",
            "work/top.txt": "left out",
            "work/x.log": "left out",
            "work/keep.log": "kept",
            "work/build/b.txt": "left out",
            "work/in/top.txt": "kept",
            "work/in/build/b.txt": "left out",
            "work/in/.gitignore": "!x.log\na.txt\n",
            "work/in/a.txt": "left out",
            "work/in/x.log": "kept",
            "work/in/deep/x.log": "kept",
            "work/in/deep/y.log": "left out",
        }
    )
    kept = ["work/a.txt", "work/keep.log", "work/in/top.txt", "work/in/x.log", "work/in/deep/x.log"]
    assert found("work") == kept
    assert found("work/x.log", "work/build/*.txt", "work/in/a.txt") == [
        "work/x.log",
        "work/build/b.txt",
        "work/in/a.txt",
    ]


def test_the_repository_around_a_folder_has_its_say_but_not_on_the_folder_itself() -> None:
    files = {"repo/data/texts/a.txt": "a", "repo/data/texts/b.tmp": "b", "repo/data/texts/c/d.txt": "d"}
    write({".gitignore": "*.txt\n", "repo/.gitignore": "data/\n*.tmp\n", "repo/data/.gitignore": "c\n", **files})
    assert len(found("repo/data/texts")) == 3  # no repository yet
    Path("repo/.git").mkdir()
    assert found("repo/data/texts") == ["repo/data/texts/a.txt"]
    assert found("repo/data/texts/c") == ["repo/data/texts/c/d.txt"]
    os.chdir("repo/data/texts")
    assert found(".") == ["a.txt"]


def test_a_folder_of_which_all_is_left_out_says_why() -> None:
    write({"texts/.gitignore": "*\n", "texts/a.txt": "a"})
    with pytest.raises(TextError, match=r"a\.txt"):
        find_sources(["texts"])
    assert found("texts/*") == ["texts/a.txt"]


@pytest.mark.skipif(shutil.which("git") is None, reason="git says what is right")
@pytest.mark.parametrize("seed", range(8))
def test_git_leaves_out_the_same_files(seed: int) -> None:
    generator = random.Random(seed)
    parts = ["a", "b", "ab", "c.txt", "a.log"]
    write(
        {
            "/".join(generator.choices(parts[:3], k=depth)) + f"/{name}": "x"
            for depth in range(1, 4)
            for name in parts[3:]
        }
    )
    folders = [path for path in [Path(), *Path().rglob("*")] if path.is_dir()]
    for path in generator.sample(folders, min(len(folders), 3)):
        (path / ".gitignore").write_text("\n".join(generator.choices(RULES.split(), k=4)) + "\n", encoding="utf-8")
    subprocess.run(["git", "init", "-q"], check=True)
    git = ["git", "-c", "core.excludesFile=", "ls-files", "-z", "--others", "--exclude-standard"]
    listed = subprocess.run(git, check=True, capture_output=True).stdout.decode().split("\0")
    kept = {path.as_posix() for path in files_below(Path())[0]}
    assert kept == {name for name in listed if name and not name.endswith(".gitignore")}


@pytest.mark.skipif(sys.platform == "win32", reason="links need permission")
def test_links_that_lead_in_circles_are_not_followed() -> None:
    write({"work/a/x.txt": "x", "work/b/y.txt": "y"})
    for link in ("work/a/one", "work/a/two", "work/b/three"):
        Path(link).symlink_to(Path("work").absolute())
    Path("work/broken").symlink_to("nowhere")
    Path("work/self").symlink_to("self")
    assert found("work") == ["work/a/x.txt", "work/b/y.txt"]
    assert found("work/**/*.txt") == ["work/a/x.txt", "work/b/y.txt"]
    assert found("**/**/*.txt", "work/**") == ["work/a/x.txt", "work/b/y.txt"] * 2


def test_a_folder_that_may_not_be_read_is_a_problem_or_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    write({"work/a.txt": "a", "work/in/b.txt": "b"})
    scan = os.scandir
    secret = "work/in"

    def scandir(path: str) -> object:
        if Path(path) == Path(secret):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr("os.scandir", scandir)
    assert found("work") == ["work/a.txt"]
    assert "in/" in find_sources(["work"]).notes[0]
    secret = "work"
    with pytest.raises(TextError, match="work"):
        find_sources(["work"])


def test_stars_match_as_in_a_shell() -> None:
    write({"a.txt": "", "x/b.txt": "", "x/y/c.txt": "", "x/.h/d.txt": "", "x/y/.e.txt": "", "x/y/z/f.md": ""})
    assert found("**/*.txt") == ["a.txt", "x/b.txt", "x/y/c.txt"]
    assert found("[!b].txt", "x/b.*", "**/*.md") == ["a.txt", "x/b.txt", "x/y/z/f.md"]
    assert found("x/**/*.md", "x/**/y/*") == ["x/y/z/f.md", "x/y/c.txt"]
    assert found("x/**") == ["x/b.txt", "x/y/c.txt", "x/y/z/f.md"]
    assert found(str(Path("**", "y", "*").absolute())) == [Path("x/y/c.txt").absolute().as_posix()]
