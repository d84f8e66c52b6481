"""Exceptions for problems that a user can fix.

Knows: that the message of each is one line that names the thing, the value and the remedy.
Does not know: how it is shown (`cli` prints it and exits with code 1).
"""


class LstmgenError(Exception):
    """A problem that a user can fix; its message is one line that names the thing, the value and the remedy."""


class ConfigError(LstmgenError):
    """An option with an invalid value, or options that cannot be combined."""


class TextError(LstmgenError):
    """A text that cannot be found, read, decoded or used."""


class UnknownCharacterError(LstmgenError):
    """A character that the model has never seen."""


class CheckpointError(LstmgenError):
    """A checkpoint that cannot be found, read, trusted or written."""


class TrainingError(LstmgenError):
    """Training that cannot continue, for example because the loss is not a number."""
