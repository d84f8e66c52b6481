"""`lstmgen train`.

Knows: its options. Does not know: how training works.
"""

import time
from dataclasses import replace
from typing import Annotated, Any, TypeVar

import typer

from lstmgen.cli.interrupt import StopRequest
from lstmgen.cli.options import Json, Quiet, Threads, parse_duration, parse_peepholes
from lstmgen.cli.progress import ProgressDisplay, show_end, show_plan
from lstmgen.cli.render import print_json
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
        typer.Option(
            "--lines",
            help="Each line is one item: read from the initial state, shuffled; sampling writes whole items.",
            show_default="off",
            rich_help_panel=_TEXT,
        ),
    ] = None,
    vocabulary: Annotated[
        VocabularyKind | None,
        typer.Option(
            help="What one symbol is; bytes take any data and give it back unchanged.",
            show_default=TextConfig.vocabulary.value,
            rich_help_panel=_TEXT,
        ),
    ] = None,
    encoding: Annotated[
        str | None,
        typer.Option(
            help="How the text's bytes spell characters.",
            show_default=TextConfig.encoding,
            rich_help_panel=_TEXT,
        ),
    ] = None,
    validation: Annotated[
        float | None,
        typer.Option(
            help="Share of the text, at its end, that is held out to validate; 0: none.",
            show_default=str(TextConfig.validation),
            rich_help_panel=_TEXT,
        ),
    ] = None,
    cell: Annotated[
        CellKind | None,
        typer.Option(help="The recurrent cell.", show_default=ModelConfig.cell.value, rich_help_panel=_NETWORK),
    ] = None,
    peepholes: Annotated[
        str | None,
        typer.Option(
            metavar="GATES",
            help="For --cell peephole: the gates that see the cell state.",
            show_default=",".join(ModelConfig.peepholes),
            rich_help_panel=_NETWORK,
        ),
    ] = None,
    reset: Annotated[
        Reset | None,
        typer.Option(
            help="For --cell gru: the reset gate acts before the recurrent product, or after it.",
            show_default=ModelConfig.reset.value,
            rich_help_panel=_NETWORK,
        ),
    ] = None,
    attention: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Let every step look back at its last N outputs; 0: no attention.",
            show_default=str(ModelConfig.attention),
            rich_help_panel=_NETWORK,
        ),
    ] = None,
    hidden_size: Annotated[
        int | None,
        typer.Option(help="Units in each layer.", show_default=str(ModelConfig.hidden_size), rich_help_panel=_NETWORK),
    ] = None,
    layers: Annotated[
        int | None,
        typer.Option(
            help="Recurrent layers, each adding to the one below.",
            show_default=str(ModelConfig.num_layers),
            rich_help_panel=_NETWORK,
        ),
    ] = None,
    embedding_size: Annotated[
        int | None,
        typer.Option(
            help="Numbers that stand for a symbol.",
            show_default=str(ModelConfig.embedding_size),
            rich_help_panel=_NETWORK,
        ),
    ] = None,
    duration: Annotated[
        str | None,
        typer.Option(
            "--time",
            metavar="TIME",
            help="Train so long, all included: 90s, 3m, 1h30m.",
            show_default="5m",
            rich_help_panel=_TRAINING,
        ),
    ] = None,
    epochs: Annotated[
        float | None,
        typer.Option(
            help="Instead of --time: read the text so many times.",
            show_default="none",
            rich_help_panel=_TRAINING,
        ),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(help="Instead of --time: make so many updates.", show_default="none", rich_help_panel=_TRAINING),
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(
            help="Parallel streams of text, or lines; fewer if the text is short.",
            show_default=str(TrainingConfig.batch_size),
            rich_help_panel=_TRAINING,
        ),
    ] = None,
    chunk_length: Annotated[
        int | None,
        typer.Option(
            help="Symbols of each stream between updates; the state is carried on.",
            show_default=str(TrainingConfig.chunk_length),
            rich_help_panel=_TRAINING,
        ),
    ] = None,
    learning_rate: Annotated[
        float | None,
        typer.Option(
            help="The highest; it rises to it and falls as a cosine.",
            show_default=str(TrainingConfig.learning_rate),
            rich_help_panel=_TRAINING,
        ),
    ] = None,
    weight_decay: Annotated[
        float | None,
        typer.Option(
            help="How strongly matrices are drawn to zero.",
            show_default=str(TrainingConfig.weight_decay),
            rich_help_panel=_TRAINING,
        ),
    ] = None,
    clip: Annotated[
        float | None,
        typer.Option(
            help="The largest gradient norm.",
            show_default=str(TrainingConfig.clip),
            rich_help_panel=_TRAINING,
        ),
    ] = None,
    dropout: Annotated[
        float | None,
        typer.Option(
            help="Share of activations dropped between layers and before the head.",
            show_default=str(TrainingConfig.dropout),
            rich_help_panel=_TRAINING,
        ),
    ] = None,
    precision: Annotated[
        Precision | None,
        typer.Option(
            help="Number format of the matrix products; auto takes the faster one that works here.",
            show_default=TrainingConfig.precision.value,
            rich_help_panel=_TRAINING,
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            help="Decides first weights, dropout and order.",
            show_default=str(TrainingConfig.seed),
            rich_help_panel=_TRAINING,
        ),
    ] = None,
    device: Annotated[
        Device,
        typer.Option(help="Where to compute; auto takes CUDA if there is one.", rich_help_panel=_TRAINING),
    ] = Device.AUTO,
    threads: Threads = None,
    run: Annotated[
        str | None,
        typer.Option(
            "--run",
            "-o",
            metavar="NAME",
            help="What to call the run; another run is never overwritten.",
            show_default="from text and cell",
            rich_help_panel=_RUN,
        ),
    ] = None,
    resume: Annotated[
        str | None,
        typer.Option(
            metavar="RUN",
            help="Go on with a run where it stopped; no other option is needed, a budget may be given.",
            show_default="none",
            rich_help_panel=_RUN,
        ),
    ] = None,
    every: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Evaluate, save and preview every N steps.",
            show_default="ten times over the budget",
            rich_help_panel=_RUN,
        ),
    ] = None,
    preview: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="What previews begin with.", show_default="nothing", rich_help_panel=_RUN),
    ] = None,
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
        "precision": precision,
        "every": every,
        "preview": preview,
        "seed": seed,
    }
    if resume is not None:
        fixed = {
            **text_options,
            **model_options,
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

    from lstmgen.training import run as training_run

    if resume is not None:
        prepared = training_run.resume(resume, sources=text or (), budget=budget, device=device, threads=threads)
    else:
        prepared = training_run.prepare(
            *configs,
            run=run,
            device=device,
            threads=threads,
            batch_size_given=batch_size is not None,
            dry_run=dry_run,
        )
    session = None if dry_run else prepared.start(started)
    show_plan(prepared.planned, quiet or json)
    if json:
        print_json(to_mapping(prepared.planned))
    if session is None:
        return
    with ProgressDisplay(quiet or json) as display, StopRequest(lambda: display.say(_STOPPING)) as stop:
        for event in session.events(stop):
            display.show(event)
            if json and is_logged(event):
                print_json(to_mapping(event))
    if isinstance(event, Finished):
        show_end(event, prepared.folder.name, quiet or json)
    if stop():
        raise typer.Exit(stop.exit_code)


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
    return replace(config, **{name: value for name, value in options.items() if value is not None})  # type: ignore[type-var]


def _refuse_with_resume(options: dict[str, Any]) -> None:
    if given := [_option(name) for name, value in options.items() if value is not None]:
        raise typer.BadParameter(f"--resume goes on with the run as it is; leave out {', '.join(given)}")


def _refuse_idle(options: dict[str, Any]) -> None:
    """An option that the chosen cell would ignore is a mistake that is to be said."""
    cell = options["cell"] or ModelConfig.cell
    for name, needed in (("peepholes", CellKind.PEEPHOLE), ("reset", CellKind.GRU)):
        if options[name] is not None and cell is not needed:
            raise typer.BadParameter(f"{_option(name)} is for --cell {needed}; this is --cell {cell}")


def _option(name: str) -> str:
    return "--" + {"num_layers": "layers"}.get(name, name).replace("_", "-")
