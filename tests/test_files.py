"""Files are replaced as a whole, and new ones are whole or not there."""

import os
from pathlib import Path

import pytest

from lstmgen.files import new_file, remove_parts, replace_file


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_created_and_replaced(tmp_path: Path) -> None:
    for content in (b"old", b"new"):
        replace_file(tmp_path / "a", content)
        assert (tmp_path / "a").read_bytes() == content
    assert names(tmp_path) == ["a"]


def test_a_replacement_that_is_interrupted_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: int) -> None:
        raise KeyboardInterrupt

    replace_file(tmp_path / "a", b"old")
    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        replace_file(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"old"
    assert names(tmp_path) == ["a"]


def test_only_the_parts_of_this_file_are_removed(tmp_path: Path) -> None:
    for name in ("a.1.part", "a.22.part", "a", "b.1.part"):
        (tmp_path / name).write_bytes(b"")
    remove_parts(tmp_path / "a")
    assert names(tmp_path) == ["a", "b.1.part"]


def test_a_new_file_holds_what_is_written(tmp_path: Path) -> None:
    with new_file(tmp_path / "a") as file:
        file.write(b"new")
    assert (tmp_path / "a").read_bytes() == b"new"


def test_a_file_that_exists_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"mine")
    with pytest.raises(FileExistsError), new_file(tmp_path / "a"):
        pass
    assert (tmp_path / "a").read_bytes() == b"mine"


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_a_new_file_is_removed_if_it_cannot_be_completed(error: type[BaseException], tmp_path: Path) -> None:
    with pytest.raises(error), new_file(tmp_path / "a") as file:
        file.write(b"half")
        raise error
    assert names(tmp_path) == []
