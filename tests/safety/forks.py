"""Run `lstmgen` in processes that kill themselves, a hundred times a minute.

To start Python and torch takes seconds. So one server starts them once, and forks a process for each command.

`python -m tests.safety.forks` is the server. It answers each line of its input, a request, with a line.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import lstmgen
from tests.safety.system_calls import Around, around_system_calls


@dataclass(frozen=True)
class Death:
    """When a process kills itself; 0: never for this reason."""

    function_call: int = 0  # at this call of any function, counted from the first one of the command
    system_call: int = 0  # at this system call of a save, counted from the first one of the command
    moment: str = "before"  # the system call; or "after" it; or "within" it: it has written some bytes


@dataclass(frozen=True)
class Ended:
    """How a process ended."""

    code: int  # -9: it killed itself
    error: str  # what it wrote to stderr
    function_calls: int  # that it made; 0: it was killed, or they were not counted
    system_calls: int  # of its saves; 0: it was killed


class Server:
    """A server of forked processes."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.safety.forks"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(lstmgen.__file__).parent.parent,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )

    def run(self, *arguments: object, death: Death | None = None, count: bool = False) -> Ended:
        """Run a command in the current folder, and wait for its end; `count`: count its function calls."""
        assert self._process.stdin is not None and self._process.stdout is not None
        request = {"folder": str(Path.cwd()), "arguments": list(map(str, arguments)), "count": count}
        self._process.stdin.write(json.dumps(request | {"death": asdict(death or Death())}) + "\n")
        self._process.stdin.flush()
        return Ended(**json.loads(self._process.stdout.readline()))

    def stop(self) -> None:
        """End the server."""
        self._process.communicate(timeout=60)


def _serve() -> None:
    """Answer requests until the input ends."""
    import torch._dynamo  # noqa: F401  # it is imported here, so that no process has to

    import lstmgen.training.prepare  # noqa: F401  # likewise

    for line in sys.stdin:
        request = json.loads(line)
        folder = Path(request["folder"])
        process = os.fork()
        if process == 0:
            os.chdir(folder)
            _run(request["arguments"], Death(**request["death"]), request["count"])
        _, status = os.waitpid(process, 0)
        error, counted = folder / "error.txt", folder / "counted.json"
        counts = json.loads(counted.read_text(encoding="utf-8")) if counted.exists() else [0, 0]
        ended = Ended(os.waitstatus_to_exitcode(status), error.read_text(encoding="utf-8"), *counts)
        for file in (error, counted):
            file.unlink(missing_ok=True)
        sys.stdout.write(json.dumps(asdict(ended)) + "\n")
        sys.stdout.flush()


def _run(arguments: list[str], death: Death, count: bool) -> None:
    """Be a process that runs a command and ends."""
    from lstmgen.cli.app import main

    for number, path in enumerate((os.devnull, os.devnull, "error.txt")):
        os.dup2(os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC), number)
    code, calls, system_calls = 1, [0], [0]
    with around_system_calls(_around(system_calls, death)):
        if death.function_call or count:
            sys.setprofile(_profile(calls, death.function_call))
        try:
            main(arguments)
        except SystemExit as end:
            code = int(end.code or 0)
        except BaseException as error:
            sys.stderr.write(f"Traceback: {error!r}")
        sys.setprofile(None)
    Path("counted.json").write_text(json.dumps([calls[0], system_calls[0]]), encoding="utf-8")
    sys.stderr.flush()
    os._exit(code)


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _profile(calls: list[int], last: int) -> Callable[..., None]:
    def profile(_frame: object, event: str, _argument: object) -> None:
        if event in ("call", "c_call"):
            calls[0] += 1
            if calls[0] == last:
                _die()

    return profile


def _around(calls: list[int], death: Death) -> Around:
    def around(number: int, name: str, call: Callable[..., Any], *arguments: Any) -> Any:
        calls[0] = number
        if number != death.system_call:
            return call(*arguments)
        if death.moment == "within" and name == "write":
            file, content = arguments
            call(file, content[: len(content) // 2])
        if death.moment == "after":
            call(*arguments)
        return _die()

    return around


if __name__ == "__main__":
    _serve()
