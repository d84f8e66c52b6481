"""How a machine is tried out: the fastest precision and number of threads, but no verdict from a little noise."""

import math

import pytest
import torch

from lstmgen.config import Device, ModelConfig, Precision, TrainingConfig
from lstmgen.errors import ConfigError
from lstmgen.network.architecture import Network, build_network
from lstmgen.training import machine
from lstmgen.training.machine import Execution, characters_per_second, choose_device, choose_execution

LOW, HIGH = Precision.BFLOAT16, Precision.FLOAT32
NETWORK = build_network(ModelConfig(hidden_size=4, num_layers=1, embedding_size=3), 5)
TRAINING = TrainingConfig(batch_size=2, chunk_length=4)

Seconds = dict[tuple[Precision, int], float]


def chosen(seconds: Seconds, patch: pytest.MonkeyPatch, **options: int | None) -> tuple[Precision, int]:
    """What is chosen where a step takes so long."""

    def step_seconds(_: Network, __: TrainingConfig, execution: Execution, *___: int, give_up: float) -> float:
        assert give_up > 0
        return seconds[execution.precision, execution.threads]

    patch.setattr(machine, "_step_seconds", step_seconds)
    patch.setattr(torch, "get_num_threads", lambda: 2)
    execution = choose_execution(NETWORK, TRAINING, Device.CPU, options.get("threads"))
    return execution.precision, execution.threads


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        ({(LOW, 1): 2.0, (HIGH, 1): 5.0, (LOW, 2): 1.2}, (LOW, 2)),
        ({(LOW, 1): 5.0, (HIGH, 1): 2.0, (HIGH, 2): 1.2}, (HIGH, 2)),
        ({(LOW, 1): math.inf, (HIGH, 1): 2.0, (HIGH, 2): 1.2}, (HIGH, 2)),  # no such instructions
        ({(LOW, 1): 2.0, (HIGH, 1): 5.0, (LOW, 2): 2.2}, (LOW, 2)),  # that may be noise
        ({(LOW, 1): 2.0, (HIGH, 1): 5.0, (LOW, 2): 20.0}, (LOW, 1)),  # that is other work
    ],
)
def test_the_fastest_way_is_chosen_and_fewer_threads_only_if_clearly_faster(
    seconds: Seconds, expected: tuple[Precision, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert chosen(seconds, monkeypatch) == expected


def test_threads_that_were_asked_for_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    assert chosen({(LOW, 1): 2.0, (HIGH, 1): 5.0}, monkeypatch, threads=1) == (LOW, 1)


def test_a_speed_is_symbols_of_whole_steps_in_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_step_seconds", lambda *_, give_up: 0.5 if give_up else 0.0)
    speed = characters_per_second(NETWORK, TRAINING, Execution(torch.device("cpu"), HIGH, 1))
    assert 8 <= speed <= 16


def test_a_real_step_takes_some_time() -> None:
    execution = Execution(torch.device("cpu"), HIGH, 1)
    assert 0 < characters_per_second(NETWORK, TRAINING, execution) < math.inf


def test_a_device_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match=r"^--device cuda: "):
        choose_device(Device.CUDA)
