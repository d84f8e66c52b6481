"""`lstmgen sample`."""

import secrets
import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from lstmgen.cli.options import (
    CHECKPOINT,
    QUIET,
    READING_DEVICE,
    THREADS,
    Given,
    config_from,
    engine_on,
    find_model,
    limit_threads,
    options_from,
)
from lstmgen.cli.render import note
from lstmgen.config import CONVERSATION_LENGTH, LINE_SAMPLES, Device, FinishReason, OnUnknown, SamplingConfig, option
from lstmgen.errors import CheckpointError, ConfigError, TextError
from lstmgen.printable import message_line

if TYPE_CHECKING:
    from lstmgen.language_model import LanguageModel

EXAMPLES = """
lstmgen sample --temp 0.8
lstmgen sample poems-lstm --prompt 'The sea' --length 300 --seed 7
lstmgen sample --temp 0.6 --word-temp 1.1 --no-repeat 20 --max-copy 30
lstmgen sample names --samples 20
lstmgen sample --match '(.+ ){4,6}.+' --samples 10
lstmgen sample --prompt-file notes.md --stop . --no-prompt-echo
lstmgen sample --interactive --length 80
lstmgen sample -n -1 | head -c 10000
"""

_OUTPUT = "Output"


def sample(
    checkpoint: str | None = CHECKPOINT,
    prompt: str = option("", "The beginning of the text; \\n is a new line.", "--prompt -p", shown_default="nothing"),
    prompt_file: str | None = option(
        None,
        "Read the beginning of the text from a file, or from standard input (-).",
        "--prompt-file -f",
        metavar="FILE",
    ),
    on_unknown: OnUnknown = option(
        OnUnknown.ERROR, "What to do with a character of the prompt that the model has never seen."
    ),
    interactive: bool = option(False, "Take turns with the model; any piece can be undone.", "--interactive -i"),
    seed: int | None = option(
        None, "The same seed writes the same text.", shown_default="random, shown on stderr", min=0
    ),
    given: Given = options_from({"What to write": SamplingConfig}),
    no_prompt_echo: bool = option(False, "Only write what follows the prompt.", panel=_OUTPUT),
    output: Path | None = option(
        None,
        "Write to a new file, which appears once it is complete; with --length -1 it appears at once.",
        "--output -o",
        shown_default="standard output",
        panel=_OUTPUT,
    ),
    json: bool = option(False, "Write a JSON object per sample: text, prompt, seed, nats, finish.", panel=_OUTPUT),
    save_state: Path | None = option(
        None,
        "Save the network's state after the prompt, to continue from it later.",
        shown_default="not saved",
        panel=_OUTPUT,
    ),
    load_state: Path | None = option(None, "Continue from a saved state; its prompt is not read again.", panel=_OUTPUT),
    device: Device = READING_DEVICE,
    threads: int | None = THREADS,
    quiet: bool = QUIET,
) -> None:
    """Write text with a trained network."""
    limit_threads(threads)
    from lstmgen.checkpoint import checkpoint_name, load_checkpoint, names_checkpoint
    from lstmgen.cli.interactive import Conversation
    from lstmgen.cli.output import SampleOutput
    from lstmgen.draft import Draft
    from lstmgen.generation.sampler import collect, keep_best, require_matches
    from lstmgen.generation.saved_state import load_prompt_state, save_prompt_state
    from lstmgen.language_model import LanguageModel

    if prompt_file is not None:
        if prompt:
            raise typer.BadParameter("give one of --prompt and --prompt-file")
        if interactive and prompt_file == "-":
            raise typer.BadParameter("--interactive needs standard input; give --prompt-file a file")
        prompt = _read_prompt(prompt_file)
    if interactive and (json or given["samples"] is not None or given["best_of"] is not None):
        raise typer.BadParameter("--interactive writes one text; leave out --json, --samples and --best-of")
    try:
        path = find_model(checkpoint, quiet=quiet)
    except CheckpointError as error:
        if checkpoint is None or names_checkpoint(checkpoint):
            raise
        command = shlex.join(["lstmgen", "sample", "-p", checkpoint])
        raise CheckpointError(f"{error}. To start from this text: {command}") from error
    loaded = load_checkpoint(path)
    model = LanguageModel(loaded, path, engine_on(device, loaded))
    if interactive and given["length"] is None:
        given["length"] = CONVERSATION_LENGTH
    if model.lines and not interactive and given["samples"] is None:
        given["samples"] = LINE_SAMPLES
    config = config_from(SamplingConfig, given)
    one_text = config.samples == config.best_of == 1
    if model.never_ends(config) and (json or interactive or not one_text):
        raise ConfigError("length", config.length, "only a single plain text can be endless; give a length or `stop`")
    saved = load_prompt_state(load_state, loaded.network, loaded.fingerprint()) if load_state else None
    prompt_state = model.read_prompt(prompt, on_unknown, saved)
    if config.max_copy is not None:
        _note_index(model, quiet)
    chosen_seed = secrets.randbits(32) if seed is None else seed
    draw = model.draw_one if one_text and not json else model.draw
    events = draw(prompt_state, config, chosen_seed)  # raises errors before any file is created
    if save_state is not None:
        save_prompt_state(prompt_state, save_state, loaded.fingerprint())
    endless = config.length < 0 and not interactive
    with SampleOutput(model.vocabulary, output, endless=endless, keep_on_error=interactive) as out:
        if seed is None or checkpoint is None:
            note(message_line(f"seed {chosen_seed} · model {checkpoint_name(path)}"), quiet=quiet)
        if interactive:
            draft = Draft(model, prompt_state, config, chosen_seed, on_unknown)
            try:
                Conversation(draft, model.vocabulary).run()
            finally:
                out.write(draft.ids[len(prompt_state.text) if no_prompt_echo else 0 :])
            return
        echoed = model.vocabulary.encode("" if no_prompt_echo else prompt, on_unknown=on_unknown)
        if one_text and not json:
            if config.match is not None and not (endless or out.terminal):
                events = iter(list(events))  # write nothing unless the text matches
            reasons = out.write_stream(echoed, events)
        else:
            samples = keep_best(collect(events, config.samples * config.best_of), config.best_of)
            reasons = [sample.finish_reason for sample in samples]
            if not json and set(reasons) == {FinishReason.UNMATCHED}:
                require_matches(reasons, config)
            facts = {"prompt": prompt, "seed": chosen_seed} if json else None
            separator = "" if model.lines or config.match is not None else "\n"
            out.write_samples(echoed, samples, facts, separator)
        for number, reason in enumerate(reasons):
            if reason is FinishReason.STUCK:
                filters = " and ".join(f"`{name}`" for name in ("no_repeat", "max_copy") if getattr(config, name))
                remedy = f"{filters} ruled out every character; give larger numbers"
                note(f"sample {number} ended early: {remedy}", quiet=quiet)
    require_matches(reasons, config)  # after writing those that match


def _note_index(model: "LanguageModel", quiet: bool) -> None:
    """Load the index of the training text, or build it and say so."""
    known = model.index_path is not None and model.index_path.exists()
    started = time.monotonic()
    model.training_index()
    if not known and model.index_path is not None and model.index_path.exists():
        size = model.index_path.stat().st_size / 1e6
        seconds = time.monotonic() - started
        note(f"indexed the training text in {seconds:.1f} s: {model.index_path}, {size:.1f} MB", quiet=quiet)


def _read_prompt(name: str) -> str:
    """Return the text of a file or of standard input, without its final line feed."""
    try:
        if name == "-" and sys.stdin is None:
            raise TextError("--prompt-file -: standard input is closed; pipe text into it, or name a file")
        data = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise TextError(f"--prompt-file {name}: {error.strerror}; name a readable file") from error
    except UnicodeDecodeError as error:
        raise TextError(f"--prompt-file {name}: byte at offset {error.start} is not utf-8; convert it first") from error
    return text.replace("\r\n", "\n").removesuffix("\n")
