"""The folder of a run that several processes train: the first one has it, and the others learn what became of it.

Knows: what a session asks of a `RunFolder`. Does not know: files.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, TypeVar, cast

from lstmgen.checkpoint import Checkpoint
from lstmgen.errors import CheckpointError
from lstmgen.training.events import Event
from lstmgen.training.processes import Processes
from lstmgen.training.run_folder import RunFolder

T = TypeVar("T")


class _Saved(NamedTuple):
    """What became of a save."""

    path: Path
    step: int | None
    error: CheckpointError | None


class SharedFolder:
    """A `RunFolder` of the first process. Every process calls each method, with the same arguments but for `log`."""

    def __init__(self, processes: Processes, claim: Callable[[], RunFolder]) -> None:
        """Let the first process claim a folder; raises there what `claim` raises."""
        self._processes = processes
        self._own: RunFolder | None = None

        def claimed() -> tuple[Path, int | None]:
            self._own = claim()
            return self._own.path, self._own.saved_step

        self.path, self.saved_step = processes.on_first(claimed)

    def save(self, checkpoint: Checkpoint, *, best: bool) -> None:
        """Save a checkpoint; the first process needs it. Raises CheckpointError everywhere if it cannot be written."""

        def saved(folder: RunFolder) -> _Saved:
            try:
                folder.save(checkpoint, best=best)
            except CheckpointError as error:
                return _Saved(folder.path, folder.saved_step, error)
            return _Saved(folder.path, folder.saved_step, None)

        self.path, self.saved_step, error = self._in_first(saved)
        if error:
            raise error

    def load(self, name: str) -> Checkpoint | None:
        """One of the two checkpoints on the disk; None: it is not there, or cannot be read."""
        return self._in_first(lambda folder: folder.load(name))

    def rescue(self) -> Path | None:
        """Write what could not be saved to a new folder among the temporary files; None: that fails, too."""
        return self._in_first(lambda folder: folder.rescue())

    def log(self, event: Event) -> None:
        """Write an event of the first process to the log."""
        if self._own is not None:
            self._own.log(event)

    def _in_first(self, action: Callable[[RunFolder], T]) -> T:
        return self._processes.on_first(lambda: action(cast(RunFolder, self._own)))
