"""Several processes that train one network together, started by `torchrun` or another launcher of torch.distributed.

All processes take the same steps with the same weights. Each reads its own rows of every batch, and the gradients are
summed. The first process makes every decision that depends on a clock, a signal or a file, and tells the others. Only
the first process writes files.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from lstmgen.config import Device
from lstmgen.errors import LstmgenError

T = TypeVar("T")

_RANK, _SIZE, _LOCAL_RANK = "RANK", "WORLD_SIZE", "LOCAL_RANK"
_LAUNCHED = (_RANK, _SIZE, "MASTER_ADDR", "MASTER_PORT")  # set by a launcher for each process
_MAX_DIGITS = 9
_RUN_KEY = "lstmgen/run"


class EndedElsewhereError(LstmgenError):
    """The run ended in another process, which reports why."""


class Processes:
    """This process and the others that train with it; by default it trains alone.

    Every process must make the same calls in the same order: a call returns once all processes have made it.
    """

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        """Be process number `rank`, from 0, of `size` processes."""
        self.rank = rank
        self.size = size

    @property
    def is_first(self) -> bool:
        """Whether this is the process that decides, writes files and shows progress."""
        return self.rank == 0

    def rows(self, count: int) -> slice:
        """Which rows of a batch this process reads; the numbers of rows differ by at most one."""
        return slice(count * self.rank // self.size, count * (self.rank + 1) // self.size)

    def own_generator(self, shared: torch.Generator) -> torch.Generator:
        """A generator that draws different numbers in each process; the shared one stays the same in all of them.

        With several processes each gets a new one, so that there is no state to save.
        """
        if self.size == 1:
            return shared
        seed = torch.randint(2**62, (), generator=shared, device=shared.device)
        return torch.Generator(shared.device).manual_seed(int(seed) + self.rank)

    def on_first(self, function: Callable[[], T]) -> T:
        """Call a function only in the first process; all processes get its result, or end if it raises."""
        if self.size == 1:
            return function()
        outcome: list[Any] = [None, True]  # what the function returned, and whether it failed
        try:
            if self.is_first:
                outcome = [function(), False]
        except BaseException:
            with suppress(EndedElsewhereError):
                self._share(outcome)
            raise
        self._share(outcome)
        value, failed = outcome
        if failed:
            raise EndedElsewhereError("the first process of this run failed")
        return cast(T, value)

    def _share(self, values: list[Any]) -> None:
        """Give the first process's values to the others."""
        with _named_failures():
            dist.broadcast_object_list(values)

    def broadcast(self, number: float) -> float:
        """The number in the first process."""
        return self.on_first(lambda: number)

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in any process."""
        set_in = torch.tensor(float(flag))
        self.sum(set_in)
        return bool(set_in > 0)

    def sum(self, *tensors: Tensor) -> None:
        """Sum each of these tensors over all processes, in place; they share one type and one device."""
        if self.size == 1:
            return
        together = parameters_to_vector(tensors)
        with _named_failures():
            dist.all_reduce(together)
        vector_to_parameters(together, tensors)

    def gather(self, rows: Tensor) -> Tensor:
        """The rows, (rows, ...), of all processes in order, on the CPU; only the first process gets them all."""
        rows = rows.cpu()
        if self.size == 1:
            return rows
        parts: list[Tensor] | None = [rows] * self.size if self.is_first else None
        with _named_failures():
            dist.gather_object(rows, parts)
        return torch.cat(parts) if parts else rows


ALONE = Processes()
"""A process that trains by itself."""


@contextmanager
def joined_processes(device: Device) -> Iterator[Processes]:
    """Join the processes that a launcher started, within the context; without a launcher there is only this one.

    On GPUs, each process gets one of its own.

    Raises LstmgenError if the other processes cannot be reached.
    """
    rank, size = (_number(_RANK), _number(_SIZE)) if _is_launched() else (0, 1)
    if size == 1:
        yield ALONE
        return
    if not dist.is_available():
        raise LstmgenError("this build of torch cannot train in several processes; start without torchrun")
    on_gpu = device is not Device.CPU and torch.cuda.is_available() and dist.is_nccl_available()
    if on_gpu:
        torch.cuda.set_device(_number(_LOCAL_RANK) % torch.cuda.device_count())
    backend = "cpu:gloo,cuda:nccl" if on_gpu else "gloo"
    with _named_failures():
        if (store := _launcher_store()) is None:
            dist.init_process_group(backend)
        else:
            # Restarted processes would find the addresses of their predecessors in the launcher's store.
            attempt = f"lstmgen/{_number('TORCHELASTIC_RESTART_COUNT')}/{size}"
            own_store = dist.PrefixStore(attempt, store)  # type: ignore[attr-defined]  # not in the types of every build of torch
            dist.init_process_group(backend, store=own_store, rank=rank, world_size=size)
    try:
        yield Processes(rank, size)
    finally:
        dist.destroy_process_group()


def remember_run(folder: Path) -> None:
    """Tell the launcher which run this is, so that restarted processes continue it."""
    if (store := _launcher_store()) is not None:
        store.set(_RUN_KEY, str(folder))


def remembered_run() -> Path | None:
    """The run of the processes that these replace; None: there were none, or the run is not known."""
    store = _launcher_store()
    return Path(store.get(_RUN_KEY).decode()) if store is not None and store.check([_RUN_KEY]) else None


def _launcher_store() -> Any:
    """The launcher's store, which survives restarts of processes; None: this launcher has none."""
    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True" or not _is_launched():
        return None
    with _named_failures():
        return dist.TCPStore(os.environ["MASTER_ADDR"], _number("MASTER_PORT"), is_master=False)  # type: ignore[attr-defined]  # not in the types of every build of torch


def _is_launched() -> bool:
    return all(name in os.environ for name in _LAUNCHED)


def _number(name: str) -> int:
    """A number from the environment; raises LstmgenError if the value is not a number."""
    value = os.environ.get(name, "0")
    if not value.isdecimal() or len(value) > _MAX_DIGITS:
        raise LstmgenError(f"the environment variable {name} is {value!r}, not a number; start with torchrun")
    return int(value)


@contextmanager
def _named_failures() -> Iterator[None]:
    """Raise an understandable error if another process cannot be reached."""
    try:
        yield
    except RuntimeError as error:
        raise EndedElsewhereError(
            "another process of this run has ended or cannot be reached; `resume` continues from the last save"
        ) from error
