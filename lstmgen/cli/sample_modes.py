"""The ways in which `lstmgen sample` writes: one text as it comes, a batch, JSON lines, a conversation.

Knows: what stands between samples, and what a sample's JSON object holds. Does not know: options, or how text is drawn.
"""

from collections.abc import Iterable

import numpy as np

from lstmgen.cli.output import SampleOutput
from lstmgen.cli.render import note
from lstmgen.config import Finish
from lstmgen.draft import Draft
from lstmgen.generation.sampler import Drawn, Ended, Sample
from lstmgen.printable import json_line
from lstmgen.text.vocabulary import Ids, Vocabulary


def stream_text(out: SampleOutput, prompt: Ids, events: Iterable[Drawn | Ended], *, quiet: bool) -> None:
    """Write the prompt, then each symbol of one text as soon as it is drawn."""
    out.write(prompt)
    for event in events:
        if isinstance(event, Drawn):
            out.write(np.array([event.id]))
        else:
            _note_if_stuck(0, event.finish, quiet=quiet)


def write_batch(out: SampleOutput, prompt: Ids, samples: Iterable[Sample], *, separator: str, quiet: bool) -> None:
    """Write samples, each after the prompt and with a line end; the separator stands between two of them."""
    for number, sample in enumerate(samples):
        out.write_text(separator if number else "")
        out.write(_with_prompt(prompt, sample))
        out.write_text("" if sample.finish is Finish.LINE else "\n")
        _note_if_stuck(number, sample.finish, quiet=quiet)


def write_json_lines(
    out: SampleOutput,
    prompt: Ids,
    samples: Iterable[Sample],
    *,
    vocabulary: Vocabulary,
    facts: dict[str, object],
    quiet: bool,
) -> None:
    """Write one JSON object a line for each sample, with the facts that all samples have in common."""
    for number, sample in enumerate(samples):
        ids = _with_prompt(prompt, sample)
        text = vocabulary.decode(ids[:-1] if sample.finish is Finish.LINE else ids)
        result = {"text": text, **facts, "sample": number, "nats": sample.nats, "finish": sample.finish}
        out.write_text(json_line(result))
        _note_if_stuck(number, sample.finish, quiet=quiet)


def converse(out: SampleOutput, draft: Draft, vocabulary: Vocabulary) -> None:
    """Write a text together with the user; what is written goes to the output at the end, however that comes."""
    from lstmgen.cli.interactive import Conversation, lines_from_stdin  # imports rich, which takes a while

    try:
        Conversation(draft, vocabulary, lines_from_stdin()).run()
    finally:
        out.write(draft.ids)


def _with_prompt(prompt: Ids, sample: Sample) -> Ids:
    return np.concatenate([prompt, sample.ids]).astype(np.int64)


def _note_if_stuck(number: int, finish: Finish, *, quiet: bool) -> None:
    if finish is Finish.STUCK:
        remedy = "give larger numbers to --no-repeat and --max-copy"
        note(f"sample {number} ended early: the filters left no character to write; {remedy}", quiet=quiet)
