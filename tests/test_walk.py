"""A walk: the numbers of one unit, and the sums that made them."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from lstmgen.cells.arrays import sigmoid
from lstmgen.config import VocabularyKind
from lstmgen.errors import ConfigError
from lstmgen.inspection.trace import trace
from lstmgen.inspection.walk import Unit, check_unit, most_varied_units, terms, walk
from lstmgen.text.vocabulary import Vocabulary
from tests.command_line import untrained_checkpoint
from tests.conftest import CELLS, NETWORKS, random_weights, small_network

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
