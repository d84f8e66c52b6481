"""`lstmgen sample --interactive`: the user and the model write a text together.

The conversation is on stderr. The text itself is written to stdout, or to a file, when the conversation ends.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.text import Text

from lstmgen.cli.render import with_options
from lstmgen.draft import Draft
from lstmgen.errors import LstmgenError, unwritable
from lstmgen.files import new_file, replace_file
from lstmgen.printable import printable
from lstmgen.text.vocabulary import Ids, Vocabulary

HELP = """\
Enter         the model continues the text
words, Enter  your words are added to the text; then the model continues (\\n is a new line)
/undo         remove the last piece, yours or the model's          /retry      replace the model's last piece
/keep N       keep only N words of the model's last piece          /top N      show the N most likely next characters
/temp X       set the temperature                                  /length N   set how many characters it writes
/text         show the whole text                                  /save FILE  write the text to a new file
/help         show this help                                       /quit       end; the text is written to stdout"""

_EXAMPLES = {"keep": "3", "top": "10", "temp": "0.8", "length": "80"}
_COMMANDS = {
    "`temperature`": "/temp",
    "`length`": "/length",
    "; change one of them, or the `seed`": "; nothing was added: press Enter to try again",
    ", or give `on_unknown` skip": "",
}
_MODEL_STYLE = "cyan"
_SHOWN_TOKENS = 300  # from the end of the text


class Conversation:
    """Reads lines from the user and carries out each of them."""

    def __init__(self, draft: Draft, vocabulary: Vocabulary, lines: Callable[[], str | None]) -> None:
        """Prepare a conversation.

        Args:
            draft: the text.
            vocabulary: the vocabulary of the text.
            lines: asks for the next line; returns None when there are no more.
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
        """Run until /quit, the end of the input, or Ctrl-C at the prompt."""
        self._console.print(HELP)
        self._show(_SHOWN_TOKENS)
        with suppress(KeyboardInterrupt):
            while (line := self._ask()) is not None:
                word, _, value = line.removeprefix("/").partition(" ")
                if line.startswith("/") and word in ("quit", "exit"):
                    return
                try:
                    if not line.startswith("/"):
                        self._draft.write(line.replace("\\n", "\n"))
                        self._continue()
                    elif word in self._commands:
                        self._commands[word](value.strip())
                    else:
                        self._console.print(f"unknown command /{printable(word, single_line=True)}; /help lists all")
                except LstmgenError as error:
                    self._console.print(printable(_with_commands(str(error)), single_line=True), style="red")
                except ValueError:
                    self._console.print(f"/{word} needs a number, such as /{word} {_EXAMPLES[word]}", style="red")

    def _continue(self) -> None:
        """Let the model write a piece and show each token at once; Ctrl-C ends the piece, which is kept."""
        decoder = self._vocabulary.decoder()
        try:
            with suppress(KeyboardInterrupt), closing(self._draft.propose()) as proposal:
                for number in proposal:
                    self._console.print(Text(printable(decoder.feed(number)), _MODEL_STYLE), end="")
        finally:
            self._console.print(Text(printable(decoder.finish()), _MODEL_STYLE))

    def _undo(self, _value: str) -> None:
        if self._draft.undo() is None:
            self._console.print("there is nothing to undo")
        self._show(_SHOWN_TOKENS)

    def _retry(self, _value: str) -> None:
        if self._draft.last is not None and self._draft.last.by_model:
            self._draft.undo()
        self._continue()

    def _keep(self, value: str) -> None:
        self._draft.keep_words(_whole_number(value, at_least=0))
        self._show(_SHOWN_TOKENS)

    def _top(self, value: str) -> None:
        for number, probability in self._draft.alternatives(_whole_number(value or "10")):
            shown = printable(self._vocabulary.decode(_one(number)), single_line=True)
            self._console.print(f"  {shown if shown != ' ' else '(space)':8} {probability:6.1%}")

    def _temperature(self, value: str) -> None:
        self._draft.config = replace(self._draft.config, temperature=float(value))

    def _length(self, value: str) -> None:
        self._draft.config = replace(self._draft.config, length=_whole_number(value))

    def _save(self, value: str) -> None:
        if not value:
            self._console.print("/save needs the name of a new file, such as /save story.txt", style="red")
            return
        path, content = Path(value), self._vocabulary.to_bytes(self._draft.ids)
        try:
            if path == self._saved:  # only a file of this conversation may be replaced
                replace_file(path, content)
            else:
                with new_file(path) as file:
                    file.write(content)
        except FileExistsError:
            self._console.print(f"{printable(value, single_line=True)} exists and is not overwritten", style="red")
        except OSError as error:
            self._console.print(f"{printable(value, single_line=True)}: {unwritable(error)}", style="red")
        else:
            self._saved = path
            self._console.print(f"saved {printable(value, single_line=True)}")

    def _show(self, tokens: int) -> None:
        """Show the end of the text."""
        ids = self._draft.ids[-tokens:]
        self._console.print(Text(("... " if len(ids) < len(self._draft.ids) else "") + self._spelled(ids)))

    def _spelled(self, ids: Ids) -> str:
        return printable(self._vocabulary.decode(ids))


def lines_from_stdin() -> Callable[[], str | None]:
    """Return a function that reads a line: from a terminal, with line editing where Python has it, or from a pipe."""
    stdin = sys.stdin
    if stdin is None:
        return lambda: None
    if stdin.isatty() and sys.stdout.isatty():
        with suppress(ImportError):
            import readline  # noqa: F401  # the import adds line editing to input()
        return _from_terminal
    return _lines(stdin)


def _with_commands(message: str) -> str:
    """The message, with a command in place of each setting that has one; options cannot be given here."""
    for setting, command in _COMMANDS.items():
        message = message.replace(setting, command)
    return with_options(message)


def _whole_number(value: str, at_least: int = 1) -> int:
    """Read a number; raises ValueError if it is not a whole number, or too small."""
    if (number := int(value)) < at_least:
        raise ValueError
    return number


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
