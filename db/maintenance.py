"""What is due, whoever owns it: old answers, what can't be undone any more, servers that the bot has left."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import asyncpg

from db.pool import as_caretaker, outside_transactions, without_viewer
from db.rows import count_of
from db.trash import delete_forgotten
from db.types import OwnerId

DELETE_DUE = {
    "answer": "DELETE FROM answer WHERE expires_at < now()",
    "spoken": "DELETE FROM spoken WHERE expires_at < now()",
    "proposal": "DELETE FROM proposal WHERE expires_at < now()",
    "rate": "DELETE FROM rate WHERE next_at < now()",
}

VACUUMED = (
    *("concept", "note", "reference", "embedding", "picture", "answer", "sighting", "correction", "proposal", "spoken"),
    *("adapter", "training_run", "promotion", "person", "rate", "audit", "departure", "server", "objection"),
    *("procrastinate_jobs", "procrastinate_events"),
)
VACUUM_SECONDS = 3600.0

WASH_AUDIT = "SELECT keepsake_wash_audit()"

LIST_SERVERS = "SELECT owner_id, left_at FROM server ORDER BY owner_id"


@dataclass(frozen=True, slots=True)
class KnownServer:
    """A server with something in the memory; ``left_at`` is when the bot was removed from it."""

    owner_id: OwnerId
    left_at: datetime | None

    @property
    def server_id(self) -> int:
        """Discord's id of it."""
        return int(self.owner_id.removeprefix("server:"))


async def delete_what_is_due(pool: asyncpg.Pool) -> dict[str, int]:
    """Delete what has expired, of every owner; returns how many rows of each table. Raises DatabaseUnavailableError."""
    deleted: dict[str, int] = {}
    async with without_viewer(pool) as connection, as_caretaker(connection):
        for table, statement in DELETE_DUE.items():
            deleted[table] = count_of(await connection.execute(statement))
        await connection.execute(WASH_AUDIT)
    async with without_viewer(pool) as connection:
        deleted["concept"] = await delete_forgotten(connection)
    return deleted


async def vacuum(pool: asyncpg.Pool) -> None:
    """Clean the pages of all tables that people's rows are deleted from: until then, what was erased is still on them.

    Before Postgres 17 the app may not: there it is left to the server's own time. Raises DatabaseUnavailableError.
    """
    async with outside_transactions(pool) as connection:
        for table in VACUUMED:
            await connection.execute(f"VACUUM {table}", timeout=VACUUM_SECONDS)


async def known_servers(pool: asyncpg.Pool) -> list[KnownServer]:
    """Return the servers that have something in the memory, without any of it. Raises DatabaseUnavailableError."""
    async with without_viewer(pool) as connection, as_caretaker(connection):
        rows = await connection.fetch(LIST_SERVERS)
    return [KnownServer(OwnerId(row["owner_id"]), row["left_at"]) for row in rows]
