"""Unlearning: deleting what was trained on somebody's data, and asking for it to be trained again without."""

from __future__ import annotations

from collections.abc import Sequence

import asyncpg

from db.footprint import servers_trained_on
from db.job_queue import ask_for_training, ask_to_forget_checkpoints, forget_training, was_trained
from db.locks import lock_memory
from db.pool import as_caretaker, entering
from db.types import OwnerId, Viewer

COUNT_ADAPTERS = "SELECT count(*) FROM adapter WHERE owner_id = $1"

DELETE_ADAPTERS_OF_MEMBER = "DELETE FROM adapter WHERE owner_id = $1 AND $2 = ANY (saw_users)"

WITHDRAW_RUNS = "SELECT keepsake_withdraw_runs($1, '-infinity')"

THAT_TRAIN = """
    SELECT owner_id
      FROM server
     WHERE owner_id = ANY ($1::text[]) AND trains AND left_at IS NULL
     ORDER BY owner_id
"""

OF_TRAINING = ("promotion", "adapter", "training_run")
"""The tables of what was learned from a memory, in an order in which the numbers of a receipt are all counted."""


async def unlearn(connection: asyncpg.Connection, viewer: Viewer) -> list[OwnerId]:
    """Delete what was trained on the viewer's data, theirs and that of servers; returns the servers.

    The caller holds the viewer's own lock: no training of their data can be stored meanwhile.
    """
    trained = await servers_trained_on(connection, viewer)
    for server in trained:
        async with entering(connection, server):
            await unlearn_member(connection, server, viewer.user_id)
    await lock_memory(connection, viewer.personal)
    learned_by = [viewer.personal] if await was_trained(connection, viewer.personal) else []
    for table in OF_TRAINING:
        await connection.execute(f"DELETE FROM {table} WHERE owner_id = $1", viewer.personal)  # noqa: S608 (ours)
    await forget_training(connection, viewer.personal)
    await ask_to_forget_checkpoints(connection, [*learned_by, *trained])
    return trained


async def unlearn_member(connection: asyncpg.Connection, owner_id: OwnerId, user_id: int) -> None:
    """Delete a server's adapters that were trained on what is a member's, and what was reported about them."""
    async with connection.transaction():
        await lock_memory(connection, owner_id)
        done = await connection.execute(DELETE_ADAPTERS_OF_MEMBER, owner_id, user_id)
        if done != "DELETE 0":
            await connection.execute(WITHDRAW_RUNS, owner_id)


async def count_adapters(connection: asyncpg.Connection, owner_id: OwnerId) -> int:
    """Return how many adapters a server has."""
    return int(await connection.fetchval(COUNT_ADAPTERS, owner_id))


async def ask_to_train_again(connection: asyncpg.Connection, trained: Sequence[OwnerId]) -> None:
    """Ask for a training of those of these servers that train (still)."""
    async with as_caretaker(connection):
        rows = await connection.fetch(THAT_TRAIN, trained)
    for row in rows:
        await ask_for_training(connection, OwnerId(row["owner_id"]))
