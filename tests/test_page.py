"""What a page about a reading network holds: the trace in 8 bits, and no more than fits."""

import base64

import numpy as np
import pytest
from numpy.testing import assert_allclose
from numpy.typing import NDArray

from lstmgen.cells.arrays import softmax
from lstmgen.config import VocabularyKind
from lstmgen.inspection.page import page_data
from lstmgen.inspection.report import Findings, find_all
from lstmgen.inspection.trace import trace
from lstmgen.inspection.walk import Unit, most_varied_units
from lstmgen.pages.inspect import inspect_page
from lstmgen.text.vocabulary import Vocabulary
from tests.command_line import untrained_checkpoint
from tests.conftest import CELLS, form

LETTERS = Vocabulary(VocabularyKind.CHARACTERS, "\nabcdef")
IDS = np.array([1, 4, 2, 2, 6, 3, 1, 5])


def stored(text: str, *shape: int) -> NDArray[np.int64]:
    """Bytes in base64."""
    return np.frombuffer(base64.b64decode(text), np.uint8).reshape(shape).astype(np.int64)


@pytest.mark.parametrize("name", CELLS)
def test_a_page_holds_the_trace_within_its_precision(name: str) -> None:
    checkpoint = untrained_checkpoint(LETTERS, **form(CELLS[name]), num_layers=2)
    read, data = trace(checkpoint.network, checkpoint.weights, IDS), page_data(checkpoint, IDS)
    assert "".join(data["tokens"][number] for number in data["text"]) == LETTERS.decode(IDS)
    gates = list(data["ranges"])
    activations = stored(data["activations"], len(data["units"]), len(gates) + 1, len(IDS))
    first_bits = [stored(held["values"], 8, len(IDS)) for held in data["layers"]]
    assert len(data["units"]) == 16
    assert gates == ([] if name == "rnn" else list(read.layers[0].gates))
    for (number, unit), rows in zip(data["units"], activations, strict=True):
        layer, held = read.layers[number - 1], data["layers"][number - 1]
        for gate, row in zip(gates, rows, strict=False):
            lowest, highest = data["ranges"][gate]
            exact = layer.gates[gate][:, unit - 1]
            spread = highest - lowest
            assert_allclose(lowest + spread * row / 255, exact, rtol=0, atol=spread / 510 + 1e-6)
        lowest, spread = held["lowest"][unit - 1], held["highest"][unit - 1] - held["lowest"][unit - 1]
        exact, first = layer.after[data["memory"]][:, unit - 1], 256 * first_bits[number - 1][unit - 1]
        assert_allclose(lowest + spread * (first + 127.5) / 65535, exact, rtol=0, atol=spread / 510 + 2e-6)
        assert_allclose(lowest + spread * (first + rows[-1]) / 65535, exact, rtol=0, atol=spread / 131070 + 2e-6)
    assert data["unit"] == most_varied_units(read)[0]


def test_predictions_are_the_likeliest_next_tokens() -> None:
    checkpoint = untrained_checkpoint(LETTERS)
    read, data = trace(checkpoint.network, checkpoint.weights, IDS), page_data(checkpoint, IDS)
    for probabilities, step in zip(softmax(read.logits), data["predictions"], strict=True):
        assert [number for number, _ in step] == probabilities.argsort()[::-1][:5].tolist()
        assert [probability for _, probability in step] == pytest.approx(np.sort(probabilities)[::-1][:5], abs=1e-4)


def test_attention_names_past_tokens_and_stays_in_its_line() -> None:
    checkpoint = untrained_checkpoint(LETTERS, lines=True, attention=4)
    ids = LETTERS.encode("\nab\ncd")
    read, data = trace(checkpoint.network, checkpoint.weights, ids, end_token=0), page_data(checkpoint, ids)
    assert read.attention is not None
    assert data["begins"] == [0, 3]
    assert [sorted(back for back, _ in step) for step in data["attention"]] == [[], [1], [1, 2], [], [1], [1, 2]]
    for weights, step in zip(read.attention, data["attention"], strict=True):
        assert all(weight == pytest.approx(weights[-back], abs=1e-3) for back, weight in step)
        assert [weight for _, weight in step] == sorted((weight for _, weight in step), reverse=True)


def test_a_short_text_has_findings_that_say_so() -> None:
    found = find_all(untrained_checkpoint(LETTERS), IDS[:3])
    assert isinstance(found.units, str) and "longer text" in found.units
    assert isinstance(found.memory, str) and "too short" in found.memory
    assert found.tracking_units() == []
    assert [use.gate for use in found.gates] == ["input", "forget", "output"]


@pytest.mark.parametrize("name", [pytest.param("lstm", marks=pytest.mark.long), "gru-after"])
def test_a_large_network_makes_a_page_below_5_mb(name: str) -> None:
    vocabulary = Vocabulary(VocabularyKind.BYTES)
    checkpoint = untrained_checkpoint(vocabulary, **form(CELLS[name]), hidden_size=512, num_layers=2, attention=32)
    first = [Unit(2, 5), Unit(1, 1)]
    data = page_data(checkpoint, np.random.default_rng(0).integers(0, 256, 2000), first)
    written = inspect_page("large", checkpoint, data, Findings("", (), ""))
    assert 4.5e6 < len(written.encode()) < 5e6
    assert 100 < len(data["units"]) < 1024  # there is no room for the gates of all of them
    assert (data["units"][:2], data["unit"]) == (first, first[0])
