"""A server's memory as its admins govern it: settings and the audit log."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import asyncpg

from db.admission import lock_to_govern
from db.purging import delete_answers
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

NOTE = "INSERT INTO audit (owner_id, actor, action, concept_id, governed) VALUES ($1, $2, $3, $4, true)"

READ_AUDIT = """
    SELECT audit.at, audit.actor, audit.pseudonym, audit.action, coalesce(concept.name, audit.subject) AS subject
      FROM audit
      LEFT JOIN concept ON concept.owner_id = audit.owner_id AND concept.concept_id = audit.concept_id
     WHERE audit.owner_id = $1
     ORDER BY audit.audit_id DESC
     LIMIT $2 OFFSET $3
"""


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

    A shorter retention holds for earlier answers, too. Raises NotAdminError.
    """
    async with connection.transaction():
        await lock_to_govern(connection, owner_id)
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
        await connection.execute(NOTE, owner_id, actor, action, None)
        before = await connection.fetchval("SELECT now()") - timedelta(days=settings.retention_days)
        await delete_answers(connection, owner_id, before=before)


async def note(
    connection: asyncpg.Connection, owner_id: OwnerId, actor: int, action: str, concept_id: UUID | None = None
) -> None:
    """Write what an admin did into a server's audit log; changes of concepts are written by the database itself."""
    await connection.execute(NOTE, owner_id, actor, action, concept_id)


async def audit_log(
    connection: asyncpg.Connection, owner_id: OwnerId, *, limit: int = 100, offset: int = 0
) -> list[AuditEntry]:
    """Return a page of a server's audit log, the latest first."""
    rows = await connection.fetch(READ_AUDIT, owner_id, limit, offset)
    return [AuditEntry(**dict(row)) for row in rows]
