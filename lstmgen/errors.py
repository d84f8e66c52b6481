"""Exceptions for problems that a user can fix.

A message names a setting by its Python name in backquotes, such as `hidden_size`. The command line shows the option,
--hidden-size, in its place.
"""

import errno

from lstmgen.printable import message_line

_SPACE = "free some space"
_PERMISSIONS = "check the permissions of this path and of its folder"
_NAME = "the file system does not allow this name; give another"
_OPEN_FILES = "close other programs, or raise the limit of open files (ulimit -n)"
_REMEDIES = {
    errno.ENOSPC: _SPACE,
    errno.EDQUOT: _SPACE,
    errno.EACCES: _PERMISSIONS,
    errno.EPERM: _PERMISSIONS,
    errno.EROFS: "give a place that can be written to",
    errno.ENAMETOOLONG: "give a shorter name",
    errno.EISDIR: "this is a folder; give the name of a file",
    errno.ENOTDIR: "a part of the path is not a folder; give another path",
    errno.ENOENT: "make the folder first",
    errno.EEXIST: "give another name",
    errno.ELOOP: "a link in the path leads back to itself; remove it",
    errno.EFBIG: "raise the limit for the size of a file (ulimit -f), or give a place on another file system",
    errno.EINVAL: _NAME,
    errno.EILSEQ: _NAME,
    errno.EMFILE: _OPEN_FILES,
    errno.ENFILE: _OPEN_FILES,
    errno.ENOMEM: "close other programs, or raise the limit of memory (ulimit -v)",
}
_OTHER_REMEDY = "check the disk, or give another place"


class LstmgenError(Exception):
    """A problem that a user can fix; its message is one line that names the thing, the value and the remedy.

    The message may quote a name or a text of a stranger. Therefore it is made printable, and a long one is shortened.
    """

    def __init__(self, message: str = "") -> None:
        super().__init__(message_line(message))


class ConfigError(LstmgenError):
    """A setting with an invalid value, or settings that cannot be combined."""

    def __init__(self, setting: str, value: object, remedy: str) -> None:
        """Compose the message.

        Args:
            setting: the name of the field or parameter.
            value: its value; True: the setting is a switch, and its name says all.
            remedy: what is wrong with it, and what to do.
        """
        super().__init__(f"`{setting}`" + ("" if value is True else f" {_in_words(value)}") + f": {remedy}")


class TextError(LstmgenError):
    """A text that cannot be found, read, decoded or used."""


class UnknownCharacterError(LstmgenError):
    """A character that the model has never seen."""


class CheckpointError(LstmgenError):
    """A checkpoint that cannot be found, read, trusted or written."""


class TrainingError(LstmgenError):
    """Training that cannot continue, for example because the loss is not a number."""


def unwritable(error: OSError) -> str:
    """Say why something cannot be written, and what to do about it."""
    cause = error.strerror or str(error) or type(error).__name__
    return f"{cause}; {_REMEDIES.get(error.errno or 0, _OTHER_REMEDY)}"


def missing_package(error: ModuleNotFoundError, extra: str) -> str:
    """Say which package is missing, and how to install all packages of the extra that it belongs to."""
    return f"{error.name} is not installed; pip install 'lstmgen[{extra}]'"


def _in_words(value: object) -> str:
    """The value as text. Python refuses to write very large integers, because that takes long."""
    try:
        return str(value)
    except ValueError:
        return "(a very large number)"
