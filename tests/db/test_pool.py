"""What a transaction may see besides its viewer's rows, and that it is so no longer than it says."""

from __future__ import annotations

import asyncpg
import pytest

from db import concepts, servers
from db.pool import as_caretaker, entering, erasing, viewing, without_viewer
from db.types import Viewer, server_owner
from tests.support.memory import a_concept

ANNA_HERE, ANNA_THERE = Viewer(1, 10), Viewer(1, 20)
HERE, THERE = server_owner(10), server_owner(20)
SETTINGS = """
    SELECT coalesce(current_setting('keepsake.shared', true), ''),
           coalesce(current_setting('keepsake.erasing', true), ''),
           coalesce(current_setting('keepsake.caretaker', true), '')
"""


async def test_erasing_finds_what_is_ones_own_elsewhere_and_entering_lets_one_change_it(pool: asyncpg.Pool) -> None:
    async with viewing(pool, ANNA_THERE) as connection:
        shared = await concepts.remember(connection, a_concept(THERE, "Mochi"))
    names = "SELECT name FROM concept"

    async with viewing(pool, ANNA_HERE) as connection:
        assert await connection.fetch(names) == []
        async with erasing(connection):
            assert [row["name"] for row in await connection.fetch(names)] == ["Mochi"]
            assert await connection.execute("DELETE FROM concept") == "DELETE 0"
        assert await connection.fetch(names) == []
        async with entering(connection, THERE):
            assert await concepts.forget(connection, THERE, shared.concept_id) == "Mochi"


async def test_a_caretaker_sees_which_servers_there_are_and_nothing_in_them(pool: asyncpg.Pool) -> None:
    async with viewing(pool, ANNA_HERE) as connection:
        await concepts.remember(connection, a_concept(HERE, "Mochi"))

    async with without_viewer(pool) as connection:
        assert await connection.fetch("SELECT owner_id FROM server") == []
        async with as_caretaker(connection):
            assert [row["owner_id"] for row in await connection.fetch("SELECT owner_id FROM server")] == [HERE]
            assert await connection.fetch("SELECT FROM concept") == []
        assert await connection.fetch("SELECT owner_id FROM server") == []


async def test_rights_in_rights_end_one_by_one(pool: asyncpg.Pool) -> None:
    async with viewing(pool, ANNA_HERE) as connection:
        async with as_caretaker(connection), erasing(connection), entering(connection, THERE):
            async with as_caretaker(connection):
                assert tuple(await connection.fetchrow(SETTINGS)) == (THERE, "on", "on")
            assert tuple(await connection.fetchrow(SETTINGS)) == (THERE, "on", "on")
        assert tuple(await connection.fetchrow(SETTINGS)) == (HERE, "", "")


async def fail_with_all_rights(connection: asyncpg.Connection, statement: str) -> None:
    async with as_caretaker(connection), erasing(connection), entering(connection, THERE):
        await connection.execute(statement)
        raise RuntimeError


@pytest.mark.parametrize(
    ("statement", "failure"), [("SELECT 1 / 0", asyncpg.DivisionByZeroError), ("SELECT 1", RuntimeError)]
)
async def test_a_right_ends_when_something_fails_under_it(
    pool: asyncpg.Pool, statement: str, failure: type[Exception]
) -> None:
    """Also where Postgres refuses all further statements until what failed is rolled back."""
    async with viewing(pool, ANNA_HERE) as connection:
        with pytest.raises(failure):
            await fail_with_all_rights(connection, statement)
        assert tuple(await connection.fetchrow(SETTINGS)) == (HERE, "", "")


async def test_a_shorter_retention_leaves_no_right_behind(pool: asyncpg.Pool) -> None:
    async with viewing(pool, ANNA_HERE) as connection:
        settings = await servers.settings_of(connection, HERE)
        await servers.change_settings(connection, HERE, 1, settings, "set")
        assert tuple(await connection.fetchrow(SETTINGS)) == (HERE, "", "")
