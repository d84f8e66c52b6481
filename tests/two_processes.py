"""What two processes check about each other; `test_processes` starts this file twice with torchrun."""

import math
import sys
from pathlib import Path

import numpy as np
import torch

from lstmgen.config import Budget, CellKind, Device, ModelConfig, Precision, TrainingConfig
from lstmgen.errors import LstmgenError
from lstmgen.network.architecture import build_network, map_state
from lstmgen.network.model import Model
from lstmgen.record import Position
from lstmgen.text.streams import build_text
from lstmgen.training.processes import EndedElsewhereError, Processes, joined_processes
from lstmgen.training.state import RunState
from lstmgen.training.trainer import Trainer
from lstmgen.training.validation import Validation
from tests.conftest import VOCAB_SIZE, random_weights, single, small_network

IDS = np.random.default_rng(0).integers(VOCAB_SIZE, size=3000)
CPU = torch.device("cpu")


def trainers(processes: Processes, model: ModelConfig, training: TrainingConfig, attention: int) -> list[Trainer]:
    """The same network twice: trained by this process alone, and together with the other one."""
    network = small_network(model, attention=attention)
    weights = single(random_weights(network))
    return [
        Trainer(Model(network, weights, CPU), training, Precision.FLOAT32, *together) for together in ((), (processes,))
    ]


def same_as_alone(
    processes: Processes, model: ModelConfig, batch_size: int, *, attention: int, newline: int | None
) -> None:
    """Both learn the same from the same chunks, whatever rows this process reads."""
    training = TrainingConfig(batch_size=batch_size, chunk_length=8, dropout=0.0, state_reset=0.2, label_smoothing=0.1)
    alone, together = trainers(processes, model, training, attention)
    text = build_text(IDS, newline, batch_size=batch_size, chunk_length=8, seed=0)
    state_alone = state_together = None
    for chunk, _ in zip(text.chunks(0), range(12), strict=False):
        nats_alone, state_alone = alone.step(chunk, state_alone, 0.003)
        nats_together, state_together = together.step(chunk, state_together, 0.003)
        assert math.isclose(nats_alone, nats_together, rel_tol=1e-5)
        for name, weight in alone.model.parameters.items():
            torch.testing.assert_close(together.model.parameters[name], weight, rtol=1e-4, atol=2e-5)
    assert state_alone and state_together
    own = processes.rows(batch_size if newline is None else len(chunk.inputs))
    fields: list[torch.Tensor] = []
    map_state(fields.append, state_alone)
    map_state(lambda ours: torch.testing.assert_close(ours, fields.pop(0)[own], rtol=1e-3, atol=1e-4), state_together)


def saved_and_restored(processes: Processes) -> None:
    """The first process saves the state of all; each one gets its own rows back. With dropout the weights are equal."""
    training = TrainingConfig(batch_size=5, chunk_length=8, dropout=0.3, weight_drop=0.2)
    _, together = trainers(processes, ModelConfig(), training, attention=3)
    state = None
    for chunk, _ in zip(build_text(IDS, None, batch_size=5, chunk_length=8, seed=0).chunks(0), range(3), strict=False):
        _, state = together.step(chunk, state, 0.01)
    run = RunState(training, Position(), network=state)
    arrays = run.to_arrays(together, None)
    weights = together.model.weights()
    assert not processes.is_first or arrays["state/0"].shape == (5, 5)
    arrays, first_weights = processes.on_first(lambda: (arrays, weights))
    for name, weight in first_weights.items():
        assert np.array_equal(weight, weights[name])
    _, again = trainers(processes, ModelConfig(), training, attention=3)
    resumed = RunState(training, Position())
    resumed.restore(again, arrays, 5)
    restored = resumed.network
    assert state and restored
    fields: list[torch.Tensor] = []
    map_state(fields.append, restored)
    map_state(lambda ours: torch.testing.assert_close(ours, fields.pop(0), rtol=0, atol=0), state)


def drawn_alike(processes: Processes) -> None:
    """Generators stay in step, even if a process has no row: a resumed run uses the generator of the first process."""
    _, together = trainers(processes, ModelConfig(), TrainingConfig(batch_size=1, chunk_length=8, dropout=0.3), 0)
    for chunk, _ in zip(build_text(IDS, None, batch_size=1, chunk_length=8, seed=0).chunks(0), range(2), strict=False):
        together.step(chunk, None, 0.01)
    state = together.generator.get_state()
    assert torch.equal(state, processes.on_first(lambda: state))


def evaluated_together(processes: Processes) -> None:
    """An evaluation in two processes has the sums of one in one process."""
    network = build_network(ModelConfig(cell=CellKind.GRU, hidden_size=5, num_layers=1, embedding_size=3), VOCAB_SIZE)
    model = Model(network, single(random_weights(network)), CPU)
    for newline in (None, 2):
        for budget in (Budget(10), Budget(10_000)):
            alone = Validation(IDS, newline, budget, lambda: 0.0, None)
            together = Validation(IDS, newline, budget, lambda: 0.0, None, processes=processes)
            nats, expected = together.nats(model), alone.nats(model)
            assert nats is not None and expected is not None and math.isclose(nats, expected, rel_tol=1e-6)
            together.keep_as_best()
            alone.keep_as_best()
            assert together.best is not None and alone.best is not None
            np.testing.assert_allclose(together.best, alone.best, rtol=1e-5)


def decided_by_the_first(processes: Processes) -> None:
    """A function runs in the first process; its result or its failure reaches the other one."""
    assert processes.on_first(lambda: processes.rank) == 0
    assert processes.broadcast(processes.rank + 0.5) == 0.5
    assert processes.any(processes.rank == 1) and not processes.any(False)
    assert processes.gather(torch.full((1 + processes.rank,), processes.rank)).tolist() == (
        [0, 1, 1] if processes.is_first else [1, 1]
    )
    try:
        processes.on_first(lambda: (_ for _ in ()).throw(LstmgenError("no")).__next__())
    except EndedElsewhereError:
        assert not processes.is_first
    except LstmgenError as error:
        assert processes.is_first and str(error) == "no"


def check_all() -> None:
    """Check everything."""
    with joined_processes(Device.CPU) as processes:
        assert processes.size == 2
        decided_by_the_first(processes)
        for batch_size in (7, 1):  # rows of different number, and a process without any
            same_as_alone(processes, ModelConfig(), batch_size, attention=0, newline=None)
        same_as_alone(processes, ModelConfig(cell=CellKind.GRU), 4, attention=3, newline=None)
        same_as_alone(processes, ModelConfig(cell=CellKind.PEEPHOLE), 9, attention=0, newline=2)
        saved_and_restored(processes)
        drawn_alike(processes)
        evaluated_together(processes)
    names = [file.read_text(encoding="utf-8") for file in Path("/proc/self/task").glob("*/comm")]
    assert not any("gloo" in name for name in names)  # such a thread can abort the process when Python ends
    sys.stdout.write(f"process {processes.rank} agrees\n")


if __name__ == "__main__":
    check_all()
