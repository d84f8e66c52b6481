"""Bars on stderr that show how far a command is."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tqdm import tqdm

from lstmgen.cli.render import columns_of
from lstmgen.text.sources import Progress

_MIN_BAR = 20  # columns
SEPARATOR = " · "
"""Separates the facts in the description of a bar; each fact is shown whole or not at all."""


class _Bar(tqdm):  # type: ignore[type-arg]  # it is no generic class when it runs
    """A bar that keeps its length: a narrow terminal shows fewer facts next to it. A resize leaves nothing behind."""

    def _leave_old_width(self) -> None:
        """Erase what was drawn, if the terminal has become narrower and has broken that into lines."""
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
        """What is drawn: of the facts in the description as many as there is room for, the first ones first."""
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
    """A bar that is drawn on a terminal alone, and goes away at its end."""
    hidden = quiet or not sys.stderr.isatty()
    return _Bar(items, file=sys.stderr, disable=hidden, leave=False, dynamic_ncols=True, **looks)


@contextmanager
def reading_bar(quiet: bool) -> Iterator[Progress]:
    """Yield what shows how much of a text has been read: on a terminal, if it takes more than a second."""
    with progress_bar(quiet=quiet, desc="reading the text", unit="B", unit_scale=True, delay=1) as bar:

        def show(read: int, total: int | None) -> None:
            bar.total = total
            bar.update(read - bar.n)  # less than before, if the text is read once more

        yield show
