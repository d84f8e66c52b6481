"""The files of a folder that the user means: not hidden, not ignored by git, not made by programs."""

import glob
import os
from pathlib import Path
from typing import TYPE_CHECKING

from lstmgen.errors import TextError

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

_MADE = {"checkpoints", "node_modules", "__pycache__"}
_MARKERS = {"CACHEDIR.TAG", "comparison.json", "pyvenv.cfg"}  # of caches, comparisons and virtual environments

Rules = tuple[tuple[str, "GitIgnoreSpec"], ...]
"""The rules of `.gitignore` files, the deepest last, each with the full path of its folder, ending in a slash."""


def files_below(folder: Path) -> tuple[list[Path], list[str]]:
    """The files below a folder, in a fixed order, and the files and subfolders that are left out.

    The folder itself is never left out, because the user named it. Symbolic links to folders are not followed.
    Raises TextError if the folder cannot be read.
    """
    files: list[Path] = []
    left_out: list[str] = []
    top = _with_slash(folder.resolve())

    def relative(path: str | Path) -> str:
        return "" if Path(path) == folder else _with_slash(Path(path).relative_to(folder))

    def refuse(error: OSError) -> None:
        if Path(error.filename) == folder:
            raise TextError(f"cannot read {folder}: {error.strerror}; check its permissions") from error
        left_out.append(relative(error.filename))

    rules_of = {str(folder): _rules_above(folder.resolve())}
    for parent, folders, names in os.walk(folder, onerror=refuse):
        below = relative(parent)
        rules = rules_of.pop(parent)
        if spec := _spec(Path(parent)):
            rules = (*rules, (top + below, spec))
        kept = []
        for name in sorted(name for name in folders if not name.startswith(".")):
            path = os.path.join(parent, name)  # noqa: PTH118  # as `os.walk` names it
            if name in _MADE or _is_ignored(f"{top}{below}{name}/", rules) or _is_made(path):
                left_out.append(f"{below}{name}/")
            else:
                kept.append(name)
                rules_of[path] = rules
        folders[:] = kept
        for name in sorted(name for name in names if not name.startswith(".")):
            if _is_ignored(top + below + name, rules):
                left_out.append(below + name)
            elif Path(parent, name).is_file():
                files.append(Path(parent, name))
    return files, left_out


def matching_files(pattern: str) -> list[Path]:
    """The files that match a pattern, in a fixed order; `**` does not follow symbolic links, which may be circular."""
    return [path for path in map(Path, sorted(_expanded(pattern))) if path.is_file()]


def _expanded(pattern: str) -> set[str]:
    parts = Path(pattern).parts
    if "**" not in parts:
        return set(glob.glob(pattern))  # noqa: PTH207  # Path.glob refuses absolute patterns
    stars = parts.index("**")
    rest = Path(*parts[stars + 1 :]) if parts[stars + 1 :] else Path("*")
    found = set()
    for top in glob.glob(str(Path(*parts[:stars]))):  # noqa: PTH207
        for parent, folders, _ in os.walk(top):
            folders[:] = [name for name in folders if not name.startswith(".")]
            found |= _expanded(str(Path(glob.escape(parent)) / rest))
    return found


def _with_slash(folder: Path) -> str:
    return folder.as_posix().rstrip("/") + "/"


def _is_made(folder: str) -> bool:
    """Whether a program made a folder: a run, a comparison, a cache or an environment."""
    try:
        names = {entry.name for entry in os.scandir(folder)}
    except OSError:
        return False
    is_run = "log.jsonl" in names and not names.isdisjoint({"best.safetensors", "last.safetensors"})
    return is_run or not names.isdisjoint(_MARKERS)


def _is_ignored(path: str, rules: Rules) -> bool:
    """Whether git ignores a full path; the path of a folder ends in a slash."""
    for folder, spec in reversed(rules):
        ignored = spec.check_file(path.removeprefix(folder)).include
        if ignored is not None:
            return ignored
    return False


def _rules_above(folder: Path) -> Rules:
    """The rules of the repository around a folder, except those by which git ignores the folder itself."""
    repository = next((above for above in (folder, *folder.parents) if (above / ".git").exists()), folder)
    around = [above for above in reversed(folder.parents) if above.is_relative_to(repository)]
    specs = [(_with_slash(above), _spec(above, _with_slash(folder.relative_to(above)))) for above in around]
    return tuple((above, spec) for above, spec in specs if spec)


def _spec(folder: Path, wanted: str = "") -> "GitIgnoreSpec | None":
    """The rules of a folder's `.gitignore`, except invalid ones and those that ignore `wanted`."""
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
