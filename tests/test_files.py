"""Files are replaced as a whole, and new ones are whole or not there; this is the place of "never overwritten"."""

import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from lstmgen.files import new_file, replace_file


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def refuse_links(*_: object) -> None:
    raise PermissionError("links")


@pytest.mark.parametrize("links", [True, False])  # a file system needs no links
def test_a_new_file_is_named_when_complete(links: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not links:
        monkeypatch.setattr(os, "link", refuse_links)
    path = tmp_path / ("a" * 200)
    with new_file(path) as file:
        file.write(b"new")
        (part,) = names(tmp_path)
        assert part.endswith(".part")
    assert names(tmp_path) == [path.name]
    assert (path.stat().st_nlink, path.read_bytes()) == (1, b"new")


@pytest.mark.parametrize("links", [True, False])
@pytest.mark.parametrize("before", [True, False])
def test_no_file_is_overwritten(before: bool, links: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not links:
        monkeypatch.setattr(os, "link", refuse_links)
    if before:
        (tmp_path / "a").write_bytes(b"mine")
    with pytest.raises(FileExistsError), new_file(tmp_path / "a") as file:
        file.write(b"new")
        (tmp_path / "a").write_bytes(b"mine")
    assert names(tmp_path) == ["a"]
    assert (tmp_path / "a").read_bytes() == b"mine"


@pytest.mark.parametrize(("refusals", "content"), [(3, b"new"), (1_000_000, b"old")])
def test_windows_replaces_a_file_as_soon_as_nobody_reads_it(
    refusals: int, content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader that never ends is the error of a save, which training survives."""
    now, left, replace = 0.0, refusals, os.replace

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    def refuse(*paths: Path) -> None:
        nonlocal left
        left -= 1
        if left >= 0:
            raise PermissionError("in use")
        replace(*paths)

    (tmp_path / "a").write_bytes(b"old")
    monkeypatch.setattr("lstmgen.files.time", SimpleNamespace(sleep=sleep, monotonic=lambda: now))
    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(PermissionError):  # elsewhere nothing is gained by waiting
        replace_file(tmp_path / "a", b"new")
    assert now == 0
    monkeypatch.setattr(sys, "platform", "win32")
    if content == b"old":
        with pytest.raises(PermissionError):
            replace_file(tmp_path / "a", b"new")
    else:
        replace_file(tmp_path / "a", b"new")
    assert 0 < now < 3
    assert ((tmp_path / "a").read_bytes(), names(tmp_path)) == (content, ["a"])


@pytest.mark.parametrize("refuses", [False, True])  # a disk of the network may
def test_macos_is_asked_to_empty_the_cache_of_the_disk(
    refuses: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fcntl = pytest.importorskip("fcntl")
    asked = []

    def ask(_: int, command: int) -> None:
        asked.append(command)
        if refuses:
            raise OSError

    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(fcntl, "F_FULLFSYNC", 51, raising=False)
    monkeypatch.setattr(fcntl, "fcntl", ask)
    replace_file(tmp_path / "a", b"new")
    with new_file(tmp_path / "b") as file:
        file.write(b"new")
    assert (asked, names(tmp_path)) == ([51, 51], ["a", "b"])
