"""The folder of a run while it trains: one process owns it, and it holds two checkpoints and the log.

A failed write only costs time: files on the disk stay intact, and the next save writes everything again. This is true
for a full disk as well as for a deleted folder.
"""

import json
import os
import shutil
import socket
import tempfile
import warnings
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from lstmgen.checkpoint import BEST, INDEX, LAST, LOG, RUNS_FOLDER, Checkpoint, composed, load_checkpoint, to_bytes
from lstmgen.errors import CheckpointError, ConfigError, unwritable
from lstmgen.files import remove_parts, replace_file, replace_files
from lstmgen.training.events import Event, Stepped, is_logged, to_mapping
from lstmgen.training.learning_curve import logged_step

LOCK, OWNER = ".lock", ".owner"
_FILES = {BEST, LAST, LOG, LOCK, OWNER, INDEX}  # the only files in a run's folder, apart from part files
_MAX_NAMES = 1000


class FolderInUseError(CheckpointError):
    """Another process is training in the folder."""


class Storage:
    """A folder that this process has locked."""

    def __init__(self, path: Path, lock: "FolderLock", checkpoint: Checkpoint | None) -> None:
        """Take over a folder, with the last checkpoint of its run; None: a new run.

        Raises CheckpointError if the best checkpoint is missing and cannot be written.
        """
        self.path = path
        self.saved_step = None if checkpoint is None else checkpoint.record.position.step
        """The step of the last checkpoint on the disk; None: there is none."""
        self.exclusive = lock.exclusive
        """Whether the lock keeps other processes out of the folder."""
        self._lock = lock
        self._best: bytes | None = None  # the content of the best checkpoint; None: there is none yet
        self._best_is_saved = False
        self._unsaved: bytes | None = None  # the content of a last checkpoint that failed to save
        self._log = bytearray(_lines_until(path / LOG, self.saved_step or 0))
        self._logged = -1  # bytes of the log known to be in its file; -1: the file may not even be ours
        self._remove_parts()  # left by a process that was killed while saving
        if checkpoint is not None:
            self._complete(checkpoint)

    def _remove_parts(self) -> None:
        for name in (BEST, LAST, LOG):
            remove_parts(self.path / name)

    def _complete(self, last: Checkpoint) -> None:
        """Read the best checkpoint, or write it if a process was killed between writing the last one and the best."""
        position = last.record.position
        is_best = position.best_nats is None or position.best_step == position.step
        with suppress(CheckpointError, OSError):
            if not is_best or load_checkpoint(self.path / BEST).record.position.step == position.step:
                self._best, self._best_is_saved = (self.path / BEST).read_bytes(), True
                return
        if is_best and (error := self.save(last, best=last)):
            raise error

    def save(self, checkpoint: Checkpoint, *, best: Checkpoint | None) -> CheckpointError | None:
        """Save the last checkpoint, and a new best one; None: the best stays, but the first save needs one.

        Returns the error if that failed.
        """
        self._unsaved = last = to_bytes(checkpoint)
        if best or self._best is None:
            self._best, self._best_is_saved = to_bytes(replace(best or checkpoint, extra={})), False
        try:
            if not self._lock.held:  # the folder was deleted; another run may have taken its name
                self._claim_again()
            contents = [(self.path / LAST, last)]
            if not (self._best_is_saved and (self.path / BEST).exists()):
                contents.append((self.path / BEST, self._best))
            if best is not checkpoint and self.saved_step is not None:  # `_complete` tells what a killed process left
                contents.reverse()
            replace_files(contents)
        except OSError as error:
            return CheckpointError(f"cannot write {self.path / LAST}: {unwritable(error)}")
        except (CheckpointError, ConfigError) as error:  # the folder is gone, and none can be made
            return CheckpointError(str(error))
        self._unsaved = None
        self._best_is_saved = True
        self.saved_step = checkpoint.record.position.step
        self._write_log()
        return None

    def _claim_again(self) -> None:
        """Make the folder again, or another one if a run has taken its name; raises the errors of `new_run`."""
        numbered = (self.path.with_name(f"{self.path.name}-{number}") for number in range(2, _MAX_NAMES))
        path, lock = _claim((self.path, *numbered))
        self._lock.release()
        self.path, self._lock, self.saved_step, self._logged = path, lock, None, -1

    def load(self, name: str) -> Checkpoint | None:
        """One of the two checkpoints on the disk; None: missing or unreadable."""
        with suppress(CheckpointError, OSError):
            if self._lock.held:
                return load_checkpoint(self.path / name)
        return None

    def rescue(self) -> Path | None:
        """Write what could not be saved to a new temporary folder; None: that failed too.

        For the end of a run, when there is no further attempt to save.
        """
        contents = ((LAST, self._unsaved), (BEST, self._best))
        with suppress(OSError):
            folder = Path(tempfile.mkdtemp(prefix=f"{self.path.name}-"))
            try:
                replace_files((folder / name, content) for name, content in contents if content is not None)
            except OSError:
                shutil.rmtree(folder, ignore_errors=True)
                raise
            return folder
        return None

    def log(self, event: Event) -> None:
        """Add an event to the log, if the log keeps it. Steps are written along with the next other event.

        Anything that cannot be written now is written later.
        """
        if is_logged(event):
            self._log += json.dumps(to_mapping(event)).encode() + b"\n"
        if isinstance(event, Stepped):
            return
        with suppress(OSError):
            if self._lock.held:
                self._write_log()

    def _write_log(self) -> None:
        """Append what the log's file lacks, or rewrite it if something else has changed it."""
        path = self.path / LOG
        with suppress(OSError):
            if path.exists() and path.stat().st_size == self._logged:
                with path.open("ab") as file:
                    file.write(self._log[self._logged :])
            else:
                replace_file(path, bytes(self._log))
            self._logged = len(self._log)

    def __enter__(self) -> "Storage":
        return self

    def __exit__(self, *error: object) -> None:
        """Release the folder, and remove it if it holds no checkpoint."""
        remove = False
        with suppress(OSError):
            if self._lock.held:
                self._remove_parts()  # left by a failed save
                remove = is_free(self.path)
        self._lock.release()
        if remove:
            shutil.rmtree(self.path, ignore_errors=True)
            with suppress(OSError):  # there are other runs
                self.path.parent.rmdir()


