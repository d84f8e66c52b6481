"""What inspection finds: a trace of exactly what the equations compute, and the measures based on it."""

import math

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from lstmgen.cells.arrays import sigmoid, softmax
from lstmgen.checkpoint import Checkpoint
from lstmgen.config import VocabularyKind
from lstmgen.errors import ConfigError, TextError
from lstmgen.inspection.gates import gate_uses, half_lives
from lstmgen.inspection.memory import (
    context,
    context_begins,
    gradient_reach,
    measure_memory,
    memory_reach,
    visible_losses,
)
from lstmgen.inspection.report import find_all
from lstmgen.inspection.trace import Trace, trace, traces
from lstmgen.inspection.walk import Unit, check_unit, most_varied_units, terms, walk
from lstmgen.network.forward import forward, head, unroll
from lstmgen.text.vocabulary import Vocabulary
from tests import reference
from tests.command_line import untrained_checkpoint
from tests.conftest import CELLS, NETWORKS, VOCAB_SIZE, form, random_weights, small_network

EXACT = 1e-12
SHORT = np.random.default_rng(1).integers(0, VOCAB_SIZE, 9)


def some_trace(name: str) -> Trace:
    network = small_network(NETWORKS[name])
    return trace(network, random_weights(network), SHORT)


@pytest.mark.parametrize("window", [0, 1, 4])
@pytest.mark.parametrize("name", NETWORKS)
def test_every_number_equals_the_scalar_reference(name: str, window: int) -> None:
    network = small_network(NETWORKS[name], attention=window)
    named = random_weights(network)
    found = trace(network, named, SHORT)
    lists = {key: array.tolist() for key, array in named.items()}
    steps = reference.read(name, lists, SHORT.tolist(), len(network.cells), window)

    assert_array_equal(found.ids, SHORT)
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
    named, long = random_weights(network), np.resize(SHORT, 1500)
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


# A walk: the numbers of one unit, and the sums that made them


LETTERS = Vocabulary(VocabularyKind.CHARACTERS, "\nabcdef")
IDS = np.array([1, 4, 2, 2, 6, 3, 1, 5])


@pytest.mark.parametrize("layer", [1, 2, 3])
@pytest.mark.parametrize("name", CELLS)
def test_the_terms_of_each_gate_add_up_to_it(name: str, layer: int) -> None:
    network = small_network(CELLS[name], attention=2, num_layers=3)
    weights = random_weights(network)
    read = trace(network, weights, IDS)
    for number in range(network.hidden_size):
        for gate, parts in terms(network, weights, read, Unit(layer, number + 1)).items():
            activate = np.tanh if gate == "candidate" else sigmoid
            expected = read.layers[layer - 1].gates[gate][:, number]
            assert_allclose(activate(np.sum(list(parts.values()), axis=0)), expected, rtol=0, atol=1e-12)


def test_each_peephole_adds_its_weight_times_the_cell_state() -> None:
    network = small_network(CELLS["peephole-forget-output"])
    weights = random_weights(network)
    read = trace(network, weights, IDS)
    found, layer = terms(network, weights, read, Unit(2, 3)), read.layers[1]
    assert_allclose(found["forget"]["p c"], weights["layers.1.peephole_forget"][2] * layer.before["cell"][:, 2])
    assert_allclose(found["output"]["p c'"], weights["layers.1.peephole_output"][2] * layer.after["cell"][:, 2])
    assert [list(parts) for parts in found.values()] == [
        ["W x", "R h", "b"],
        ["W x", "R h", "p c", "b"],
        ["W x", "R h", "b"],
        ["W x", "R h", "p c'", "b"],
    ]


def test_attention_names_the_past_tokens_that_it_picked() -> None:
    checkpoint = untrained_checkpoint(LETTERS, attention=3)
    read = trace(checkpoint.network, checkpoint.weights, IDS)
    assert read.attention is not None
    _, steps = walk(checkpoint, IDS)
    assert steps[0].attention == ()
    for time, step in enumerate(steps):
        assert step.attention is not None
        assert [each.back for each in step.attention] == list(range(1, min(3, time) + 1))
        for each in step.attention:
            assert each.character == LETTERS.characters[IDS[time - each.back]]
            assert each.weight == read.attention[time, 3 - each.back]


def test_a_line_is_read_after_a_line_feed_and_attention_stays_in_it() -> None:
    checkpoint = untrained_checkpoint(LETTERS, lines=True, attention=4)
    _, steps = walk(checkpoint, LETTERS.encode("ab\ncd"), Unit(1, 1))
    assert [step.character for step in steps] == ["\n", "a", "b", "\n", "c", "d"]
    assert steps[3].cell_before == 0
    backs = [[each.back for each in step.attention or ()] for step in steps]
    assert backs == [[], [1], [1, 2], [], [1], [1, 2]]


@pytest.mark.parametrize("name", NETWORKS)
def test_without_a_choice_the_unit_that_varies_most_is_shown(name: str) -> None:
    network = small_network(NETWORKS[name])
    weights = random_weights(network)
    layer, unit = most_varied_units(read := trace(network, weights, IDS))[0]
    largest = max(each.activity.std(axis=0).max() for each in read.layers)
    assert read.layers[layer - 1].activity[:, unit - 1].std() == pytest.approx(largest)


@pytest.mark.parametrize("unit", [Unit(0, 1), Unit(2, 1), Unit(1, 0), Unit(1, 9)])
def test_a_unit_that_does_not_exist_is_refused(unit: Unit) -> None:
    with pytest.raises(ConfigError, match=rf"^`unit` {unit}: give LAYER.UNIT, .* from 1 to 1 .* from 1 to 8$"):
        check_unit(untrained_checkpoint(LETTERS).network, unit)


