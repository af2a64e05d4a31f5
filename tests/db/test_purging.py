"""Taking things out of a server's memory for good."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import asyncpg
import psycopg

from db import purging
from db.maintenance import known_servers
from db.membership import mark_left
from db.pool import viewing
from db.types import Viewer, server_owner
from tests.support.members import ANNA, BO, ELSEWHERE, SERVER, answer, governing, names, remember


async def test_purging_takes_one_members_or_what_is_old_or_all(pool: asyncpg.Pool, database_url: str) -> None:
    await remember(pool, ANNA, "The mug", owner=SERVER)
    await remember(pool, BO, "The lamp", owner=SERVER)
    await remember(pool, BO, "Anna", owner=SERVER, person=1)
    own = await remember(pool, ANNA, "Mochi")
    await answer(pool, ANNA)
    await answer(pool, BO)
    async with viewing(pool, governing(BO)) as connection:
        assert await purging.purge(connection, SERVER, member=1) == 2
    assert await names(pool, BO, SERVER) == ["The lamp"]
    with psycopg.connect(database_url) as administrator:
        assert administrator.execute("SELECT owner_id FROM answer").fetchall() == [("user:2",)]
        assert administrator.execute("SELECT count(*) FROM picture WHERE owner_id = 'server:10'").fetchone() == (1,)

    async with viewing(pool, governing(BO)) as connection:
        assert await purging.purge(connection, SERVER, before=datetime.now(UTC) - timedelta(days=1)) == 0
        assert await purging.purge(connection, SERVER, before=datetime.now(UTC) + timedelta(days=1)) == 1
    await remember(pool, ANNA, "The mug", owner=SERVER)
    async with viewing(pool, governing(BO)) as connection:
        assert await purging.purge(connection, SERVER) == 1
    assert await names(pool, ANNA, own.owner_id) == ["Mochi"]


async def test_a_forgotten_server_leaves_nothing_and_others_alone(pool: asyncpg.Pool, database_url: str) -> None:
    for viewer in (ANNA, ELSEWHERE):
        await remember(pool, viewer, "The mug", owner=viewer.server_memory)
        await answer(pool, viewer)
    async with viewing(pool, Viewer(0, 10)) as connection:
        await mark_left(connection, SERVER)
        await purging.forget_server(connection, SERVER)
    assert await names(pool, ELSEWHERE, server_owner(20)) == ["The mug"]
    assert [server.server_id for server in await known_servers(pool)] == [20]
    with psycopg.connect(database_url) as administrator:
        left = administrator.execute(
            "SELECT owner_id FROM audit UNION ALL SELECT owner_id FROM server"
            " UNION ALL SELECT server_owner_id FROM answer"
        ).fetchall()
    assert left == [("server:20",)] * 3