def _lines_until(path: Path, step: int) -> bytes:
    """The complete lines of a log, without the events after this step.

    A killed run has logged steps after its last save. When resumed, it repeats these steps and logs them again.
    """
    try:
        lines = path.read_bytes().splitlines(keepends=True)
    except OSError:
        return b""
    return b"".join(line for line in lines if line.endswith(b"\n") and logged_step(line) <= step)


def new_run(folders: Sequence[Path]) -> Storage:
    """Claim the first folder that is free.

    Raises ConfigError if none is free, and CheckpointError if it cannot be made.
    """
    return Storage(*_claim(folders), checkpoint=None)


def resumed_run(file: Path, checkpoint: Checkpoint) -> Storage:
    """Lock the folder of a run, given its last checkpoint and the file it was read from.

    Raises CheckpointError if another process is training there, or has trained there since the checkpoint was read.
    """
    lock = _lock(file.parent)
    try:
        if load_checkpoint(file).record.position.step != checkpoint.record.position.step:
            raise CheckpointError(f"{file}: another process has trained this run meanwhile; run the command again")
        return Storage(file.parent, lock, checkpoint)
    except BaseException:
        lock.release()
        raise


def refuse_if_in_use(path: Path) -> None:
    """Raise CheckpointError if another process is training in this folder."""
    _lock(path).release()


def unused_run(name: str) -> Path:
    """The folder of a run that may be removed or renamed, by its name or path.

    Raises CheckpointError if there is no such run, if a process is training in it, or if it holds any other files.
    """
    for folder in (RUNS_FOLDER / composed(name), Path(name)):
        with suppress(OSError, ValueError):  # missing, or not a valid file name
            files = [file.name for file in folder.iterdir()]
            if not {BEST, LAST, LOG}.isdisjoint(files):
                break
    else:
        raise CheckpointError(f"{name}: no such run in {RUNS_FOLDER.absolute()}")
    others = [file for file in files if file not in _FILES and not file.endswith(".part")]
    if others or folder.is_symlink():
        problem = f"holds other files, such as {min(others)}; move them" if others else "is a link; name its folder"
        raise CheckpointError(f"{folder}: {problem}")
    refuse_if_in_use(folder)
    return folder


def remove_run(folder: Path) -> None:
    """Remove a folder that `unused_run` returned; raises CheckpointError if a process is training in it now."""
    lock = _lock(folder)
    try:
        for file in list(folder.iterdir()):
            if file.name not in (LOCK, OWNER):
                file.unlink()
    finally:
        lock.release()
    folder.rmdir()


