"""Prepare what surrounds a command: UTF-8 whatever the locale is, a readable width, and room for torch."""

import locale
import mmap
import os
import re
import sys
from contextlib import suppress
from pathlib import Path

_SIZES = {"COLUMNS": 20, "LINES": 5, "TERMINAL_WIDTH": 20}  # the smallest in which text can be read
_MAX_SIZE = 1000
_TORCH_BYTES = 1 << 30  # of address space, that torch takes when it is imported and computes a little
_SPEAKS_OF_MEMORY = re.compile(
    r"memory|allocat|bad_alloc|map segment|create a primitive|start new thread|without (setting an )?exception|"
    r"terminated abruptly",
    re.IGNORECASE,
)


def restart_in_utf_8() -> None:
    """Start the process again in Python's UTF-8 mode, if the locale has another encoding; otherwise return.

    Names of files and arguments are then the bytes that the user typed, and they mean the same under every locale.
    """
    if sys.getfilesystemencoding() == "utf-8" or os.environ.get("PYTHONUTF8") == "1" or sys.platform == "win32":
        return
    os.environ["PYTHONUTF8"] = "1"  # also for processes that a command starts; and it is tried only once
    try:
        arguments = Path("/proc/self/cmdline").read_bytes().split(b"\0")[:-1]
    except OSError:
        arguments = [os.fsencode(argument) for argument in sys.orig_argv]
    with suppress(OSError, ValueError):
        os.execv(sys.executable, [arguments[0], b"-X", b"utf8", *arguments[1:]])  # noqa: S606  # it is this program


def as_typed(argument: str) -> str:
    """Decode an argument that is not UTF-8 with the encoding of the locale; the name of a file that exists stays."""
    name = argument.partition("=")[2] if argument.startswith("--") else argument
    try:
        argument.encode()
    except UnicodeEncodeError:
        with suppress(UnicodeError, LookupError):
            return argument if os.path.lexists(name) else os.fsencode(argument).decode(locale.getencoding())
    return argument


def use_readable_size() -> None:
    """Let every library see a terminal that text can be read in: a size of 0, or one that is no number, is unknown."""
    for name, least in _SIZES.items():
        try:
            size = int(os.environ.get(name, ""))
        except ValueError:
            size = 0
        if size <= 0:
            os.environ.pop(name, None)
            size = _terminal_columns() if name == "COLUMNS" else 0
            if not 0 < size < least:
                continue
        os.environ[name] = str(min(max(size, least), _MAX_SIZE))


def show_colours() -> None:
    """Let a terminal of Windows obey the sequences that colour text; others do so already."""
    if sys.platform == "win32":
        with suppress(ImportError):  # typer brings it
            from colorama import just_fix_windows_console

            just_fix_windows_console()


def _terminal_columns() -> int:
    """The columns of the terminal; 0: there is no terminal, or it does not know."""
    for descriptor in range(3):
        with suppress(OSError, AttributeError):
            return os.get_terminal_size(descriptor).columns
    return 0


class _RoomForTorch:
    """Refuses to import torch where a limit leaves no room for it; torch itself would crash without a message."""

    @staticmethod
    def find_spec(name: str, _path: object = None, _target: object = None) -> None:
        """Raise OSError for torch if its address space cannot be had; find nothing."""
        if name == "torch":
            mmap.mmap(-1, _TORCH_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, prot=mmap.PROT_READ).close()


def require_room_for_torch() -> None:
    """Raise OSError when torch is imported and a limit of memory is too small for it."""
    if _memory_limit() is not None and _RoomForTorch not in sys.meta_path:
        sys.meta_path.insert(0, _RoomForTorch)


def out_of_memory(error: BaseException | None) -> str | None:
    """Say what to do if an error or one of its causes means that memory ran out; None: it means something else.

    Python, NumPy, torch and the loader of libraries each have errors of their own for it.
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
    """The bytes of address space that this process may have; None: there is no limit."""
    try:
        import resource

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        return None if limit == resource.RLIM_INFINITY else limit
    except (ImportError, AttributeError):  # Windows, and systems without this limit
        return None
