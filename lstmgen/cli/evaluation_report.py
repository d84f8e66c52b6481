"""How an evaluation looks: tables, a few sentences, JSON.

Knows: what was measured. Does not know: how.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.table import Table

from lstmgen.cli.render import print_facts, print_table, printable, put
from lstmgen.evaluation.baselines import COMPRESSORS, Baseline
from lstmgen.evaluation.confidence import LEVEL, RESAMPLES, Blocks, Interval
from lstmgen.evaluation.novelty import Copying, Novelty
from lstmgen.evaluation.score import Score

_CLEARLY_MORE, _CLEARLY_LONG, _BY_HEART = 0.05, 20, 0.5
_SHOWN_RUN = 60


@dataclass(frozen=True)
class Reading:
    """One way of reading a text, and what came of it."""

    protocol: str
    score: Score
    blocks: Blocks


@dataclass
class Evaluation:
    """All that was measured of one checkpoint."""

    checkpoint: Path
    name: str  # what to call it beside others
    text: str
    known: object  # what the model was trained on and knows as symbols, and its yardsticks with it
    exact: Reading
    others: dict[str, Reading] = field(default_factory=dict)  # by name: window, dynamic
    baselines: list[Baseline] = field(default_factory=list)
    novelty: Novelty | None = None
    how_written: str = ""  # what novelty was measured of

    @property
    def same_symbols(self) -> tuple[str, str, int]:
        """What is alike where numbers can be compared."""
        return self.text, self.exact.protocol, self.exact.score.characters

    def has_yardsticks_of(self, other: "Evaluation") -> bool:
        """Whether the yardsticks of both are the same, and have been measured."""
        same = (self.known, self.same_symbols) == (other.known, other.same_symbols)
        return same and bool(self.baselines)


# For programs


def evaluation_json(evaluation: Evaluation) -> dict[str, Any]:
    """All of it, as values that JSON can hold."""
    about = {"checkpoint": str(evaluation.checkpoint), "text": evaluation.text}
    found = about | _reading_json(evaluation.exact)
    found["baselines"] = [
        {
            "name": baseline.name,
            "nats_per_character": baseline.nats_per_character,
            "bits_per_character": baseline.bits_per_character,
        }
        for baseline in evaluation.baselines
    ]
    found |= {name: _reading_json(reading) for name, reading in evaluation.others.items()}
    if (novelty := evaluation.novelty) is not None:
        found["novelty"] = {
            "how": evaluation.how_written,
            "longest_run": {"text": novelty.longest_run, "line": novelty.line},
            "written": _copying_json(novelty.written),
            "held_out": _copying_json(novelty.real) if novelty.real else None,
        }
    return found


def score_json(score: Score) -> dict[str, float]:
    """A score as values that JSON can hold."""
    return {
        "characters": score.characters,
        "nats_per_character": score.nats_per_character,
        "bits_per_character": score.bits_per_character,
        "perplexity": score.perplexity,
        "accuracy": score.accuracy,
    }


def _reading_json(reading: Reading) -> dict[str, Any]:
    interval = reading.blocks.interval()
    return {
        "protocol": reading.protocol,
        **score_json(reading.score),
        "confidence": interval
        and {
            "level": LEVEL,
            "nats_per_character": list(interval),
            "bits_per_character": [nats / math.log(2) for nats in interval],
            "method": "block bootstrap",
            "block_length": reading.blocks.length,
            "resamples": RESAMPLES,
        },
    }


def _copying_json(copying: Copying) -> dict[str, Any]:
    return {
        "characters": copying.symbols,
        "longest_run": copying.longest,
        "found_in_training": {str(length): share for length, share in copying.fractions.items()},
        "lines_found_in_training": copying.lines,
    }


# For people


def print_evaluations(evaluations: Sequence[Evaluation]) -> None:
    """Write all evaluations to stdout, those of the same text in one table."""
    for number, group in enumerate(_same_text(evaluations)):
        if number:
            put("\n\n")
        _print_group(group)


def _same_text(evaluations: Sequence[Evaluation]) -> list[list[Evaluation]]:
    groups: dict[tuple[str, str, int], list[Evaluation]] = {}
    for evaluation in evaluations:
        groups.setdefault(evaluation.same_symbols, []).append(evaluation)
    return list(groups.values())


def _print_group(group: Sequence[Evaluation]) -> None:
    best = min(group, key=lambda evaluation: evaluation.exact.score.nats_per_character)
    facts = {"checkpoint": str(best.checkpoint)} if len(group) == 1 else {}
    print_facts(
        facts
        | {
            "text": best.text,
            "protocol": best.exact.protocol,
            "characters": f"{best.exact.score.characters:,} predicted",
        }
    )
    table = Table("", "nats per character", f"{LEVEL:.0%} interval", "bits", "perplexity", "accuracy", box=None)
    for column in table.columns[1:]:
        column.justify = "right"
    for evaluation in group:
        _add_reading(table, evaluation.name, evaluation.exact)
        for reading in evaluation.others.values():
            _add_reading(table, f"  {reading.protocol}", reading)
    for baseline in best.baselines:
        nats = baseline.nats_per_character
        interval = baseline.blocks.interval() if baseline.blocks else None
        table.add_row(baseline.name, f"{nats:.4f}", _span(interval), f"{baseline.bits_per_character:.3f}", "", "")
    put("\n")
    print_table(table)
    words = _in_words(best, f"{best.name}: " if len(group) > 1 else "")
    if best.baselines and any(evaluation.known != best.known for evaluation in group):
        words.append(f"The yardsticks know what {best.name} was trained on; some of the others were not.")
    for line in [*words, *_adapted(group), *_compared(best, group)]:
        put(f"\n{printable(line, single_line=True)}\n")
    for evaluation in group:
        if evaluation.novelty is not None:
            _print_novelty(evaluation.name, evaluation.novelty, evaluation.how_written)


def _add_reading(table: Table, name: str, reading: Reading) -> None:
    score = reading.score
    table.add_row(
        printable(name, single_line=True),
        f"{score.nats_per_character:.4f}",
        _span(reading.blocks.interval()),
        f"{score.bits_per_character:.3f}",
        f"{score.perplexity:.3f}",
        f"{score.accuracy:.1%}",
    )


def _span(interval: Interval | None) -> str:
    return "" if interval is None else f"{interval.low:.3f} to {interval.high:.3f}"


def _in_words(evaluation: Evaluation, name: str) -> list[str]:
    """What the yardsticks say, and how sure that is."""
    score, baselines = evaluation.exact.score, evaluation.baselines
    counting = next((baseline for baseline in baselines if baseline.blocks), None)
    if counting is None or counting.blocks is None:
        return []
    compressors = [baseline for baseline in baselines if baseline.name in COMPRESSORS]
    best = [min(compressors, key=lambda baseline: baseline.nats_per_character)] if compressors else []
    simplest = min(baselines[-2:], key=lambda baseline: baseline.nats_per_character)
    more = counting.blocks.interval(beside=evaluation.exact.blocks)
    if more is None:
        verdict = "the text is too short to say what that means"
    elif score.nats_per_character >= simplest.nats_per_character:
        verdict = f"{simplest.name}, without any context, do better"
    elif more.low > 0:
        verdict = "it has learned more than spelling"
    elif more.high < 0:
        verdict = "counting does better: it needs more training, or a larger network"
    else:
        verdict = "on this text that is no clear difference from counting"
    article = "an" if counting.name.startswith(("8", "11")) else "a"
    needs = ", ".join(f"{baseline.name} {baseline.bits_per_character:.2f}" for baseline in best)
    return [
        f"{name}{score.bits_per_character:.2f} bits per character: {article} {counting.name} needs "
        f"{counting.bits_per_character:.2f}{', ' if needs else ''}{needs}; {verdict}."
    ]


def _adapted(group: Sequence[Evaluation]) -> list[str]:
    """What going on learning gave."""
    lines = []
    for evaluation in group:
        if dynamic := evaluation.others.get("dynamic"):
            share = 1 - dynamic.score.nats / evaluation.exact.score.nats
            lines.append(
                f"{evaluation.name} needs {abs(share):.1%} {'less' if share >= 0 else 'more'} if it goes on learning "
                "from what it has read. That is another protocol: compare it with its like alone."
            )
    return lines


def _compared(best: Evaluation, group: Sequence[Evaluation]) -> list[str]:
    """By how much the best of several models is the best."""
    lines = []
    for other in group:
        if other is not best:
            more = other.exact.score.nats_per_character - best.exact.score.nats_per_character
            interval = other.exact.blocks.interval(beside=best.exact.blocks)
            sure = "" if interval is None else f" ({LEVEL:.0%} interval {_span(interval)})"
            clear = " No clear difference." if interval and interval.low <= 0 else ""
            lines.append(f"{other.name} needs {more:.4f} nats per character more than {best.name}{sure}.{clear}")
    return lines


def _print_novelty(name: str, novelty: Novelty, how: str) -> None:
    written, real = novelty.written, novelty.real
    columns = ["", *(f"{length}" for length in written.fractions), "longest run"]
    lines = written.lines is not None
    table = Table(*columns, *(["whole lines"] if lines else []), box=None)
    for column in table.columns[1:]:
        column.justify = "right"
    for title, copying in [("written", written), *([("held out", real)] if real else [])]:
        shares = (
            f"{copying.fractions[length]:.1%}" if length in copying.fractions else "" for length in written.fractions
        )
        share_of_lines = [f"{copying.lines:.1%}" if copying.lines is not None else ""] if lines else []
        table.add_row(title, *shares, str(copying.longest), *share_of_lines)
    beside = f" and of {real.symbols:,} of real text, held out," if real else ""
    put(
        f"\nOf {written.symbols:,} characters that {printable(name, single_line=True)} wrote at {how},{beside} "
        "so much stands in its training text, by runs of so many characters:\n"
    )
    print_table(table)
    shown = novelty.longest_run[:_SHOWN_RUN] + ("..." if len(novelty.longest_run) > _SHOWN_RUN else "")
    put(f"\nthe longest, line {novelty.line:,} of the training text: {printable(shown, single_line=True)}\n")
    if real:
        put(f"{_copying_in_words(written, real)}\n")


def _copying_in_words(written: Copying, real: Copying) -> str:
    """Whether a model copies more than real text does."""
    both = written.fractions.keys() & real.fractions.keys()
    clearly = [n for n in both if n >= _CLEARLY_LONG and written.fractions[n] > 2 * real.fractions[n] + _CLEARLY_MORE]
    if written.lines is not None and real.lines is not None:
        sentence = f"Of its lines {written.lines:.0%} stand there, of real ones {real.lines:.0%}"
        by_heart = written.lines > max(_BY_HEART, 2 * real.lines)
        return f"{sentence}: it has learned its text by heart." if by_heart else f"{sentence}."
    if clearly:
        n = max(clearly, key=lambda n: (written.fractions[n] - real.fractions[n], n))
        return (
            f"Of its runs of {n} characters {written.fractions[n]:.0%} stand there, "
            f"of real ones {real.fractions[n]:.0%}: "
            "it repeats its training text by heart."
        )
    if any(real.fractions[n] > 2 * written.fractions[n] + _CLEARLY_MORE for n in both if n >= _CLEARLY_LONG):
        return "That is less than real text shares with it: it writes text of its own."
    return "That is near what real text shares with it: it writes text of its own."
