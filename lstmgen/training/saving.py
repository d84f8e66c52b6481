"""When a run is saved, and what happens if that fails: training goes on, and saving is soon tried again.

Knows: the folder of the run, and how long a save takes. Does not know: what a checkpoint holds, or whether it is good.
"""

from collections.abc import Callable

from lstmgen.checkpoint import Checkpoint
from lstmgen.errors import CheckpointError
from lstmgen.training.events import SavedAgain, SaveFailed
from lstmgen.training.processes import Processes
from lstmgen.training.run_folder import RunFolder
from lstmgen.training.shared_folder import SharedFolder

_INTERVAL_SECONDS = 60.0
_RETRY_SECONDS = 10.0
_MOST_FRACTION = 0.01  # of the time: saving between evaluations takes no more than this


class Saver:
    """Saves a run to its folder again and again, and remembers whether the last attempt failed."""

    def __init__(self, folder: RunFolder | SharedFolder, processes: Processes, clock: Callable[[], float]) -> None:
        """Wait for the first save."""
        self._folder = folder
        self._processes = processes
        self._clock = clock
        self._ended = clock()  # the last attempt, or the start
        self._seconds = 0.0  # how long the last attempt took
        self._error: CheckpointError | None = None  # of the last attempt

    def due(self) -> bool:
        """Whether it is time to save between two evaluations."""
        interval = _RETRY_SECONDS if self._error else max(_INTERVAL_SECONDS, self._seconds / _MOST_FRACTION)
        return bool(self._processes.number_of_first(self._clock() - self._ended > interval))

    def save(self, checkpoint: Checkpoint, *, best: bool) -> SaveFailed | SavedAgain | None:
        """Save a checkpoint as the last one, and as the best one if it is that.

        Returns what is to be told: that saving begins to fail, or that it works again.
        """
        begun, error_before, self._error = self._clock(), self._error, None
        try:
            self._folder.save(checkpoint, best=best)
        except CheckpointError as error:
            self._error = error
        self._ended = self._clock()
        self._seconds = self._ended - begun
        step, seconds = checkpoint.record.position.step, checkpoint.record.seconds
        if self._error and not error_before:
            reason, saved_step = str(self._error), self._folder.saved_step
            return SaveFailed(step=step, reason=reason, saved_step=saved_step, seconds=seconds)
        return SavedAgain(step=step, seconds=seconds) if error_before and not self._error else None

    def close(self) -> None:
        """End the run. Raises CheckpointError if the last attempt failed; what was to be saved is then rescued."""
        if self._error:
            folder = self._folder.rescue()
            outcome = "what was learned since the last save is lost" if folder is None else f"the run is in {folder}"
            raise CheckpointError(f"{self._error}; {outcome}") from self._error
