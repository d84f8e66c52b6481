"""Problems that a user can fix.

Knows: that every such problem is one line that names the thing, the value and the remedy.
Does not know: how it is shown (`cli` prints it and exits with 1).
"""


class LstmgenError(Exception):
    """A problem that a user can fix; its text is one line: what, where, the remedy."""


class ConfigError(LstmgenError):
    """An option, or a combination of options, that cannot work."""


class TextError(LstmgenError):
    """A text that cannot be found, decoded or used."""


class UnknownCharacterError(LstmgenError):
    """A character that the model has never seen."""


class CheckpointError(LstmgenError):
    """A checkpoint that cannot be found, read, trusted or written."""


class TrainingError(LstmgenError):
    """Training that cannot go on, such as a loss that is no longer a number."""
