"""Every network against the plain-Python reference, and all ways to compute it against each other."""

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from numpy.typing import NDArray

from lstmgen import cells
from lstmgen.cells import build_cell
from lstmgen.cells.arrays import sigmoid, softmax
from lstmgen.config import CellKind, ModelConfig, Peephole
from lstmgen.generation.engine import Engine, NumpyEngine, in_numpy
from lstmgen.generation.torch_engine import TorchEngine
from lstmgen.network.architecture import Network, NetworkState, Weights, build_network, map_state
from lstmgen.network.forward import forward, head, step, unroll
from lstmgen.network.initialization import initialize
from lstmgen.network.model import Model
from tests import reference
from tests.conftest import CELLS, NETWORKS, VOCAB_SIZE, random_weights, single, small_network

EXACT = 1e-12
TIME = 9

every_network = pytest.mark.parametrize(("name", "window"), list(itertools.product(NETWORKS, (0, 1, 4))))

Named = dict[str, NDArray[np.float64]]


def some_ids(batch: int = 3, time: int = TIME) -> NDArray[np.int64]:
    return np.random.default_rng(1).integers(0, VOCAB_SIZE, (batch, time))


def chunk_logits(network: Network, named: Named, ids: NDArray[np.int64]) -> NDArray[np.float64]:
    state = network.initial_state(len(ids), like=named["embedding"])
    return np.asarray(read_chunk(network, network.arrange(named), ids, state)[0])


def read_chunk(network: Network, weights: Weights, ids: Any, state: NetworkState) -> tuple[Any, NetworkState]:
    """The logits after each token, by the plain loop, and the state after the last."""
    outputs = forward(network, weights, ids, state, unroll)
    return head(outputs.head_inputs, weights), outputs.state


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
    assert_allclose(chunk_logits(network, named, ids), expected, rtol=0, atol=EXACT)

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


@every_network
def test_pieces_with_carried_state_equal_the_whole(name: str, window: int) -> None:
    network = small_network(NETWORKS[name], attention=window)
    named, ids = random_weights(network), some_ids()
    weights = network.arrange(named)
    state = initial = network.initial_state(len(ids), like=weights.embedding)
    whole, after = read_chunk(network, weights, ids, initial)
    pieces = []
    for begin, end in ((0, 1), (1, 3), (3, TIME)):
        logits, state = read_chunk(network, weights, ids[:, begin:end], state)
        pieces.append(logits)
    assert_allclose(np.concatenate(pieces, axis=1), np.asarray(whole), rtol=0, atol=EXACT)
    for ours, theirs in zip(flat(state), flat(after), strict=True):
        assert_allclose(ours, theirs, rtol=0, atol=EXACT)


@every_network
def test_rows_do_not_mix_and_the_future_is_not_seen(name: str, window: int) -> None:
    network = small_network(NETWORKS[name], attention=window)
    named, ids = random_weights(network), some_ids()
    before = chunk_logits(network, named, ids)
    changed = ids.copy()
    changed[1, 5] = (changed[1, 5] + 1) % VOCAB_SIZE
    after = chunk_logits(network, named, changed)
    assert_allclose(after[[0, 2]], before[[0, 2]], rtol=0, atol=EXACT)
    assert_allclose(after[1, :5], before[1, :5], rtol=0, atol=EXACT)
    assert (np.abs(after[1, 5:] - before[1, 5:]).max(axis=-1) > 1e-6).all()


def test_attention_sees_its_window_and_nothing_before() -> None:
    """With layers that remember nothing, only attention can carry a token on: for as many steps as its window."""
    network = small_network(CELLS["rnn"], attention=3, num_layers=1)
    named = random_weights(network)
    named["layers.0.weight_hh"][:] = 0
    ids = some_ids(batch=1)
    changed = ids.copy()
    changed[0, 2] = (changed[0, 2] + 1) % VOCAB_SIZE
    difference = np.abs(chunk_logits(network, named, changed) - chunk_logits(network, named, ids)).max(axis=-1)[0]
    assert (difference[2:6] > 1e-9).all()
    assert_allclose(np.delete(difference, range(2, 6)), 0, atol=EXACT)


def test_step_tells_gates_and_attention_by_name() -> None:
    network = small_network(CELLS["lstm"], attention=4)
    weights = network.arrange(random_weights(network))
    state = network.initial_state(2, like=weights.embedding)
    read = step(network, weights, np.array([1, 2]), state)
    gates = read.gates[0]
    assert gates._fields == ("input", "forget", "candidate", "output")
    cell = gates.forget * state.layers[0].cell + gates.input * gates.candidate
    assert_allclose(read.state.layers[0].cell, cell, atol=EXACT)
    assert read.attention is not None
    assert_allclose(np.asarray(read.attention).sum(axis=-1), 1, atol=EXACT)


def test_without_peepholes_the_peephole_cell_is_an_lstm() -> None:
    peephole, lstm = small_network(CELLS["peephole"]), small_network(CELLS["lstm"])
    named = random_weights(peephole)
    for key in named:
        if "peephole" in key:
            named[key][:] = 0
    plain = {key: array for key, array in named.items() if "peephole" not in key}
    assert_allclose(chunk_logits(peephole, named, some_ids()), chunk_logits(lstm, plain, some_ids()), atol=EXACT)


def test_coupled_is_an_lstm_whose_input_gate_is_the_forget_gate_negated() -> None:
    coupled, lstm = small_network(CELLS["coupled"]), small_network(CELLS["lstm"])
    named = random_weights(coupled)
    size = coupled.hidden_size
    as_lstm = {
        key: np.concatenate([-array[:size], array]) if key.startswith("layers.") else array
        for key, array in named.items()
    }
    assert_allclose(chunk_logits(coupled, named, some_ids()), chunk_logits(lstm, as_lstm, some_ids()), atol=EXACT)


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


def test_chosen_peepholes_have_parameters_and_others_none() -> None:
    config = ModelConfig(cell=CellKind.PEEPHOLE, peepholes=(Peephole.OUTPUT, Peephole.INPUT))
    extra = [name for name in build_cell(config, 3).shapes() if name.startswith("peephole_")]
    assert extra == ["peephole_input", "peephole_output"]


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
