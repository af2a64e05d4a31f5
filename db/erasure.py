"""What is stored about a user, their consent, their objection, and deleting all of it."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import asyncpg
import psycopg

from db import servers
from db.concepts import WRITE_ALONE, lock_people
from db.errors import DatabaseSetupError
from db.job_queue import ask_for_training, forget_training
from db.maintenance import TAKE_CARE
from db.types import Erased, OwnerId, Stored, Viewer, user_owner

COUNT_STORED = """
    SELECT (SELECT count(*) FROM concept WHERE owner_id = $1) AS concepts,
           (SELECT count(*) FROM reference WHERE owner_id = $1) AS references,
           (SELECT count(*) FROM picture WHERE owner_id = $1) AS pictures,
           (SELECT coalesce(sum(octet_length(jpeg)), 0) FROM picture WHERE owner_id = $1)
             + (SELECT coalesce(sum(octet_length(jpeg)), 0) FROM answer WHERE owner_id = $1) AS picture_bytes,
           (SELECT count(*) FROM answer WHERE owner_id = $1) AS answers,
           (SELECT count(*) FROM correction WHERE owner_id = $1) AS corrections,
           (SELECT count(*) FROM set_aside WHERE owner_id = $1) AS forgotten,
           (SELECT count(*) FROM adapter WHERE owner_id = $1)
             + (SELECT count(*) FROM adapter WHERE owner_id LIKE 'server:%' AND $2 = ANY (saw_users)) AS adapters,
           (SELECT count(*) FROM concept WHERE owner_id LIKE 'server:%' AND created_by = $2) AS shared,
           (SELECT count(*) FROM concept WHERE owner_id LIKE 'server:%' AND linked_user = $2) AS linked
"""

MAY_TRAIN = "SELECT may_train FROM person WHERE owner_id = $1"

SET_MAY_TRAIN = """
    INSERT INTO person (owner_id, may_train) VALUES ($1, $2)
    ON CONFLICT (owner_id) DO UPDATE SET may_train = excluded.may_train, changed_at = now()
"""

CONSENTING = "SELECT owner_id FROM person WHERE owner_id = ANY ($1::text[]) AND may_train"

COUNT_CONSENTS = """
    SELECT (SELECT count(*) FROM person WHERE may_train),
           (SELECT count(*) FROM server WHERE trains AND left_at IS NULL)
"""

OBJECTS = "SELECT EXISTS (SELECT FROM objection WHERE user_id = $1)"

OBJECT = "INSERT INTO objection (user_id) VALUES ($1) ON CONFLICT DO NOTHING"

WITHDRAW = "DELETE FROM objection WHERE user_id = $1"

ERASE = "SELECT set_config('keepsake.erasing', $1, true)"

ENTER_SERVER = "SELECT set_config('keepsake.shared', $1, true)"

SERVERS_WITH_MINE = """
    SELECT owner_id FROM concept WHERE owner_id LIKE 'server:%' AND $1 IN (created_by, linked_user)
    UNION
    SELECT owner_id FROM reference WHERE owner_id LIKE 'server:%' AND created_by = $1
    UNION
    SELECT owner_id FROM set_aside
     WHERE owner_id LIKE 'server:%' AND (set_by = $1 OR linked_user = $1 OR people @> to_jsonb($1::bigint))
    UNION
    SELECT owner_id FROM audit WHERE actor = $1
    UNION
    SELECT owner_id FROM departure WHERE user_id = $1
    UNION
    SELECT owner_id FROM adapter WHERE owner_id LIKE 'server:%' AND $1 = ANY (saw_users)
    UNION
    SELECT owner_id FROM promotion WHERE owner_id LIKE 'server:%' AND actor = $1
"""

SERVERS_WITH_ME = """
    SELECT owner_id FROM concept WHERE owner_id LIKE 'server:%' AND linked_user = $1
    UNION
    SELECT owner_id FROM set_aside WHERE owner_id LIKE 'server:%' AND linked_user = $1
