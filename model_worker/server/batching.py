"""Work for one model: what waits together is done together, in one thread; too much waiting is refused."""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class Busy(Exception):  # noqa: N818 (it says what is the matter)
    """Too much waits already; ``seconds`` is when to try again."""

    def __init__(self, seconds: int) -> None:
        super().__init__(f"I'm busy; try again in {seconds} s.")
        self.seconds = seconds


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
    largest : int
        Items a batch.
    most_waiting : int
        More than these are refused with `Busy`.

    """

    def __init__(self, work: Callable[[Sequence[Item]], Sequence[Result]], largest: int, most_waiting: int) -> None:
        self._work = work
        self._largest = largest
        self._most_waiting = most_waiting
        self._waiting: deque[Job[Item, Result]] = deque()
        self._thread = ThreadPoolExecutor(1)
        self._runner: asyncio.Task[None] | None = None
        self._seconds_a_batch = 1.0

    @property
    def waiting(self) -> int:
        """How many items wait."""
        return len(self._waiting)

    async def do(self, item: Item) -> Result:
        """Wait for an item's result. Raises Busy, and whatever the work raised."""
        if len(self._waiting) >= self._most_waiting:
            raise Busy(self.seconds_to_wait())
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
        return max(1, math.ceil(len(self._waiting) / self._largest * self._seconds_a_batch))

    def close(self) -> None:
        """Let the thread end after its batch."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(self._largest, len(self._waiting)))]
            started = time.monotonic()
            try:
                results = await loop.run_in_executor(self._thread, self._work, [job.item for job in batch])
            except Exception as error:
                _fail(batch, error)
            else:
                for job, result in zip(batch, results, strict=True):
                    if not job.result.done():
                        job.result.set_result(result)
            self._seconds_a_batch = 0.7 * self._seconds_a_batch + 0.3 * (time.monotonic() - started)


def _fail(batch: Sequence[Job[Item, Result]], error: Exception) -> None:
    for job in batch:
        if not job.result.done():
            job.result.set_exception(error)
