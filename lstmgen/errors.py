"""Exceptions for problems that a user can fix.

Messages name a setting by its Python name in backquotes, such as `hidden_size`. The command line replaces that with the
option, --hidden-size.
"""

import errno

from lstmgen.printable import message_line

_SPACE = "free some space"
_PERMISSIONS = "check the permissions of this path and of its folder"
_NAME = "the file system does not allow this name; choose another"
_OPEN_FILES = "close other programs, or raise the limit on open files (ulimit -n)"
_REMEDIES = {
    errno.ENOSPC: _SPACE,
    errno.EDQUOT: _SPACE,
    errno.EACCES: _PERMISSIONS,
    errno.EPERM: _PERMISSIONS,
    errno.EROFS: "choose a place that you can write to",
    errno.ENAMETOOLONG: "give a shorter name",
    errno.EISDIR: "this is a folder; give the name of a file",
    errno.ENOTDIR: "part of the path is not a folder; give another path",
    errno.ENOENT: "make the folder first",
    errno.EEXIST: "give another name",
    errno.ELOOP: "a link in the path leads back to itself; remove it",
    errno.EFBIG: "raise the limit on file size (ulimit -f), or choose another file system",
    errno.EINVAL: _NAME,
    errno.EILSEQ: _NAME,
    errno.EMFILE: _OPEN_FILES,
    errno.ENFILE: _OPEN_FILES,
    errno.ENOMEM: "close other programs, or raise the limit on memory (ulimit -v)",
}
_OTHER_REMEDY = "check the disk, or choose another place"


class LstmgenError(Exception):
    """A problem that a user can fix; its message is one line that names the thing, the value and the remedy.

    Because the message may quote untrusted text, it is made printable, and shortened if it is long.
    """

    def __init__(self, message: str = "") -> None:
        super().__init__(message_line(message))


class ConfigError(LstmgenError):
    """A setting with an invalid value, or settings that cannot be combined."""

    def __init__(self, setting: str, value: object, remedy: str) -> None:
        """Compose the message.

        Args:
            setting: the name of the field or parameter.
            value: its value; True: the setting is a switch, so its name is enough.
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
    """Say which package is missing, and how to install the extra that it belongs to."""
    return f"{error.name} is not installed; pip install 'lstmgen[{extra}]'"


def _in_words(value: object) -> str:
    """The value as text. Python refuses to convert very large integers, because that is slow."""
    try:
        return str(value)
    except ValueError:
        return "(a very large number)"
