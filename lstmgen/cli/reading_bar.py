"""A bar on stderr while a text is read."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tqdm import tqdm

from lstmgen.text.sources import Progress


@contextmanager
def reading_bar(quiet: bool) -> Iterator[Progress]:
    """Yield what shows how much of a text has been read: on a terminal, if it takes more than a second."""
    hidden = quiet or not sys.stderr.isatty()
    with tqdm(
        desc="reading the text", unit="B", unit_scale=True, delay=1, leave=False, dynamic_ncols=True, disable=hidden
    ) as bar:

        def show(read: int, total: int | None) -> None:
            bar.total = total
            bar.update(read - bar.n)  # less than before, if the text is read once more

        yield show
