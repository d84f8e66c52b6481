"""`lstmgen export`."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from lstmgen.cli.options import CHECKPOINT, QUIET, THREADS, find_model, limit_threads
from lstmgen.cli.render import note
from lstmgen.config import option
from lstmgen.printable import count

if TYPE_CHECKING:
    from lstmgen.export.rounding import Choice

EXAMPLES = """
lstmgen export poems-lstm --html poems.html
lstmgen export poems-lstm --onnx poems.onnx
lstmgen export poems-lstm --torch poems.pt
"""

_FORMAT = "Format"


def export(
    checkpoint: str | None = CHECKPOINT,
    html: Path | None = option(
        None,
        "Write a web page that writes text: the model and everything it needs, in one file.",
        panel=_FORMAT,
    ),
    onnx: Path | None = option(
        None,
        "Write the network for ONNX runtimes: one step to FILE, and a chunk next to it (a-chunk.onnx for a.onnx).",
        panel=_FORMAT,
    ),
    torch: Path | None = option(
        None,
        "Write the weights for torch.nn.LSTM, GRU or RNN; torch.load reads them.",
        panel=_FORMAT,
    ),
    threads: int | None = THREADS,
    quiet: bool = QUIET,
) -> None:
    """Save a model for other programs, as a new file.

    The web page needs no server and no network connection: open it from disk in any browser. Its weights are rounded
    to 8 bits, or to 16 bits if 8 bits make the held-out score more than 0.5% worse. The other formats keep float32.
    """
    limit_threads(threads)
    formats = {"--html": html, "--onnx": onnx, "--torch": torch}
    chosen = [name for name, path in formats.items() if path is not None]
    if len(chosen) != 1:
        raise typer.BadParameter(f"give one of {', '.join(formats)}")
    from lstmgen.checkpoint import load_checkpoint, public_name
    from lstmgen.cli.output import whole_file

    path = find_model(checkpoint, quiet=quiet)
    loaded, name = load_checkpoint(path), public_name(path)
    if html is not None:
        from lstmgen.export.rounding import choose_rounding
        from lstmgen.pages.write import writing_page

        with whole_file(html, "html") as file:
            choice = choose_rounding(loaded)
            note(_reason(choice, loaded.vocabulary.unit), quiet=quiet)
            content = writing_page(loaded, name, choice.rounding).encode()
            file.write(content)
        note(f"wrote {html}, {count(len(content))}B; open it in a browser", quiet=quiet)
    elif onnx is not None:
        from lstmgen.export.onnx_models import onnx_files

        with whole_file(onnx, "onnx") as file:
            chunk_path = onnx.with_name(f"{onnx.stem}-chunk{onnx.suffix}")
            with whole_file(chunk_path, "onnx") as chunk_file:
                step, chunk = onnx_files(loaded, name)
                file.write(step)
                chunk_file.write(chunk)
        note(f"wrote one step to {onnx} and a chunk to {chunk_path}, {count(len(step))}B each", quiet=quiet)
    elif torch is not None:
        from lstmgen.export.torch_weights import torch_file

        with whole_file(torch, "torch") as file:
            content = torch_file(loaded)
            file.write(content)
        note(f"wrote {torch}, {count(len(content))}B; read it with torch.load", quiet=quiet)


def _reason(choice: "Choice", unit: str) -> str:
    """Say how the weights are rounded, and at what cost."""
    if choice.reason:
        return f"weights in {choice.rounding}, because {choice.reason}"
    losses = (f"{rounding} {nats:.4f} ({choice.loss(rounding):+.2%})" for rounding, nats in choice.nats.items())
    return (
        f"weights in {choice.rounding}; nats per {unit} on {choice.tokens:,} held-out {unit}s: "
        f"float32 {choice.exact_nats:.4f}, {', '.join(losses)}"
    )
