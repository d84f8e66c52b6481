"""`lstmgen bench`.

Knows: its options, and how speeds are shown. Does not know: how they are measured.
"""

import sys
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Annotated

import typer

from lstmgen.cli.options import Json, Quiet, Threads
from lstmgen.cli.render import print_json, print_table
from lstmgen.config import CellKind, ModelConfig, Precision, TrainingConfig
from lstmgen.printable import count

if TYPE_CHECKING:
    from lstmgen.benchmark import SamplingSpeed, TrainingSpeed

EXAMPLES = """Examples:

lstmgen bench

lstmgen bench --cell lstm --hidden-size 512 --precision float32

lstmgen bench --json
"""


def bench(
    cell: Annotated[
        list[CellKind] | None,
        typer.Option(
            metavar="CELL", show_default="all", help=f"Of the cells {', '.join(CellKind)}; can be given again."
        ),
    ] = None,
    hidden_size: Annotated[
        list[int] | None,
        typer.Option(min=1, metavar="N", show_default="256 and 512", help="Units in each layer; can be given again."),
    ] = None,
    layers: Annotated[int, typer.Option(min=1, metavar="N", help="Recurrent layers.")] = ModelConfig.num_layers,
    batch_size: Annotated[int, typer.Option(min=1, metavar="N", help="Parallel streams.")] = TrainingConfig.batch_size,
    chunk_length: Annotated[int, typer.Option(min=1, metavar="N", help="Symbols of each stream in a step.")] = 64,
    precision: Annotated[
        Precision, typer.Option(help="Number format of the matrix products; auto takes the faster one.")
    ] = Precision.AUTO,
    threads: Threads = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Measure how fast this machine trains and samples, and how near that is to its limits.

    It takes less than three minutes.
    Training: whole steps, from symbols to updated weights, without dropout. "of peak" compares with the speed of a
    large product of matrices in the same precision. The torch.nn loop is what one would write with torch alone. It
    runs in a process of its own, in turns with ours. x is the ratio of the two.
    Sampling: one character after the other at temperature 0.8, beside loops over nn.LSTM and nn.LSTMCell.
    """
    from tqdm import tqdm

    from lstmgen.benchmark import CELLS, Machine, SamplingSpeed, TrainingSpeed, measure, result_count
    from lstmgen.training.machine import keep_freed_memory

    keep_freed_memory()  # as `lstmgen train` does; it changes the whole process, so no library function calls it
    sizes = hidden_size or [256, 512]
    models = [
        replace(model, hidden_size=size, num_layers=layers)
        for size in sizes
        for model in CELLS
        if cell is None or model.cell in cell
    ]
    training = TrainingConfig(batch_size=batch_size, chunk_length=chunk_length)
    results = []
    hidden = quiet or not sys.stderr.isatty()
    for result in tqdm(
        measure(models, training, precision, threads),
        total=result_count(models),
        desc="measuring",
        unit=" rows",
        leave=False,
        disable=hidden,
    ):
        results.append(result)
        if json:
            print_json({"measure": result.measure, **asdict(result)})
    if json:
        return
    for result in results:
        if isinstance(result, Machine):
            slow = "" if result.bfloat16_is_fast else "This processor has no fast bfloat16; float32 is faster.\n"
            sys.stdout.write(
                f"{result.processor}, {result.threads} threads, {result.precision}: "
                f"{result.peak_gigaflops:.0f} GFLOP/s in a large product\n{slow}\n"
            )
    _print_training([result for result in results if isinstance(result, TrainingSpeed)])
    _print_sampling([result for result in results if isinstance(result, SamplingSpeed)])


def _print_training(speeds: list["TrainingSpeed"]) -> None:
    from rich.table import Table

    table = Table("training", box=None, pad_edge=False)
    for title in ("chars/s", "GFLOP/s", "of peak", "torch.nn loop", "x"):
        table.add_column(title, justify="right")
    for speed in speeds:
        bare, ratio = speed.bare_characters_per_second, speed.ratio
        table.add_row(
            speed.network,
            count(speed.characters_per_second),
            f"{speed.gigaflops:.0f}",
            f"{speed.share_of_peak:.0%}",
            "-" if bare is None else count(bare),
            "-" if ratio is None else f"{ratio:.2f}",
        )
    print_table(table)


def _print_sampling(speeds: list["SamplingSpeed"]) -> None:
    from rich.table import Table

    table = Table("\nsampling", box=None, pad_edge=False)
    for title in ("samples", "chars/s", "nn.LSTM loop", "x", "nn.LSTMCell loop", "x"):
        table.add_column("\n" + title, justify="right")
    for speed in speeds:
        table.add_row(
            speed.network,
            str(speed.samples),
            *map(count, (speed.characters_per_second, speed.lstm_loop)),
            f"{speed.characters_per_second / speed.lstm_loop:.1f}",
            count(speed.lstm_cell_loop),
            f"{speed.characters_per_second / speed.lstm_cell_loop:.1f}",
        )
    if speeds:
        print_table(table)
