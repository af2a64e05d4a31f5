"""How admins govern a memory, and what the log says of it."""

from __future__ import annotations

import asyncpg
import psycopg

from db import concepts, servers
from db.pool import viewing
from db.types import ServerSettings, Viewer, WhoMayShare
from tests.support.members import ANNA, BO, ELSEWHERE, SERVER, answer, governing, remember, run_as_administrator


async def test_settings_are_kept_and_the_log_says_who_changed_what(pool: asyncpg.Pool) -> None:
    chosen = ServerSettings(
        who_may_share=WhoMayShare.ROLES,
        sharing_roles=(5, 6),
        needs_approval=True,
        allowed_channels=(7,),
        denied_channels=(8, 9),
        max_per_member=3,
        max_per_server=50,
        retention_days=14,
        locked=True,
    )
    mug = await remember(pool, ANNA, "The mug", owner=SERVER)
    async with viewing(pool, governing(BO)) as connection:
        assert await servers.settings_of(connection, SERVER) == ServerSettings()
        await servers.change_settings(connection, SERVER, 2, chosen, "locked the memory")
        assert await servers.settings_of(connection, SERVER) == chosen
        await concepts.edit(connection, mug, info="new", category="cup")
    async with viewing(pool, ANNA) as connection:
        await concepts.forget(connection, SERVER, mug.concept_id)
        log = [(entry.actor, entry.action, entry.subject) for entry in await servers.audit_log(connection, SERVER)]
    assert log == [
        (1, "removed", ""),
        (2, "changed info category", ""),
        (2, "locked the memory", ""),
        (1, "shared", ""),
    ], "it names nothing that was forgotten"


async def test_recognitions_are_not_changes(pool: asyncpg.Pool) -> None:
    mug = await remember(pool, ANNA, "The mug", owner=SERVER)
    async with viewing(pool, BO) as connection:
        await concepts.mark_recognised(connection, [mug])
        assert [entry.action for entry in await servers.audit_log(connection, SERVER)] == ["shared"]


async def test_a_shorter_retention_holds_for_earlier_answers_of_that_server(
    pool: asyncpg.Pool, database_url: str
) -> None:
    for viewer in (ANNA, BO, ELSEWHERE, Viewer(1)):
        await answer(pool, viewer)
    run_as_administrator(database_url, "UPDATE answer SET created_at = created_at - interval '5 days'")
    async with viewing(pool, governing(ANNA)) as connection:
        await servers.change_settings(connection, SERVER, 1, ServerSettings(retention_days=4), "set")
    with psycopg.connect(database_url) as administrator:
        left = administrator.execute("SELECT owner_id, server_owner_id FROM answer ORDER BY 2").fetchall()
    assert left == [("user:1", "server:20"), ("user:1", None)]
