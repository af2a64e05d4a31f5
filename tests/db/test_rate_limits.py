"""Limits that allow a burst and survive a restart."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import asyncpg
import pytest

from db import rate_limits
from db.errors import RateLimitedError
from db.pool import open_pool, viewing
from db.rate_limits import Limit
from db.roles import app_url
from tests.support.members import ANNA, BO, run_as_administrator


async def test_limits_allow_a_burst_then_say_when_to_come_back_even_after_a_restart(
    pool: asyncpg.Pool, database_url: str
) -> None:
    limit = Limit("ask", 3, timedelta(seconds=100))
    for _ in range(3):
        async with viewing(pool, ANNA) as connection:
            await rate_limits.use(connection, ANNA.personal, limit)
    restarted = await open_pool(app_url(database_url), largest=1)
    try:
        with pytest.raises(RateLimitedError) as refused:
            async with viewing(restarted, ANNA) as connection:
                await rate_limits.use(connection, ANNA.personal, limit)
        assert 95 <= refused.value.seconds <= 100
        async with viewing(restarted, BO) as connection:
            await rate_limits.use(connection, BO.personal, limit)
    finally:
        restarted.terminate()
    run_as_administrator(database_url, "UPDATE rate SET next_at = next_at - interval '101 seconds'")
    async with viewing(pool, ANNA) as connection:
        await rate_limits.use(connection, ANNA.personal, limit)
    with pytest.raises(RateLimitedError):
        async with viewing(pool, ANNA) as connection:
            await rate_limits.use(connection, ANNA.personal, limit)


async def test_many_at_once_get_no_more_than_the_limit(pool: asyncpg.Pool) -> None:
    limit = Limit("ask", 5, timedelta(hours=1))

    async def use() -> bool:
        try:
            async with viewing(pool, ANNA) as connection:
                await rate_limits.use(connection, ANNA.personal, limit)
        except RateLimitedError:
            return False
        return True

    assert sum(await asyncio.gather(*(use() for _ in range(20)))) == 5
