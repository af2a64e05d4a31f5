"""The trainer: takes trainings from the queue, one at a time, each in a process of its own.

A process of its own gives back all memory, can be killed when it takes too long, and can't take answers with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import procrastinate
from procrastinate import RetryStrategy

from db import training
from db.errors import DatabaseUnavailableError
from db.job_queue import (
    FORGET_CHECKPOINTS,
    FORGETTING,
    TRAINING,
    ask_for_training,
    open_queue,
    owners_in_training,
)
from db.pool import viewing, without_viewer
from db.setup.settings import CONNECTION_VARIABLES
from db.types import OwnerId, viewer_of
from model_worker.api.recipes import Recipe
from model_worker.api.settings import child_environment
from model_worker.finetune.jobs.schedule import owners_due
from model_worker.finetune.training.checkpoints import delete_all_but, delete_named

log = logging.getLogger("keepsake.trainer")

EVERY_TEN_MINUTES = "*/10 * * * *"
TRIES = 3
RETRY_SECONDS = 300
"""Long enough for memory that was short, or a database that was away, to be there again."""
BESIDE_TRAINING_SECONDS = 1800.0
"""What a training may take beside the steps: loading, evaluating, and waiting for answers."""
NOTHING_DONE = 3
"""Exit code of a training that there was nothing to do for, or that was told to stop: not to be tried again."""
PARENT_CHECK_SECONDS = 1.0
SECONDS_BETWEEN_SWEEPS = 600.0


class TrainingFailedError(Exception):
    """A training's process ended badly, or took too long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trainer:
    """Where a trainer works: ``folder`` keeps checkpoints, ``command`` begins a training (the owner is added).

    ``app_url`` is how the app, and so a training, reaches the memory.
    """

    app_url: str
    pool: asyncpg.Pool
    recipe: Recipe
    folder: Path
    command: Sequence[str]

    async def plan(self, now: datetime) -> list[OwnerId]:
        """Put what is due into the queue."""
        due = await owners_due(self.pool, self.recipe, now)
        for owner in due:
            async with viewing(self.pool, viewer_of(owner)) as connection:
                await ask_for_training(connection, owner)
        return due

    async def sweep(self) -> None:
        """Delete checkpoints that no training goes on from: nobody waits for one, or consents to it, any more."""
        consenting = set(await training.consenting_owners(self.pool))
        async with without_viewer(self.pool) as connection:
            waiting = [owner for owner in await owners_in_training(connection) if owner in consenting]
        await asyncio.to_thread(delete_all_but, self.folder, waiting)

    async def train(self, owner: OwnerId) -> None:
        """Train one owner's adapter in a process of its own. Raises TrainingFailedError."""
        environment = {
            "KEEPSAKE_APP_DATABASE_URL": self.app_url,
            "OMP_WAIT_POLICY": "PASSIVE",  # threads that wait leave the processor to answers
        }
        process = await asyncio.create_subprocess_exec(
            *self.command,
            owner,
            stdin=asyncio.subprocess.DEVNULL,
            env=child_environment(environment, [*CONNECTION_VARIABLES, "WORKER_URL", "KEEPSAKE_WORKER_TOKEN"]),
        )
        try:
            code = await asyncio.wait_for(process.wait(), self.recipe.max_seconds + BESIDE_TRAINING_SECONDS)
        except TimeoutError as error:
            raise TrainingFailedError(f"Training {owner} took too long.") from error
        finally:
            await _ended(process)
        if code not in {0, NOTHING_DONE}:
            raise TrainingFailedError(f"Training {owner} ended with {code}; the log says why.")


async def work(trainer: Trainer, *, with_parent: bool) -> None:
    """Take one job after the other until cancelled (with_parent: or until the parent process is gone)."""
    queue = make_queue(trainer)
    async with queue.open_async():
        worker = asyncio.create_task(
            queue.run_worker_async(
                queues=[TRAINING],
                install_signal_handlers=False,
                delete_jobs="always",
                shutdown_graceful_timeout=0.5,  # a training that is stopped goes on from its checkpoint
            )
        )
        forgetting = asyncio.create_task(
            queue.run_worker_async(queues=[FORGETTING], install_signal_handlers=False, delete_jobs="always")
        )
        beside = [
            asyncio.create_task(_sweep_now_and_then(trainer)),
            asyncio.create_task(_until_alone(os.getppid if with_parent else None)),
        ]
        try:
            await asyncio.wait({worker, forgetting, *beside}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (worker, forgetting, *beside):
                task.cancel()
            for task in (worker, forgetting):
                with contextlib.suppress(asyncio.CancelledError):
                    await task


def make_queue(trainer: Trainer) -> procrastinate.App:
    """Return the queue with the trainer's jobs: planning comes round by itself, trainings are asked for."""
    queue = open_queue(trainer.app_url)

    @queue.periodic(cron=EVERY_TEN_MINUTES)
    @queue.task(name="plan_trainings", queue=TRAINING, queueing_lock="plan_trainings")
    async def _plan(timestamp: int) -> None:
        try:
            await trainer.plan(datetime.now(UTC))
        except DatabaseUnavailableError as problem:
            log.warning("What is to be trained can't be seen now: %s", problem)  # the next round tries again

    @queue.task(name="train", queue=TRAINING, retry=RetryStrategy(max_attempts=TRIES, wait=RETRY_SECONDS))
    async def _train(owner_id: str) -> None:
        await trainer.train(OwnerId(owner_id))

    @queue.task(name=FORGET_CHECKPOINTS, queue=FORGETTING, retry=TRIES)
    async def _forget(folder: str) -> None:
        await asyncio.to_thread(delete_named, trainer.folder, folder)

    return queue


async def _sweep_now_and_then(trainer: Trainer) -> None:
    """Sweep this trainer's own disk: a job of the queue reaches one trainer, and there may be several."""
    while True:
        try:
            await trainer.sweep()
        except DatabaseUnavailableError as problem:
            log.warning("Whose checkpoints are still wanted can't be seen now: %s", problem)
        await asyncio.sleep(SECONDS_BETWEEN_SWEEPS)


async def _ended(process: asyncio.subprocess.Process) -> None:
    """Kill a process that still runs: a checkpoint is always whole, so nothing is lost but seconds."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _until_alone(parent: Callable[[], int] | None) -> None:
    if parent is None:
        await asyncio.Event().wait()
        return
    first = parent()
    while parent() == first:  # noqa: ASYNC110 (nothing tells of a parent that is gone)
        await asyncio.sleep(PARENT_CHECK_SECONDS)
