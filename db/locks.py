"""Advisory locks: who may not do what at the same moment, and in which order locks are taken.

All of them are held to the end of the transaction, so nobody has to give one back.

The order is: people before memories, and people by their number.

* Linking a person to a shared concept, and that person's objecting to it, have to wait for each other: otherwise each
  may look before the other is committed, and something stays linked that was objected to. Training on somebody's data
  and their withdrawing consent are such a pair, too. Both sides take the person's lock.
* Whoever objects or erases goes on from there into one server's memory after the other, and locks each. Somebody who
  held a memory and only then asked for the person (as the trigger ``keepsake_check_objection`` does by itself, when a
  linked concept is inserted) could wait for them while they wait for the memory: a deadlock. So whoever may link
  somebody asks for the person first; the trigger then finds the lock taken by its own transaction.
* Two people are linked in one transaction only by merging; sorted by number, two merges can't wait for each other.
* What moves from one memory to another locks both first, sorted by id.
* Erasing enters the servers sorted by id, for the same reason.
"""

from __future__ import annotations

import asyncpg

from db.types import OwnerId

LOCK_MEMORY = "SELECT pg_advisory_xact_lock(hashtextextended('keepsake memory of ' || $1, 0))"

# The trigger keepsake_check_objection takes the very same lock: the words have to be these.
LOCK_PERSON = "SELECT pg_advisory_xact_lock(hashtextextended('keepsake person ' || $1::bigint, 0))"

LOCK_MIGRATIONS = "SELECT pg_advisory_xact_lock(hashtext('keepsake migrations'))"
"""Of several processes that start at once, one migrates and the others find it done."""

LOCK_APP_ROLE = "SELECT pg_advisory_xact_lock(hashtext('keepsake app role'))"
"""Roles belong to the whole cluster: two that alter one at a time fail with “tuple concurrently updated”."""


async def lock_people(connection: asyncpg.Connection, *user_ids: int | None) -> None:
    """Make sure that none of these people objects or withdraws consent meanwhile; None is nobody."""
    for user_id in sorted({number for number in user_ids if number is not None}):
        await connection.execute(LOCK_PERSON, user_id)


async def lock_memories(connection: asyncpg.Connection, *owner_ids: OwnerId) -> None:
    """Lock several owners' writes, in one order: two who move something to and fro don't wait for each other."""
    for owner_id in sorted(set(owner_ids)):
        await lock_memory(connection, owner_id)


async def lock_memory(connection: asyncpg.Connection, owner_id: OwnerId) -> None:
    """Let an owner's writes go one after the other.

    Forgetting must not drop a picture that another reference, stored in the same moment, is about to use.
    """
    await connection.execute(LOCK_MEMORY, owner_id)
