"""What is learned from a memory: how that stands, asking for it, and taking it back. Learning itself is the trainer's.

Every function is about one owner that the viewer may see: the viewer, or the server they are on. On a server it is for
who governs it, and the audit log says who it was.
"""

from __future__ import annotations

import asyncpg

from bot.service import permissions
from bot.service.reports import Learning, StopReason
from db import adapters, job_queue, servers, training
from db.pool import viewing
from db.training import RunState
from db.types import OwnerId, Viewer


async def learning_of(connection: asyncpg.Connection, owner: OwnerId) -> Learning:
    """Return how learning from a memory stands."""
    run = await training.latest_run(connection, owner)
    runs = run is not None and run.state is RunState.RUNNING
    return Learning(
        run,
        not runs and await job_queue.training_waits(connection, owner),
        tuple(await adapters.history(connection, owner)),
        (await training.changes_since_last_run(connection, owner)).total if run is None else None,
    )


async def look(pool: asyncpg.Pool, viewer: Viewer, owner: OwnerId) -> Learning:
    """Return how learning from a memory stands, in a transaction of its own."""
    async with viewing(pool, viewer) as connection:
        return await learning_of(connection, owner)


async def learn_now(pool: asyncpg.Pool, viewer: Viewer, owner: OwnerId) -> None:
    """Ask the trainer to learn from a memory before it is its turn. Raises NotAllowedError and RateLimitedError."""
    async with viewing(pool, viewer) as connection:
        await permissions.check_may_learn(connection, viewer, owner)
        await permissions.count_learning(connection, owner)
        await job_queue.ask_for_training(connection, owner)
        await _note(connection, viewer, owner, "asked to learn now")


async def roll_back(pool: asyncpg.Pool, viewer: Viewer, owner: OwnerId) -> None:
    """Let what was learned before the last time answer again. Raises NothingToRollBackError."""
    async with viewing(pool, viewer) as connection:
        await adapters.roll_back(connection, owner, viewer.user_id)
        await _note(connection, viewer, owner, "rolled back what was learned")


async def turn_off(pool: asyncpg.Pool, viewer: Viewer, owner: OwnerId) -> None:
    """Let the base model answer."""
    async with viewing(pool, viewer) as connection:
        await adapters.disable(connection, owner, viewer.user_id)
        await _note(connection, viewer, owner, "turned off what was learned")


async def stop(connection: asyncpg.Connection, owner: OwnerId, reason: StopReason) -> None:
    """Stop a run that goes on, and forget one that was asked for."""
    await job_queue.forget_training(connection, owner)
    run = await training.latest_run(connection, owner)
    if run is not None:
        await training.finish_run(connection, owner, run.run_id, RunState.STOPPED, None, reason)


async def _note(connection: asyncpg.Connection, viewer: Viewer, owner: OwnerId, action: str) -> None:
    if owner != viewer.personal:
        await servers.note(connection, owner, viewer.user_id, action)