"""

SERVERS_TRAINED_ON_ME = "SELECT DISTINCT owner_id FROM adapter WHERE owner_id LIKE 'server:%' AND $1 = ANY (saw_users)"

THAT_TRAIN = """
    SELECT owner_id
      FROM server
     WHERE owner_id = ANY ($1::text[]) AND trains AND left_at IS NULL
     ORDER BY owner_id
"""

OF_TRAINING = ("promotion", "adapter", "training_run")

OF_A_USER = (*OF_TRAINING, "correction", "sighting", "answer", "embedding", "reference", "concept", "picture")
"""The tables of a user's memory, in an order in which the numbers of a receipt are all counted."""

REST_OF_A_USER = ("set_aside", "person", "rate", "embedding_use")

DELETE_JOBS = """
    DELETE FROM procrastinate_jobs
     WHERE args ->> 'owner_id' = $1 AND status <> 'doing'
"""


async def stored(connection: asyncpg.Connection, viewer: Viewer) -> Stored:
    """Return what is stored about the viewer, in every server, too."""
    async with connection.transaction():
        await connection.execute(ERASE, "on")
        row = await connection.fetchrow(COUNT_STORED, viewer.personal, viewer.user_id)
        await connection.execute(ERASE, "")
    return Stored(**dict(row))


async def may_train(connection: asyncpg.Connection, viewer: Viewer) -> bool:
    """Whether the viewer consented to being trained on; nobody has unless they said so."""
    return bool(await connection.fetchval(MAY_TRAIN, viewer.personal))


async def consenting(connection: asyncpg.Connection, user_ids: Collection[int]) -> frozenset[int]:
    """Return which of these users consented to being trained on."""
    await connection.execute(servers.TAKE_CARE, "on")
    rows = await connection.fetch(CONSENTING, [user_owner(user_id) for user_id in user_ids])
    await connection.execute(servers.TAKE_CARE, "")
    return frozenset(int(row["owner_id"].removeprefix("user:")) for row in rows)


def count_consents(url: str) -> tuple[int, int]:
    """Return how many users consented to being trained on, and how many servers train; through any role's URL.

    Raises DatabaseSetupError when the database can't be asked.
    """
    try:
        with psycopg.connect(url, connect_timeout=10) as connection:
            connection.execute(TAKE_CARE)
            users, on_servers = connection.execute(COUNT_CONSENTS).fetchone() or (0, 0)
    except psycopg.Error as error:
        raise DatabaseSetupError(f"The database can't be asked: {' '.join(str(error).split())}") from error
    return users, on_servers


async def set_may_train(connection: asyncpg.Connection, viewer: Viewer, *, may: bool) -> list[OwnerId]:
    """Store the viewer's consent, or that it is withdrawn; then what was trained on their data is deleted at once.

    Returns the servers that lost an adapter by that; they are to be trained again, without the viewer's data.
    """
    async with connection.transaction():
        await lock_people(connection, viewer.user_id)
        await connection.execute(SET_MAY_TRAIN, viewer.personal, may)
        if may:
            return []
        trained = await _unlearn(connection, viewer)
        await _ask_to_train_again(connection, trained)
        return trained


async def objects(connection: asyncpg.Connection, user_id: int) -> bool:
    """Whether a user doesn't want to be in anybody's shared memory."""
    return bool(await connection.fetchval(OBJECTS, user_id))


async def object_to_sharing(connection: asyncpg.Connection, viewer: Viewer) -> int:
    """Store that the viewer doesn't want to be in shared memories, and delete them there; returns how many.

    From then on nothing linked to them can be shared anywhere.
    """
    async with connection.transaction():
        await lock_people(connection, viewer.user_id)
        await connection.execute(OBJECT, viewer.user_id)
        deleted = 0
        for owner_id in await _servers(connection, SERVERS_WITH_ME, viewer):
            await connection.execute(ENTER_SERVER, owner_id)
            deleted += await servers.forget_person(connection, owner_id, viewer.user_id)
        await connection.execute(ENTER_SERVER, viewer.server_memory or "")
    return deleted


