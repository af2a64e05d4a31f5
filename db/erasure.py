"""Erasure: deleting everything of a user, in their own memory and in those of servers."""

from __future__ import annotations

import asyncpg

from db.footprint import memories_with_copies, servers_trained_on, servers_with_mine, users_linked_to, users_with_mine
from db.job_queue import ask_to_forget_checkpoints, was_trained
from db.locks import lock_people
from db.pool import entering, opening_trash
from db.purging import forget_contributions, forget_copies, forget_member, unlink
from db.rows import count_of
from db.types import Erased, OwnerId, Viewer
from db.unlearning import OF_TRAINING, ask_to_train_again, count_adapters, unlearn_member

OF_A_USER = (*OF_TRAINING, "correction", "sighting", "answer", "embedding", "reference", "concept", "picture")
"""The tables of a user's memory, in an order in which the numbers of a receipt are all counted."""

REST_OF_A_USER = ("spoken", "person", "rate", "embedding_use")

DELETE_JOBS = """
    DELETE FROM procrastinate_jobs
     WHERE args ->> 'owner_id' = $1 AND status <> 'doing'
"""


async def erase(connection: asyncpg.Connection, viewer: Viewer) -> Erased:
    """Delete everything of the viewer, in one transaction: their memory, what they shared, what is linked to them.

    What they said, and the pictures of theirs and of their messages, go from others' memories, too.

    Only an objection stays: it has to go on holding until they withdraw it.
    """
    rows = dict.fromkeys(("shared concepts", "shared adapters", "copies of your pictures", "links to your account"), 0)
    async with connection.transaction():
        await lock_people(connection, viewer.user_id)
        mine = await servers_with_mine(connection, viewer)
        trained = await servers_trained_on(connection, viewer)
        learned_by = [viewer.personal] if await was_trained(connection, viewer.personal) else []
        kept_by = await users_with_mine(connection, viewer)
        linked_by = await users_linked_to(connection, viewer)
        for memory in sorted({*mine, *kept_by, *linked_by, *await memories_with_copies(connection, viewer)}):
            async with entering(connection, memory):
                rows["copies of your pictures"] += await forget_copies(connection, memory, viewer.user_id)
                if memory in linked_by:
                    rows["links to your account"] += await unlink(connection, memory, viewer.user_id)
                if memory in kept_by:
                    await forget_contributions(connection, memory, viewer.user_id)
                if memory in mine:
                    concepts, adapters = await _erase_in(connection, memory, viewer.user_id)
                    rows["shared concepts"] += concepts
                    rows["shared adapters"] += adapters
        async with opening_trash(connection):
            for table in (*OF_A_USER, *REST_OF_A_USER):
                rows[table] = await _delete_own(connection, table, viewer)
        rows["pending job"] = count_of(await connection.execute(DELETE_JOBS, viewer.personal))
        await ask_to_forget_checkpoints(connection, [*learned_by, *trained])
        await ask_to_train_again(connection, trained)
    return Erased(rows, len(mine))


async def _erase_in(connection: asyncpg.Connection, server: OwnerId, user_id: int) -> tuple[int, int]:
    """Delete what is a user's in the server that was entered; returns how many concepts, how many adapters."""
    adapters = await count_adapters(connection, server)
    await unlearn_member(connection, server, user_id)
    concepts = await forget_member(connection, server, user_id)
    return concepts, adapters - await count_adapters(connection, server)


async def _delete_own(connection: asyncpg.Connection, table: str, viewer: Viewer) -> int:
    statement = f"DELETE FROM {table} WHERE owner_id = $1"  # noqa: S608 (a name of ours)
    return count_of(await connection.execute(statement, viewer.personal))
