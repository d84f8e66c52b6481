"""Present evaluations as tables and a few sentences."""

from collections.abc import Sequence

from lstmgen.cli.conclusion import conclude
from lstmgen.evaluation.baselines import Baseline
from lstmgen.evaluation.confidence import LEVEL, Interval
from lstmgen.evaluation.evaluate import Evaluation
from lstmgen.evaluation.novelty import Copying, Novelty
from lstmgen.evaluation.score import Score
from lstmgen.report import Part, Table

_SHOWN_RUN = 60  # how many characters of the longest copied run to print
_LONG_RUN = 20  # characters; shorter runs are common in all text of a language
_CLEAR_DIFFERENCE = 0.05  # between two fractions, in addition to a ratio of 2
_MEMORISED = 0.5  # fraction of the written lines that appear in the training text


def evaluations_report(evaluations: Sequence[Evaluation]) -> list[Part]:
    """The report on all evaluations; comparable ones share a table."""
    groups: dict[tuple[str, str, int], list[Evaluation]] = {}
    for evaluation in evaluations:
        groups.setdefault(evaluation.predicted, []).append(evaluation)
    return [part for group in groups.values() for part in _group_report(group)]


def _group_report(group: Sequence[Evaluation]) -> list[Part]:
    """Comparable evaluations, with the baselines of the best one."""
    best = min(group, key=lambda evaluation: evaluation.exact.score.nats_per_character)
    facts = {"checkpoint": str(best.checkpoint)} if len(group) == 1 else {}
    facts |= {"text": best.text, "protocol": best.exact.protocol}
    facts[f"{best.unit}s"] = f"{best.exact.score.characters:,} predicted"
    parts: list[Part] = [facts, _table(group, best), *_sentences(group, best)]
    for evaluation in group:
        if evaluation.novelty is not None:
            parts += _novelty_report(evaluation, evaluation.novelty)
    return parts


def _table(group: Sequence[Evaluation], best: Evaluation) -> Table:
    rows: list[tuple[str, ...]] = []
    for evaluation in group:
        results = {evaluation.name: evaluation.exact}
        results |= {f"  {result.protocol}": result for result in evaluation.others.values()}
        for name, result in results.items():
            score = result.score
            more = (f"{score.perplexity:.3f}", f"{score.accuracy:.1%}")
            rows.append((name, *_nats(score, result.blocks.interval()), *more))
    rows += [(each.name, *_nats(each, each.blocks.interval() if each.blocks else None)) for each in best.baselines]
    return Table(("", f"nats per {best.unit}", f"{LEVEL:.0%} interval", "bits", "perplexity", "accuracy"), rows)


def _nats(score: Score | Baseline, interval: Interval | None) -> tuple[str, str, str]:
    return f"{score.nats_per_character:.4f}", _range(interval), f"{score.bits_per_character:.3f}"


def _range(interval: Interval | None) -> str:
    return "" if interval is None else f"{interval.low:.3f} to {interval.high:.3f}"


def _sentences(group: Sequence[Evaluation], best: Evaluation) -> list[str]:
    """The best model and its baselines, copies that keep learning, and how much more the other models need."""
    sentences, exact = [], best.exact
    ngram_blocks = next((baseline.blocks for baseline in best.baselines if baseline.blocks), None)
    if ngram_blocks is not None:
        difference, name = ngram_blocks.interval(exact.blocks), best.name if len(group) > 1 else "The model"
        bits = exact.score.bits_per_character
        sentences.append(conclude(bits, best.baselines, difference, name=name, unit=best.unit))
    if best.baselines and any(evaluation.trained_on != best.trained_on for evaluation in group):
        sentences.append(
            f"The baselines were given the training text of {best.name}; another model was trained on another text."
        )
    for evaluation in group:
        if dynamic := evaluation.dynamic:
            saved = 1 - dynamic.score.nats / evaluation.exact.score.nats
            sentences.append(
                f"{evaluation.name} needs {abs(saved):.1%} {'less' if saved >= 0 else 'more'} if it keeps learning "
                "as it reads. Compare this number only with models that also keep learning."
            )
    for other in group:
        if other is not best:
            more = other.exact.score.nats_per_character - exact.score.nats_per_character
            interval = other.exact.blocks.interval(exact.blocks)
            confidence = "" if interval is None else f" ({LEVEL:.0%} interval {_range(interval)})"
            unclear = " No clear difference." if interval and interval.low <= 0 else ""
            sentences.append(
                f"{other.name} needs {more:.4f} nats per {best.unit} more than {best.name}{confidence}.{unclear}"
            )
    return sentences


def _novelty_report(evaluation: Evaluation, novelty: Novelty) -> list[Part]:
    written, real, unit = novelty.written, novelty.real, evaluation.unit
    lengths, has_lines = list(written.fractions), written.lines is not None
    rows = []
    for title, copying in {"written": written, "held out": real}.items():
        if copying is not None:
            fractions = [copying.fractions.get(length) for length in lengths]
            others = [copying.lines, copying.non_words] if has_lines else [copying.non_words]
            rows.append((title, *map(_percent, fractions), copying.longest, *map(_percent, others)))
    also = f" The second row shows the same for {real.tokens:,} {unit}s of held-out text." if real else ""
    run = novelty.longest_run
    shown = run[:_SHOWN_RUN] + ("..." if len(run) > _SHOWN_RUN else "")
    longest = f"The longest copied run, from line {novelty.line:,} of the training text: {shown}"
    return [
        f"{evaluation.name} wrote {written.tokens:,} {unit}s at {evaluation.writing}. "
        f"For runs of {', '.join(map(str, lengths))} {unit}s, the table shows the fraction found in the training text. "
        f"The last column is the fraction of words found in neither text.{also}",
        Table(("", *map(str, lengths), "longest\nrun", *(["whole\nlines"] if has_lines else []), "non-\nwords"), rows),
        [longest, *([_copying_in_words(written, real, unit)] if real else [])],
    ]


def _percent(fraction: float | None) -> str:
    return "" if fraction is None else f"{fraction:.1%}"


def _copying_in_words(written: Copying, real: Copying, unit: str) -> str:
    """Whether a model copies more from its training text than held-out text does."""
    if written.lines is not None and real.lines is not None:
        learned = written.lines > max(_MEMORISED, 2 * real.lines)
        conclusion = ": it has memorised its list. Train on more lines, or for a shorter time" if learned else ""
        return (
            f"{written.lines:.0%} of the lines that it wrote are in the training text, compared with {real.lines:.0%} "
            f"of the held-out lines{conclusion}."
        )
    lengths = sorted(n for n in written.fractions.keys() & real.fractions.keys() if n >= _LONG_RUN)
    copied = {n: written.fractions[n] - real.fractions[n] for n in lengths if _clearly_more(written, real, n)}
    if copied:
        n = max(copied, key=lambda n: (copied[n], n))
        return (
            f"{written.fractions[n]:.0%} of the {n}-{unit} runs that it wrote are in the training text, compared with "
            f"{real.fractions[n]:.0%} in held-out text: it has memorised parts of its training text. "
            "lstmgen sample --max-copy prevents long copies."
        )
    less = any(_clearly_more(real, written, n) for n in lengths)
    comparison = "less than held-out text" if less else "about as much as held-out text"
    return f"It repeats {comparison} does, so it writes text of its own."


def _clearly_more(one: Copying, other: Copying, length: int) -> bool:
    return one.fractions[length] > 2 * other.fractions[length] + _CLEAR_DIFFERENCE
