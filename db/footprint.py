"""Where a user has left something: counts of what is stored about them, and the servers it is in."""

from __future__ import annotations

import asyncpg

from db.pool import erasing
from db.types import Linked, OwnerId, Stored, Viewer

COUNT_STORED = """
    SELECT (SELECT count(*) FROM concept WHERE owner_id = $1 AND forgotten_at IS NULL) AS concepts,
           (SELECT count(*) FROM reference WHERE owner_id = $1 AND NOT is_forgotten) AS references,
           (SELECT count(*) FROM picture WHERE owner_id = $1) AS pictures,
           (SELECT coalesce(sum(octet_length(jpeg)), 0) FROM picture WHERE owner_id = $1)
             + (SELECT coalesce(sum(octet_length(jpeg)), 0) FROM answer WHERE owner_id = $1) AS picture_bytes,
           (SELECT count(*) FROM answer WHERE owner_id = $1) AS answers,
           (SELECT count(*) FROM correction WHERE owner_id = $1) AS corrections,
           (SELECT count(*) FROM concept WHERE owner_id = $1 AND forgotten_at IS NOT NULL) AS forgotten,
           (SELECT count(*) FROM adapter WHERE owner_id = $1)
             + (SELECT count(*) FROM adapter WHERE owner_id LIKE 'server:%' AND $2 = ANY (saw_users)) AS adapters,
           (SELECT count(*) FROM concept WHERE owner_id LIKE 'server:%' AND created_by = $2
                                             AND forgotten_at IS NULL) AS shared,
           (SELECT count(*) FROM concept WHERE owner_id LIKE 'server:%' AND linked_user = $2
                                             AND forgotten_at IS NULL) AS linked,
           (SELECT count(*) FROM reference WHERE owner_id <> $1 AND source_author = $2) AS copies
"""

SERVERS_WITH_MINE = """
    SELECT owner_id FROM concept WHERE owner_id LIKE 'server:%' AND $1 IN (created_by, linked_user, forgotten_by)
    UNION
    SELECT owner_id FROM reference WHERE owner_id LIKE 'server:%' AND created_by = $1
    UNION
    SELECT owner_id FROM note WHERE owner_id LIKE 'server:%' AND author = $1
    UNION
    SELECT owner_id FROM proposal WHERE person = $1
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
    SELECT owner_id FROM proposal WHERE person = $1
"""

MEMORIES_WITH_COPIES = """
    SELECT owner_id FROM reference WHERE owner_id <> $2 AND source_author = $1
    UNION
    SELECT owner_id FROM answer WHERE owner_id <> $2 AND source_author = $1
"""

USERS_WITH_MINE = """
    SELECT owner_id FROM note WHERE owner_id LIKE 'user:%' AND owner_id <> $2 AND author = $1
    UNION
    SELECT owner_id FROM reference WHERE owner_id LIKE 'user:%' AND owner_id <> $2 AND created_by = $1
"""

# Of another's own memory nothing is read but where it is.
LINKED_TO_ME = """
    SELECT owner_id, concept_id, CASE WHEN owner_id LIKE 'server:%' THEN name ELSE '' END AS name
      FROM concept
     WHERE linked_user = $1 AND owner_id <> $2 AND forgotten_at IS NULL
     ORDER BY owner_id LIKE 'server:%' DESC, name, concept_id
"""

USERS_LINKED_TO_ME = """
    SELECT DISTINCT owner_id FROM concept WHERE owner_id LIKE 'user:%' AND linked_user = $1 AND owner_id <> $2
"""

SERVERS_TRAINED_ON_ME = "SELECT DISTINCT owner_id FROM adapter WHERE owner_id LIKE 'server:%' AND $1 = ANY (saw_users)"


async def stored(connection: asyncpg.Connection, viewer: Viewer) -> Stored:
    """Return what is stored about the viewer, in every server, too."""
    async with erasing(connection):
        row = await connection.fetchrow(COUNT_STORED, viewer.personal, viewer.user_id)
    return Stored(**dict(row))


async def servers_with_mine(connection: asyncpg.Connection, viewer: Viewer) -> list[OwnerId]:
    """Return the servers that have something which the viewer made, or which is linked to them; sorted."""
    return await _servers(connection, SERVERS_WITH_MINE, viewer)


async def servers_linked_to(connection: asyncpg.Connection, viewer: Viewer) -> list[OwnerId]:
    """Return the servers that have something which is linked to the viewer; sorted."""
    return await _servers(connection, SERVERS_WITH_ME, viewer)


async def memories_with_copies(connection: asyncpg.Connection, viewer: Viewer) -> list[OwnerId]:
    """Return the others, users and servers, who keep a picture of a message that the viewer wrote; sorted."""
    return await _memories(connection, MEMORIES_WITH_COPIES, viewer)


async def users_with_mine(connection: asyncpg.Connection, viewer: Viewer) -> list[OwnerId]:
    """Return the other users who keep what the viewer said or showed of a concept that was shared; sorted."""
    return await _memories(connection, USERS_WITH_MINE, viewer)


async def linked_to(connection: asyncpg.Connection, viewer: Viewer) -> list[Linked]:
    """Return what is linked to the viewer's account in others' memories, shared ones first."""
    async with erasing(connection):
        rows = await connection.fetch(LINKED_TO_ME, viewer.user_id, viewer.personal)
    return [Linked(OwnerId(row["owner_id"]), row["concept_id"], row["name"]) for row in rows]


async def users_linked_to(connection: asyncpg.Connection, viewer: Viewer) -> list[OwnerId]:
    """Return the other users who linked something of their own memory to the viewer's account; sorted."""
    return await _memories(connection, USERS_LINKED_TO_ME, viewer)


async def servers_trained_on(connection: asyncpg.Connection, viewer: Viewer) -> list[OwnerId]:
    """Return the servers that have an adapter which was trained on something of the viewer's; sorted."""
    return await _servers(connection, SERVERS_TRAINED_ON_ME, viewer)


async def _memories(connection: asyncpg.Connection, question: str, viewer: Viewer) -> list[OwnerId]:
    async with erasing(connection):
        rows = await connection.fetch(question, viewer.user_id, viewer.personal)
    return sorted(OwnerId(row["owner_id"]) for row in rows)


async def _servers(connection: asyncpg.Connection, question: str, viewer: Viewer) -> list[OwnerId]:
    async with erasing(connection):
        rows = await connection.fetch(question, viewer.user_id)
    return sorted(OwnerId(row["owner_id"]) for row in rows)