def first_free(folders: Sequence[Path]) -> Path:
    """The first folder that is free for a new run; raises ConfigError if none is."""
    for folder in folders:
        if not folder.exists():
            return folder
        if is_free(folder):
            with suppress(FolderInUseError):
                _lock(folder).release()
                return folder
    raise _none_is_free(folders)


def is_free(folder: Path) -> bool:
    """Whether a folder does not exist, or only holds leftovers of a process killed before its first save."""
    left = (LOG, LOCK, OWNER)
    try:
        return all(file.name in left or file.suffix == ".part" for file in folder.iterdir())
    except OSError as error:
        return isinstance(error, FileNotFoundError)


def _claim(folders: Sequence[Path]) -> "tuple[Path, FolderLock]":
    """Make and lock the first folder that is free, even if another process does the same at the same time."""
    in_use: FolderInUseError | None = None
    for folder in folders:
        if not is_free(folder):
            continue
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = _lock(folder)
        except FolderInUseError as error:
            in_use = error
            continue
        except OSError as error:
            raise CheckpointError(f"cannot make the folder {folder}: {unwritable(error)}") from error
        except CheckpointError:  # no file can be made in it
            with suppress(OSError):  # it is not empty
                folder.rmdir()
                folder.parent.rmdir()
            raise
        if is_free(folder):
            return folder, lock
        lock.release()  # another process was faster, and has ended already
    raise in_use or _none_is_free(folders)


def _none_is_free(folders: Sequence[Path]) -> ConfigError:
    best = folders[0]
    remedy = f", or resume it: `resume` {best.name}" if (best / LAST).is_file() else ""
    return ConfigError("run", best.name, f"{best} exists; give another name{remedy}")


def _lock(path: Path) -> "FolderLock":
    try:
        return FolderLock(path)
    except OSError as error:
        raise CheckpointError(f"cannot write to {path}: {unwritable(error)}") from error


class FolderLock:
    """The lock of a folder, held from construction until `release`; a second file names the owner.

    The system releases a lock when its process ends, even after a crash, so a lock file left by a dead process is no
    obstacle. On a file system without locks, nothing is refused.
    """

    def __init__(self, folder: Path) -> None:
        """Lock an existing folder.

        Raises FolderInUseError, which names the process that owns the lock, and OSError if the folder is not writable.
        """
        self._path, self._owner = folder / LOCK, folder / OWNER
        self.exclusive = True
        """Whether other processes are kept out; False: the file system has no locks."""
        self._is_ours = True
        self._lock = FileLock(self._path, timeout=0)
        existed = self._path.exists()
        try:
            with warnings.catch_warnings():
                # Some versions of filelock warn, and create a lock that outlives a crash.
                warnings.simplefilter("error", UserWarning)
                self._lock.acquire()
        except Timeout as error:
            raise FolderInUseError(
                f"{folder}: {_describe(self._owner)} is training here; wait until it ends, or stop it"
            ) from error
        except (OSError, NotImplementedError, UserWarning):
            with self._path.open("ab"):  # raises OSError if the folder is not even writable
                self.exclusive, self._is_ours = False, not existed
        self._identity = _identity(self._path)
        if not self._is_ours:  # another process may train here, and needs these files
            return
        owner = {"process": os.getpid(), "host": socket.gethostname(), "since": f"{datetime.now():%Y-%m-%d %H:%M:%S}"}
        with suppress(OSError):  # the lock itself is held
            self._owner.write_text(json.dumps(owner), encoding="utf-8")

    @property
    def held(self) -> bool:
        """Whether this is still the folder that was locked; it may have been deleted or replaced.

        Raises OSError if that cannot be determined now.
        """
        return _identity(self._path) == self._identity is not None

    def release(self) -> None:
        """Release the lock and remove its files."""
        with suppress(OSError):  # some systems cannot remove an open file
            if self._is_ours and self.held:
                self._owner.unlink(missing_ok=True)
                self._path.unlink()
        self._lock.release()


def _identity(path: Path) -> tuple[int, int] | None:
    """The identity of a file, different from every other file's; None: it does not exist."""
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return status.st_dev, status.st_ino


def _describe(path: Path) -> str:
    """Describe the process named in the owner file of a `FolderLock`."""
    try:
        owner: Any = json.loads(path.read_text(encoding="utf-8"))
        return f"process {int(owner['process'])} on {owner['host']!s:.60}, since {owner['since']!s:.20},"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
