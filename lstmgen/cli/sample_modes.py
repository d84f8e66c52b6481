"""The ways in which `lstmgen sample` writes: one text as it comes, a batch, JSON lines, a conversation."""

from collections.abc import Iterable, Sequence

import numpy as np

from lstmgen.cli.output import SampleOutput
from lstmgen.cli.render import note
from lstmgen.config import FinishReason, SamplingConfig
from lstmgen.draft import Draft
from lstmgen.generation.sampler import Drawn, Ended, Sample, require_matches
from lstmgen.printable import json_line
from lstmgen.text.vocabulary import Ids, Vocabulary


def stream_text(
    out: SampleOutput,
    prompt: Ids,
    events: Iterable[Drawn | Ended],
    config: SamplingConfig,
    *,
    whole: bool,
    quiet: bool,
) -> None:
    """Write the prompt, then each token of one text as soon as it is drawn; `whole`: nothing before the text ends."""
    events = list(events) if whole else events
    out.write(prompt)
    for event in events:
        if isinstance(event, Drawn):
            out.write(np.array([event.id]))
        else:
            _note_if_stuck(0, event.finish_reason, config, quiet=quiet)


def write_batch(
    out: SampleOutput,
    prompt: Ids,
    samples: Sequence[Sample],
    config: SamplingConfig,
    *,
    separator: str,
    quiet: bool,
) -> None:
    """Write samples, each after the prompt and with a line end, and the separator between two of them.

    A sample that does not match is left out. Raises ConfigError if none matches.
    """
    matching = [
        (number, sample) for number, sample in enumerate(samples) if sample.finish_reason is not FinishReason.UNMATCHED
    ]
    if not matching:
        require_matches([sample.finish_reason for sample in samples], config)
    for position, (number, sample) in enumerate(matching):
        out.write_text(separator if position else "")
        out.write(_with_prompt(prompt, sample))
        out.write_text("" if sample.finish_reason is FinishReason.LINE else "\n")
        _note_if_stuck(number, sample.finish_reason, config, quiet=quiet)


def write_json_lines(
    out: SampleOutput,
    prompt: Ids,
    samples: Iterable[Sample],
    config: SamplingConfig,
    *,
    vocabulary: Vocabulary,
    facts: dict[str, object],
    quiet: bool,
) -> None:
    """Write one JSON object a line for each sample, with the facts that all samples have in common."""
    for number, sample in enumerate(samples):
        ids = _with_prompt(prompt, sample)
        text = vocabulary.decode(ids[:-1] if sample.finish_reason is FinishReason.LINE else ids)
        result = {"text": text, **facts, "sample": number, "nats": sample.nats, "finish": sample.finish_reason}
        out.write_text(json_line(result))
        _note_if_stuck(number, sample.finish_reason, config, quiet=quiet)


def converse(out: SampleOutput, draft: Draft, vocabulary: Vocabulary, *, skip: int) -> None:
    """Write a text together with the user; it goes to the output at the end, without its first `skip` tokens.

    That is so however the conversation ends.
    """
    from lstmgen.cli.interactive import Conversation, lines_from_stdin  # imports rich, which takes a while

    try:
        Conversation(draft, vocabulary, lines_from_stdin()).run()
    finally:
        out.write(draft.ids[skip:])


def _with_prompt(prompt: Ids, sample: Sample) -> Ids:
    return np.concatenate([prompt, sample.ids]).astype(np.int64)


def _note_if_stuck(number: int, finish_reason: FinishReason, config: SamplingConfig, *, quiet: bool) -> None:
    if finish_reason is FinishReason.STUCK:
        filters = " and ".join(f"`{name}`" for name in ("no_repeat", "max_copy") if getattr(config, name))
        note(f"sample {number} ended early: {filters} left no character to write; give larger numbers", quiet=quiet)
