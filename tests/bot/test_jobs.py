"""Jobs: what is due goes by itself, in a real queue; servers and members have a time of grace."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace

import asyncpg
import psycopg

from bot.runtime.jobs import maintain_servers, make_queue, running_jobs
from bot.service.app import App
from bot.service.governance import nobody_on
from db import concepts, servers, trash
from db.pool import viewing
from db.roles import app_url
from db.types import Concept, Viewer, server_owner, user_owner
from tests.support.memory import a_concept

ANNA, BO = Viewer(1, 10), Viewer(2, 10)
ELSEWHERE = Viewer(1, 20)


@dataclass
class Discord:
    """What Discord would say about who is where."""

    left: set[int] = field(default_factory=set)
    gone: set[int] = field(default_factory=set)

    async def is_on(self, server_id: int) -> bool:
        return server_id not in self.left

    async def has_member(self, server_id: int, user_id: int) -> bool:
        return user_id not in self.gone


async def remember(pool: asyncpg.Pool, viewer: Viewer, name: str, *, shared: bool) -> Concept:
    owner = server_owner(viewer.server_id or 0) if shared else viewer.personal
    async with viewing(pool, viewer) as connection:
        return await concepts.remember(connection, replace(a_concept(owner, name), created_by=viewer.user_id))


async def names_on(pool: asyncpg.Pool, server_id: int) -> list[str]:
    async with viewing(pool, nobody_on(server_id)) as connection:
        return [concept.name for concept in await concepts.list_concepts(connection, server_owner(server_id))]


def wind_back(database_url: str, statement: str) -> None:
    with psycopg.connect(database_url) as administrator:
        administrator.execute(statement)


async def test_what_is_due_is_deleted_by_a_job_of_the_queue(
    pool: asyncpg.Pool, database_url: str, without_worker: App
) -> None:
    mochi = await remember(pool, ANNA, "Mochi", shared=False)
    async with viewing(pool, ANNA) as connection:
        await trash.forget_for_now(connection, mochi, 1)
    wind_back(database_url, "UPDATE concept SET forgotten_at = now() - interval '11 minutes'")
    queue = make_queue(app_url(database_url), without_worker, None)

    async with running_jobs(queue):
        await queue.configure_task("delete_what_is_due").defer_async(timestamp=0)
        for _ in range(100):
            async with await psycopg.AsyncConnection.connect(database_url) as administrator:
                row = await (
                    await administrator.execute("SELECT count(*) FROM concept WHERE forgotten_at IS NOT NULL")
                ).fetchone()
            if row == (0,):
                break
            await asyncio.sleep(0.1)

    assert row == (0,)


async def test_a_server_that_the_bot_left_is_forgotten_after_a_time_of_grace(
    pool: asyncpg.Pool, database_url: str
) -> None:
    await remember(pool, ANNA, "The mug", shared=True)
    await remember(pool, ELSEWHERE, "The statue", shared=True)
    discord = Discord(left={10})

    await maintain_servers(pool, discord)
    assert await names_on(pool, 10) == ["The mug"]

    wind_back(database_url, "UPDATE server SET left_at = left_at - interval '31 days' WHERE left_at IS NOT NULL")
    await maintain_servers(pool, discord)
    assert await names_on(pool, 10) == []
    assert await names_on(pool, 20) == ["The statue"]


async def test_a_server_that_the_bot_came_back_to_keeps_its_memory(pool: asyncpg.Pool, database_url: str) -> None:
    await remember(pool, ANNA, "The mug", shared=True)
    await maintain_servers(pool, Discord(left={10}))
    await maintain_servers(pool, Discord())
    wind_back(database_url, "UPDATE server SET left_at = left_at - interval '31 days' WHERE left_at IS NOT NULL")

    await maintain_servers(pool, Discord(left={10}))

    assert await names_on(pool, 10) == ["The mug"]


async def test_what_a_member_shared_goes_after_they_left_unless_they_come_back(
    pool: asyncpg.Pool, database_url: str
) -> None:
    await remember(pool, ANNA, "The mug", shared=True)
    await remember(pool, BO, "The lamp", shared=True)
    own = await remember(pool, BO, "Rex", shared=False)
    discord = Discord(gone={2})
    age = "UPDATE departure SET since = since - interval '31 days'"

    await maintain_servers(pool, discord)
    discord.gone = set()
    await maintain_servers(pool, discord)
    wind_back(database_url, age)
    await maintain_servers(pool, discord)
    assert await names_on(pool, 10) == ["The lamp", "The mug"]

    discord.gone = {2}
    await maintain_servers(pool, discord)
    wind_back(database_url, age)
    await maintain_servers(pool, discord)
    assert await names_on(pool, 10) == ["The mug"]
    async with viewing(pool, BO) as connection:
        assert await concepts.get(connection, user_owner(2), own.concept_id) == own
        log = await servers.audit_log(connection, server_owner(10))
    assert 2 not in {entry.actor for entry in log}
    assert "The lamp" not in {entry.subject for entry in log}
