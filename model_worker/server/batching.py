"""Work for one model: what waits together is done together, in one thread; too much waiting is refused."""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

from model_worker.api.errors import WorkerBusyError

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(slots=True, eq=False)
class Job(Generic[Item, Result]):
    """One item that waits for its result."""

    item: Item
    result: asyncio.Future[Result]


class Batcher(Generic[Item, Result]):
    """Calls ``work`` on batches of what waits. ``work`` runs in a thread and returns a result an item.

    Parameters
    ----------
    work : Callable[[Sequence[Item]], Sequence[Result]]
        Blocking.
    max_batch : int
        Items a batch.
    max_waiting : int
        More than these are refused with `WorkerBusyError`.

    """

    def __init__(self, work: Callable[[Sequence[Item]], Sequence[Result]], max_batch: int, max_waiting: int) -> None:
        self._work = work
        self._max_batch = max_batch
        self._max_waiting = max_waiting
        self._waiting: deque[Job[Item, Result]] = deque()
        self._runner: asyncio.Task[None] | None = None
        self._seconds_a_batch = 1.0

    @property
    def waiting(self) -> int:
        """How many items wait."""
        return len(self._waiting)

    @property
    def at_work(self) -> bool:
        """Whether something waits, or is being done."""
        return self._runner is not None and not self._runner.done()

    async def do(self, item: Item) -> Result:
        """Wait for an item's result. Raises WorkerBusyError, and whatever the work raised."""
        if len(self._waiting) >= self._max_waiting:
            raise WorkerBusyError(self.seconds_to_wait())
        job: Job[Item, Result] = Job(item, asyncio.get_running_loop().create_future())
        self._waiting.append(job)
        if self._runner is None or self._runner.done():
            self._runner = asyncio.create_task(self._run())
        try:
            return await job.result
        finally:
            if job in self._waiting:
                self._waiting.remove(job)

    def seconds_to_wait(self) -> int:
        """Return how long what waits now will take."""
        return max(1, math.ceil(len(self._waiting) / self._max_batch * self._seconds_a_batch))

    async def _run(self) -> None:
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(self._max_batch, len(self._waiting)))]
            started = time.monotonic()
            try:
                items = [job.item for job in batch]
                results = await in_a_thread_that_ends(partial(self._work, items))
            except Exception as error:
                _fail(batch, error)
            else:
                for job, result in zip(batch, results, strict=True):
                    if not job.result.done():
                        job.result.set_result(result)
            self._seconds_a_batch = 0.7 * self._seconds_a_batch + 0.3 * (time.monotonic() - started)


async def in_a_thread_that_ends(work: Callable[[], Result]) -> Result:
    """Run something that computes in a thread of its own, which is gone afterwards.

    OpenMP counts the threads that ever computed and still live, and stops letting them spin while they wait as soon as
    they are more than processors: on 2 cores a second one makes perception take 115 ms instead of 70.
    """
    thread = ThreadPoolExecutor(1)
    try:
        return await asyncio.get_running_loop().run_in_executor(thread, work)
    finally:
        thread.shutdown(wait=False)


def _fail(batch: Sequence[Job[Item, Result]], error: Exception) -> None:
    for job in batch:
        if not job.result.done():
            job.result.set_exception(error)
