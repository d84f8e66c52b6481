"""Everything that can be found about a network on one text: units, gates and memory."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from lstmgen.checkpoint import Checkpoint
from lstmgen.errors import TextError
from lstmgen.inspection.gates import GateUse, gate_uses
from lstmgen.inspection.memory import Memory, measure_memory
from lstmgen.inspection.trace import traces
from lstmgen.inspection.units import Units, find_units
from lstmgen.inspection.walk import Unit
from lstmgen.text.vocabulary import Ids


@dataclass(frozen=True)
class Findings:
    """What was found; the text of an error stands for a finding that the text is too short for."""

    units: Units | str
    gates: tuple[GateUse, ...]
    memory: Memory | str

    def tracking_units(self) -> list[Unit]:
        """The units that track something: first the best one of each feature, then all others, the strongest first."""
        if isinstance(self.units, str):
            return []
        return [each.found.unit for each in self.units.features] + [each.unit for each in self.units.units]


def find_all(
    checkpoint: Checkpoint, ids: Ids, watch: Callable[[Sequence[int]], Iterable[int]] = lambda visible: visible
) -> Findings:
    """Search a text, (time,), for everything; `watch` is that of `measure_memory`."""
    units: Units | str
    memory: Memory | str
    try:
        units = find_units(checkpoint, ids)
    except TextError as error:
        units = str(error)
    try:
        memory = measure_memory(checkpoint, ids, watch)
    except TextError as error:
        memory = str(error)
    uses = gate_uses(traces(checkpoint.network, checkpoint.weights, ids, end_token=checkpoint.end_token))
    return Findings(units, uses, memory)
