"""What is due, whoever owns it, and nothing else."""

from __future__ import annotations

from datetime import timedelta

import asyncpg
import psycopg

from db import rate_limits, sightings, trash
from db.geometry import WHOLE
from db.maintenance import delete_what_is_due
from db.pool import viewing
from db.rate_limits import Limit
from db.types import Sighting, Viewer, user_owner
from tests.support.members import BO, answer, remember, run_as_administrator
from tests.support.memory import PACK, a_jpeg, an_embedding

ANNA = Viewer(1, 10)


async def test_only_what_is_due_is_taken_care_of(pool: asyncpg.Pool, database_url: str) -> None:
    mochi = await remember(pool, ANNA, "Mochi")
    await answer(pool, ANNA)
    await answer(pool, BO)
    async with viewing(pool, ANNA) as connection:
        await trash.forget_for_now(connection, mochi, 1)
        await rate_limits.use(connection, ANNA.personal, Limit("ask", 5, timedelta(hours=1)))
    assert set((await delete_what_is_due(pool)).values()) == {0}
    run_as_administrator(database_url, "UPDATE answer SET expires_at = now() WHERE owner_id = 'user:2'")
    run_as_administrator(database_url, "UPDATE rate SET next_at = now()")
    assert await delete_what_is_due(pool) == {"answer": 1, "spoken": 0, "proposal": 0, "rate": 1, "concept": 0}
    assert user_owner(1) == ANNA.personal


async def test_old_answers_are_deleted_and_no_others(pool: asyncpg.Pool, database_url: str) -> None:
    for viewer in (ANNA, Viewer(2)):
        async with viewing(pool, viewer) as connection:
            unknown = [Sighting(region=0, box=WHOLE, embedding_id=PACK, embedding=an_embedding(1))]
            await sightings.store_answer(connection, viewer, a_jpeg(), 16, 12, unknown)
    assert (await delete_what_is_due(pool))["answer"] == 0
    async with await psycopg.AsyncConnection.connect(database_url) as administrator:
        await administrator.execute(
            "UPDATE answer SET expires_at = expires_at - interval '31 days' WHERE owner_id = 'user:2'"
        )
    assert (await delete_what_is_due(pool))["answer"] == 1
    async with await psycopg.AsyncConnection.connect(database_url) as administrator:
        for table in ("answer", "sighting"):
            rows = await (await administrator.execute(f"SELECT owner_id FROM {table}")).fetchall()
            assert rows == [("user:1",)]
