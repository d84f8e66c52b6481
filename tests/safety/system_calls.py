"""Every system call by which a save of a run writes goes through a function of the test."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Protocol

import pytest

from lstmgen.files import replace_files
from lstmgen.training import storage

NAMES = ("open", "write", "fsync", "close", "replace", "unlink")
"""The functions of `os`."""


class Around(Protocol):
    """What a test does instead of a system call; it may make the call."""

    def __call__(self, number: int, name: str, call: Callable[..., Any], *arguments: Any) -> Any:
        """Take the place of the call of this number, from 1; returns the call's result."""


@contextmanager
def around_system_calls(around: Around) -> Iterator[None]:
    """Let a test decide about the system calls of all saves in this context."""
    number, saving = 0, False

    def save(contents: Any) -> None:
        nonlocal saving
        saving = True
        try:
            replace_files(contents)
        finally:
            saving = False

    def instead(name: str, call: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        nonlocal number, saving
        if not saving:
            return call(*arguments, **options)
        number += 1
        saving = False  # the test may use the same functions
        try:
            return around(number, name, partial(call, **options), *arguments)
        finally:
            saving = True

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(storage, "replace_files", save)
        for name in NAMES:
            patch.setattr(os, name, partial(instead, name, getattr(os, name)))
        yield
