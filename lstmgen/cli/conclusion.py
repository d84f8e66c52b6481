"""What a score means beside its baselines, in words.

Only the n-gram model is compared with a confidence interval. The other baselines are compared by their numbers as they
are printed, in hundredths of a bit: numbers that look equal count as equal.
"""

from collections.abc import Sequence

from lstmgen.evaluation.baselines import Baseline, BaselineKind
from lstmgen.evaluation.confidence import Interval

_WITHOUT_CONTEXT = (BaselineKind.FREQUENCIES, BaselineKind.UNIFORM)


def conclude(
    bits: float,
    baselines: Sequence[Baseline],
    difference: Interval | None,
    *,
    name: str = "The model",
    unit: str = "character",
) -> str:
    """Compare a model with its baselines, and name what a user can do next.

    Args:
        bits: what the model needs per character or byte.
        baselines: what else predicted the same text, an n-gram model among them.
        difference: confidence interval of how much more the n-gram model needs than the model; None: the text is too
            short for one.
        name: what the model is called.
        unit: character or byte.
    """
    groups: dict[int, list[Baseline]] = {-1: [], 0: [], 1: []}
    for baseline in _with_one_compressor(baselines):
        groups[_comparison(bits, baseline, difference)].append(baseline)
    better, equal, worse = groups[1], groups[0], groups[-1]  # than the model
    named = [*better, *equal, *(baseline for baseline in worse if baseline.kind not in _WITHOUT_CONTEXT)]
    named.sort(key=baselines.index)
    numbers = [f"{_phrase(baseline)} {baseline.bits_per_character:.2f}" for baseline in named]
    facts = f"{name} needs {bits:.2f} bits per {unit}, {', '.join(numbers)}."

    if better:
        result = f"It predicts this text worse than {_listed(better)}"
    elif equal:
        result = f"There is no clear difference between it and {_listed(equal)}"
    else:
        result = f"It predicts this text better than {_listed(named)}"

    if difference is None:
        advice = ", but the text is too short to be sure: evaluate a longer one"
    elif any(baseline.kind in _WITHOUT_CONTEXT for baseline in [*better, *equal]):
        advice = ": it knows little about such text. Evaluate text like its training text, or train for longer (--time)"
    elif better:
        advice = ": train for longer (--time), with a larger network (--hidden-size), or on more text"
    elif equal:
        advice = ": evaluate a longer text to see one, or train for longer (--time)"
    else:
        advice = ": it has learned more than counting and compressing can. Write with it: lstmgen sample"
    return f"{facts} {result}{advice}."


def _with_one_compressor(baselines: Sequence[Baseline]) -> list[Baseline]:
    """The baselines without all compressors but the best."""
    compressors = [baseline for baseline in baselines if baseline.kind is BaselineKind.COMPRESSOR]
    best = min(compressors, key=lambda baseline: baseline.nats_per_character, default=None)
    return [baseline for baseline in baselines if baseline is best or baseline.kind is not BaselineKind.COMPRESSOR]


def _comparison(bits: float, baseline: Baseline, difference: Interval | None) -> int:
    """1: the baseline is better than the model; 0: equal, or the difference is not clear; -1: it is worse."""
    model, other = round(bits, 2), round(baseline.bits_per_character, 2)
    unclear = difference is not None and difference.low <= 0 <= difference.high
    if model == other or (baseline.kind is BaselineKind.NGRAMS and unclear):
        return 0
    return 1 if other < model else -1


def _phrase(baseline: Baseline) -> str:
    """A baseline as a sentence names it."""
    if baseline.kind is BaselineKind.NGRAMS:
        return f"an {baseline.name}" if baseline.name.startswith(("8", "11")) else f"a {baseline.name}"
    return "uniform guessing" if baseline.kind is BaselineKind.UNIFORM else baseline.name


def _listed(baselines: Sequence[Baseline]) -> str:
    """The baselines in one phrase, the best first."""
    *others, last = [_phrase(each) for each in sorted(baselines, key=lambda each: each.nats_per_character)]
    return f"{', '.join(others)} and {last}" if others else last
