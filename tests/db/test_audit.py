"""The audit log: it can only be added to, names nothing that was forgotten, and who governed can't wash it off."""

from __future__ import annotations

import asyncpg
import psycopg
import pytest

from db import concepts, erasure, servers, trash
from db.maintenance import delete_what_is_due, vacuum
from db.pool import entering, viewing
from db.types import AuditEntry, ServerSettings, Viewer
from tests.support.members import ANNA, BO, SERVER, governing, remember, run_as_administrator


async def log(pool: asyncpg.Pool) -> list[AuditEntry]:
    async with viewing(pool, governing(BO)) as connection:
        return await servers.audit_log(connection, SERVER)


async def change_the_rules(pool: asyncpg.Pool, viewer: Viewer) -> None:
    async with viewing(pool, governing(viewer)) as connection:
        await servers.change_settings(connection, SERVER, viewer.user_id, ServerSettings(locked=True), "locked it")


async def erase(pool: asyncpg.Pool, viewer: Viewer) -> None:
    async with viewing(pool, Viewer(viewer.user_id)) as connection:
        await erasure.erase(connection, Viewer(viewer.user_id))


async def test_a_name_is_in_the_log_while_it_is_remembered(pool: asyncpg.Pool, database_url: str) -> None:
    mug = await remember(pool, ANNA, "The mug", owner=SERVER)
    assert [(entry.action, entry.subject) for entry in await log(pool)] == [("shared", "The mug")]
    async with viewing(pool, ANNA) as connection:
        await trash.forget_for_now(connection, mug, 1)
    assert [(entry.action, entry.subject) for entry in await log(pool)] == [("removed", ""), ("shared", "")]
    async with viewing(pool, ANNA) as connection:
        await trash.undo(connection, SERVER, mug.concept_id)
    assert {entry.subject for entry in await log(pool)} == {"The mug"}
    with psycopg.connect(database_url) as administrator:
        assert administrator.execute("SELECT count(*) FROM audit WHERE audit::text LIKE '%mug%'").fetchone() == (0,)


@pytest.mark.parametrize(
    "statement", ["UPDATE audit SET actor = 7", "DELETE FROM audit", "TRUNCATE audit", "SELECT * FROM pseudonym_salt"]
)
async def test_the_app_can_only_add_to_it(pool: asyncpg.Pool, statement: str) -> None:
    await change_the_rules(pool, ANNA)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with viewing(pool, governing(ANNA)) as connection:
            await connection.execute(statement)
    assert len(await log(pool)) == 1


async def test_who_governed_goes_by_a_pseudonym_that_stays_the_same_and_ends(
    pool: asyncpg.Pool, database_url: str
) -> None:
    lamp = await remember(pool, BO, "The lamp", owner=SERVER)
    await remember(pool, ANNA, "The mug", owner=SERVER)
    await change_the_rules(pool, ANNA)
    async with viewing(pool, governing(ANNA)) as connection:
        await concepts.edit(connection, lamp, info="defaced")

    await erase(pool, ANNA)
    await change_the_rules(pool, ANNA)
    await erase(pool, ANNA)

    found = [(entry.actor, bool(entry.pseudonym), entry.action) for entry in await log(pool)]
    assert found == [
        (0, True, "locked it"),
        (0, False, "changed info"),
        (0, False, "removed"),
        (0, True, "changed info"),
        (0, True, "locked it"),
        (0, False, "shared"),
        (2, False, "shared"),
    ]
    assert len({entry.pseudonym for entry in await log(pool) if entry.pseudonym}) == 1
    run_as_administrator(database_url, "UPDATE audit SET erased_at = erased_at - interval '91 days'")
    await delete_what_is_due(pool)
    assert {entry.pseudonym for entry in await log(pool)} == {""}


async def test_nobody_washes_it_for_another_or_deletes_it(pool: asyncpg.Pool) -> None:
    await change_the_rules(pool, ANNA)
    for viewer in (BO, governing(BO), Viewer(2, 20), Viewer(0, 20)):
        async with viewing(pool, viewer) as connection, entering(connection, SERVER):
            await connection.execute("SELECT keepsake_forget_actor($1, 1)", SERVER) if viewer.user_id else None
            await connection.execute("SELECT keepsake_delete_audit($1)", SERVER)
            await connection.execute("SELECT keepsake_wash_audit()")
    assert [(entry.actor, entry.action) for entry in await log(pool)] == [(1, "locked it")]


async def test_what_was_erased_is_cleaned_from_its_pages(pool: asyncpg.Pool, database_url: str) -> None:
    await remember(pool, ANNA, "Mochi")
    await erase(pool, ANNA)
    run_as_administrator(database_url, "CREATE EXTENSION IF NOT EXISTS pageinspect")
    on_pages = "SELECT count(*) FROM heap_page_items(get_raw_page('concept', 0)) WHERE t_data IS NOT NULL"
    with psycopg.connect(database_url) as administrator:
        assert administrator.execute(on_pages).fetchone() != (0,)

    await vacuum(pool)

    with psycopg.connect(database_url) as administrator:
        assert administrator.execute("SELECT pg_relation_size('concept')").fetchone() == (0,)
