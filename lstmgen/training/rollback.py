"""Where a run goes back to if its loss diverges.

It goes back to what it saved last. Where that does not help, it goes back to the best weights, and then to the start.

Knows: the folder of the run, and the steps of its checkpoints. Does not know: losses, or what diverges.
"""

from lstmgen.checkpoint import BEST, LAST, Checkpoint
from lstmgen.record import Position
from lstmgen.training.run_folder import RunFolder
from lstmgen.training.shared_folder import SharedFolder


class Rollback:
    """Chooses a checkpoint, and remembers which ones did not help."""

    def __init__(self, folder: RunFolder | SharedFolder, start: Checkpoint) -> None:
        """Nothing was chosen yet; `start` is the checkpoint with which the session began."""
        self._folder = folder
        self._start = start
        self._returned_to = -1  # the step to which the run went back last
        self._returns = 0  # how often it went back there without a good step since

    def checkpoint(self, position: Position, bad_steps: int) -> Checkpoint:
        """The checkpoint to go back to from here, after so many bad steps in a row.

        What was saved after the loss became bad does not help either.
        """
        last_good_step = position.step - bad_steps
        self._returns = self._returns + 1 if last_good_step <= self._returned_to else 0
        unchanged = self._folder.saved_step in (None, self._start.record.position.step)
        choices = ((None if unchanged else LAST, self._folder.saved_step or 0), (BEST, position.best_step), (None, 0))
        helpful = [name for name, step in choices[self._returns :] if step <= last_good_step]
        name = helpful[0] if helpful else None
        chosen = self._start if name is None else self._folder.load(name) or self._start
        self._returned_to = chosen.record.position.step
        return chosen
