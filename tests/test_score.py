"""The score: exact sums, whatever the pieces, and an independent computation."""

import math

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from torch import nn

from lstmgen.config import CellKind, ModelConfig
from lstmgen.evaluation.score import Score, score
from lstmgen.generation.engine import NumpyEngine
from lstmgen.generation.torch_engine import TorchEngine
from lstmgen.network.architecture import build_network
from lstmgen.network.model import Model
from lstmgen.text.streams import cold_windows, one_stream, overlapping_streams
from tests.conftest import CELLS, VOCAB_SIZE, random_weights, single, small_network

IDS = np.random.default_rng(7).integers(0, VOCAB_SIZE, 400)


def test_numbers_follow_from_the_sums() -> None:
    result = Score(characters=4, nats=4 * math.log(8), correct=1)
    assert result.nats_per_character == pytest.approx(math.log(8))
    assert result.bits_per_character == pytest.approx(3)
    assert result.perplexity == pytest.approx(8)
    assert result.accuracy == 0.25


def test_a_model_that_knows_nothing_needs_the_logarithm_of_the_vocabulary() -> None:
    network = small_network(CELLS["lstm"])
    engine = NumpyEngine(network, {name: np.zeros(shape, np.float32) for name, shape in network.shapes().items()})
    result = score(engine, one_stream(IDS))
    assert result.characters == len(IDS) - 1
    assert result.nats_per_character == pytest.approx(math.log(VOCAB_SIZE))


@pytest.mark.parametrize("chunk_length", [1, 7, 399, 4096])
@pytest.mark.parametrize("name", CELLS)
def test_pieces_of_any_length_give_the_same_sum(name: str, chunk_length: int) -> None:
    network = small_network(CELLS[name], attention=3)
    engine = NumpyEngine(network, single(random_weights(network)))
    expected = score(engine, one_stream(IDS))
    result = score(engine, one_stream(IDS, chunk_length))
    assert_allclose(result.nats, expected.nats, rtol=1e-5)
    assert result.characters == expected.characters


def test_score_equals_an_independent_computation_by_torch() -> None:
    """nn.Embedding, nn.LSTM and nn.Linear with copied weights, over the whole text at once."""
    network = build_network(ModelConfig(CellKind.LSTM, hidden_size=6, num_layers=1, embedding_size=4), VOCAB_SIZE)
    named = random_weights(network)
    engine = NumpyEngine(network, single(named))
    embedding, lstm = nn.Embedding(VOCAB_SIZE, 4).double(), nn.LSTM(4, 6, batch_first=True).double()
    head = nn.Linear(6, VOCAB_SIZE).double()
    tensors = {name: torch.from_numpy(array) for name, array in named.items()}
    embedding.load_state_dict({"weight": tensors["embedding"]})
    lstm.load_state_dict(
        {
            "weight_ih_l0": tensors["layers.0.weight_ih"],
            "weight_hh_l0": tensors["layers.0.weight_hh"],
            "bias_ih_l0": tensors["layers.0.bias"],
            "bias_hh_l0": torch.zeros(24),
        }
    )
    head.load_state_dict({"weight": tensors["head.weight"], "bias": tensors["head.bias"]})
    ids = torch.from_numpy(IDS)
    with torch.no_grad():
        outputs, _ = lstm(embedding(ids[None, :-1]))
        expected = nn.functional.cross_entropy(head(outputs)[0], ids[1:])
    assert score(engine, one_stream(IDS)).nats_per_character == pytest.approx(float(expected), abs=1e-6)


def test_torch_and_numpy_score_alike() -> None:
    network = small_network(CELLS["peephole"], attention=2)
    weights = single(random_weights(network))
    reader = TorchEngine(Model(network, weights, torch.device("cpu")))
    chunks = list(overlapping_streams(IDS, batch_size=3, warm_up=10))
    ours, theirs = score(NumpyEngine(network, weights), chunks), score(reader, chunks)
    assert ours.correct == theirs.correct
    assert_allclose(ours.nats, theirs.nats, rtol=1e-5)


def test_cold_windows_begin_from_the_initial_state() -> None:
    network = small_network(CELLS["lstm"])
    engine = NumpyEngine(network, single(random_weights(network)))
    parts = [score(engine, one_stream(IDS[start : start + 51])).nats for start in range(0, 399, 50)]
    for batch_size in (1, 3, 64):
        assert_allclose(score(engine, cold_windows(IDS, 50, batch_size)).nats, sum(parts), rtol=1e-5)
