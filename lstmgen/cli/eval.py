"""`lstmgen eval`.

Knows: its options and how a score is shown. Does not know: how it is computed.
"""

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lstmgen.cli.options import CheckpointArgument, Encoding, Json, Quiet, Threads, limit_threads
from lstmgen.cli.render import note, print_facts, print_json
from lstmgen.config import OnUnknown, TextConfig

if TYPE_CHECKING:
    from lstmgen.evaluation.score import Score

EXAMPLES = """Examples:

lstmgen eval

lstmgen eval poems-lstm other-poems.txt

lstmgen eval poems-lstm --window 256 --json
"""


def evaluate(
    checkpoint: CheckpointArgument = None,
    text: Annotated[
        str | None,
        typer.Argument(
            metavar="TEXT",
            help="A text to evaluate on, as for train.",
            show_default="what the checkpoint's training text held out",
        ),
    ] = None,
    window: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Score also in windows of N characters, each from a cold start.",
            show_default="none",
        ),
    ] = None,
    encoding: Encoding = TextConfig.encoding,
    on_unknown: Annotated[
        OnUnknown, typer.Option(help="What to do with a character of TEXT that the model has never seen.")
    ] = OnUnknown.ERROR,
    threads: Threads = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """How well a network predicts text: that its training held out, or any TEXT.

    The protocol is exact: one stream over the whole text with carried state,
    every character but the first predicted once, sums divided by their count.
    A model of lines reads each line from its initial state.
    """
    limit_threads(threads)
    from tqdm import tqdm

    from lstmgen.checkpoint import find_checkpoint, load_checkpoint
    from lstmgen.evaluation.own_text import held_out_ids
    from lstmgen.evaluation.score import score
    from lstmgen.language_model import LanguageModel
    from lstmgen.text.corpus import read_corpus
    from lstmgen.text.streams import IGNORED, cold_windows

    path = find_checkpoint(checkpoint)
    model = LanguageModel(load_checkpoint(path))
    if text is None:
        name = f"{', '.join(model.record.text.sources)}: the last {100 * model.record.text.validation:g}%, held out"
        ids = held_out_ids(model.record, model.vocabulary)
    else:
        name = text
        corpus = read_corpus(
            TextConfig(sources=(text,), encoding=encoding, lines=model.lines), model.vocabulary, on_unknown
        )
        for line in corpus.notes:
            note(f"note: {line}", quiet=quiet)
        ids = corpus.ids

    bar = tqdm(total=len(ids), unit=" chars", unit_scale=True, leave=False, disable=quiet or not sys.stderr.isatty())

    def watched(chunks: Any) -> Any:
        for chunk in chunks:
            yield chunk
            bar.update(int((chunk.targets != IGNORED).sum()))

    with bar:
        exact = score(model.engine, watched(model.exact_protocol(ids)))
    protocol = "each line from the initial state" if model.lines else "one stream, state carried"
    about = {"checkpoint": str(path), "text": name, "protocol": protocol, **_facts(exact)}
    cold = score(model.engine, cold_windows(ids, window)) if window else None
    if json:
        windows = {"window": {"protocol": f"cold windows of {window}", **_facts(cold)}} if cold else {}
        print_json({**about, **windows})
        return
    print_facts({"checkpoint": str(path), "text": name, "protocol": protocol, **_shown(exact)})
    if cold:
        sys.stdout.write("\n")
        print_facts({"protocol": f"windows of {window} characters, each from a cold start", **_shown(cold)})


def _facts(score: "Score") -> dict[str, float]:
    return {
        "characters": score.characters,
        "nats_per_character": score.nats_per_character,
        "bits_per_character": score.bits_per_character,
        "perplexity": score.perplexity,
        "accuracy": score.accuracy,
    }


def _shown(score: "Score") -> dict[str, str]:
    return {
        "characters": f"{score.characters:,} predicted",
        "nats per character": f"{score.nats_per_character:.4f}",
        "bits per character": f"{score.bits_per_character:.4f}",
        "perplexity": f"{score.perplexity:.3f}",
        "accuracy": f"{score.accuracy:.1%}",
    }
