"""Counts transactions as the database sees them: every BEGIN of every connection of a pool."""

from __future__ import annotations

from typing import Any

import asyncpg


class CountingPool:
    """A pool whose connections' BEGINs are counted; as much of one as `db.pool` uses."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self.transactions = 0
        self.open = 0

    async def acquire(self, **within: float) -> Any:
        connection = await self._pool.acquire(**within)
        connection.add_query_logger(self._note)
        return connection

    async def release(self, connection: Any, **within: float) -> None:
        connection.remove_query_logger(self._note)
        await self._pool.release(connection, **within)

    def _note(self, record: Any) -> None:
        self.transactions += record.query.startswith("BEGIN")
        self.open += record.query.startswith("BEGIN")
        self.open -= record.query.startswith(("COMMIT", "ROLLBACK;"))
