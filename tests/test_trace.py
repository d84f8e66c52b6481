"""A trace holds exactly what the equations compute, for every cell."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from lstmgen.inspection.trace import Trace, trace, traces
from tests import reference
from tests.conftest import NETWORKS, VOCAB_SIZE, random_weights, small_network

EXACT = 1e-12
IDS = np.random.default_rng(1).integers(0, VOCAB_SIZE, 9)


def some_trace(name: str) -> Trace:
    network = small_network(NETWORKS[name])
    return trace(network, random_weights(network), IDS)


@pytest.mark.parametrize("window", [0, 1, 4])
@pytest.mark.parametrize("name", NETWORKS)
def test_every_number_equals_the_scalar_reference(name: str, window: int) -> None:
    network = small_network(NETWORKS[name], attention=window)
    named = random_weights(network)
    found = trace(network, named, IDS)
    lists = {key: array.tolist() for key, array in named.items()}
    steps = reference.read(name, lists, IDS.tolist(), len(network.cells), window)

    assert_array_equal(found.ids, IDS)
    assert_allclose(found.logits, [step.logits for step in steps], rtol=0, atol=EXACT)
    for number, layer in enumerate(found.layers):
        assert layer.after.keys() | layer.gates.keys() == steps[0].layers[number].keys()
        for field, array in {**layer.gates, **layer.after}.items():
            expected = [step.layers[number][field] for step in steps]
            assert_allclose(array, expected, rtol=0, atol=EXACT, err_msg=field)
        for field, array in layer.before.items():
            assert_array_equal(array[0], 0)
            assert_array_equal(array[1:], layer.after[field][:-1])
    if window:
        assert found.attention is not None
        assert_allclose(found.attention, [step.attention for step in steps], rtol=0, atol=EXACT)
    else:
        assert found.attention is None


def test_the_activity_is_what_a_unit_remembers() -> None:
    for name in ("lstm", "peephole", "coupled"):
        layer = some_trace(name).layers[0]
        assert layer.memory_name == "cell"
        assert_array_equal(layer.activity, np.tanh(layer.after["cell"]))
    for name in ("rnn", "gru-after", "gru-before"):
        layer = some_trace(name).layers[0]
        assert layer.memory_name == "hidden"
        assert_array_equal(layer.activity, layer.after["hidden"])


def test_a_long_text_is_read_in_pieces() -> None:
    network = small_network(NETWORKS["lstm"], attention=4)
    named, long = random_weights(network), np.resize(IDS, 1500)
    pieces, whole = list(traces(network, named, long)), trace(network, named, long)
    assert len(pieces) == 2
    assert_array_equal(np.concatenate([piece.ids for piece in pieces]), long)
    assert_array_equal(np.concatenate([piece.logits for piece in pieces]), whole.logits)
    for one, other in zip(pieces[-1].state.layers, whole.state.layers, strict=True):
        assert all(map(np.array_equal, one, other))


def test_a_model_of_lines_begins_each_line_from_the_initial_state() -> None:
    network = small_network(NETWORKS["lstm"], attention=4)
    named = random_weights(network)
    line_feed, first, second = 0, [3, 2, 5], [1, 4]
    ids = np.array([line_feed, *first, line_feed, *second])
    found = trace(network, named, ids, end_token=line_feed)
    alone = trace(network, named, np.array([line_feed, *second]))
    assert_array_equal(found.logits[4:], alone.logits)
    assert_array_equal(found.layers[1].before["cell"][4], 0)
    assert found.attention is not None
    assert alone.attention is not None
    assert_array_equal(found.attention[4:], alone.attention)
