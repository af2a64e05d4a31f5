"""However much one user asks for at once, others are served, and nothing that is only read takes long."""

from __future__ import annotations

import asyncio
import time

import asyncpg
import pytest

from db import pool as pools
from db import search
from db.errors import DatabaseUnavailableError
from db.pool import reading, viewing
from tests.support.members import ANNA, BO, remember


async def test_thirty_searches_of_one_user_leave_others_served(pool: asyncpg.Pool) -> None:
    await remember(pool, BO, "Rex")
    busy = 0

    async def search_slowly() -> None:
        nonlocal busy
        async with reading(pool, ANNA) as connection:
            busy += 1
            await connection.execute("SELECT pg_sleep(0.1)")
            busy -= 1

    searches = [asyncio.create_task(search_slowly()) for _ in range(30)]
    await asyncio.sleep(0.05)
    assert busy == pools.CONNECTIONS_OF_USER

    begun = time.monotonic()
    async with reading(pool, BO) as connection:
        [found] = await search.browse(connection, [BO.personal], search="rex")
    assert found.name == "Rex"
    assert time.monotonic() - begun < 0.5
    assert not all(task.done() for task in searches)

    await asyncio.gather(*searches)
    assert pools._turns == {}


async def test_a_statement_that_only_reads_ends_after_two_seconds(pool: asyncpg.Pool) -> None:
    begun = time.monotonic()
    with pytest.raises(DatabaseUnavailableError):
        async with reading(pool, ANNA) as connection:
            await connection.execute("SELECT pg_sleep(5)")
    assert 1.9 < time.monotonic() - begun < 3.5
    async with viewing(pool, ANNA) as connection:
        assert await connection.fetchval("SHOW statement_timeout") == "15s"


async def test_who_waits_too_long_for_their_own_is_told(pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "ACQUIRE_SECONDS", 0.2)
    async with viewing(pool, ANNA), viewing(pool, ANNA):
        with pytest.raises(DatabaseUnavailableError):
            async with viewing(pool, ANNA):
                pass
    async with viewing(pool, ANNA) as connection:
        assert await connection.fetchval("SELECT 1") == 1
