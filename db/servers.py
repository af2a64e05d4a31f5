"""A server's memory as its admins govern it: settings, audit log, who left, purges."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

import asyncpg

from db.concepts import DELETE_UNUSED_PICTURES, WRITE_ALONE
from db.types import AuditEntry, OwnerId, ServerSettings, WhoMayShare

GET_SETTINGS = """
    SELECT who_may_share, sharing_roles, needs_approval, allowed_channels, denied_channels,
           max_per_member, max_per_server, retention_days, locked, trains, quiet_from, quiet_to
      FROM server
     WHERE owner_id = $1
"""

SET_SETTINGS = """
    INSERT INTO server (owner_id, who_may_share, sharing_roles, needs_approval, allowed_channels, denied_channels,
                        max_per_member, max_per_server, retention_days, locked, trains, quiet_from, quiet_to)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
    ON CONFLICT (owner_id) DO UPDATE
       SET who_may_share = excluded.who_may_share, sharing_roles = excluded.sharing_roles,
           needs_approval = excluded.needs_approval, allowed_channels = excluded.allowed_channels,
           denied_channels = excluded.denied_channels, max_per_member = excluded.max_per_member,
           max_per_server = excluded.max_per_server, retention_days = excluded.retention_days,
           locked = excluded.locked,
           trains = excluded.trains, quiet_from = excluded.quiet_from, quiet_to = excluded.quiet_to
"""

NOTE = "INSERT INTO audit (owner_id, actor, action, subject) VALUES ($1, $2, $3, $4)"

READ_AUDIT = """
    SELECT at, actor, action, subject
      FROM audit
     WHERE owner_id = $1
     ORDER BY audit_id DESC
     LIMIT $2 OFFSET $3
"""

COUNT_BY_MEMBER = "SELECT count(*) FROM concept WHERE owner_id = $1 AND created_by = $2"

CONTRIBUTORS = """
    SELECT created_by FROM concept WHERE owner_id = $1
    UNION
    SELECT created_by FROM reference WHERE owner_id = $1
"""

DELETE_LINKED = "DELETE FROM concept WHERE owner_id = $1 AND linked_user = $2 RETURNING concept_id"

DELETE_LINKED_PROPOSALS = "DELETE FROM set_aside WHERE owner_id = $1 AND linked_user = $2"

SHARED_BY = "SELECT concept_id FROM audit WHERE owner_id = $1 AND actor = $2 AND action = 'shared'"

# What is purged: all, one member's, or what is older. Of others' concepts a member's pictures go.
PURGE_CONCEPTS = """
    DELETE FROM concept
     WHERE owner_id = $1
       AND ($2::bigint IS NULL OR created_by = $2 OR linked_user = $2)
       AND ($3::timestamptz IS NULL OR greatest(created_at, updated_at, last_seen) < $3)
    RETURNING concept_id
"""

PURGE_REFERENCES = """
    DELETE FROM reference
     WHERE owner_id = $1 AND created_by = $2
"""

PURGE_PROPOSALS = """
    DELETE FROM set_aside
     WHERE owner_id = $1
       AND ($2::bigint IS NULL OR set_by = $2 OR linked_user = $2 OR people @> to_jsonb($2::bigint))
       AND ($3::timestamptz IS NULL OR created_at < $3)
"""

PICTURES = "SELECT picture_sha256 FROM picture WHERE owner_id = $1"

FORGET_SUBJECTS = "UPDATE audit SET subject = '' WHERE owner_id = $1 AND concept_id = ANY ($2::uuid[])"

NAMELESS_ACTOR = "UPDATE audit SET actor = 0 WHERE owner_id = $1 AND actor = $2"

NAMELESS_PROMOTER = "UPDATE promotion SET actor = 0 WHERE owner_id = $1 AND actor = $2"

COUNT_ADAPTERS = "SELECT count(*) FROM adapter WHERE owner_id = $1"

DELETE_ADAPTERS_OF_MEMBER = "DELETE FROM adapter WHERE owner_id = $1 AND $2 = ANY (saw_users)"

WITHDRAW_RUNS = "SELECT keepsake_withdraw_runs($1, '-infinity')"

TAKE_CARE = "SELECT set_config('keepsake.caretaker', $1, true)"

DELETE_ANSWERS = """
    DELETE FROM answer
     WHERE server_owner_id = $1
       AND ($2::text IS NULL OR owner_id = $2)
       AND ($3::timestamptz IS NULL OR created_at < $3)
"""

MARK_LEFT = """
    INSERT INTO server (owner_id, left_at) VALUES ($1, now())
    ON CONFLICT (owner_id) DO UPDATE SET left_at = coalesce(server.left_at, now())
