"""Dynamic evaluation: the model learns only from tokens that it has been scored on, by the documented update."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from numpy.typing import NDArray
from torch import Tensor, nn

from lstmgen.checkpoint import Checkpoint
from lstmgen.config import VocabularyKind
from lstmgen.evaluation.config import DynamicConfig
from lstmgen.evaluation.dynamic import AdaptingModel
from lstmgen.evaluation.score import Predictions, score
from lstmgen.generation.engine import NumpyEngine
from lstmgen.record import HELD_OUT, Position
from lstmgen.text.streams import Chunk, ParallelStreams, every_line, one_stream
from lstmgen.text.vocabulary import Vocabulary
from tests.command_line import untrained_checkpoint
from tests.conftest import CELLS, form

VOCABULARY = Vocabulary(VocabularyKind.CHARACTERS, "\nabcdef")
TRAINING = np.random.default_rng(1).integers(0, 7, 600)
IDS = np.random.default_rng(2).integers(0, 7, 40)
SEGMENT = 7
LEARNING = DynamicConfig(segment_length=SEGMENT, learning_rate=0.02, decay=0.01, scale_batch_size=4, scale_chunks=5)
STILL = replace(LEARNING, learning_rate=0.0, decay=0.0)


def network(name: str = "lstm", *, attention: int = 0, lines: bool = False, num_layers: int = 2) -> Checkpoint:
    """A network of a few units with random weights."""
    sizes = {"hidden_size": 5, "num_layers": num_layers, "embedding_size": 3, "attention": attention}
    return untrained_checkpoint(VOCABULARY, lines=lines, **form(CELLS[name]), **sizes)


def surprises(predictions: Iterable[Predictions]) -> NDArray[np.float64]:
    return np.concatenate([part.nats for part in predictions])


def read(checkpoint: Checkpoint, ids: NDArray[np.int64], config: DynamicConfig = LEARNING) -> NDArray[np.float64]:
    """The surprisal of each token, in the order of the text."""
    return surprises(AdaptingModel(checkpoint, TRAINING, config).predict(ids))


@pytest.mark.parametrize(("name", "attention"), [*((name, 0) for name in CELLS), ("lstm", 3)])
def test_learning_changes_the_score_after_the_first_segment_alone(name: str, attention: int) -> None:
    checkpoint = network(name, attention=attention)
    still, learning = read(checkpoint, IDS, STILL), read(checkpoint, IDS)
    static = score(NumpyEngine(checkpoint.network, checkpoint.weights), one_stream(IDS))
    assert_allclose(still.sum(), static.nats, rtol=1e-5)
    first = SEGMENT - 1  # the first token of a text is given
    assert np.array_equal(learning[:first], still[:first])
    assert np.abs(learning - still)[first:].min() > 0


@given(st.integers(1, len(IDS) - 1), st.integers(1, 6), st.sampled_from(["lstm", "gru-after"]))
@settings(deadline=None, max_examples=30)
def test_nothing_is_learned_from_a_token_before_it_is_scored(position: int, shift: int, name: str) -> None:
    """A change at a position or after it leaves the surprisal of all tokens before it the same, to the last bit."""
    checkpoint, changed = network(name), IDS.copy()
    changed[position:] = (changed[position:] + shift) % 7
    before = position - 1  # tokens that were predicted
    ours, theirs = read(checkpoint, IDS), read(checkpoint, changed)
    assert np.array_equal(ours[:before], theirs[:before])
    assert ours[before] != theirs[before]


class ByTorch:
    """The same LSTM of nn.Embedding, nn.LSTM and nn.Linear in float64, and the update of the module's docstring."""

    def __init__(self, checkpoint: Checkpoint, config: DynamicConfig) -> None:
        self.config = config
        self.embedding, self.lstm = nn.Embedding(7, 3), nn.LSTM(3, 5, batch_first=True)
        self.head = nn.Linear(5, 7)
        nn.ModuleList([self.embedding, self.lstm, self.head]).double()
        lstm = dict(self.lstm.named_parameters())
        self.weights: dict[str, Tensor] = {
            "embedding": self.embedding.weight,
            "layers.0.weight_ih": lstm["weight_ih_l0"],
            "layers.0.weight_hh": lstm["weight_hh_l0"],
            "layers.0.bias": lstm["bias_ih_l0"],
            "head.weight": self.head.weight,
            "head.bias": self.head.bias,
        }
        with torch.no_grad():
            lstm["bias_hh_l0"].zero_()
            for name, weight in self.weights.items():
                weight.copy_(torch.from_numpy(checkpoint.weights[name]))
        self.trained = {name: weight.detach().clone() for name, weight in self.weights.items()}

    def gradients(self, chunks: Iterable[Chunk]) -> Iterator[dict[str, Tensor]]:
        """The gradients of each chunk's mean surprisal, with carried state; the caller may update between chunks."""
        state = None
        for chunk in chunks:
            outputs, (hidden, cell) = self.lstm(self.embedding(torch.from_numpy(chunk.inputs)), state)
            state = (hidden.detach(), cell.detach())
            targets = torch.from_numpy(chunk.targets)
            surprisal = -self.head(outputs).log_softmax(dim=-1).gather(-1, targets[:, :, None]).mean()
            yield dict(zip(self.weights, torch.autograd.grad(surprisal, list(self.weights.values())), strict=True))

    def learn(self, training: NDArray[np.int64], ids: NDArray[np.int64]) -> dict[str, Tensor]:
        """The weights after a text has been read."""
        config, length = self.config, self.config.segment_length
        chunks = ParallelStreams(training, config.scale_batch_size, length, seed=0).chunks(0)
        samples = list(self.gradients(islice(chunks, config.scale_chunks)))
        M = {name: torch.stack([sample[name] ** 2 for sample in samples]).mean(0).sqrt() for name in self.weights}
        mean = torch.cat([each.flatten() for each in M.values()]).mean()
        for g in self.gradients(one_stream(ids, length)):
            with torch.no_grad():
                for name, W in self.weights.items():
                    pull = torch.minimum(config.decay * M[name] / mean, torch.ones(())) * (self.trained[name] - W)
                    W.add_(pull - config.learning_rate * g[name] / (M[name] + config.epsilon * mean))
        return self.weights


