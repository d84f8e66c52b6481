"""Every network against the plain-Python reference, and all ways to compute it against each other."""

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from numpy.typing import NDArray

from lstmgen import cells
from lstmgen.cells.arrays import sigmoid, softmax
from lstmgen.config import CellKind, ModelConfig
from lstmgen.generation.engine import Engine, NumpyEngine, in_numpy
from lstmgen.generation.torch_engine import TorchEngine
from lstmgen.network.architecture import Network, NetworkState, build_network, map_state
from lstmgen.network.forward import forward, head, step, unroll
from lstmgen.network.initialization import initialize
from lstmgen.network.model import Model
from tests import reference
from tests.conftest import CELLS, NETWORKS, VOCAB_SIZE, random_weights, single, small_network

EXACT = 1e-12
TIME = 9

every_network = pytest.mark.parametrize(("name", "window"), list(itertools.product(NETWORKS, (0, 1, 4))))


def some_ids(batch: int = 3, time: int = TIME) -> NDArray[np.int64]:
    return np.random.default_rng(1).integers(0, VOCAB_SIZE, (batch, time))


def flat(state: NetworkState) -> list[NDArray[np.float64]]:
    arrays: list[Any] = []
    map_state(arrays.append, state)
    return [np.asarray(array) for array in arrays]


def test_every_cell_is_tested() -> None:
    assert {config.cell for config in NETWORKS.values()} == set(CellKind) == set(cells.CELLS)


@every_network
def test_chunks_and_steps_in_both_libraries_equal_the_scalar_reference(name: str, window: int) -> None:
    network = small_network(NETWORKS[name], attention=window)
    named, ids = random_weights(network), some_ids()
    lists = {key: array.tolist() for key, array in named.items()}
    expected = np.array([reference.network(name, lists, row.tolist(), len(network.cells), window) for row in ids])
    initial = network.initial_state(len(ids), like=named["embedding"])
    outputs = forward(network, network.arrange(named), ids, initial, unroll)
    assert_allclose(head(outputs.head_inputs, network.arrange(named)), expected, rtol=0, atol=EXACT)

    model = Model(network, named, torch.device("cpu"))
    logits, _ = model.read(torch.from_numpy(ids), model.initial_state(len(ids)))
    assert_allclose(logits.detach().numpy(), expected, rtol=0, atol=EXACT)

    tensors = {key: torch.from_numpy(array) for key, array in named.items()}
    for library, tokens in ((named, ids), (tensors, torch.from_numpy(ids))):
        weights = network.arrange(library)
        state = network.initial_state(len(ids), like=weights.embedding)
        for time in range(TIME):
            read = step(network, weights, tokens[:, time], state)
            state = read.state
            assert_allclose(np.asarray(read.logits), expected[:, time], rtol=0, atol=EXACT)


def engines(network: Network) -> list[Engine]:
    weights = single(random_weights(network))
    return [NumpyEngine(network, weights), TorchEngine(Model(network, weights, torch.device("cpu")))]


@pytest.mark.parametrize("attention", [0, 2])
@pytest.mark.parametrize("name", NETWORKS)
def test_engines_read_and_step_as_the_equations_say(name: str, attention: int) -> None:
    """In single precision, logits and states; in NumPy, where the steps are written a second time, and on torch."""
    network = small_network(NETWORKS[name], attention=attention)
    arranged = network.arrange(random_weights(network))
    ids = some_ids()
    for engine in engines(network):
        whole, after = engine.read(ids, engine.initial_state(len(ids)))
        state: Any = engine.initial_state(len(ids))
        expected: Any = network.initial_state(len(ids), like=arranged.embedding)
        for time in range(TIME):
            logits, state = engine.step(ids[:, time], state)
            exact = step(network, arranged, ids[:, time], expected)
            expected = exact.state
            assert logits.dtype == np.float32
            assert_allclose(logits, np.asarray(exact.logits), atol=2e-5)
            assert_allclose(whole[:, time], np.asarray(exact.logits), atol=2e-5)
        for final in (state, after):
            for field, value in zip(flat(in_numpy(final)), flat(expected), strict=True):
                assert field.dtype == np.float32
                assert_allclose(field, value, atol=2e-5)


@pytest.mark.parametrize("name", NETWORKS)
def test_an_engine_changes_no_state_that_it_was_given(name: str) -> None:
    network = small_network(NETWORKS[name], attention=2)
    for engine in engines(network):
        _, state = engine.read(some_ids(), engine.initial_state(len(some_ids())))
        before = [field.copy() for field in flat(in_numpy(state))]
        engine.step(some_ids()[:, 0], state)
        engine.read(some_ids(), state)
        assert all((old == new).all() for old, new in zip(before, flat(in_numpy(state)), strict=True))


def test_a_state_goes_from_engine_to_engine() -> None:
    network = small_network(CELLS["lstm"], attention=2)
    numpy_engine, torch_engine = engines(network)
    _, state = torch_engine.read(some_ids(), torch_engine.initial_state(len(some_ids())))
    ids = some_ids()[:, 0]
    ours, _ = numpy_engine.step(ids, in_numpy(state))
    theirs, _ = torch_engine.step(ids, in_numpy(state))
    assert_allclose(ours, theirs, atol=2e-5)


def test_initial_weights_are_orthogonal_and_open_the_forget_gate() -> None:
    network = build_network(ModelConfig(hidden_size=16, embedding_size=4, num_layers=2), VOCAB_SIZE)
    weights = initialize(network, np.random.default_rng(0))
    for layer in range(2):
        for block in np.split(weights[f"layers.{layer}.weight_hh"], 4):
            assert_allclose(block @ block.T, np.eye(16) / 4, atol=1e-5)
        i, f, g, o = np.split(weights[f"layers.{layer}.bias"], 4)
        assert (f == 1).all()
        assert not np.concatenate([i, g, o]).any()
    again = initialize(network, np.random.default_rng(0))
    assert all((weights[name] == again[name]).all() for name in weights)


def test_sigmoid_and_softmax_do_not_overflow() -> None:
    extreme = np.array([-1e4, 0.0, 1e4], np.float32)
    assert_allclose(sigmoid(extreme), [0, 0.5, 1])
    assert_allclose(softmax(extreme), [0, 0, 1])


def test_dropout_is_between_layers_and_before_the_head() -> None:
    network = small_network(CELLS["lstm"], num_layers=3)
    named = random_weights(network)
    dropped: list[tuple[int, ...]] = []

    def watch(activations: NDArray[np.float64]) -> NDArray[np.float64]:
        dropped.append(activations.shape)
        return activations

    state = network.initial_state(3, like=named["embedding"])
    forward(network, network.arrange(named), some_ids(), state, unroll, watch)
    assert dropped == [(3, TIME, network.hidden_size)] * 3
