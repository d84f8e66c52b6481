"""`lstmgen bench`: its options, and its tables of speeds."""

from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from lstmgen.cli.options import JSON, QUIET, THREADS
from lstmgen.cli.render import print_json
from lstmgen.config import CellKind, Device, ModelConfig, Precision, TrainingConfig, option
from lstmgen.printable import count
from lstmgen.report import Table

if TYPE_CHECKING:
    from lstmgen.benchmark import Machine, SamplingSpeed, TrainingSpeed

EXAMPLES = """
lstmgen bench
lstmgen bench --cell lstm --hidden-size 512 --precision float32
lstmgen bench --json
"""

_CELLS = ", ".join(CellKind)


def bench(
    cell: list[CellKind] | None = option(
        None, f"One of {_CELLS}; may be given several times.", shown_default="all", metavar="CELL"
    ),
    hidden_size: list[int] | None = option(
        None, "Units in each layer; may be given several times.", shown_default="256 and 512", min=1
    ),
    layers: int = option(ModelConfig.num_layers, "Recurrent layers.", min=1),
    batch_size: int = option(TrainingConfig.batch_size, "Parallel streams.", min=1),
    chunk_length: int = option(64, "Characters that each stream reads per step.", min=1),
    precision: Precision = option(Precision.AUTO, "Number format of the matrix products; auto picks the faster one."),
    device: Device = option(Device.CPU, "Where to train; sampling is measured on the CPU only."),
    threads: int | None = THREADS,
    json: bool = JSON,
    quiet: bool = QUIET,
) -> None:
    """Measure how fast this machine trains and samples, and how close that is to its limits.

    This takes less than three minutes.

    Training: whole steps, from tokens to updated weights, without dropout. "of peak" compares with the speed of a
    large matrix product in the same precision. The torch.nn loop is what one would write with torch alone. It runs in
    a separate process, taking turns with ours. x is the ratio of the two.

    Sampling: one character after another at temperature 0.8, compared with loops over nn.LSTM and nn.LSTMCell.
    """
    from lstmgen.benchmark import MEASURED, Machine, SamplingSpeed, TrainingSpeed, measure, result_count
    from lstmgen.cli.reading_bar import progress_bar
    from lstmgen.cli.report import print_report
    from lstmgen.training.machine import keep_freed_memory

    keep_freed_memory()  # as `lstmgen train` does; it changes the whole process, so no library function calls it
    sizes = hidden_size or [256, 512]
    models = [
        replace(model, hidden_size=size, num_layers=layers)
        for size in sizes
        for model in MEASURED
        if cell is None or model.cell in cell
    ]
    training = TrainingConfig(batch_size=batch_size, chunk_length=chunk_length)
    results = []
    measured = measure(models, training, precision, threads, device)
    for result in progress_bar(
        measured, quiet=quiet, total=result_count(models, device), desc="measuring", unit=" rows"
    ):
        results.append(result)
        if json:
            print_json({"measure": result.measure, **asdict(result)})
    if json:
        return
    machines = [result for result in results if isinstance(result, Machine)]
    training_speeds = [result for result in results if isinstance(result, TrainingSpeed)]
    sampling_speeds = [result for result in results if isinstance(result, SamplingSpeed)]
    print_report([*map(_machine, machines), _training(training_speeds), *_sampling(sampling_speeds)])


def _machine(machine: "Machine") -> list[str]:
    speed = (
        f"{machine.processor}, {machine.threads} threads, {machine.precision}: "
        f"{machine.peak_gigaflops:.0f} GFLOP/s in a large product"
    )
    slow = "This processor has no fast bfloat16; float32 is faster."
    return [speed] if machine.bfloat16_is_fast else [speed, slow]


def _training(speeds: list["TrainingSpeed"]) -> Table:
    rows = [
        (
            speed.network,
            count(speed.characters_per_second),
            f"{speed.gigaflops:.0f}",
            f"{speed.share_of_peak:.0%}",
            "-" if speed.bare_characters_per_second is None else count(speed.bare_characters_per_second),
            "-" if speed.ratio is None else f"{speed.ratio:.2f}",
        )
        for speed in speeds
    ]
    return Table(("training", "chars/s", "GFLOP/s", "of peak", "torch.nn loop", "x"), rows)


def _sampling(speeds: list["SamplingSpeed"]) -> list[Table]:
    """A table, unless nothing was measured."""
    rows = []
    for speed in speeds:
        row: list[object] = [speed.network, speed.samples, count(speed.characters_per_second)]
        for loop in (speed.lstm_loop, speed.lstm_cell_loop):
            row += [count(loop), f"{speed.characters_per_second / loop:.1f}"]
        rows.append(row)
    columns = ("sampling", "samples", "chars/s", "nn.LSTM loop", "x", "nn.LSTMCell loop", "x")
    return [Table(columns, rows)] if rows else []
