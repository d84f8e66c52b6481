"""`lstmgen sample --interactive`: writing together with the model.

The conversation is on stderr; the text itself goes to stdout, or into a file, when it ends.

Knows: its commands, and how the text is shown. Does not know: how it is written or taken back (`draft`).
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.text import Text

from lstmgen.cli.render import printable
from lstmgen.draft import Draft
from lstmgen.errors import LstmgenError
from lstmgen.text.vocabulary import Ids, Vocabulary

HELP = """\
Enter         go on: what the model wrote stays, and it writes more
words, Enter  your own words, added as you type them; then the model goes on (\\n is a new line)
/undo         take back the last piece, yours or the model's       /retry    the same, and let it write another
/keep N       of the model's last piece keep the first N words     /top N    the likeliest next characters
/temp X       another temperature                                  /length N how much it writes at a time
/text         show all of the text                                 /save FILE   write it to a new file
/help         this                                                 /quit     end; the text is written to stdout"""

_MODEL_STYLE = "cyan"
_SHOWN = 300


class Conversation:
    """Reads lines from a person and does what they say, until the end."""

    def __init__(self, draft: Draft, vocabulary: Vocabulary, lines: Callable[[], str | None]) -> None:
        """Prepare a conversation.

        Args:
            draft: the text.
            vocabulary: spells it.
            lines: asks for a line; None when there are no more.
        """
        self._draft = draft
        self._vocabulary = vocabulary
        self._ask = lines
        self._console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
        self._saved: Path | None = None
        self._commands: dict[str, Callable[[str], None]] = {
            "undo": self._undo,
            "retry": self._retry,
            "keep": self._keep,
            "top": self._top,
            "temp": self._temperature,
            "length": self._length,
            "text": lambda _: self._show(len(self._draft.ids)),
            "save": self._save,
            "help": lambda _: self._console.print(HELP),
        }

    def run(self) -> None:
        """Write together until /quit, the end of the input, or Ctrl-C while nothing is being written."""
        self._console.print(HELP)
        self._show(_SHOWN)
        with suppress(KeyboardInterrupt):
            while (line := self._ask()) is not None:
                word, _, value = line.removeprefix("/").partition(" ")
                if line.startswith("/") and word in ("quit", "exit"):
                    return
                try:
                    if not line.startswith("/"):
                        self._draft.write(line.replace("\\n", "\n"))
                        self._go_on()
                    elif word in self._commands:
                        self._commands[word](value.strip())
                    else:
                        self._console.print(f"there is no /{printable(word, single_line=True)}; /help names all")
                except LstmgenError as error:
                    self._console.print(printable(str(error), single_line=True), style="red")
                except ValueError:
                    self._console.print(f"/{word} wants a number; /help says what it is", style="red")

    def _go_on(self) -> None:
        """Let the model write, shown as it comes; Ctrl-C ends the piece, and what is written stays."""
        decoder = self._vocabulary.decoder()
        with suppress(KeyboardInterrupt), closing(self._draft.propose()) as proposal:
            for number in proposal:
                self._console.print(Text(printable(decoder.feed(number)), _MODEL_STYLE), end="")
        self._console.print(Text(printable(decoder.finish()), _MODEL_STYLE))

    def _undo(self, _value: str) -> None:
        if self._draft.undo() is None:
            self._console.print("there is nothing to take back")
        self._show(_SHOWN)

    def _retry(self, _value: str) -> None:
        if self._draft.last is not None and self._draft.last.by_model:
            self._draft.undo()
        self._go_on()

    def _keep(self, value: str) -> None:
        self._draft.keep_words(max(0, int(value)))
        self._show(_SHOWN)

    def _top(self, value: str) -> None:
        for number, probability in self._draft.alternatives(max(1, int(value or 10))):
            shown = printable(self._vocabulary.decode(_one(number)), single_line=True)
            self._console.print(f"  {shown if shown != ' ' else '(space)':8} {probability:6.1%}")

    def _temperature(self, value: str) -> None:
        self._draft.config = replace(self._draft.config, temperature=float(value))

    def _length(self, value: str) -> None:
        self._draft.config = replace(self._draft.config, length=max(1, int(value)))

    def _save(self, value: str) -> None:
        path = Path(value)
        try:
            with path.open("wb" if path == self._saved else "xb") as file:  # its own file it may write again
                file.write(self._vocabulary.to_bytes(self._draft.ids))
        except FileExistsError:
            self._console.print(f"{printable(value, single_line=True)} exists, and is not overwritten", style="red")
        except OSError as error:
            self._console.print(f"{printable(value, single_line=True)}: {error.strerror}", style="red")
        else:
            self._saved = path
            self._console.print(f"saved {printable(value, single_line=True)}")

    def _show(self, symbols: int) -> None:
        """Show the end of the text."""
        ids = self._draft.ids[-symbols:]
        self._console.print(Text(("... " if len(ids) < len(self._draft.ids) else "") + self._spelled(ids)))

    def _spelled(self, ids: Ids) -> str:
        return printable(self._vocabulary.decode(ids))


def lines_from_stdin() -> Callable[[], str | None]:
    """Ask for a line on a terminal, with the keys of a line editor where Python has one; or read one from a pipe."""
    stdin = sys.stdin
    if stdin is None:
        return lambda: None
    if stdin.isatty() and sys.stdout.isatty():
        with suppress(ImportError):
            import readline  # noqa: F401  # importing it is what gives input() its keys
        return _from_terminal
    return _lines(stdin)


def _from_terminal() -> str | None:
    try:
        return input("> ")
    except EOFError:
        return None


def _one(number: int) -> Ids:
    import numpy as np

    return np.array([number])


def _lines(stream: Iterator[str]) -> Callable[[], str | None]:
    def ask() -> str | None:
        line = next(stream, None)
        return None if line is None else line.rstrip("\r\n")

    return ask
