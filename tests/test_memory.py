"""How far back a network looks: losses with few visible tokens, and gradients."""

import math

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from lstmgen.cells.arrays import softmax
from lstmgen.checkpoint import Checkpoint
from lstmgen.config import VocabularyKind
from lstmgen.errors import TextError
from lstmgen.inspection.memory import context, context_begins, gradient_reach, measure_memory, memory_reach
from lstmgen.inspection.trace import trace
from lstmgen.network.forward import forward, head, unroll
from lstmgen.text.vocabulary import Vocabulary
from tests.command_line import untrained_checkpoint
from tests.conftest import NETWORKS, form

LETTERS = Vocabulary(VocabularyKind.CHARACTERS, "\nabcdef")
IDS = np.random.default_rng(0).integers(1, 7, 40)


def some_checkpoint(name: str, **more: int) -> Checkpoint:
    return untrained_checkpoint(LETTERS, num_layers=2, **form(NETWORKS[name]), **more)


def loss(checkpoint: Checkpoint, seen: np.ndarray, target: int) -> float:
    """The loss of one prediction after a text that is read from the initial state."""
    return -math.log(softmax(trace(checkpoint.network, checkpoint.weights, seen).logits)[-1, target])


@pytest.mark.parametrize("name", NETWORKS)
def test_a_loss_is_the_mean_over_cold_starts(name: str) -> None:
    checkpoint = some_checkpoint(name, attention=3)
    found = measure_memory(checkpoint, IDS)
    assert list(found.nats_per_character) == [1, 2, 4, 8, 16]
    positions = np.arange(16, 40)
    assert found.positions == len(positions)
    for visible, nats in found.nats_per_character.items():
        expected = np.mean([loss(checkpoint, IDS[at - visible : at], IDS[at]) for at in positions])
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
    checkpoint = some_checkpoint(name, attention=3)
    positions, visible = np.array([20, 33]), 6
    found = gradient_reach(checkpoint, context(IDS, positions, np.zeros(40, np.int64), visible))
    network = checkpoint.network
    weights = network.arrange({key: torch.from_numpy(array).double() for key, array in checkpoint.weights.items()})
    norms = []
    for at in positions:
        embedded = weights.embedding[torch.from_numpy(IDS[at - visible : at])].requires_grad_()
        state = network.initial_state(1, like=embedded.detach())
        read = forward(network, weights._replace(embedding=embedded), torch.arange(visible)[None], state, unroll)
        log_probability = head(read.head_inputs, weights)[0, -1].log_softmax(dim=-1)[IDS[at]]
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


def test_gradients_can_be_left_out() -> None:
    checkpoint = untrained_checkpoint(LETTERS)
    losses, whole = (measure_memory(checkpoint, IDS, gradients=wanted) for wanted in (False, True))
    assert losses.nats_per_character == whole.nats_per_character
    assert len(losses.reach) == 0 < len(whole.reach)


def test_a_text_without_a_past_is_refused() -> None:
    with pytest.raises(TextError):
        measure_memory(untrained_checkpoint(LETTERS), IDS[:3])
