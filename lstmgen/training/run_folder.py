"""The folder of a run while it trains: it belongs to one process, and it holds two checkpoints and the log.

A write that fails loses nothing but time: what is on the disk stays, and the next save writes everything again. That
holds for a full disk as well as for a folder that was deleted.

Knows: files and locks. Does not know: when to save, or what training does.
"""

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from lstmgen.checkpoint import BEST, LAST, LOG, Checkpoint, load_checkpoint, to_bytes, unwritable
from lstmgen.errors import CheckpointError, ConfigError
from lstmgen.files import remove_parts, replace_files
from lstmgen.training.events import Event, Stepped
from lstmgen.training.lock import LOCK, OWNER, FolderInUseError, FolderLock
from lstmgen.training.log import Log

_MOST_NAMES = 1000


class RunFolder:
    """A folder that this process has locked."""

    def __init__(self, path: Path, lock: FolderLock, checkpoint: Checkpoint | None) -> None:
        """Take over a folder, with the last checkpoint of the run in it; None: it is a new run.

        Raises CheckpointError if the best checkpoint is missing and cannot be written.
        """
        self.path = path
        self.saved_step = None if checkpoint is None else checkpoint.record.position.step
        """The step of the last checkpoint that is on the disk; None: there is none."""
        self._lock = lock
        self._best: bytes | None = None  # the content of the best checkpoint; None: there is none yet
        self._best_is_saved = False
        self._unsaved: bytes | None = None  # the content of a last checkpoint that could not be written
        self._log = Log(path / LOG, self.saved_step or 0)
        self._remove_parts()  # of a process that was killed while it saved
        if checkpoint is not None:
            self._complete(checkpoint)

    def _remove_parts(self) -> None:
        for name in (BEST, LAST, LOG):
            remove_parts(self.path / name)

    def _complete(self, last: Checkpoint) -> None:
        """Read the best checkpoint. Write it, if the process that wrote the last one was killed before it could."""
        position = last.record.position
        is_best = position.best_nats is None or position.best_step == position.step
        with suppress(CheckpointError, OSError):
            if not is_best or load_checkpoint(self.path / BEST).record.position.step == position.step:
                self._best, self._best_is_saved = (self.path / BEST).read_bytes(), True
                return
        if is_best:
            self.save(last, best=True)

    def save(self, checkpoint: Checkpoint, *, best: bool) -> None:
        """Save a checkpoint as the last one, and also as the best one if it is that, or if there is none yet.

        Raises CheckpointError if it cannot be written.
        """
        self._unsaved = last = to_bytes(checkpoint)
        if best or self._best is None:
            self._best, self._best_is_saved = to_bytes(replace(checkpoint, extra={})), False
        try:
            if not self._lock.held:  # the folder was deleted; another run may have its name now
                self._claim_again()
            contents = [(self.path / LAST, last)]
            if not (self._best_is_saved and (self.path / BEST).exists()):
                contents.append((self.path / BEST, self._best))
            if not best and self.saved_step is not None:  # `_complete` finds the best in the last one only if it is it
                contents.reverse()
            replace_files(contents)
        except OSError as error:
            raise unwritable(self.path / LAST, error) from error
        self._unsaved = None
        self._best_is_saved = True
        self.saved_step = checkpoint.record.position.step
        self._log.write()

    def _claim_again(self) -> None:
        """Make the folder again, or another one if a run has its name now. Raises CheckpointError if that fails."""
        try:
            path, lock = _claim((self.path, *_numbered(self.path)))
        except ConfigError as error:
            raise CheckpointError(str(error)) from error
        self._lock.release()
        self.path, self._lock, self._log.path = path, lock, path / LOG
        self.saved_step = None

    def load(self, name: str) -> Checkpoint | None:
        """One of the two checkpoints on the disk; None: it is not there, or cannot be read."""
        with suppress(CheckpointError, OSError):
            if self._lock.held:
                return load_checkpoint(self.path / name)
        return None

    def rescue(self) -> Path | None:
        """Write what could not be saved to a new folder among the temporary files; None: that fails, too.

        This is for the end of a run, when saving is not tried again.
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
        """Add an event to the log, if it is one that the log keeps. Steps are written with what follows them."""
        self._log.append(event)
        if isinstance(event, Stepped):
            return
        with suppress(OSError):  # it is written later
            if self._lock.held:
                self._log.write()

    def release(self) -> None:
        """Let other processes have the folder. It is removed if it holds no checkpoint."""
        remove = False
        with suppress(OSError):
            if self._lock.held:
                self._remove_parts()  # of a save that failed and could not remove them
                remove = is_free(self.path)
        self._lock.release()
        if remove:
            shutil.rmtree(self.path, ignore_errors=True)
            with suppress(OSError):  # the folder of all runs is not empty
                self.path.parent.rmdir()


@contextmanager
def new_run(folders: Sequence[Path]) -> Iterator[RunFolder]:
    """Make the first folder that is free, for the length of the context.

    Raises ConfigError if none is free, and CheckpointError if it cannot be made.
    """
    folder = RunFolder(*_claim(folders), checkpoint=None)
    try:
        yield folder
    finally:
        folder.release()


@contextmanager
def resumed_run(file: Path, checkpoint: Checkpoint) -> Iterator[RunFolder]:
    """Lock the folder of a run, whose last checkpoint was read from a file, for the length of the context.

    Raises CheckpointError if another process trains there, or has trained there since the checkpoint was read.
    """
    lock = _lock(file.parent)
    try:
        if load_checkpoint(file).record.position.step != checkpoint.record.position.step:
            raise CheckpointError(f"{file}: another process has trained it further meanwhile; give the command again")
        folder = RunFolder(file.parent, lock, checkpoint)
    except BaseException:
        lock.release()
        raise
    try:
        yield folder
    finally:
        folder.release()


def refuse_if_in_use(path: Path) -> None:
    """Raise CheckpointError if another process trains in this folder."""
    _lock(path).release()


def first_free(folders: Sequence[Path]) -> Path:
    """The first folder that a new run can have; raises ConfigError if none is free."""
    for folder in folders:
        if not folder.exists():
            return folder
        if is_free(folder):
            with suppress(FolderInUseError):
                _lock(folder).release()
                return folder
    raise _none_is_free(folders)


def is_free(folder: Path) -> bool:
    """Whether a folder is not there, or holds only what a process left that was killed before its first save."""
    left = (LOG, LOCK, OWNER)
    try:
        return all(file.name in left or file.suffix == ".part" for file in folder.iterdir())
    except OSError as error:
        return isinstance(error, FileNotFoundError)


def _claim(folders: Sequence[Path]) -> tuple[Path, FolderLock]:
    """Make the first folder that is free, and lock it. Another process may do the same at the same time."""
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
            raise CheckpointError(
                f"cannot make the folder {folder}: {error.strerror}; check the permissions of the folder above it"
            ) from error
        if is_free(folder):
            return folder, lock
        lock.release()  # another process was faster, and has ended since
    raise in_use or _none_is_free(folders)


def _lock(path: Path) -> FolderLock:
    try:
        return FolderLock(path)
    except OSError as error:
        raise unwritable(path, error) from error


def _numbered(path: Path) -> Iterator[Path]:
    return (path.with_name(f"{path.name}-{number}") for number in range(2, _MOST_NAMES))


def _none_is_free(folders: Sequence[Path]) -> ConfigError:
    best = folders[0]
    remedy = f", or resume it: `resume` {best.name}" if (best / LAST).is_file() else ""
    return ConfigError("run", best.name, f"{best} exists; give another name{remedy}")
