"""`lstmgen train`.

Knows: its options. Does not know: how training works.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Annotated, Any, TypeVar

import typer

from lstmgen.cli.interrupt import StopRequest
from lstmgen.cli.options import Json, Quiet, Threads, option, parse_count, parse_duration, parse_peepholes
from lstmgen.cli.progress import ProgressDisplay, show_end, show_plan
from lstmgen.cli.render import is_closed_pipe, mute_stdout, print_json
from lstmgen.config import (
    Budget,
    BudgetUnit,
    CellKind,
    Device,
    ModelConfig,
    Precision,
    Reset,
    TextConfig,
    TrainingConfig,
    VocabularyKind,
)
from lstmgen.training.events import Finished, is_logged, to_mapping

EXAMPLES = """Examples:

lstmgen train poems.txt --time 3m

lstmgen train src/ '*.md' --cell gru --layers 3 --epochs 20

lstmgen train names.txt --lines --run names

cat log.txt | lstmgen train - --vocabulary bytes

lstmgen train --resume poems-lstm
"""

_TEXT, _NETWORK, _TRAINING, _RUN = "Text", "Network", "Training", "Run"
_IS_PLANNED = "planned from text, budget and speed"

Config = TypeVar("Config")


def train(
    text: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="TEXT",
            help="Files, folders, patterns, .gz files, - for standard input; or a named corpus: python-docs, "
            "python-source, shakespeare.",
            show_default="python-docs, the reference text inside every Python",
        ),
    ] = None,
    lines: Annotated[
        bool | None,
        option(
            _TEXT,
            "Each line is one item: read from the initial state, shuffled; sampling writes whole items.",
            "off",
            "--lines",
        ),
    ] = None,
    vocabulary: Annotated[
        VocabularyKind | None,
        option(
            _TEXT,
            "What one symbol is; bytes take any data and give it back unchanged.",
            TextConfig.vocabulary,
        ),
    ] = None,
    encoding: Annotated[
        str | None,
        option(_TEXT, "How the text's bytes spell characters.", TextConfig.encoding, metavar="NAME"),
    ] = None,
    validation: Annotated[
        float | None,
        option(
            _TEXT,
            "Share of the text, at its end, that is held out to validate; 0: none.",
            TextConfig.validation,
            metavar="X",
        ),
    ] = None,
    cell: Annotated[
        CellKind | None,
        option(_NETWORK, f"The recurrent cell: {', '.join(CellKind)}.", ModelConfig.cell, metavar="CELL"),
    ] = None,
    peepholes: Annotated[
        str | None,
        option(
            _NETWORK,
            "For --cell peephole: the gates that see the cell state.",
            ",".join(ModelConfig.peepholes),
            metavar="GATES",
        ),
    ] = None,
    reset: Annotated[
        Reset | None,
        option(
            _NETWORK,
            "For --cell gru: the reset gate acts before the recurrent product, or after it.",
            ModelConfig.reset,
        ),
    ] = None,
    attention: Annotated[
        int | None,
        option(
            _NETWORK,
            "Let every step look back at its last N outputs; 0: no attention.",
            ModelConfig.attention,
            metavar="N",
        ),
    ] = None,
    hidden_size: Annotated[int | None, option(_NETWORK, "Units in each layer.", _IS_PLANNED, metavar="N")] = None,
    parameters: Annotated[
        str | None,
        option(
            _NETWORK, "Instead of --hidden-size: about how many numbers to learn, as 500k or 2M.", "none", metavar="N"
        ),
    ] = None,
    layers: Annotated[
        int | None,
        option(_NETWORK, "Recurrent layers, each adding to the one below.", ModelConfig.num_layers, metavar="N"),
    ] = None,
    embedding_size: Annotated[
        int | None,
        option(_NETWORK, "Numbers that stand for a symbol.", ModelConfig.embedding_size, metavar="N"),
    ] = None,
    duration: Annotated[
        str | None,
        option(_TRAINING, "Train so long, all included: 90s, 3m, 1h30m.", "5m", "--time", metavar="TIME"),
    ] = None,
    epochs: Annotated[
        float | None, option(_TRAINING, "Instead of --time: read the text so many times.", "none", metavar="X")
    ] = None,
    steps: Annotated[
        int | None, option(_TRAINING, "Instead of --time: make so many updates.", "none", metavar="N")
    ] = None,
    batch_size: Annotated[
        int | None,
        option(
            _TRAINING,
            "Parallel streams of text, or lines; fewer if the text is short.",
            f"{TrainingConfig.batch_size}; of lines, as many as hold so many symbols",
            metavar="N",
        ),
    ] = None,
    chunk_length: Annotated[
        int | None,
        option(
            _TRAINING,
            "Symbols of each stream between updates; the state is carried on.",
            _IS_PLANNED,
            metavar="N",
        ),
    ] = None,
    learning_rate: Annotated[
        float | None,
        option(
            _TRAINING,
            "The highest; it rises to it, then falls in a straight line to zero.",
            TrainingConfig.learning_rate,
            metavar="X",
        ),
    ] = None,
    weight_decay: Annotated[
        float | None,
        option(_TRAINING, "How strongly matrices are drawn to zero.", _IS_PLANNED, metavar="X"),
    ] = None,
    clip: Annotated[
        float | None, option(_TRAINING, "The largest gradient norm.", TrainingConfig.clip, metavar="X")
    ] = None,
    dropout: Annotated[
        float | None,
        option(
            _TRAINING,
            "Share of activations dropped between layers and before the head.",
            _IS_PLANNED,
            metavar="X",
        ),
    ] = None,
    weight_drop: Annotated[
        float | None,
        option(
            _TRAINING,
            "Share of the recurrent weights dropped, anew for each chunk.",
            TrainingConfig.weight_drop,
            metavar="X",
        ),
    ] = None,
    precision: Annotated[
        Precision | None,
        option(
            _TRAINING,
            "Number format of the matrix products; auto takes the faster one that works here.",
            TrainingConfig.precision,
        ),
    ] = None,
    seed: Annotated[
        int | None,
        option(_TRAINING, "Decides first weights, dropout and order.", TrainingConfig.seed, metavar="N"),
    ] = None,
    device: Annotated[
        Device,
        typer.Option(help="Where to compute; auto takes CUDA if there is one.", rich_help_panel=_TRAINING),
    ] = Device.AUTO,
    threads: Threads = None,
    run: Annotated[
        str | None,
        option(
            _RUN,
            "What to call the run; another run is never overwritten.",
            "from text and cell",
            "--run",
            "-o",
            metavar="NAME",
        ),
    ] = None,
    resume: Annotated[
        str | None,
        option(
            _RUN,
            "Go on with a run where it stopped; no other option is needed, a budget may be given.",
            "none",
            metavar="RUN",
        ),
    ] = None,
    every: Annotated[
        int | None,
        option(_RUN, "Evaluate, save and preview every N steps.", "ten times over the budget", metavar="N"),
    ] = None,
    preview: Annotated[str | None, option(_RUN, "What previews begin with.", "nothing", metavar="TEXT")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan and stop.", rich_help_panel=_RUN)] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train a network to write like a text."""
    started = time.monotonic()
    budget = _budget(duration, epochs, steps)
    text_options = {
        "sources": text,
        "lines": lines,
        "vocabulary": vocabulary,
        "encoding": encoding,
        "validation": validation,
    }
    model_options = {
        "cell": cell,
        "hidden_size": hidden_size,
        "num_layers": layers,
        "embedding_size": embedding_size,
        "peepholes": None if peepholes is None else parse_peepholes(peepholes),
        "reset": reset,
        "attention": attention,
    }
    training_options = {
        "budget": budget,
        "batch_size": batch_size,
        "chunk_length": chunk_length,
        "learning_rate": learning_rate,
        "weight_decay": weight_decay,
        "clip": clip,
        "dropout": dropout,
        "weight_drop": weight_drop,
        "precision": precision,
        "every": every,
        "preview": preview,
        "seed": seed,
    }
    given = {**model_options, **training_options, "hidden_size": hidden_size or parameters}
    wanted_parameters = None if parameters is None else parse_count(parameters)
    if hidden_size is not None and parameters is not None:
        raise typer.BadParameter("give one of --hidden-size and --parameters")
    if resume is not None:
        fixed = {
            **text_options,
            **model_options,
            "parameters": parameters,
            **training_options,
            "run": run,
            "sources": None,
            "budget": None,
        }
        _refuse_with_resume(fixed)
    else:
        _refuse_idle(model_options)
        configs = (
            _given(TextConfig(), text_options),
            _given(ModelConfig(), model_options),
            _given(TrainingConfig(), training_options),
        )

    from lstmgen.checkpoint import run_name
    from lstmgen.training import run as training_run
    from lstmgen.training.plan import PLANNED

    if resume is not None:
        prepared = training_run.resume(resume, sources=text or (), budget=budget, device=device, threads=threads)
    else:
        prepared = training_run.prepare(
            *configs,
            run=run,
            device=device,
            threads=threads,
            planned=PLANNED - {name for name, value in given.items() if value is not None},
            parameters=wanted_parameters,
            dry_run=dry_run,
        )
    session = None if dry_run else prepared.start(started)
    show_plan(prepared.planned, quiet or json)
    if json:
        print_json(to_mapping(prepared.planned))
    if session is None:
        return
    with ProgressDisplay(quiet or json) as display, StopRequest(lambda: display.say(_STOPPING)) as stop:
        try:
            for event in session.events(stop):
                with _unless_unread(stop, display):
                    display.show(event)
                    if json and is_logged(event):
                        print_json(to_mapping(event))
        except BaseException:
            prepared.abandon()
            raise
        if isinstance(event, Finished):
            with _unless_unread(stop, display):
                show_end(event, run_name(prepared.folder), quiet or json)
    if isinstance(event, Finished) and event.interrupted:
        raise typer.Exit(stop.exit_code)


