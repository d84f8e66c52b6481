"""The score: exact sums for any chunk length, and equality with an independent computation."""

import math
from collections.abc import Callable, Iterable

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from torch import nn

from lstmgen.config import CellKind, ModelConfig
from lstmgen.evaluation.confidence import Blocks
from lstmgen.evaluation.score import Score, add_up, predict, score
from lstmgen.generation.engine import NumpyEngine
from lstmgen.network.architecture import build_network
from lstmgen.text.streams import (
    Chunk,
    cold_windows,
    every_line,
    one_stream,
    overlapping_streams,
)
from lstmgen.text.vocabulary import Ids
from tests.conftest import CELLS, VOCAB_SIZE, random_engine, random_weights, single

IDS = np.random.default_rng(7).integers(0, VOCAB_SIZE, 400)


def test_numbers_follow_from_the_sums() -> None:
    result = Score(characters=4, nats=4 * math.log(8), correct=1)
    assert result.nats_per_character == pytest.approx(math.log(8))
    assert result.bits_per_character == pytest.approx(3)
    assert result.perplexity == pytest.approx(8)
    assert result.accuracy == 0.25


@pytest.mark.parametrize("chunk_length", [1, 7, 399, 4096])
@pytest.mark.parametrize("name", CELLS)
def test_pieces_of_any_length_give_the_same_sum(name: str, chunk_length: int) -> None:
    engine = random_engine(name, attention=3)
    expected = score(engine, one_stream(IDS))
    result = score(engine, one_stream(IDS, chunk_length))
    assert_allclose(result.nats, expected.nats, rtol=1e-5)
    assert result.characters == expected.characters


@pytest.mark.parametrize("logits", [1, 30, 200])
@pytest.mark.parametrize("lines", [False, True])
def test_a_chunk_whose_logits_are_too_many_is_read_in_pieces(lines: bool, logits: int) -> None:
    engine = random_engine(attention=3)

    def chunks() -> Iterable[Chunk]:
        return every_line(IDS, 0, 4) if lines else overlapping_streams(IDS, 3, 5)

    expected = score(engine, chunks())
    result = add_up(predict(engine, chunks(), max_logits=logits))
    assert_allclose(result.nats, expected.nats, rtol=1e-5)
    assert (result.characters, result.correct) == (expected.characters, expected.correct)


@pytest.mark.parametrize("num_layers", [1, 2])
def test_score_equals_an_independent_computation_by_torch(num_layers: int) -> None:
    """nn.Embedding, nn.LSTM and nn.Linear with copied weights, over the whole text at once."""
    size = 6  # also of the embedding, so that all layers have the same shape
    network = build_network(ModelConfig(CellKind.LSTM, size, num_layers, embedding_size=size), VOCAB_SIZE)
    named = random_weights(network)
    engine = NumpyEngine(network, single(named))
    tensors = {name: torch.from_numpy(array) for name, array in named.items()}
    embedding, head = nn.Embedding(VOCAB_SIZE, size).double(), nn.Linear(size, VOCAB_SIZE).double()
    embedding.load_state_dict({"weight": tensors["embedding"]})
    head.load_state_dict({"weight": tensors["head.weight"], "bias": tensors["head.bias"]})
    ids = torch.from_numpy(IDS)
    with torch.no_grad():
        outputs = embedding(ids[None, :-1])
        for layer in range(num_layers):
            lstm = nn.LSTM(size, size, batch_first=True).double()
            lstm.load_state_dict(
                {
                    "weight_ih_l0": tensors[f"layers.{layer}.weight_ih"],
                    "weight_hh_l0": tensors[f"layers.{layer}.weight_hh"],
                    "bias_ih_l0": tensors[f"layers.{layer}.bias"],
                    "bias_hh_l0": torch.zeros(4 * size),
                }
            )
            layer_outputs, _ = lstm(outputs)
            outputs = (
                layer_outputs + outputs if layer else layer_outputs
            )  # residual connections: every further layer adds to its input
        expected = nn.functional.cross_entropy(head(outputs)[0], ids[1:])
    assert score(engine, one_stream(IDS)).nats_per_character == pytest.approx(float(expected), abs=1e-6)


def test_cold_windows_begin_from_the_initial_state() -> None:
    engine = random_engine()
    parts = [score(engine, one_stream(IDS[start : start + 51])).nats for start in range(0, 399, 50)]
    for batch_size in (1, 3, 64):
        assert_allclose(score(engine, cold_windows(IDS, 50, batch_size)).nats, sum(parts), rtol=1e-5)


@pytest.mark.parametrize("cut", [one_stream, lambda ids: cold_windows(ids, 9), lambda ids: every_line(ids, 0, 4)])
def test_sums_by_block_are_those_of_the_score(cut: Callable[[Ids], Iterable[Chunk]]) -> None:
    engine = random_engine("gru-after")
    blocks = Blocks(len(IDS))
    result = add_up(predict(engine, cut(IDS)), blocks)
    assert result == score(engine, cut(IDS))
    assert blocks.nats_per_character == pytest.approx(result.nats_per_character, rel=1e-12)
    parts = list(predict(engine, cut(IDS)))
    assert result.nats == pytest.approx(sum(float(part.nats.sum()) for part in parts))
    for part in parts:
        probabilities = np.exp(part.logits.astype(np.float64))
        probabilities /= probabilities.sum(axis=1, keepdims=True)
        assert_allclose(part.nats, -np.log(probabilities[np.arange(len(part.ids)), part.ids]), rtol=1e-5, atol=1e-6)
        assert np.array_equal(part.correct, probabilities.argmax(axis=1) == part.ids)