"""

MARK_BACK = "UPDATE server SET left_at = NULL WHERE owner_id = $1"

MARK_DEPARTED = "INSERT INTO departure (owner_id, user_id) VALUES ($1, $2) ON CONFLICT DO NOTHING"

MARK_RETURNED = "DELETE FROM departure WHERE owner_id = $1 AND user_id = $2"

DEPARTED_BEFORE = "SELECT user_id FROM departure WHERE owner_id = $1 AND since < now() - $2::interval"

OF_A_SERVER = (
    *("promotion", "adapter", "training_run"),
    *("concept", "picture", "set_aside", "audit", "departure", "rate", "embedding_use", "server"),
)
"""The tables with rows of a server; references and embeddings go with their concepts."""


async def settings_of(connection: asyncpg.Connection, owner_id: OwnerId) -> ServerSettings:
    """Return how a server's memory is governed; the defaults when nobody said anything."""
    row = await connection.fetchrow(GET_SETTINGS, owner_id)
    if row is None:
        return ServerSettings()
    return ServerSettings(
        who_may_share=WhoMayShare(row["who_may_share"]),
        sharing_roles=tuple(row["sharing_roles"]),
        needs_approval=row["needs_approval"],
        allowed_channels=tuple(row["allowed_channels"]),
        denied_channels=tuple(row["denied_channels"]),
        max_per_member=row["max_per_member"],
        max_per_server=row["max_per_server"],
        retention_days=row["retention_days"],
        locked=row["locked"],
        trains=row["trains"],
        quiet_from=row["quiet_from"],
        quiet_to=row["quiet_to"],
    )


async def change_settings(
    connection: asyncpg.Connection, owner_id: OwnerId, actor: int, settings: ServerSettings, action: str
) -> None:
    """Store how a server's memory is governed, with a line in the audit log.

    A shorter retention holds for earlier answers, too.
    """
    async with connection.transaction():
        await connection.execute(
            SET_SETTINGS,
            owner_id,
            settings.who_may_share.value,
            list(settings.sharing_roles),
            settings.needs_approval,
            list(settings.allowed_channels),
            list(settings.denied_channels),
            settings.max_per_member,
            settings.max_per_server,
            settings.retention_days,
            settings.locked,
            settings.trains,
            settings.quiet_from,
            settings.quiet_to,
        )
        await connection.execute(NOTE, owner_id, actor, action, "")
        before = await connection.fetchval("SELECT now()") - timedelta(days=settings.retention_days)
        await _delete_answers(connection, owner_id, None, before)


async def note(connection: asyncpg.Connection, owner_id: OwnerId, actor: int, action: str, subject: str = "") -> None:
    """Write a line into a server's audit log; changes of concepts are written by the database itself."""
    await connection.execute(NOTE, owner_id, actor, action, subject)


async def audit_log(
    connection: asyncpg.Connection, owner_id: OwnerId, *, limit: int = 100, offset: int = 0
) -> list[AuditEntry]:
    """Return a page of a server's audit log, the latest first."""
    rows = await connection.fetch(READ_AUDIT, owner_id, limit, offset)
    return [AuditEntry(at=row["at"], actor=row["actor"], action=row["action"], subject=row["subject"]) for row in rows]


async def count_by_member(connection: asyncpg.Connection, owner_id: OwnerId, user_id: int) -> int:
    """Return how many concepts a member has in a server's memory."""
    return int(await connection.fetchval(COUNT_BY_MEMBER, owner_id, user_id))


async def contributors(connection: asyncpg.Connection, owner_id: OwnerId) -> list[int]:
    """Return the users who put something into a server's memory."""
    return sorted(row["created_by"] for row in await connection.fetch(CONTRIBUTORS, owner_id))


async def purge(
    connection: asyncpg.Connection,
    owner_id: OwnerId,
    *,
    member: int | None = None,
    before: datetime | None = None,
) -> int:
    """Delete a server's concepts and answers: all, one member's, or those nobody touched since; returns how many.

    Of a member it takes what they shared, what is linked to them, their pictures of others' concepts, their
    proposals, and the answers they were given on this server.
    """
    return len(await _purge(connection, owner_id, member, before))


async def _purge(
    connection: asyncpg.Connection, owner_id: OwnerId, member: int | None, before: datetime | None
) -> list[UUID]:
    async with connection.transaction():
        await connection.execute(WRITE_ALONE, owner_id)
        gone = [row["concept_id"] for row in await connection.fetch(PURGE_CONCEPTS, owner_id, member, before)]
        if member is not None:
            await connection.execute(PURGE_REFERENCES, owner_id, member)
        await connection.execute(PURGE_PROPOSALS, owner_id, member, before)
        await _delete_unused_pictures(connection, owner_id)
        await _delete_answers(connection, owner_id, member, before)
    return gone


