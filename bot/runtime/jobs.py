"""What has to be done from time to time, whether anybody asks or not: jobs in the queue, run by `keepsake up`.

Deletion is never left to a message that may get lost: what has to go carries its time, and a job that comes round
deletes what is due. A bot that was down for a week catches up with the first round.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Protocol

import asyncpg
import procrastinate
from procrastinate.exceptions import AlreadyEnqueued, UniqueViolation
from procrastinate.jobs import Status

from bot.service.app import App
from bot.service.governance import nobody_on
from bot.service.reindexing import memories_to_reindex, reindex_slice
from db import purging
from db.errors import DatabaseUnavailableError
from db.job_queue import DEFAULT, TRAIN, open_queue
from db.maintenance import KnownServer, delete_what_is_due, known_servers, vacuum
from db.membership import contributors, departed_for, mark_back, mark_departed, mark_left, mark_returned
from db.pool import viewing
from db.types import OwnerId
from model_worker.api.errors import WorkerBusyError, WorkerError, WorkerUnavailableError

log = logging.getLogger("keepsake.jobs")

GRACE = timedelta(days=30)
"""How long a server's memory outlives the bot's removal, and what a member shared their leaving."""
EVERY_MINUTE = "* * * * *"
EVERY_FIVE_MINUTES = "*/5 * * * *"
EVERY_NIGHT = "17 4 * * *"
IN_NO_HURRY = -10
STALLED_SECONDS = 120
MAX_TRIES = 3
"""Of a training whose process was killed."""


class Membership(Protocol):
    """What only Discord knows."""

    async def is_on(self, server_id: int) -> bool:
        """Whether the bot is a member of a server."""

    async def has_member(self, server_id: int, user_id: int) -> bool:
        """Whether a user is a member of a server that the bot is on."""


def make_queue(app_url: str, app: App, membership: Membership | None) -> procrastinate.App:
    """Return the queue with its jobs. ``membership`` is None where there is no Discord to ask.

    A job keeps the name it was first given: those that an older version queued have to be found.
    """
    queue = open_queue(app_url)
    _add_upkeep(queue, app.pool, membership)
    _add_reindexing(queue, app)
    return queue


def _add_upkeep(queue: procrastinate.App, pool: asyncpg.Pool, membership: Membership | None) -> None:
    @queue.periodic(cron=EVERY_FIVE_MINUTES)
    @queue.task(name="delete_what_is_due", queueing_lock="delete_what_is_due", retry=3)
    async def _delete(timestamp: int) -> None:
        await delete_what_is_due(pool)
        await retry_stalled(queue)

    @queue.periodic(cron=EVERY_NIGHT)
    @queue.task(name="look_after_servers", queueing_lock="look_after_servers", retry=3)
    async def _maintain_servers(timestamp: int) -> None:
        if membership is not None:
            await maintain_servers(pool, membership)
        await vacuum(pool)


def _add_reindexing(queue: procrastinate.App, app: App) -> None:
    @queue.task(name="move_memory", priority=IN_NO_HURRY)
    async def _reindex_memory(owner_id: str) -> None:
        try:
            is_done = await reindex_slice(app, OwnerId(owner_id))
        except (DatabaseUnavailableError, WorkerError) as problem:
            log.warning("The memory of %s can't be reindexed now: %s", owner_id, problem)  # the next round tries again
            return
        if not is_done:
            await reindex(owner_id)

    async def reindex(owner_id: str) -> None:
        with contextlib.suppress(AlreadyEnqueued):
            await _reindex_memory.configure(queueing_lock=f"move {owner_id}").defer_async(owner_id=owner_id)

    @queue.periodic(cron=EVERY_MINUTE)
    @queue.task(name="move_memories", queueing_lock="move_memories")
    async def _reindex_memories(timestamp: int) -> None:
        try:
            moves = await memories_to_reindex(app)
        except (DatabaseUnavailableError, WorkerUnavailableError, WorkerBusyError) as problem:
            log.warning("Whether memories have to be reindexed can't be seen now: %s", problem)
            return
        for move in moves:
            await reindex(move.owner_id)


async def retry_stalled(queue: procrastinate.App) -> None:
    """Delete jobs of processes that were killed: ours come round again by themselves, a training is put back."""
    for job in await queue.job_manager.get_stalled_jobs(seconds_since_heartbeat=STALLED_SECONDS):
        if job.task_name == TRAIN and job.attempts < MAX_TRIES:
            with contextlib.suppress(UniqueViolation):  # another one waits already
                await queue.job_manager.retry_job(job)
                continue
        await queue.job_manager.finish_job(job, Status.FAILED, delete_job=True)


@asynccontextmanager
async def running_jobs(queue: procrastinate.App) -> AsyncIterator[None]:
    """Run the queue's jobs for as long as the body runs; trainings are the trainer's."""
    async with queue.open_async():
        worker = asyncio.create_task(
            queue.run_worker_async(
                queues=[DEFAULT], install_signal_handlers=False, listen_notify=False, delete_jobs="always"
            )
        )
        try:
            yield
        finally:
            worker.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await worker


async def maintain_servers(pool: asyncpg.Pool, membership: Membership) -> None:
    """Let go of what belongs to servers that the bot left, and to members who left, after a time of grace."""
    for known in await known_servers(pool):
        if await membership.is_on(known.server_id):
            await _maintain_members(pool, membership, known)
        else:
            await _forget_if_left_long_ago(pool, known)


async def _forget_if_left_long_ago(pool: asyncpg.Pool, known: KnownServer) -> None:
    async with viewing(pool, nobody_on(known.server_id)) as connection:
        if known.left_at is None:
            await mark_left(connection, known.owner_id)
        elif datetime.now(UTC) - known.left_at >= GRACE:
            await purging.forget_server(connection, known.owner_id)
            log.info("The memory of a server is deleted: the bot left it %s ago", GRACE)


async def _maintain_members(pool: asyncpg.Pool, membership: Membership, known: KnownServer) -> None:
    nobody = nobody_on(known.server_id)
    async with viewing(pool, nobody) as connection:
        await mark_back(connection, known.owner_id)
        members = await contributors(connection, known.owner_id)
    for user_id in members:
        is_there = await membership.has_member(known.server_id, user_id)
        mark: Callable[..., Awaitable[None]] = mark_returned if is_there else mark_departed
        async with viewing(pool, nobody) as connection:
            await mark(connection, known.owner_id, user_id)
    async with viewing(pool, nobody) as connection:
        for user_id in await departed_for(connection, known.owner_id, GRACE):
            await purging.forget_member(connection, known.owner_id, user_id)
