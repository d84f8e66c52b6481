"""What a score means compared with its baselines, in words.

Only the n-gram model is compared with a confidence interval. For the other baselines the printed numbers count, in
hundredths of a bit: numbers that look equal count as equal.
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
    """Compare a model, by its bits per unit, with its baselines, and suggest what to do next.

    `difference` is the confidence interval of how many more nats the n-gram model needs than the model; None: the text
    is too short for one.
    """
    compressors = [baseline for baseline in baselines if baseline.kind is BaselineKind.COMPRESSOR]
    best = min(compressors, key=_nats, default=None)
    compared = [each for each in baselines if each is best or each.kind is not BaselineKind.COMPRESSOR]
    unclear = difference is not None and difference.low <= 0 <= difference.high
    shown = {each.name: round(each.bits_per_character, 2) for each in compared}
    equal = [
        each
        for each in compared
        if shown[each.name] == round(bits, 2) or (unclear and each.kind is BaselineKind.NGRAMS)
    ]
    better = [each for each in compared if each not in equal and shown[each.name] < round(bits, 2)]
    named = [each for each in compared if each in better + equal or each.kind not in _WITHOUT_CONTEXT]
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
        advice = ": it knows little about such text. Evaluate text like its training text, or train longer (--time)"
    elif better:
        advice = ": train longer (--time), with a larger network (--hidden-size), or on more text"
    elif equal:
        advice = ": evaluate a longer text, or train longer (--time)"
    else:
        advice = ": it has learned more than counting and compression can. Write with it: lstmgen sample"
    return f"{facts} {result}{advice}."


def _nats(baseline: Baseline) -> float:
    return baseline.nats_per_character


def _phrase(baseline: Baseline) -> str:
    """What to call a baseline in a sentence."""
    if baseline.kind is BaselineKind.NGRAMS:
        return f"an {baseline.name}" if baseline.name.startswith(("8", "11")) else f"a {baseline.name}"
    return "uniform guessing" if baseline.kind is BaselineKind.UNIFORM else baseline.name


def _listed(baselines: Sequence[Baseline]) -> str:
    """The baselines in one phrase, the best first."""
    *others, last = [_phrase(each) for each in sorted(baselines, key=_nats)]
    return f"{', '.join(others)} and {last}" if others else last
