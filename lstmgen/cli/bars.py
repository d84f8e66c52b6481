"""Bars made of text characters.

Knows: block characters. Does not know: what is measured, or colours.
"""

from collections.abc import Iterable

_EIGHTHS = " ▏▎▍▌▋▊▉█"
_HEIGHTS = "▁▂▃▄▅▆▇█"


def bar(fraction: float, width: int) -> str:
    """Return a bar from the left, `width` columns wide for a fraction of 1."""
    full, eighths = divmod(round(min(max(fraction, 0.0), 1.0) * width * 8), 8)
    return ("█" * full + _EIGHTHS[eighths]).strip()


def signed_bar(value: float, half_width: int) -> str:
    """Return a bar that begins at a line in the middle: to the right for a value up to 1, to the left down to -1."""
    halves = round(min(abs(value), 1.0) * half_width * 2)
    if value >= 0:
        return " " * half_width + "│" + "█" * (halves // 2) + "▌" * (halves % 2)
    return ("▐" * (halves % 2) + "█" * (halves // 2)).rjust(half_width) + "│"


def height(fraction: float) -> str:
    """Return one block whose height stands for a fraction from 0 to 1."""
    return _HEIGHTS[min(len(_HEIGHTS) - 1, int(max(fraction, 0.0) * len(_HEIGHTS)))]


def histogram(counts: Iterable[float]) -> str:
    """Return one block for each count; the largest is a full block, and 0 is a space."""
    counts = list(counts)
    largest = max(counts, default=0) or 1
    return "".join(height(count / largest) if count else " " for count in counts)
