"""`lstmgen sample`.

Knows: its options, and how text reaches a terminal, a pipe or a file. Does not know: how it is drawn.
"""

import secrets
import sys
import time
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lstmgen.cli.options import CheckpointArgument, Quiet, ReadingDevice, Threads, engine_on, limit_threads, option
from lstmgen.cli.render import note
from lstmgen.config import Device, Finish, OnUnknown, SamplingConfig
from lstmgen.errors import ConfigError, TextError

if TYPE_CHECKING:
    from lstmgen.cli.output import SampleOutput
    from lstmgen.draft import Draft
    from lstmgen.language_model import LanguageModel
    from lstmgen.text.vocabulary import Vocabulary

EXAMPLES = """Examples:

lstmgen sample --temp 0.8

lstmgen sample poems-lstm --prompt 'The sea' --length 300 --seed 7

lstmgen sample --temp 0.6 --word-temp 1.1 --no-repeat 20 --max-copy 30

lstmgen sample names --samples 20

lstmgen sample --match '(.+ ){4,6}.+' --samples 10

lstmgen sample --prompt-file notes.md --stop . --no-prompt-echo

lstmgen sample --interactive --length 80

lstmgen sample -n -1 | head -c 10000
"""

_PIECE = 80
"""How much the model writes at a time in a conversation, if the user does not say."""

_LINE_SAMPLES = 10
"""How many items a model of lines writes if the user does not say."""

