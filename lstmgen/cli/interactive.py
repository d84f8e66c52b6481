"""`lstmgen sample --interactive`: the user and the model write a text together. The conversation goes to stderr."""

import sys
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.text import Text

from lstmgen.cli.options import typed_text
from lstmgen.cli.render import columns_of, facts_text, laid_out, with_options
from lstmgen.config import OnUnknown
from lstmgen.draft import UNSPACED, Draft
from lstmgen.errors import LstmgenError, unwritable
from lstmgen.files import new_file, replace_file
from lstmgen.printable import printable
from lstmgen.text.vocabulary import Vocabulary

HELP = {
    "Enter": "let the model continue the text",
    "words, Enter": "add your words, then the model continues (\\n is a new line)",
    "/undo": "remove the last piece, yours or the model's",
    "/retry": "replace the model's last piece",
    "/keep N": "keep only N words of the model's last piece",
    "/top N": "show the N most likely next characters",
    "/temp X": "show or set the temperature",
    "/length N": "show or set how many characters the model writes",
    "/text": "show the whole text",
    "/save FILE": "save the text to a new file",
    "/help": "show this help",
    "/quit": "quit, and write the text to stdout",
}

_NEEDS = {
    "keep": "a number, such as /keep 3",
    "top": "a number, such as /top 10",
    "temp": "a number, such as /temp 0.8",
    "length": "a number, such as /length 80",
    "save": "the name of a new file, such as /save story.txt",
}
_COMMANDS = {
    "`temperature`": "/temp",
    "`length`": "/length",
    "; change one of them, or the `seed`": "; nothing was added: press Enter to try again",
    ", or give `on_unknown` skip": "",
}
"""Replacements for settings in messages of the core, because options cannot be given here."""

_MODEL_STYLE = "cyan"
_SHOWN_TOKENS = 300  # at the end of the text


class Conversation:
    """Reads lines from the user and acts on each."""

    def __init__(self, draft: Draft, vocabulary: Vocabulary) -> None:
        self._draft = draft
        self._vocabulary = vocabulary
        self._console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
        self._saved: Path | None = None

    def run(self) -> None:
        """Run until /quit, the end of the input, or Ctrl-C at the prompt."""
        self._console.print(facts_text(HELP, columns_of(sys.stderr)), end="")
        self._show()
        with suppress(KeyboardInterrupt):
            while (line := _next_line()) is not None:
                word, _, value = line.removeprefix("/").partition(" ")
                if line.startswith("/") and word in ("quit", "exit"):
                    return
                try:
                    if line.startswith("/"):
                        self._carry_out(word, value.strip())
                    else:
                        self._draft.write(self._after_space(typed_text(line)))
                        self._continue()
                except LstmgenError as error:
                    message = str(error)
                    for setting, command in _COMMANDS.items():
                        message = message.replace(setting, command)
                    self._complain(with_options(message))
                except ValueError:
                    self._complain(f"/{word} needs {_NEEDS[word]}")

    def _carry_out(self, word: str, value: str) -> None:
        """Carry out a command; raises ValueError if its value is not valid."""
        draft = self._draft
        match word:
            case "undo":
                if draft.undo() is None:
                    self._console.print("nothing to undo")
                self._show()
            case "retry":
                if draft.last is not None and draft.last.by_model:
                    draft.undo()
                self._continue()
            case "keep":
                draft.keep_words(_whole_number(value, at_least=0))
                self._show()
            case "top":
                for number, probability in draft.alternatives(_whole_number(value or "10")):
                    shown = printable(self._vocabulary.decode(np.array([number])), single_line=True)
                    self._console.print(f"  {shown if shown != ' ' else '(space)':8} {probability:6.1%}")
            case "temp" | "length" if not value:
                self._console.print(draft.config.temperature if word == "temp" else draft.config.length)
            case "temp":
                draft.config = replace(draft.config, temperature=float(value))
            case "length":
                draft.config = replace(draft.config, length=_whole_number(value))
            case "text":
                self._show(len(draft.ids))
            case "save":
                self._save(value)
            case "help":
                self._console.print(facts_text(HELP, columns_of(sys.stderr)), end="")
            case _:
                self._console.print(f"unknown command /{printable(word, single_line=True)}; try /help")

    def _after_space(self, words: str) -> str:
        """The user's words, preceded by a space if a word of the text would run into them."""
        before = self._vocabulary.decode(self._draft.ids[-4:])[-1:]  # a character has up to 4 bytes
        apart = not before or not words[:1].isalnum() or UNSPACED.match(before) or UNSPACED.match(words)
        return words if apart or not len(self._vocabulary.encode(" ", on_unknown=OnUnknown.SKIP)) else f" {words}"

    def _continue(self) -> None:
        """Let the model write a piece, showing each token at once; Ctrl-C ends the piece but keeps it."""
        decoder = self._vocabulary.decoder()
        try:
            with suppress(KeyboardInterrupt), closing(self._draft.propose()) as proposal:
                for number in proposal:
                    self._console.print(Text(printable(decoder.feed(number)), _MODEL_STYLE), end="")
        finally:
            self._console.print(Text(printable(decoder.finish()), _MODEL_STYLE))

    def _save(self, value: str) -> None:
        if not value:
            raise ValueError
        path, content = Path(value), self._vocabulary.to_bytes(self._draft.ids)
        try:
            if path == self._saved:  # only a file of this conversation may be replaced
                replace_file(path, content)
            else:
                with new_file(path) as file:
                    file.write(content)
        except FileExistsError:
            self._complain(f"{value} exists and is never overwritten")
        except OSError as error:
            self._complain(f"{value}: {unwritable(error)}")
        else:
            self._saved = path
            self._console.print(f"saved {printable(value, single_line=True)}")

    def _complain(self, message: str) -> None:
        self._console.print(laid_out(printable(message, single_line=True), columns_of(sys.stderr)), style="red")

    def _show(self, tokens: int = _SHOWN_TOKENS) -> None:
        """Show the end of the text."""
        ids = self._draft.ids[-tokens:]
        before = "... " if len(ids) < len(self._draft.ids) else ""
        self._console.print(Text(before + printable(self._vocabulary.decode(ids))))


def _next_line() -> str | None:
    """Read a line from a terminal, with line editing if Python has it, or from a pipe; None: there are no more."""
    if sys.stdin is None:
        return None
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        line = sys.stdin.readline()
        return line.rstrip("\r\n") if line else None
    with suppress(ImportError):
        import readline  # noqa: F401  # the import adds line editing to input()
    try:
        return input("> ")
    except EOFError:
        return None


def _whole_number(value: str, at_least: int = 1) -> int:
    """Read a number; raises ValueError if it is not a whole number, or too small."""
    if (number := int(value)) < at_least:
        raise ValueError
    return number
