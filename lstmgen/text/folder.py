"""The files of a folder that a user wants: no hidden ones, none that git ignores, and none that programs made."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from lstmgen.errors import TextError

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

_MADE = {"checkpoints", "node_modules", "__pycache__"}
_MARKERS = {"CACHEDIR.TAG", "comparison.json", "pyvenv.cfg"}  # of caches, of comparisons, of virtual environments

Rules = tuple[tuple[str, "GitIgnoreSpec"], ...]
"""What `.gitignore` files say, the deepest last; each with the path from there to the folder in question: `a/b/`."""


def files_below(folder: Path) -> tuple[list[Path], list[str]]:
    """The files of a folder and its subfolders in a fixed order, and the files and subfolders that are left out.

    The folder itself is never left out, because the user has named it. Symbolic links to folders are not followed.
    Raises TextError if the folder cannot be read.
    """
    files: list[Path] = []
    left_out: list[str] = []

    def refuse(error: OSError) -> None:
        if Path(error.filename) == folder:
            raise TextError(f"cannot read {folder}: {error.strerror}; check its permissions") from error
        left_out.append(Path(error.filename).relative_to(folder).as_posix() + "/")

    rules_of: dict[Path, Rules] = {folder: _rules_above(folder)}
    for parent, folders, names in os.walk(folder, onerror=refuse):
        relative = Path(parent).relative_to(folder)
        rules = rules_of.pop(Path(parent))
        if spec := _spec(Path(parent)):
            rules = (*rules, ("", spec))
        kept = []
        for name in sorted(name for name in folders if not name.startswith(".")):
            if name in _MADE or _is_ignored(name + "/", rules) or _is_made(Path(parent, name)):
                left_out.append((relative / name).as_posix() + "/")
            else:
                kept.append(name)
                rules_of[Path(parent, name)] = tuple((f"{path}{name}/", spec) for path, spec in rules)
        folders[:] = kept
        for name in sorted(name for name in names if not name.startswith(".")):
            if _is_ignored(name, rules):
                left_out.append((relative / name).as_posix())
            elif Path(parent, name).is_file():
                files.append(Path(parent, name))
    return files, left_out


def _is_made(folder: Path) -> bool:
    """Whether a program made a folder: a run, a comparison, a cache or an environment."""
    try:
        names = {entry.name for entry in os.scandir(folder)}
    except OSError:
        return False
    is_run = "log.jsonl" in names and not names.isdisjoint({"best.safetensors", "last.safetensors"})
    return is_run or not names.isdisjoint(_MARKERS)


def _is_ignored(name: str, rules: Rules) -> bool:
    """Whether git ignores an entry of a folder; the name of a subfolder ends with a slash."""
    for path, spec in reversed(rules):
        ignored = spec.check_file(path + name).include
        if ignored is not None:
            return ignored
    return False


def _rules_above(folder: Path) -> Rules:
    """What the repository around a folder says of its files, without the rules by which git ignores the folder."""
    folder = folder.resolve()
    around: list[Path] = []
    for above in (folder, *folder.parents):
        if (above / ".git").exists():
            break
        around.append(above.parent)
    else:
        return ()
    rules = []
    for above in reversed(around):
        path = folder.relative_to(above).as_posix() + "/"
        if spec := _spec(above, path):
            rules.append((path, spec))
    return tuple(rules)


def _spec(folder: Path, wanted: str = "") -> "GitIgnoreSpec | None":
    """The rules of a folder's `.gitignore`, without those that git cannot read, or by which it ignores `wanted`."""
    from pathspec import GitIgnoreSpec  # most commands read no folder

    path = folder / ".gitignore"
    try:
        lines = path.read_text("utf-8-sig", "surrogateescape").splitlines() if path.is_file() else []
    except OSError:
        return None
    valid = []
    for line in lines:
        try:
            (pattern,) = GitIgnoreSpec.from_lines([line]).patterns
        except ValueError:
            continue
        if not (wanted and pattern.include and pattern.match_file(wanted)):
            valid.append(pattern)
    return GitIgnoreSpec(valid) if valid else None
