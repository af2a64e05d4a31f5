"""What is learned from a memory: how that stands, asking for it, and taking it back. Learning itself is the trainer's.

Every function is about one owner that the actor may see: themselves, or the server they are on. On a server it is for
who governs it, and the audit log says who it was.
"""

from __future__ import annotations

import asyncpg

from bot.service import permissions
from bot.service.app import Actor, App
from bot.service.reports import Learning, StopReason
from db import adapters, job_queue, servers, training
from db.pool import viewing
from db.training import RunState
from db.types import OwnerId


async def learning_of(app: App, connection: asyncpg.Connection, owner: OwnerId) -> Learning:
    """Return how learning from a memory stands."""
    run = await training.latest_run(connection, owner)
    runs = run is not None and run.state is RunState.RUNNING
    return Learning(
        run=run,
        waits=not runs and await job_queue.training_waits(connection, owner),
        history=tuple(await adapters.history(connection, owner)),
        usable=(await training.changes_since_last_run(connection, owner)).total if run is None else None,
        needed=app.min_concepts_to_train,
    )


async def look(app: App, actor: Actor, owner: OwnerId) -> Learning:
    """Return how learning from a memory stands, in a transaction of its own."""
    permissions.check_looks_after(actor, owner)
    async with permissions.looking(app, actor) as connection:
        return await learning_of(app, connection, owner)


async def learn_now(app: App, actor: Actor, owner: OwnerId) -> None:
    """Ask the trainer to learn from a memory before it is its turn. Raises NotAllowedError and RateLimitedError."""
    permissions.check_looks_after(actor, owner)
    async with viewing(app.pool, actor.viewer) as connection:
        await permissions.check_may_learn(connection, actor, owner)
        await permissions.count_learning(connection, owner)
        await job_queue.ask_for_training(connection, owner)
        await _note(connection, actor, owner, "asked to learn now")


async def roll_back(app: App, actor: Actor, owner: OwnerId) -> None:
    """Let what was learned before the last time answer again. Raises NothingToRollBackError."""
    permissions.check_looks_after(actor, owner)
    async with permissions.changing(app, actor) as connection:
        await adapters.roll_back(connection, owner, actor.user_id)
        await _note(connection, actor, owner, "rolled back what was learned")


async def turn_off(app: App, actor: Actor, owner: OwnerId) -> None:
    """Let the base model answer."""
    permissions.check_looks_after(actor, owner)
    async with permissions.changing(app, actor) as connection:
        await adapters.disable(connection, owner, actor.user_id)
        await _note(connection, actor, owner, "turned off what was learned")


async def stop(connection: asyncpg.Connection, owner: OwnerId, reason: StopReason) -> None:
    """Stop a run that goes on, and forget one that was asked for."""
    await job_queue.forget_training(connection, owner)
    run = await training.latest_run(connection, owner)
    if run is not None:
        await training.finish_run(connection, owner, run.run_id, RunState.STOPPED, None, reason)


async def _note(connection: asyncpg.Connection, actor: Actor, owner: OwnerId, action: str) -> None:
    if owner != actor.personal_memory:
        await servers.note(connection, owner, actor.user_id, action)