def test_a_byte_outside_ascii_is_called_by_its_number() -> None:
    checkpoint = untrained_checkpoint(Vocabulary(VocabularyKind.BYTES))
    _, steps = walk(checkpoint, np.array([65, 0xE9]))
    assert [step.character for step in steps] == ["A", "0xE9"]


# How gates are used, and half-lives


LONG = np.random.default_rng(1).integers(0, VOCAB_SIZE, 1500)


@pytest.mark.parametrize("name", CELLS)
def test_the_numbers_are_those_of_the_trace(name: str) -> None:
    network = small_network(CELLS[name])
    weights = {key: 2 * array for key, array in random_weights(network).items()}
    read = trace(network, weights, LONG)
    uses = {(use.layer, use.gate): use for use in gate_uses(traces(network, weights, LONG))}
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


# How far back a network looks: losses with few visible tokens, and gradients


TEXT = np.random.default_rng(0).integers(1, 7, 40)


def some_checkpoint(name: str) -> Checkpoint:
    return untrained_checkpoint(LETTERS, num_layers=2, attention=3, **form(NETWORKS[name]))


def loss(checkpoint: Checkpoint, seen: np.ndarray, target: int) -> float:
    """The loss of one prediction after a text that is read from the initial state."""
    return -math.log(softmax(trace(checkpoint.network, checkpoint.weights, seen).logits)[-1, target])


@pytest.mark.parametrize("name", NETWORKS)
def test_a_loss_is_the_mean_over_cold_starts(name: str) -> None:
    checkpoint = some_checkpoint(name)
    found = measure_memory(checkpoint, TEXT)
    assert list(found.nats_per_character) == [1, 2, 4, 8, 16]
    positions = np.arange(16, 40)
    assert found.positions == len(positions)
    for visible, nats in found.nats_per_character.items():
        expected = np.mean([loss(checkpoint, TEXT[at - visible : at], TEXT[at]) for at in positions])
        assert nats == pytest.approx(expected, abs=1e-5)


def test_a_line_is_the_most_that_a_model_of_lines_sees() -> None:
    checkpoint = untrained_checkpoint(LETTERS, lines=True)
    ids = LETTERS.encode("\nabc\nde\nfacade\n")
    found = measure_memory(checkpoint, ids)
    assert list(found.nats_per_character) == [1, 2, 4, 8]
    begins = [0, 0, 0, 0, 0, 4, 4, 4, 7, 7, 7, 7, 7, 7, 7]
    assert context_begins(ids, 0).tolist() == begins
    for visible, nats in found.nats_per_character.items():
        starts = [(max(begin, at - visible), at) for at, begin in enumerate(begins) if at]
        expected = np.mean([loss(checkpoint, ids[start:at], ids[at]) for start, at in starts])
        assert nats == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_reach_is_the_norm_of_the_gradient(name: str) -> None:
    checkpoint = some_checkpoint(name)
    positions, visible = np.array([20, 33]), 6
    found = gradient_reach(checkpoint, context(TEXT, positions, np.zeros(40, np.int64), visible))
    network = checkpoint.network
    weights = network.arrange({key: torch.from_numpy(array).double() for key, array in checkpoint.weights.items()})
    norms = []
    for at in positions:
        embedded = weights.embedding[torch.from_numpy(TEXT[at - visible : at])].requires_grad_()
        state = network.initial_state(1, like=embedded.detach())
        read = forward(network, weights._replace(embedding=embedded), torch.arange(visible)[None], state, unroll)
        log_probability = head(read.head_inputs, weights)[0, -1].log_softmax(dim=-1)[TEXT[at]]
        (gradient,) = torch.autograd.grad(log_probability, embedded)
        norms.append(gradient.norm(dim=-1).flip(0).numpy())
    assert_allclose(found, np.mean(norms, axis=0), rtol=1e-4, atol=1e-7)


def test_where_lines_differ_in_length_each_distance_has_its_own_mean() -> None:
    checkpoint = untrained_checkpoint(LETTERS, lines=True)
    ids = LETTERS.encode("\nab\ncdef")
    begins = context_begins(ids, 0)
    both, long = (gradient_reach(checkpoint, context(ids, np.array(at), begins, 10)) for at in ([2, 7], [7]))
    short = gradient_reach(checkpoint, context(ids, np.array([2]), begins, 10))
    assert_allclose(both[:2], (short + long[:2]) / 2, rtol=1e-5)
    assert_allclose(both[2:], long[2:], rtol=1e-5)


def test_a_network_uses_what_changes_its_loss() -> None:
    losses = {1: 2.0, 2: 1.5, 4: 1.309, 8: 1.305, 16: 1.3}
    assert memory_reach(losses) == 4


def test_losses_can_be_had_alone() -> None:
    checkpoint = untrained_checkpoint(LETTERS)
    assert visible_losses(checkpoint, TEXT) == measure_memory(checkpoint, TEXT).nats_per_character


def test_a_text_without_a_past_is_refused() -> None:
    with pytest.raises(TextError):
        measure_memory(untrained_checkpoint(LETTERS), TEXT[:3])


def test_a_short_text_has_findings_that_say_so() -> None:
    found = find_all(untrained_checkpoint(LETTERS), IDS[:3])
    assert isinstance(found.units, str) and "longer text" in found.units
    assert isinstance(found.memory, str) and "too short" in found.memory
    assert found.tracking_units() == []
    assert [use.gate for use in found.gates] == ["input", "forget", "output"]
