"""Finding and opening the files that a checkpoint names. It may come from a stranger and name anything.

So the search looks at a bounded number of files, and only regular files are opened: no pipe that is never written to,
and no device without end.

Knows: file systems. Does not know: text, or which names a checkpoint has.
"""

import glob
import os
import stat
from collections.abc import Iterator, Set
from fnmatch import fnmatch
from pathlib import Path
from typing import BinaryIO

from lstmgen.errors import TextError

MOST_FILES = 100_000
"""How many files and folders are looked at for one name."""


class Walk:
    """A walk through folders, in a fixed order, that ends with an error after `MOST_FILES` files and folders."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._left = MOST_FILES

    def see(self, count: int) -> None:
        """Count files and folders; raises TextError if there have been too many."""
        self._left -= count
        if self._left < 0:
            raise TextError(
                f"{self._name}: a checkpoint names this text, and more than {MOST_FILES:,} files would be searched "
                "for it; name the text yourself"
            )

    def matching(self, pattern: str) -> Iterator[str]:
        """The files that match a pattern, as `glob` finds them."""
        parts = Path(pattern).parts
        fixed = next((number for number, part in enumerate(parts) if glob.has_magic(part)), len(parts))
        top, rest = Path(*parts[:fixed]), parts[fixed:] + (("*",) if parts[-1] == "**" else ())
        for parent, folders, names in os.walk(top, followlinks=True):
            self.see(len(folders) + len(names))
            above = Path(parent).relative_to(top).parts
            folders[:] = [name for name in folders if _reached((*above, name), rest)]
            yield from (str(Path(parent, name)) for name in names if len(rest) in _reached((*above, name), rest))


def _reached(names: tuple[str, ...], parts: tuple[str, ...]) -> Set[int]:
    """How many parts of a pattern a path can have used up; `**` stands for any number of folders."""
    reached = _past_stars({0}, parts)
    for name in names:
        used = {number for number in reached if number < len(parts) and _fits(name, parts[number])}
        reached = _past_stars({number + (parts[number] != "**") for number in used}, parts)
    return reached


def _fits(name: str, part: str) -> bool:
    """Whether a name matches a part of a pattern; a hidden name only matches one that begins with a dot, too."""
    return (part == "**" or fnmatch(name, part)) and (part.startswith(".") or not name.startswith("."))


def _past_stars(reached: set[int], parts: tuple[str, ...]) -> set[int]:
    for number, part in enumerate(parts):
        if part == "**" and number in reached:
            reached.add(number + 1)
    return reached


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file to read it. Raises OSError; anything else, such as a pipe, is not waited for."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(0, "not a regular file", str(path))
    number = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    file = os.fdopen(number, "rb")
    if not stat.S_ISREG(os.fstat(number).st_mode):  # it was replaced meanwhile
        file.close()
        raise OSError(0, "not a regular file", str(path))
    return file
