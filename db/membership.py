"""Who is where: servers that the bot has left, members who are gone, and who put something into a memory."""

from __future__ import annotations

from datetime import timedelta

import asyncpg

from db.types import OwnerId

COUNT_BY_MEMBER = "SELECT count(*) FROM concept WHERE owner_id = $1 AND created_by = $2"

CONTRIBUTORS = """
    SELECT created_by FROM concept WHERE owner_id = $1
    UNION
    SELECT created_by FROM reference WHERE owner_id = $1
    UNION
    SELECT author FROM note WHERE owner_id = $1
"""

MARK_LEFT = """
    INSERT INTO server (owner_id, left_at) VALUES ($1, now())
    ON CONFLICT (owner_id) DO UPDATE SET left_at = coalesce(server.left_at, now())
"""

MARK_BACK = "UPDATE server SET left_at = NULL WHERE owner_id = $1"

MARK_DEPARTED = "INSERT INTO departure (owner_id, user_id) VALUES ($1, $2) ON CONFLICT DO NOTHING"

MARK_RETURNED = "DELETE FROM departure WHERE owner_id = $1 AND user_id = $2"

DEPARTED_BEFORE = "SELECT user_id FROM departure WHERE owner_id = $1 AND since < now() - $2::interval"


async def count_by_member(connection: asyncpg.Connection, owner_id: OwnerId, user_id: int) -> int:
    """Return how many concepts a member has in a server's memory."""
    return int(await connection.fetchval(COUNT_BY_MEMBER, owner_id, user_id))


async def contributors(connection: asyncpg.Connection, owner_id: OwnerId) -> list[int]:
    """Return the users who put something into a server's memory."""
    return sorted(row["created_by"] for row in await connection.fetch(CONTRIBUTORS, owner_id))


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