_FILTERS = "What may be written"
_OTHER = "Where it goes"


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
        int | None,
        typer.Option(
            "--length",
            "-n",
            metavar="N",
            help="Characters to write; -1: without end.",
            show_default=f"{SamplingConfig.length}; {_PIECE} with --interactive",
        ),
    ] = None,
    samples: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="How many texts to write, as one batch.", show_default="1; 10 for a model of lines"
        ),
    ] = None,
    best_of: Annotated[
        int,
        typer.Option(metavar="N", help="Write N candidates for each text, keep the one the model finds likeliest."),
    ] = SamplingConfig.best_of,
    interactive: Annotated[
        bool, typer.Option("--interactive", "-i", help="Write together: you a line, the model a piece, with undo.")
    ] = False,
    seed: Annotated[
        int | None,
        typer.Option(
            min=0, metavar="N", help="The same seed writes the same text.", show_default="random, shown on stderr"
        ),
    ] = None,
    temperature: Annotated[
        float,
        typer.Option(
            "--temp",
            "--temperature",
            metavar="X",
            help="0: always the likeliest character; above 1: bold.",
            rich_help_panel=_FILTERS,
        ),
    ] = SamplingConfig.temperature,
    word_temperature: Annotated[
        float | None,
        option(
            _FILTERS,
            "Another temperature where a word may begin: bold words, spelled well.",
            "as --temp",
            "--word-temp",
            metavar="X",
        ),
    ] = None,
    top_k: Annotated[
        int | None,
        option(_FILTERS, "Choose among the N likeliest characters.", "all", metavar="N"),
    ] = None,
    top_p: Annotated[
        float | None,
        option(_FILTERS, "Choose among the likeliest that together have probability X.", "all", metavar="X"),
    ] = None,
    min_p: Annotated[
        float | None,
        option(
            _FILTERS, "Leave out what has less than X times the likeliest one's probability.", "nothing", metavar="X"
        ),
    ] = None,
    no_repeat: Annotated[
        int | None,
        option(_FILTERS, "No N characters in a row twice.", "anything", metavar="N"),
    ] = None,
    max_copy: Annotated[
        int | None,
        option(_FILTERS, "Never more than N characters in a row from the training text.", "anything", metavar="N"),
    ] = None,
    match: Annotated[
        str | None,
        option(
            _FILTERS,
            "What is written after the prompt matches as a whole, within --length.",
            "anything",
            metavar="REGEX",
        ),
    ] = None,
    stop: Annotated[
        list[str] | None,
        option(_FILTERS, "End before this text; may be given several times.", "none", metavar="TEXT"),
    ] = None,
    on_unknown: Annotated[
        OnUnknown, typer.Option(help="What to do with a prompt's character that the model has never seen.")
    ] = OnUnknown.ERROR,
    no_prompt_echo: Annotated[
        bool,
        typer.Option(
            "--no-prompt-echo", help="Write only what follows the prompt, not the prompt.", rich_help_panel=_OTHER
        ),
    ] = False,
    output: Annotated[
        Path | None,
        option(_OTHER, "Write to a new file.", "standard output", "--output", "-o", metavar="FILE"),
    ] = None,
    json: Annotated[
        bool,
        typer.Option(
            "--json",
            help="Write one JSON object a sample: text, prompt, seed, nats, finish.",
            rich_help_panel=_OTHER,
        ),
    ] = False,
    save_state: Annotated[
        Path | None,
        option(
            _OTHER, "Save where the text stands after the prompt, to go on from it again.", "not saved", metavar="FILE"
        ),
    ] = None,
    load_state: Annotated[
        Path | None,
        option(
            _OTHER, "Go on from a saved state, without reading its prompt again.", "from the beginning", metavar="FILE"
        ),
    ] = None,
    device: ReadingDevice = Device.AUTO,
    threads: Threads = None,
    quiet: Quiet = False,
) -> None:
    """Write text with a trained network."""
    limit_threads(threads)
    import numpy as np

    from lstmgen.checkpoint import find_checkpoint, load_checkpoint
    from lstmgen.cli.output import SampleOutput
    from lstmgen.draft import Draft
    from lstmgen.generation.sampler import Drawn, collect, keep_best
    from lstmgen.generation.saved_state import load_prompt_state, save_prompt_state
    from lstmgen.language_model import LanguageModel

    if prompt_file is not None:
        if prompt:
            raise typer.BadParameter("give one of --prompt and --prompt-file")
        if interactive and prompt_file == "-":
            raise typer.BadParameter("--interactive reads standard input itself; name a file for --prompt-file")
        prompt = _read_prompt(prompt_file)
    if interactive and (json or samples is not None):
        raise typer.BadParameter("--interactive writes one text; leave out --json and --samples")
    if length is None:
        length = _PIECE if interactive else SamplingConfig.length
    path = find_checkpoint(checkpoint)
    loaded = load_checkpoint(path)
    model = LanguageModel(loaded, path, engine_on(device, loaded))
    config = SamplingConfig(
        length=length,
        temperature=temperature,
        word_temperature=word_temperature,
        top_k=top_k,
        top_p=top_p,
        min_p=min_p,
        no_repeat=no_repeat,
        max_copy=max_copy,
        match=match,
        stop=tuple(stop or ()),
        samples=samples if samples is not None else _LINE_SAMPLES if model.lines and not interactive else 1,
        best_of=best_of,
    )
    ends = length >= 0 or model.lines or stop or match is not None
    if not ends and (json or config.samples * best_of > 1 or interactive):
        raise ConfigError(f"--length {length}: an endless text is one plain text; give it a length, or a --stop")
    saved = load_prompt_state(load_state, loaded.network, loaded.fingerprint()) if load_state else None
    prompt_state = model.read_prompt(prompt, on_unknown, saved)
    if max_copy is not None:
        _note_index(model, quiet)
    drawn_seed = secrets.randbits(32) if seed is None else seed
    events = model.draw(prompt_state, config, drawn_seed)  # before any file is made: it says what cannot work
    if save_state is not None:
        save_prompt_state(prompt_state, save_state, loaded.fingerprint())
    with SampleOutput(model.vocabulary, output) as out:
        if seed is None:
            note(f"seed {drawn_seed}", quiet=quiet)
        if interactive:
            _converse(Draft(model, prompt_state, config, drawn_seed), model.vocabulary, out)
            return
        echoed = "" if no_prompt_echo else prompt
        before = model.vocabulary.encode(echoed, on_unknown=on_unknown)
        if config.samples == config.best_of == 1 and not json:
            out.write(before)
            for event in events:
                if isinstance(event, Drawn):
                    out.write(np.array([event.id]))
                else:
                    _warn_if_stuck(0, event.finish, quiet)
            return
        candidates = collect(events, config.samples * config.best_of)
        for number, chosen in enumerate(keep_best(candidates, config.best_of)):
            ids = np.concatenate([before, chosen.ids]).astype(np.int64)
            whole = chosen.finish is Finish.LINE
            if json:
                text = model.vocabulary.decode(ids[:-1] if whole else ids)
                about = {"prompt": prompt, "seed": drawn_seed, "sample": number}
                result = {"text": text, **about, "nats": chosen.nats, "finish": chosen.finish}
                out.write_text(dumps(result, ensure_ascii=False) + "\n")
            else:
                out.write_text("\n" if number and not model.lines and match is None else "")
                out.write(ids)
                out.write_text("" if whole else "\n")
            _warn_if_stuck(number, chosen.finish, quiet)


def _warn_if_stuck(number: int, finish: Finish, quiet: bool) -> None:
    if finish is Finish.STUCK:
        remedy = "give larger numbers to --no-repeat and --max-copy"
        note(f"sample {number} ended early: the filters left nothing to write; {remedy}", quiet=quiet)


def _converse(draft: "Draft", vocabulary: "Vocabulary", out: "SampleOutput") -> None:
    from lstmgen.cli.interactive import Conversation, lines_from_stdin

    try:
        Conversation(draft, vocabulary, lines_from_stdin()).run()
    finally:
        out.write(draft.ids)  # nothing that was written is lost, however it ends


def _note_index(model: "LanguageModel", quiet: bool) -> None:
    """Load the index of the training text, or build it, which is worth a line."""
    known = model.index_path is not None and model.index_path.exists()
    begun = time.monotonic()
    model.training_index()
    if not known and model.index_path is not None and model.index_path.exists():
        size = model.index_path.stat().st_size / 1e6
        seconds = time.monotonic() - begun
        note(f"indexed the training text in {seconds:.1f} s: {model.index_path}, {size:.1f} MB", quiet=quiet)


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
