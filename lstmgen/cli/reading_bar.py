"""Bars on stderr that show how far a command is."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tqdm import tqdm

from lstmgen.text.sources import Progress


def progress_bar(items: Any = None, *, quiet: bool, **looks: Any) -> "tqdm[Any]":
    """A bar that is drawn on a terminal alone, and goes away at its end."""
    hidden = quiet or not sys.stderr.isatty()
    return tqdm(items, file=sys.stderr, disable=hidden, leave=False, dynamic_ncols=True, **looks)


@contextmanager
def reading_bar(quiet: bool) -> Iterator[Progress]:
    """Yield what shows how much of a text has been read: on a terminal, if it takes more than a second."""
    with progress_bar(quiet=quiet, desc="reading the text", unit="B", unit_scale=True, delay=1) as bar:

        def show(read: int, total: int | None) -> None:
            bar.total = total
            bar.update(read - bar.n)  # less than before, if the text is read once more

        yield show
