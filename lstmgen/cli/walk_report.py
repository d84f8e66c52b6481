"""Print a walk: at each character, one unit's equations with numbers and bars, and the likeliest next characters."""

import sys
import textwrap
from collections.abc import Iterator, Sequence

from rich.text import Text

from lstmgen.cli.render import columns_of, put, rendered, wrapped
from lstmgen.cli.report import bar, signed_bar
from lstmgen.inspection.walk import Line, Unit, WalkStep, formula, lines_of
from lstmgen.printable import name_of, printable

_NARROW, _WIDEST = 70, 120  # columns; below the first, the value of an equation gets a line of its own
_IN_PIPE = 80
_NAME, _EQUATION = 12, 40  # columns of each line before its bar
_MIN_RECALLED, _MAX_RECALLED = 0.05, 5  # a fraction of the attention; a number of past characters
_TEXT_BEFORE = 50  # characters
_GATE, _POSITIVE, _NEGATIVE, _FAINT = "green", "red", "blue", "dim"


def print_walk(unit: Unit, steps: Sequence[WalkStep], *, chosen: bool) -> None:
    """Print a walk of at least one step to stdout; `chosen`: whether the user chose the unit."""
    width = min(columns_of(sys.stdout), _WIDEST) if sys.stdout.isatty() else _IN_PIPE
    lines = lines_of(steps[0].gates)
    scale = max(1.0, *(abs(step.cell) for step in steps))
    for text in _explanation(unit, steps[0], lines, scale, width, chosen=chosen):
        put(text + "\n")
    read = ""
    for step in steps:
        read += printable(step.character, single_line=True) if len(step.character) == 1 else f"<{step.character}>"
        put(rendered(_step(step, read, lines, scale, width)))


def _explanation(
    unit: Unit, first: WalkStep, lines: Sequence[Line], scale: float, width: int, *, chosen: bool
) -> Iterator[str]:
    why = "" if chosen else ", the unit whose memory varies most over this text; --unit LAYER.UNIT takes another"
    yield from textwrap.wrap(f"Layer {unit.layer}, unit {unit.unit}{why}.", width)
    yield ""
    for line in lines:
        beginning = f"{line.name:<{_NAME}}{line.letter:<2} = {formula(line, first.terms):<{_EQUATION - 12}} "
        if width < _NARROW:
            yield from (beginning.rstrip(), wrapped(line.meaning, width, "  ", "  "))
        else:
            yield wrapped(line.meaning, width, beginning, " " * len(beginning))
    yield ""
    before = "h, c: the output and the cell state" if any(line.value == "cell" for line in lines) else "h: the output"
    letters = f"x: what the layer reads. {before} at the character before."
    letters += " W, R, b: what the network has learned, for each gate its own."
    if any("p c" in term for terms in first.terms.values() for term in terms):
        letters += " p: the peephole, through which a gate sees the cell state of its unit."
    letters += " σ makes a number between 0 and 1 of the sum, tanh one between -1 and 1."
    if scale > 1:
        letters += f" The bars of the cell state end at {scale:.1f}."
    yield from textwrap.wrap(letters, width)


def _numbers(line: Line, step: WalkStep) -> str:
    """The equation with the numbers of a step in place of its letters."""
    gates = step.gates
    if line.value in gates:
        first, *rest = step.terms[line.value].values()
        terms = "".join(f" {'-' if term < 0 else '+'} {abs(term):z.2f}" for term in rest)
        return f"{line.equation}({first:z.2f}{terms})"
    if line.value == "hidden" and "output" in gates:
        return f"{gates['output']:z.2f} tanh({step.cell:z.2f})"
    kept, written = _kept_and_written(step)
    return f"{kept:z.2f} · {step.cell_before:z.2f} + {written:z.2f} · {gates['candidate']:z.2f}"


def _step(step: WalkStep, read: str, lines: Sequence[Line], scale: float, width: int) -> Text:
    name = name_of(step.character)
    shown = Text("\n").append(name, "bold").append(f" {'─' * (width - 2 - len(name))}\n", _FAINT)
    indent = " " * _NAME
    shown.append(f"{'after':<{_NAME}}{read[-min(_TEXT_BEFORE, width - _NAME) :]}\n")
    shown.append(wrapped(_in_words(step), width, indent, indent) + "\n")
    for line in lines:
        value = step.gates[line.value] if line.value in step.gates else getattr(step, line.value)
        equation = f"{line.letter:<2} = {_numbers(line, step)}"
        columns = _NAME + _EQUATION if width >= _NARROW else 2
        shown.append(f"{line.name:<{_NAME}}{equation}".ljust(columns) + ("" if width >= _NARROW else "\n  "))
        shown.append(f" = {value:z5.2f}  ")
        room = (width - columns - 11) // 2 * 2 + 1  # odd, for the line in the middle
        if line.value in step.gates and line.equation == "σ":
            filled = bar(value, room)
            shown.append(filled, _GATE).append("·" * (room - len(filled)), _FAINT)
        else:
            relative = value / scale if line.value == "cell" else value
            shown.append(signed_bar(relative, room // 2), _POSITIVE if value > 0 else _NEGATIVE)
        shown.append("\n")
    if step.attention is not None:
        shown.append(wrapped(_recalled(step), width, f"{'looks back':<{_NAME}}", indent) + "\n")
    predictions = "   ".join(f"{name_of(character)} {p:.0%}" for character, p in step.predictions.items())
    return shown.append(wrapped(predictions, width, f"{'predicts':<{_NAME}}", indent) + "\n")


def _in_words(step: WalkStep) -> str:
    """Say in words what the unit kept, wrote and output."""
    gates, candidate = step.gates, step.gates["candidate"]
    if not gates.keys() - {"candidate"}:
        return f"It replaces {step.cell_before:z.2f} by {candidate:z.2f}."
    kept, written = _kept_and_written(step)
    does = f"It keeps {kept:.0%} of {step.cell_before:z.2f} and writes {written:.0%} of {candidate:z.2f}"
    return f"{does}; outputs {step.hidden:z.2f}." if "output" in gates else f"{does}."


def _kept_and_written(step: WalkStep) -> tuple[float, float]:
    """The fraction of the old memory that is kept, and the fraction of the candidate that is written."""
    gates = step.gates
    kept = gates["forget"] if "forget" in gates else gates["update"]
    return kept, gates.get("input", 1 - kept)


def _recalled(step: WalkStep) -> str:
    """The past characters that attention picked, strongest first."""
    strongest = sorted(step.attention or (), key=lambda each: -each.weight)[:_MAX_RECALLED]
    picked = [f"{name_of(each.character)} ({each.back} back) {each.weight:.0%}" for each in strongest]
    picked = [text for text, each in zip(picked, strongest, strict=True) if each.weight >= _MIN_RECALLED]
    outside = 1 - sum(each.weight for each in step.attention or ())
    if outside >= _MIN_RECALLED:
        picked.append(f"nothing (before the text) {outside:.0%}")
    return "   ".join(picked) or "at no character more than at others"
