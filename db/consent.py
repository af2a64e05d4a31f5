"""What people allow: being trained on, which nobody has to, and being in shared memories, which anybody may refuse."""

from __future__ import annotations

from collections.abc import Collection

import asyncpg

from db.footprint import memories_with_copies, servers_linked_to
from db.locks import lock_people
from db.pool import as_caretaker, connected_as_caretaker, entering
from db.purging import forget_copies, forget_person
from db.types import InPublic, OwnerId, Viewer, user_owner
from db.unlearning import ask_to_train_again, unlearn

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

IN_PUBLIC = "SELECT in_public FROM person WHERE owner_id = $1"

SET_IN_PUBLIC = """
    INSERT INTO person (owner_id, in_public) VALUES ($1, $2)
    ON CONFLICT (owner_id) DO UPDATE SET in_public = excluded.in_public, changed_at = now()
"""

OBJECTS = "SELECT EXISTS (SELECT FROM objection WHERE user_id = $1)"

OBJECT = "INSERT INTO objection (user_id) VALUES ($1) ON CONFLICT DO NOTHING"

WITHDRAW = "DELETE FROM objection WHERE user_id = $1"


async def may_train(connection: asyncpg.Connection, viewer: Viewer) -> bool:
    """Whether the viewer consented to being trained on; nobody has unless they said so."""
    return bool(await connection.fetchval(MAY_TRAIN, viewer.personal))


async def consenting(connection: asyncpg.Connection, user_ids: Collection[int]) -> frozenset[int]:
    """Return which of these users consented to being trained on."""
    async with as_caretaker(connection):
        rows = await connection.fetch(CONSENTING, [user_owner(user_id) for user_id in user_ids])
    return frozenset(int(row["owner_id"].removeprefix("user:")) for row in rows)


def count_consents(url: str) -> tuple[int, int]:
    """Return how many users consented to being trained on, and how many servers train; through any role's URL.

    Raises DatabaseSetupError when the database can't be asked.
    """
    with connected_as_caretaker(url) as connection:
        users, on_servers = connection.execute(COUNT_CONSENTS).fetchone() or (0, 0)
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
        trained = await unlearn(connection, viewer)
        await ask_to_train_again(connection, trained)
        return trained


async def in_public(connection: asyncpg.Connection, viewer: Viewer) -> InPublic:
    """Return what may be said of the viewer's own memory where others can read; names, unless they chose."""
    return InPublic(await connection.fetchval(IN_PUBLIC, viewer.personal) or InPublic.NAMES)


async def set_in_public(connection: asyncpg.Connection, viewer: Viewer, choice: InPublic) -> None:
    """Store what may be said of the viewer's own memory where others can read."""
    await connection.execute(SET_IN_PUBLIC, viewer.personal, choice.value)


async def objects(connection: asyncpg.Connection, user_id: int) -> bool:
    """Whether a user doesn't want to be in anybody's shared memory."""
    return bool(await connection.fetchval(OBJECTS, user_id))


async def object_to_sharing(connection: asyncpg.Connection, viewer: Viewer) -> int:
    """Store that the viewer doesn't want to be in shared memories, and delete them there; returns how many concepts.

    From then on nothing linked to them can be shared anywhere. The pictures of their messages that others keep go, too,
    and nobody can take another one.
    """
    async with connection.transaction():
        await lock_people(connection, viewer.user_id)
        await connection.execute(OBJECT, viewer.user_id)
        deleted = 0
        linked = await servers_linked_to(connection, viewer)
        for memory in sorted({*linked, *await memories_with_copies(connection, viewer)}):
            async with entering(connection, memory):
                await forget_copies(connection, memory, viewer.user_id)
                if memory in linked:
                    deleted += await forget_person(connection, memory, viewer.user_id)
    return deleted


async def withdraw_objection(connection: asyncpg.Connection, viewer: Viewer) -> None:
    """Let the viewer be in shared memories again."""
    await connection.execute(WITHDRAW, viewer.user_id)
