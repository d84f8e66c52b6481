"""`lstmgen sample`.

Knows: its options, and how text reaches a terminal, a pipe or a file. Does not know: how it is drawn.
"""

import secrets
import sys
from json import dumps
from pathlib import Path
from typing import Annotated

import typer

from lstmgen.cli.options import CheckpointArgument, Quiet, Threads, limit_threads
from lstmgen.cli.render import note
from lstmgen.config import OnUnknown, SamplingConfig
from lstmgen.errors import ConfigError, TextError

EXAMPLES = """Examples:

lstmgen sample --temp 0.8

lstmgen sample poems-lstm --prompt 'The sea' --length 300 --seed 7

lstmgen sample names --samples 20

lstmgen sample -n -1 | head -c 10000
"""

_LINE_SAMPLES = 10
"""How many items a model of lines writes if the user does not say."""


def sample(
    checkpoint: CheckpointArgument = None,
    prompt: Annotated[
        str,
        typer.Option("--prompt", "-p", metavar="TEXT", help="What the text begins with.", show_default="nothing"),
    ] = "",
    prompt_file: Annotated[
        str | None,
        typer.Option(
            "--prompt-file",
            "-f",
            metavar="FILE",
            help="Read what the text begins with from a file, or from standard input (-).",
            show_default="none",
        ),
    ] = None,
    length: Annotated[
        int, typer.Option("--length", "-n", metavar="N", help="Characters to write; -1: without end.")
    ] = SamplingConfig.length,
    temperature: Annotated[
        float,
        typer.Option("--temp", "--temperature", metavar="X", help="0: always the likeliest character; above 1: bold."),
    ] = SamplingConfig.temperature,
    samples: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="How many texts to write, as one batch.", show_default="1; 10 for a model of lines"
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            min=0, metavar="N", help="The same seed writes the same text.", show_default="random, shown on stderr"
        ),
    ] = None,
    on_unknown: Annotated[
        OnUnknown, typer.Option(help="What to do with a prompt's character that the model has never seen.")
    ] = OnUnknown.ERROR,
    no_prompt_echo: Annotated[
        bool, typer.Option("--no-prompt-echo", help="Write only what follows the prompt, not the prompt.")
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write to a new file.", show_default="standard output"),
    ] = None,
    threads: Threads = None,
    json: Annotated[
        bool, typer.Option("--json", help="Write one JSON object a sample: text, prompt, seed, nats, finish.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Write text with a trained network."""
    limit_threads(threads)
    import numpy as np

    from lstmgen.cli.output import SampleOutput
    from lstmgen.language_model import load

    if prompt_file is not None:
        if prompt:
            raise typer.BadParameter("give one of --prompt and --prompt-file")
        prompt = _read_prompt(prompt_file)
    model = load(checkpoint)
    count = samples if samples is not None else _LINE_SAMPLES if model.lines else SamplingConfig.samples
    config = SamplingConfig(length, temperature, count)
    if length < 0 and not model.lines and (json or count > 1):
        raise ConfigError(f"--length {length}: an endless text is one plain text; leave out --samples and --json")
    opening = model.read_prompt(prompt, on_unknown)
    echoed = model.vocabulary.encode("" if no_prompt_echo else prompt, on_unknown=on_unknown)
    with SampleOutput(model.vocabulary, output) as out:
        if seed is None:
            seed = secrets.randbits(32)
            note(f"seed {seed}", quiet=quiet)
        drawn = model.draw(opening, config, seed)
        if count == 1 and not json:
            out.write(echoed)
            for symbol in drawn:
                out.write(np.array([symbol.id]))
            return
        rows: list[list[int]] = [[] for _ in range(count)]
        nats = [0.0] * count
        for symbol in drawn:
            rows[symbol.row].append(symbol.id)
            nats[symbol.row] += symbol.nats
        for number, row in enumerate(rows):
            whole = model.lines and row[-1:] == [model.vocabulary.newline]
            ids = np.concatenate([echoed, row]).astype(np.int64)
            if json:
                text = model.vocabulary.decode(ids[:-1] if whole else ids)
                about = {"sample": number, "nats": nats[number], "finish": "line" if whole else "length"}
                out.write_text(
                    dumps({"text": text, "prompt": prompt, "seed": seed, **about}, ensure_ascii=False) + "\n"
                )
            else:
                out.write_text("\n" if number and not model.lines else "")
                out.write(ids)
                out.write_text("" if whole else "\n")


def _read_prompt(name: str) -> str:
    """The text of a file or of standard input, its last line end left out."""
    try:
        if name == "-" and sys.stdin is None:
            raise TextError("--prompt-file -: standard input is closed; pipe a text into it, or name a file")
        data = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise TextError(f"--prompt-file {name}: {error.strerror}; name a file that can be read") from error
    except UnicodeDecodeError as error:
        raise TextError(f"--prompt-file {name}: byte at offset {error.start} is not utf-8; convert it first") from error
    return text.replace("\r\n", "\n").removesuffix("\n")
