"""How gates are used, and half-lives."""

import math

import numpy as np
import pytest

from lstmgen.inspection.gates import gate_uses, half_lives
from lstmgen.inspection.trace import trace, traces
from tests.conftest import CELLS, VOCAB_SIZE, random_weights, small_network

IDS = np.random.default_rng(1).integers(0, VOCAB_SIZE, 1500)


@pytest.mark.parametrize("name", CELLS)
def test_the_numbers_are_those_of_the_trace(name: str) -> None:
    network = small_network(CELLS[name])
    weights = {key: 2 * array for key, array in random_weights(network).items()}
    read = trace(network, weights, IDS)
    uses = {(use.layer, use.gate): use for use in gate_uses(traces(network, weights, IDS))}
    gates = {
        (number, name): gate
        for number, layer in enumerate(read.layers, 1)
        for name, gate in layer.gates.items()
        if name != "candidate"
    }
    assert uses.keys() == gates.keys()
    for key, gate in gates.items():
        use = uses[key]
        assert use.nearly_open == pytest.approx(np.mean(gate > 0.9))
        assert use.nearly_shut == pytest.approx(np.mean(gate < 0.1))
        assert use.histogram.tolist() == np.histogram(gate, 20, (0, 1))[0].tolist()
        if key[1] in ("forget", "update"):
            assert use.half_life is not None
            np.testing.assert_allclose(use.half_life, math.log(0.5) / np.log(gate).mean(axis=0))
        else:
            assert use.half_life is None


def test_half_is_left_after_a_half_life() -> None:
    kept = np.array([0.5, 0.9, 0.999])
    np.testing.assert_allclose(kept ** half_lives(np.log(kept)), 0.5)
    assert half_lives(np.array([0.0])).tolist() == [math.inf]