async def forget_member(connection: asyncpg.Connection, owner_id: OwnerId, user_id: int) -> int:
    """Purge a member, and take their name and what they shared out of the logs; returns how many concepts."""
    async with connection.transaction():
        shared = [row["concept_id"] for row in await connection.fetch(SHARED_BY, owner_id, user_id)]
        gone = await _purge(connection, owner_id, user_id, None)
        await connection.execute(FORGET_SUBJECTS, owner_id, [*shared, *gone])
        await connection.execute(NAMELESS_ACTOR, owner_id, user_id)
        await connection.execute(NAMELESS_PROMOTER, owner_id, user_id)
        await connection.execute(MARK_RETURNED, owner_id, user_id)
    return len(gone)


async def unlearn_member(connection: asyncpg.Connection, owner_id: OwnerId, user_id: int) -> None:
    """Delete a server's adapters that were trained on what is a member's, and what was reported about them."""
    async with connection.transaction():
        await connection.execute(WRITE_ALONE, owner_id)
        done = await connection.execute(DELETE_ADAPTERS_OF_MEMBER, owner_id, user_id)
        if done != "DELETE 0":
            await connection.execute(WITHDRAW_RUNS, owner_id)


async def count_adapters(connection: asyncpg.Connection, owner_id: OwnerId) -> int:
    """Return how many adapters a server has."""
    return int(await connection.fetchval(COUNT_ADAPTERS, owner_id))


async def forget_person(connection: asyncpg.Connection, owner_id: OwnerId, user_id: int) -> int:
    """Delete what is linked to a user from a server's memory, whoever shared it; returns how many concepts."""
    async with connection.transaction():
        await connection.execute(WRITE_ALONE, owner_id)
        gone = [row["concept_id"] for row in await connection.fetch(DELETE_LINKED, owner_id, user_id)]
        await connection.execute(DELETE_LINKED_PROPOSALS, owner_id, user_id)
        await _delete_unused_pictures(connection, owner_id)
        await connection.execute(FORGET_SUBJECTS, owner_id, gone)
    return len(gone)


async def forget_server(connection: asyncpg.Connection, owner_id: OwnerId) -> None:
    """Delete everything of a server: its memory, settings and audit log, and what was answered there."""
    async with connection.transaction():
        await connection.execute(WRITE_ALONE, owner_id)
        await _delete_answers(connection, owner_id, None, None)
        for table in OF_A_SERVER:
            await connection.execute(f"DELETE FROM {table} WHERE owner_id = $1", owner_id)  # noqa: S608 (ours)


async def mark_left(connection: asyncpg.Connection, owner_id: OwnerId) -> None:
    """Note that the bot was removed from a server; the first time counts."""
    await connection.execute(MARK_LEFT, owner_id)


async def mark_back(connection: asyncpg.Connection, owner_id: OwnerId) -> None:
    """Note that the bot is in a server (again)."""
    await connection.execute(MARK_BACK, owner_id)


async def mark_departed(connection: asyncpg.Connection, owner_id: OwnerId, user_id: int) -> None:
    """Note that a member who shared something isn't there any more; the first time counts."""
    await connection.execute(MARK_DEPARTED, owner_id, user_id)


async def mark_returned(connection: asyncpg.Connection, owner_id: OwnerId, user_id: int) -> None:
    """Note that a member is there (again)."""
    await connection.execute(MARK_RETURNED, owner_id, user_id)


async def departed_for(connection: asyncpg.Connection, owner_id: OwnerId, time: timedelta) -> list[int]:
    """Return the members who have been gone for at least this time."""
    return [row["user_id"] for row in await connection.fetch(DEPARTED_BEFORE, owner_id, time)]


async def _delete_answers(
    connection: asyncpg.Connection, owner_id: OwnerId, member: int | None, before: datetime | None
) -> None:
    await connection.execute(TAKE_CARE, "on")
    await connection.execute(DELETE_ANSWERS, owner_id, None if member is None else f"user:{member}", before)
    await connection.execute(TAKE_CARE, "")


async def _delete_unused_pictures(connection: asyncpg.Connection, owner_id: OwnerId) -> None:
    pictures = [row[0] for row in await connection.fetch(PICTURES, owner_id)]
    await connection.execute(DELETE_UNUSED_PICTURES, owner_id, pictures)
