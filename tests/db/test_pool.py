"""The database going away, and what a transaction may see no longer than it says."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import psycopg
import pytest

from db import concepts, servers
from db.errors import DatabaseUnavailableError
from db.pool import as_caretaker, entering, erasing, open_pool, viewing, without_viewer
from db.roles import app_url
from db.setup.embedded import EmbeddedPostgres
from db.setup.migrate import migrate
from db.types import Viewer, server_owner, user_owner
from tests.support.members import governing
from tests.support.memory import a_concept

ANNA = Viewer(1, 10)
MINE = user_owner(1)


async def _counts(pool: asyncpg.Pool) -> dict[str, int]:
    async with viewing(pool, ANNA) as connection:
        return {
            table: await connection.fetchval(f"SELECT count(*) FROM {table}")
            for table in ("picture", "concept", "reference", "embedding")
        }


@pytest.fixture
def own_server() -> Iterator[tuple[EmbeddedPostgres, str]]:
    """A server of this test alone, to be stopped in the middle."""
    directory = Path(tempfile.mkdtemp(prefix="keepsake-test-"))
    server = EmbeddedPostgres(directory / "postgres")
    try:
        url = server.start()
        migrate(url)
        yield server, app_url(url)
    finally:
        server.stop()
        shutil.rmtree(directory, ignore_errors=True)


ANNA_HERE, ANNA_THERE = Viewer(1, 10), Viewer(1, 20)
HERE, THERE = server_owner(10), server_owner(20)
SETTINGS = """
    SELECT coalesce(current_setting('keepsake.shared', true), ''),
           coalesce(current_setting('keepsake.erasing', true), ''),
           coalesce(current_setting('keepsake.caretaker', true), '')
"""


async def fail_with_all_rights(connection: asyncpg.Connection, statement: str) -> None:
    async with as_caretaker(connection), erasing(connection), entering(connection, THERE):
        await connection.execute(statement)
        raise RuntimeError


async def test_the_database_goes_away_and_comes_back(own_server: tuple[EmbeddedPostgres, str]) -> None:
    server, url = own_server
    pool = await open_pool(url)
    try:
        with pytest.raises(DatabaseUnavailableError):  # noqa: PT012
            async with viewing(pool, ANNA) as connection:
                await concepts.remember(connection, a_concept(MINE, "Half"))
                await asyncio.to_thread(server.stop)
                await concepts.count(connection, MINE)
        for _ in range(2):
            with pytest.raises(DatabaseUnavailableError):  # noqa: PT012
                async with viewing(pool, ANNA) as connection:
                    await concepts.count(connection, MINE)
        assert await asyncio.to_thread(server.start)
        for turn in range(12):  # more than the pool had connections
            async with viewing(pool, ANNA) as connection:
                assert await concepts.count(connection, MINE) == turn
                await concepts.remember(connection, a_concept(MINE, f"Whole {turn}", turn))
    finally:
        pool.terminate()


async def test_a_database_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DatabaseUnavailableError):  # noqa: PT012
        await open_pool(f"postgresql://keepsake_app@/keepsake?host={tmp_path}")


async def test_a_connection_that_is_cut_loses_the_whole_transaction(pool: asyncpg.Pool, database_url: str) -> None:
    with pytest.raises(DatabaseUnavailableError):  # noqa: PT012
        async with viewing(pool, ANNA) as connection:
            await concepts.remember(connection, a_concept(MINE, "Half"))
            pid = await connection.fetchval("SELECT pg_backend_pid()")
            async with await psycopg.AsyncConnection.connect(database_url) as administrator:
                await administrator.execute("SELECT pg_terminate_backend(%s)", (pid,))
            await asyncio.sleep(0.1)
    assert await _counts(pool) == {"picture": 0, "concept": 0, "reference": 0, "embedding": 0}


async def test_a_full_pool_says_so_in_time(pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("db.pool.ACQUIRE_SECONDS", 0.2)
    held = [await pool.acquire() for _ in range(4)]
    with pytest.raises(DatabaseUnavailableError):  # noqa: PT012
        async with viewing(pool, ANNA):
            pytest.fail("there was no connection left")
    for connection in held:
        await pool.release(connection)
    async with viewing(pool, ANNA) as connection:
        assert await concepts.count(connection, MINE) == 0


async def test_errors_of_the_body_stay_what_they_are(pool: asyncpg.Pool) -> None:
    for error in (ConnectionResetError("of the worker"), FileNotFoundError("x"), KeyError("x")):
        with pytest.raises(type(error)):
            async with viewing(pool, ANNA):
                raise error


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
    async with viewing(pool, governing(ANNA_HERE)) as connection:
        settings = await servers.settings_of(connection, HERE)
        await servers.change_settings(connection, HERE, 1, settings, "set")
        assert tuple(await connection.fetchrow(SETTINGS)) == (HERE, "", "")
