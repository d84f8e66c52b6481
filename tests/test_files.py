"""Files are replaced as a whole, and new ones are whole or not there; this is the place of "never overwritten"."""

import os
from pathlib import Path

import pytest

from lstmgen.files import new_file


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
