"""One process at a time trains in a folder.

The system gives a lock back when its process ends, even after a crash. So a lock file that a dead process left is no
obstacle. A second file tells who has the lock. Some file systems have no locks; nothing is refused there.
"""

import json
import os
import socket
import warnings
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from lstmgen.errors import CheckpointError

LOCK, OWNER = ".lock", ".owner"


class FolderInUseError(CheckpointError):
    """Another process trains in the folder."""


class FolderLock:
    """The lock of a folder, held from its creation until `release`."""

    def __init__(self, folder: Path) -> None:
        """Lock a folder that exists.

        Raises FolderInUseError, which names the process that has the lock, and OSError if the folder cannot be written.
        """
        self._path, self._owner = folder / LOCK, folder / OWNER
        self.exclusive = True
        """Whether other processes are kept out; False: this file system has no locks."""
        self._is_ours = True
        self._lock = FileLock(self._path, timeout=0)
        existed = self._path.exists()
        try:
            with warnings.catch_warnings():
                # Some versions of filelock warn, and take a lock that a process leaves behind when it crashes.
                warnings.simplefilter("error", UserWarning)
                self._lock.acquire()
        except Timeout as error:
            raise FolderInUseError(
                f"{folder}: {_describe(self._owner)} trains here; wait until it ends, or stop it"
            ) from error
        except (OSError, NotImplementedError, UserWarning):
            with self._path.open("ab"):  # raises OSError if the folder cannot be written, and not just locked
                self.exclusive, self._is_ours = False, not existed
        self._identity = _identity(self._path)
        if not self._is_ours:  # another process may train here, and needs these files
            return
        owner = {"process": os.getpid(), "host": socket.gethostname(), "since": f"{datetime.now():%Y-%m-%d %H:%M:%S}"}
        with suppress(OSError):  # the lock itself is held
            self._owner.write_text(json.dumps(owner), encoding="utf-8")

    @property
    def held(self) -> bool:
        """Whether the folder is still the one that was locked: it may have been deleted, or replaced.

        Raises OSError if that cannot be found out now.
        """
        return _identity(self._path) == self._identity is not None

    def release(self) -> None:
        """Give the lock back, and remove its files."""
        with suppress(OSError):  # some systems cannot remove an open file
            if self._is_ours and self.held:
                self._owner.unlink(missing_ok=True)
                self._path.unlink()
        self._lock.release()


def _identity(path: Path) -> tuple[int, int] | None:
    """What tells a file from every other one; None: it is not there."""
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return status.st_dev, status.st_ino


def _describe(path: Path) -> str:
    """The process that a file of `FolderLock` names."""
    try:
        owner: Any = json.loads(path.read_text(encoding="utf-8"))
        return f"process {int(owner['process'])} on {owner['host']!s:.60}, since {owner['since']!s:.20},"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