async def withdraw_objection(connection: asyncpg.Connection, viewer: Viewer) -> None:
    """Let the viewer be in shared memories again."""
    await connection.execute(WITHDRAW, viewer.user_id)


async def erase(connection: asyncpg.Connection, viewer: Viewer) -> Erased:
    """Delete everything of the viewer, in one transaction: their memory, what they shared, what is linked to them.

    Only an objection stays: it has to go on holding until they withdraw it.
    """
    rows: dict[str, int] = {}
    async with connection.transaction():
        await lock_people(connection, viewer.user_id)
        mine = await _servers(connection, SERVERS_WITH_MINE, viewer)
        trained = await _servers(connection, SERVERS_TRAINED_ON_ME, viewer)
        rows["shared concepts"] = rows["shared adapters"] = 0
        for owner_id in mine:
            await connection.execute(ENTER_SERVER, owner_id)
            adapters = await servers.count_adapters(connection, owner_id)
            await servers.unlearn_member(connection, owner_id, viewer.user_id)
            rows["shared concepts"] += await servers.forget_member(connection, owner_id, viewer.user_id)
            rows["shared adapters"] += adapters - await servers.count_adapters(connection, owner_id)
        await connection.execute(ENTER_SERVER, viewer.server_memory or "")
        for table in (*OF_A_USER, *REST_OF_A_USER):
            rows[table] = await _delete_own(connection, table, viewer)
        rows["pending job"] = int((await connection.execute(DELETE_JOBS, viewer.personal)).removeprefix("DELETE "))
        await _ask_to_train_again(connection, trained)
    return Erased(rows, len(mine))


async def servers_with_mine(connection: asyncpg.Connection, viewer: Viewer) -> list[OwnerId]:
    """Return the servers that have something which the viewer made, or which is linked to them."""
    async with connection.transaction():
        return await _servers(connection, SERVERS_WITH_MINE, viewer)


async def _servers(connection: asyncpg.Connection, question: str, viewer: Viewer) -> list[OwnerId]:
    """Return the servers that have something of the viewer; each has to be entered to change it."""
    await connection.execute(ERASE, "on")
    found = [OwnerId(row["owner_id"]) for row in await connection.fetch(question, viewer.user_id)]
    await connection.execute(ERASE, "")
    return sorted(found)


async def _unlearn(connection: asyncpg.Connection, viewer: Viewer) -> list[OwnerId]:
    """Delete what was trained on the viewer's data, theirs and that of servers; returns the servers."""
    trained = await _servers(connection, SERVERS_TRAINED_ON_ME, viewer)
    for owner_id in trained:
        await connection.execute(ENTER_SERVER, owner_id)
        await servers.unlearn_member(connection, owner_id, viewer.user_id)
    await connection.execute(ENTER_SERVER, viewer.server_memory or "")
    await connection.execute(WRITE_ALONE, viewer.personal)
    for table in OF_TRAINING:
        await _delete_own(connection, table, viewer)
    await forget_training(connection, viewer.personal)
    return trained


async def _ask_to_train_again(connection: asyncpg.Connection, trained: Sequence[OwnerId]) -> None:
    """Ask for a training of those servers that train (still)."""
    await connection.execute(servers.TAKE_CARE, "on")
    rows = await connection.fetch(THAT_TRAIN, trained)
    await connection.execute(servers.TAKE_CARE, "")
    for row in rows:
        await ask_for_training(connection, OwnerId(row["owner_id"]))


async def _delete_own(connection: asyncpg.Connection, table: str, viewer: Viewer) -> int:
    done = await connection.execute(f"DELETE FROM {table} WHERE owner_id = $1", viewer.personal)  # noqa: S608 (ours)
    return int(done.removeprefix("DELETE "))
