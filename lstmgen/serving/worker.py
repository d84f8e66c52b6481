"""The worker that owns the shared batch: which job has rows in it, which one waits, and who gets what was written.

The batch is stepped in a thread, in bursts of a few milliseconds. Between two bursts the event loop has it: jobs join
and leave, and what was written goes to those who wait for it. So no lock is needed.

A job whose reader does not keep up leaves the batch with its state, and joins again when the reader has caught up. So
memory does not grow, and others get its place. A job whose reader has gone leaves at once.

Knows: asyncio, jobs. Does not know: HTTP, characters or how text is drawn.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial

from lstmgen.network.architecture import NetworkState
from lstmgen.serving.batch import Job, Piece, Row, SharedBatch

BURST_SECONDS = 0.01
UNREAD_PIECES = 4096
"""As many pieces may wait for the reader of a job before the job leaves the batch."""


class BusyError(Exception):
    """As many jobs as the worker takes are open."""


class StoppedError(Exception):
    """The worker stops before the job is complete."""


class Ticket:
    """What the reader of a job holds."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.parked: tuple[Sequence[Row], NetworkState] | None = None
        """The rows and state of a job that has left the batch until its reader has caught up."""
        self.complete = False
        self.error: Exception | None = None
        self._arrived: list[Piece] = []
        self._event = asyncio.Event()

    @property
    def unread(self) -> int:
        """The number of pieces that wait for the reader."""
        return len(self._arrived)

    def deliver(self) -> None:
        """Hand over what the batch has written."""
        if self.job.written:
            self._arrived += self.job.written
            self.job.written = []
            self.complete = self.job.unfinished == 0
            self._event.set()

    def fail(self, error: Exception) -> None:
        """Let the reader's next call raise an error."""
        self.error = error
        self._event.set()

    async def take(self) -> list[Piece]:
        """Wait for the next pieces, at least one. Raises StoppedError, or the error that ended the batch."""
        while not self._arrived:
            if self.error is not None:
                raise self.error
            self._event.clear()
            await self._event.wait()
        pieces, self._arrived = self._arrived, []
        return pieces


class Worker:
    """Runs the jobs of all requests in one batch."""

    def __init__(self, batch: SharedBatch, *, places: int, max_jobs: int, report: Callable[[str], None]) -> None:
        """Prepare the worker.

        Args:
            batch: it belongs to the worker from now on.
            places: the maximum number of rows in the batch; no job may need more.
            max_jobs: the maximum number of open jobs, waiting ones included.
            report: takes one line about an error inside the batch.
        """
        self._batch = batch
        self._places = places
        self._max_jobs = max_jobs
        self._report = report
        self._tickets: dict[Job, Ticket] = {}
        self._waiting: deque[Ticket] = deque()
        self._leaving: list[Job] = []
        self._wake = asyncio.Event()
        self._interrupted = False
        self._stopped = False
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="batch")

    @property
    def open_jobs(self) -> int:
        """The number of jobs whose reader has not gone."""
        return len(self._tickets)

    @property
    def rows(self) -> int:
        """The number of rows in the batch."""
        return len(self._batch)

    @property
    def parked_jobs(self) -> int:
        """The number of jobs that have left the batch until their readers have caught up."""
        return sum(ticket.parked is not None for ticket in self._tickets.values())

    @asynccontextmanager
    async def write(self, job: Job) -> AsyncIterator["Reading"]:
        """Run a job for the length of the context; at its end the job is over, whether complete or not.

        Raises BusyError if too many jobs are open, and StoppedError if the worker stops.
        """
        if self._stopped:
            raise StoppedError
        if len(self._tickets) >= self._max_jobs:
            raise BusyError
        ticket = self._tickets[job] = Ticket(job)
        self._waiting.append(ticket)
        self._interrupt()
        try:
            yield Reading(self, ticket)
        finally:
            del self._tickets[job]
            if ticket in self._waiting:
                self._waiting.remove(ticket)
            elif not ticket.complete:
                self._leaving.append(job)
                self._interrupt()

    def resume(self, ticket: Ticket) -> None:
        """Let a job that has left the batch wait for its place again, before all others."""
        self._waiting.appendleft(ticket)
        self._interrupt()

    def stop(self) -> None:
        """Refuse new jobs; those that are open raise StoppedError when all that they have written was taken."""
        self._stopped = True
        for ticket in self._tickets.values():
            ticket.fail(StoppedError())
        self._interrupt()

    async def run(self) -> None:
        """Run jobs until `stop`."""
        loop = asyncio.get_running_loop()
        try:
            while not self._stopped:
                self._interrupted = False
                self._admit()
                if not len(self._batch):
                    self._wake.clear()
                    await self._wake.wait()
                    continue
                enough = partial(self._enough, time.monotonic() + BURST_SECONDS)
                try:
                    await loop.run_in_executor(self._thread, self._batch.run, enough)
                except Exception as error:  # whatever it is, the server goes on
                    self._fail_all(error)
                self._hand_out()
        finally:
            self._thread.shutdown(wait=True)

    def _enough(self, deadline: float) -> bool:
        return self._interrupted or time.monotonic() >= deadline

    def _interrupt(self) -> None:
        """End the burst soon, or the wait for work now."""
        self._interrupted = True
        self._wake.set()

    def _admit(self) -> None:
        """Let jobs leave that are over, and waiting ones join, in their order, as far as there are places."""
        for job in self._leaving:
            self._batch.remove(job)
        self._leaving.clear()
        free = self._places - self._batch.places
        while self._waiting:
            ticket = self._waiting[0]
            needed = ticket.job.places if ticket.parked is None else sum(row.places for row in ticket.parked[0])
            if needed > free:
                return
            free -= needed
            if ticket.parked is None:
                self._batch.begin(ticket.job)
            else:
                self._batch.join(*ticket.parked)
                ticket.parked = None
            self._waiting.popleft()

    def _hand_out(self) -> None:
        """Give what was written to the readers; a job that nobody reads leaves the batch for some time."""
        for job, ticket in self._tickets.items():
            ticket.deliver()
            if ticket.unread > UNREAD_PIECES and ticket.parked is None and not ticket.complete:
                rows, state = self._batch.remove(job)
                if rows:
                    ticket.parked = (rows, state)

    def _fail_all(self, error: Exception) -> None:
        self._report(f"{type(error).__name__} while writing: {error}")
        for job in self._batch.jobs:
            if job in self._tickets:
                self._tickets[job].fail(error)
        self._batch.clear()


class Reading:
    """Yields the pieces of a job in groups, as they come, until it is complete."""

    def __init__(self, worker: Worker, ticket: Ticket) -> None:
        self._worker = worker
        self._ticket = ticket

    async def pieces(self) -> AsyncIterator[list[Piece]]:
        """The next pieces, at least one each time. Raises StoppedError, or the error that ended the batch."""
        while not (self._ticket.complete and self._ticket.unread == 0):
            if self._ticket.parked is not None and self._ticket.unread == 0:
                self._worker.resume(self._ticket)
            yield await self._ticket.take()
