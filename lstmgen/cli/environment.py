"""Prepare the environment of a command: UTF-8 under any locale, a readable width, and room for torch."""

import locale
import mmap
import os
import re
import sys
from contextlib import suppress
from pathlib import Path

_SIZES = {"COLUMNS": 20, "LINES": 5, "TERMINAL_WIDTH": 20}  # the smallest in which text can be read
_MAX_SIZE = 1000
_TORCH_BYTES = 1 << 30  # of address space, which torch takes to be imported and compute a little
_SPEAKS_OF_MEMORY = re.compile(
    r"memory|allocat|bad_alloc|map segment|create a primitive|start new thread|without (setting an )?exception|"
    r"terminated abruptly",
    re.IGNORECASE,
)


def restart_in_utf_8() -> None:
    """Restart the process in Python's UTF-8 mode if the locale has another encoding; otherwise return.

    File names and arguments are then the bytes that the user typed, and mean the same under every locale.
    """
    if sys.getfilesystemencoding() == "utf-8" or os.environ.get("PYTHONUTF8") == "1" or sys.platform == "win32":
        return
    os.environ["PYTHONUTF8"] = "1"  # child processes inherit it, and we try only once
    try:
        arguments = Path("/proc/self/cmdline").read_bytes().split(b"\0")[:-1]
    except OSError:
        arguments = [os.fsencode(argument) for argument in sys.orig_argv]
    with suppress(OSError, ValueError):
        os.execv(sys.executable, [arguments[0], b"-X", b"utf8", *arguments[1:]])  # noqa: S606  # it is this program


def as_typed(argument: str) -> str:
    """Decode an argument that is not UTF-8 with the locale's encoding; the name of an existing file is left alone."""
    name = argument.partition("=")[2] if argument.startswith("--") else argument
    try:
        argument.encode()
    except UnicodeEncodeError:
        with suppress(UnicodeError, LookupError):
            return argument if os.path.lexists(name) else os.fsencode(argument).decode(locale.getencoding())
    return argument


def use_readable_size() -> None:
    """Make every library see a terminal of readable size; a size of 0, or one that is not a number, is unknown."""
    for name, minimum in _SIZES.items():
        try:
            size = int(os.environ.get(name, ""))
        except ValueError:
            size = 0
        if size <= 0:
            os.environ.pop(name, None)
            size = _terminal_columns() if name == "COLUMNS" else 0
            if not 0 < size < minimum:
                continue
        os.environ[name] = str(min(max(size, minimum), _MAX_SIZE))


def show_colours() -> None:
    """Let a Windows terminal interpret colour sequences; other terminals already do."""
    if sys.platform == "win32":
        with suppress(ImportError):  # typer depends on it
            from colorama import just_fix_windows_console

            just_fix_windows_console()


def _terminal_columns() -> int:
    """The columns of the terminal; 0: there is none, or it does not know."""
    for descriptor in range(3):
        with suppress(OSError, AttributeError):
            return os.get_terminal_size(descriptor).columns
    return 0


class _RoomForTorch:
    """Refuses to import torch if a memory limit leaves no room for it; torch itself would crash without a message."""

    @staticmethod
    def find_spec(name: str, _path: object = None, _target: object = None) -> None:
        """Raise OSError for torch if its address space is not available; find nothing."""
        if name == "torch":
            mmap.mmap(-1, _TORCH_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, prot=mmap.PROT_READ).close()


def require_room_for_torch() -> None:
    """Raise OSError when torch is imported under a memory limit that is too small for it."""
    if _memory_limit() is not None and _RoomForTorch not in sys.meta_path:
        sys.meta_path.insert(0, _RoomForTorch)


def out_of_memory(error: BaseException | None) -> str | None:
    """Say what to do if an error or one of its causes means that memory ran out; None: it means something else.

    Python, NumPy, torch and the loader of libraries each report that in their own way.
    """
    while error is not None:
        spoken = isinstance(error, ImportError | OSError | RuntimeError | SystemError)
        if isinstance(error, MemoryError) or (spoken and _SPEAKS_OF_MEMORY.search(str(error))):
            limit = _memory_limit()
            allowed = "" if limit is None else f": ulimit -v allows {limit / 1e9:.2g} GB; raise it, or"
            return f"out of memory{allowed or ';'} try a smaller network, batch or text"
        error = error.__cause__ or error.__context__
    return None


def _memory_limit() -> int | None:
    """The limit on this process's address space, in bytes; None: there is none."""
    try:
        import resource

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        return None if limit == resource.RLIM_INFINITY else limit
    except (ImportError, AttributeError):  # Windows, and systems without this limit
        return None
