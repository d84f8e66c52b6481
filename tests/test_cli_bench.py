"""`lstmgen bench` measures every cell, and a bare torch loop for comparison if torch has one."""

import pytest

from lstmgen import benchmark
from lstmgen.benchmark import Machine, SamplingSpeed, TrainingSpeed, weights_per_token
from lstmgen.config import CellKind, ModelConfig, Precision, TrainingConfig
from lstmgen.network.architecture import build_network
from tests.command_line import done

SIZES = {"--hidden-size": 8, "--layers": 1, "--batch-size": 2, "--chunk-length": 4, "--threads": 1}
TINY = [*(part for option in SIZES.items() for part in option), "--precision", "float32"]
pytestmark = pytest.mark.usefixtures("short_benchmark")


def test_json_has_a_line_for_each_measure_and_the_tables_name_every_network() -> None:
    machine, *rows = done("bench", "--json", *TINY).json_lines
    assert (machine["measure"], machine["precision"], machine["threads"]) == ("machine", "float32", 1)
    trained = {row["network"].removeprefix("1 x 8 "): row for row in rows if row["measure"] == "training"}
    assert list(trained) == ["lstm", "coupled", "peephole", "gru, reset after", "gru, reset before", "rnn"]
    compared = [name for name, row in trained.items() if row["ratio"] is not None]
    assert compared == ["lstm", "gru, reset after", "rnn"]
    for row in trained.values():
        assert row["characters_per_second"] > 0
        assert row["share_of_peak"] == pytest.approx(row["gigaflops"] / machine["peak_gigaflops"])
    sampled = [row for row in rows if row["measure"] == "sampling"]
    assert [(row["network"], row["samples"]) for row in sampled] == [("1 x 8 lstm", 1), ("1 x 8 lstm", 64)]
    for row in sampled:
        faster = max(row["lstm_loop"], row["lstm_cell_loop"])
        assert row["ratio"] == pytest.approx(row["characters_per_second"] / faster)
    ran = done("bench", "--cell", "gru", *TINY)
    assert "float32" in ran.text.splitlines()[0]
    assert all(f"1 x 8 gru, reset {when}" in ran.text for when in ("after", "before"))
    assert "lstm" not in ran.text
    assert ran.err == ""


def test_operations_are_counted_in_the_products_with_weights() -> None:
    model = ModelConfig(cell=CellKind.LSTM, hidden_size=5, num_layers=2, embedding_size=3)
    first, second, head = 4 * 5 * (3 + 5), 4 * 5 * (5 + 5), 7 * 5
    assert weights_per_token(build_network(model, 7)) == first + second + head


def test_bfloat16_is_measured_where_torch_has_no_such_lstm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark, "torch_lstm_runs_in_this_precision", lambda: False)
    model = ModelConfig(cell=CellKind.LSTM, hidden_size=8, num_layers=1)
    training = TrainingConfig(batch_size=2, chunk_length=4)
    machine, trained, *sampled = benchmark.measure([model], training, Precision.BFLOAT16, threads=1)
    assert isinstance(machine, Machine)
    assert machine.precision is Precision.BFLOAT16
    assert isinstance(trained, TrainingSpeed)
    assert trained.bare_characters_per_second is None
    assert [type(speed) for speed in sampled] == [SamplingSpeed] * 2
