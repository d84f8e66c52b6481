"""Progress bars on stderr."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tqdm import tqdm

from lstmgen.cli.render import columns_of
from lstmgen.text.sources import Progress

_MIN_BAR = 20  # columns
SEPARATOR = " · "
"""Separates the facts in the description of a bar; each fact is shown completely or not at all."""


class _Bar(tqdm):  # type: ignore[type-arg]  # the class is not generic at run time
    """A bar that keeps its length: a narrow terminal shows fewer facts next to it. Resizing leaves nothing behind."""

    def _leave_old_width(self) -> None:
        """Erase the bar if the terminal has become narrower and wrapped it."""
        lines = (getattr(self, "ncols", None) or 1) - 1
        if above := lines // columns_of(self.fp):
            self.fp.write(f"\x1b[{above}A\r\x1b[J")
            self.sp = self.status_printer(self.fp)

    def clear(self, nolock: bool = False) -> None:
        """Erase the bar."""
        self._leave_old_width()
        super().clear(nolock)

    def display(self, *arguments: Any, **more: Any) -> Any:
        """Draw the bar."""
        self._leave_old_width()
        return super().display(*arguments, **more)

    @property
    def format_dict(self) -> Any:
        """The values to draw, with as many facts of the description as there is room for, in order."""
        values = dict(super().format_dict)
        if not values["total"]:
            return values
        seconds = max(values["elapsed"], (values["total"] - values["n"]) / (values["rate"] or 1))
        times = 2 * len(self.format_interval(seconds)) + 2  # with a space before them
        room = (values["ncols"] or 80) - len("100% ") - _MIN_BAR - times
        values["bar_format"] = "{percentage:3.0f}% {bar}" + (" {elapsed}<{remaining}{desc}" if room >= 0 else "")
        facts, values["prefix"] = values["prefix"].removesuffix(": ").split(SEPARATOR), " "
        for number, fact in enumerate(facts):
            room -= len(fact) + (len(SEPARATOR) if number else 1)
            if room < 0:
                break
            values["prefix"] += (SEPARATOR if number else "") + fact
        return values


def progress_bar(items: Any = None, *, quiet: bool, **looks: Any) -> "tqdm[Any]":
    """A bar that only appears on a terminal, and disappears at the end."""
    hidden = quiet or not sys.stderr.isatty()
    return _Bar(items, file=sys.stderr, disable=hidden, leave=False, dynamic_ncols=True, **looks)


@contextmanager
def reading_bar(quiet: bool) -> Iterator[Progress]:
    """Yield a function that shows how much of a text has been read, on a terminal and after the first second."""
    with progress_bar(quiet=quiet, desc="reading the text", unit="B", unit_scale=True, delay=1) as bar:

        def show(read: int, total: int | None) -> None:
            bar.total = total
            bar.update(read - bar.n)  # negative if the text is read again

        yield show