@contextmanager
def _unless_unread(stop: StopRequest, display: ProgressDisplay) -> Iterator[None]:
    """A closed pipe or terminal is no reason to lose training: it is a request to stop, and to save."""
    try:
        yield
    except OSError as error:
        if not is_closed_pipe(error):
            raise
        stop.unread = True
        display.mute()
        mute_stdout()


_STOPPING = "\nfinishing this step, then saving; press Ctrl-C again to leave at once"


def _budget(duration: str | None, epochs: float | None, steps: int | None) -> Budget | None:
    given = {
        BudgetUnit.SECONDS: None if duration is None else parse_duration(duration),
        BudgetUnit.EPOCHS: epochs,
        BudgetUnit.STEPS: steps,
    }
    budgets = [Budget(amount, unit) for unit, amount in given.items() if amount is not None]
    if len(budgets) > 1:
        raise typer.BadParameter("give one of --time, --epochs and --steps")
    return budgets[0] if budgets else None


def _given(config: Config, options: dict[str, Any]) -> Config:
    """The configuration with what the user gave, and its own defaults for the rest."""
    return replace(config, **{name: value for name, value in options.items() if value is not None})  # type: ignore[type-var]  # any dataclass


def _refuse_with_resume(options: dict[str, Any]) -> None:
    if given := [_name_of(name) for name, value in options.items() if value is not None]:
        raise typer.BadParameter(f"--resume goes on with the run as it is; leave out {', '.join(given)}")


def _refuse_idle(options: dict[str, Any]) -> None:
    """An option that the chosen cell would ignore is a mistake that is to be said."""
    cell = options["cell"] or ModelConfig.cell
    for name, needed in (("peepholes", CellKind.PEEPHOLE), ("reset", CellKind.GRU)):
        if options[name] is not None and cell is not needed:
            raise typer.BadParameter(f"{_name_of(name)} is for --cell {needed}; this is --cell {cell}")


def _name_of(name: str) -> str:
    return "--" + {"num_layers": "layers"}.get(name, name).replace("_", "-")