@pytest.mark.parametrize("decay", [0.0, 0.004, 0.3, 1e9])
def test_weights_move_as_the_equation_says(decay: float) -> None:
    checkpoint, config = network(num_layers=1), replace(LEARNING, decay=decay)
    model = AdaptingModel(checkpoint, TRAINING, config)
    assert len(surprises(model.predict(IDS))) == len(IDS) - 1
    expected = ByTorch(checkpoint, config).learn(TRAINING, IDS)
    adapted = model.adapted("a text").weights
    assert adapted.keys() == expected.keys()
    for name, weight in adapted.items():
        assert np.abs(weight - checkpoint.weights[name]).max() > 1e-2
        assert_allclose(weight, expected[name].detach().numpy(), rtol=1e-4, atol=1e-5)


def test_a_model_of_lines_begins_each_from_the_initial_state() -> None:
    checkpoint = network("gru-before", lines=True)
    engine = NumpyEngine(checkpoint.network, checkpoint.weights)
    lines = ["abcdefabcdef", "b", "fedcba", "cab"]
    ids = VOCABULARY.encode("\n\n".join(lines)).astype(np.int64)
    alone = [score(engine, every_line(VOCABULARY.encode(line), 0, 1)).nats for line in lines]
    assert_allclose(read(checkpoint, ids, STILL).sum(), sum(alone), rtol=1e-5)
    learned = read(checkpoint, ids) - read(checkpoint, ids, STILL)
    assert not learned[:SEGMENT].any()
    assert learned[SEGMENT:].all()


def test_the_adapted_model_has_the_new_weights_and_the_given_one_is_unchanged() -> None:
    checkpoint = replace(network(), extra={"resume": np.zeros(3)})
    position = Position(best_nats=1.9, step=60)
    checkpoint = replace(checkpoint, record=replace(checkpoint.record, validation_nats=2.0, position=position))
    before = {name: weight.copy() for name, weight in checkpoint.weights.items()}
    model = AdaptingModel(checkpoint, TRAINING, LEARNING)
    unread = model.adapted("nothing")
    assert all(np.array_equal(unread.weights[name], before[name]) for name in before)

    surprises(model.predict(IDS))
    adapted = model.adapted(HELD_OUT)
    assert all(np.array_equal(checkpoint.weights[name], before[name]) for name in before)
    assert not any(np.array_equal(adapted.weights[name], before[name]) for name in before)
    assert all(weight.dtype == np.float32 for weight in adapted.weights.values())
    assert (adapted.model, adapted.vocabulary, adapted.extra) == (checkpoint.model, checkpoint.vocabulary, {})
    assert adapted.record == replace(
        checkpoint.record, validation_nats=None, position=Position(step=60), adapted_to=("the held-out text",)
    )
    assert checkpoint.record.adapted_to == ()

    further = AdaptingModel(adapted, TRAINING, LEARNING)
    engine = NumpyEngine(adapted.network, adapted.weights)
    nats = surprises(further.predict(IDS))
    assert_allclose(nats[: SEGMENT - 1].sum(), score(engine, one_stream(IDS[:SEGMENT])).nats, rtol=1e-5)
    assert further.adapted("other.txt").record.adapted_to == (HELD_OUT, "other.txt")


@pytest.mark.parametrize("tokens", [2, 3, SEGMENT, SEGMENT + 1])
def test_a_training_text_of_a_few_tokens_is_enough(tokens: int) -> None:
    nats = surprises(AdaptingModel(network(), TRAINING[:tokens], LEARNING).predict(IDS))
    assert np.isfinite(nats).all()
