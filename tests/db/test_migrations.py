"""Migrations against a real Postgres, the app role, and the embedded server."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import psycopg
import pytest

from db import concepts
from db.errors import DatabaseSetupError, MigrationError
from db.pool import open_pool, viewing
from db.roles import app_url, derived_app_url, why_not_log_in
from db.setup import cli, health
from db.setup.embedded import EmbeddedPostgres
from db.setup.migrate import MIGRATIONS, check_migrated, migrate, read_migrations, status
from db.types import Viewer, user_owner
from tests.support.memory import a_concept

ROLE_POWERS = """
    SELECT rolsuper, rolbypassrls, rolcreatedb, rolcreaterole, rolcanlogin
      FROM pg_roles WHERE rolname = 'keepsake_app'
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the migrations that a test may change."""
    return Path(shutil.copytree(MIGRATIONS, tmp_path / "migrations"))


@pytest.fixture
def directory() -> Iterator[Path]:
    """A data directory for an embedded server, at a path short enough for a socket."""
    import tempfile

    path = Path(tempfile.mkdtemp(prefix="keepsake-test-"))
    yield path / "postgres"
    shutil.rmtree(path, ignore_errors=True)


def _add(folder: Path, name: str, sql: str) -> None:
    (folder / name).write_text(sql, encoding="utf-8")


def _next_name(folder: Path, words: str) -> str:
    return f"{len(read_migrations(folder)) + 1:04}_{words}.sql"


def test_applied_in_order_and_once(empty_database_url: str, folder: Path) -> None:
    first, second = _next_name(folder, "toy"), ""
    _add(folder, first, "CREATE TABLE toy (id integer PRIMARY KEY);")
    second = _next_name(folder, "toy_colour")
    _add(folder, second, "ALTER TABLE toy ADD colour text; INSERT INTO toy VALUES (1, 'red');")

    expected = [migration.name for migration in read_migrations(folder)]
    assert expected[0] == "0001_memory.sql"
    assert expected[-2:] == [first, second]
    assert status(empty_database_url, folder).pending == tuple(expected)
    assert migrate(empty_database_url, folder) == expected
    assert migrate(empty_database_url, folder) == []
    assert status(empty_database_url, folder).applied == tuple(expected)
    with psycopg.connect(empty_database_url) as connection:
        assert connection.execute("SELECT * FROM toy").fetchall() == [(1, "red")]


def test_two_at_once_apply_everything_once(empty_database_url: str) -> None:
    with ThreadPoolExecutor(4) as threads:
        results = list(threads.map(lambda _: migrate(empty_database_url), range(4)))
    names = [migration.name for migration in read_migrations()]
    assert sorted(results, key=len) == [[], [], [], names]


def test_a_changed_file_is_refused(empty_database_url: str, folder: Path) -> None:
    migrate(empty_database_url, folder)
    changed = folder / "0001_memory.sql"
    changed.write_text(changed.read_text(encoding="utf-8") + "\n-- later thought\n", encoding="utf-8")
    with pytest.raises(MigrationError, match=r"0001_memory\.sql was changed after it was applied"):
        migrate(empty_database_url, folder)


def test_other_line_ends_are_no_change(empty_database_url: str, folder: Path) -> None:
    migrate(empty_database_url, folder)
    file = folder / "0001_memory.sql"
    file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
    assert migrate(empty_database_url, folder) == []


def test_a_newer_database_is_refused(empty_database_url: str, folder: Path) -> None:
    newer = _next_name(folder, "from_the_future")
    _add(folder, newer, "SELECT 1;")
    migrate(empty_database_url, folder)
    with pytest.raises(MigrationError, match="the database is newer. Update Keepsake"):
        migrate(empty_database_url)


def test_a_failing_file_leaves_nothing(empty_database_url: str, folder: Path) -> None:
    _add(folder, _next_name(folder, "broken"), "CREATE TABLE half (id integer); SELECT nonsense;")
    with pytest.raises(DatabaseSetupError, match="nonsense"):
        migrate(empty_database_url, folder)
    with psycopg.connect(empty_database_url) as connection:
        tables = connection.execute("SELECT relname FROM pg_stat_user_tables").fetchall()
    assert tables == []


def test_a_gap_in_the_numbers_is_refused(folder: Path) -> None:
    _add(folder, "0999_gap.sql", "SELECT 1;")
    with pytest.raises(MigrationError, match="should have the number"):
        read_migrations(folder)


def test_the_app_role_has_no_powers(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        assert connection.execute(ROLE_POWERS).fetchone() == (False, False, False, False, True)
    with psycopg.connect(app_url(database_url)) as connection:
        for statement in (
            "ALTER TABLE concept DISABLE ROW LEVEL SECURITY",
            "ALTER ROLE keepsake_app BYPASSRLS",
            "CREATE TABLE loot (id integer)",
            "TRUNCATE concept",
            "DELETE FROM schema_migration",
            "SELECT keepsake_protect('concept')",
            "SET ROLE postgres",
            "SET SESSION AUTHORIZATION postgres",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege), connection.transaction():
                connection.execute(statement)


def test_row_level_security_is_on_wherever_there_is_an_owner(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        owned = connection.execute(
            """SELECT relname, relrowsecurity AND relforcerowsecurity FROM pg_class
                 JOIN pg_attribute ON attrelid = pg_class.oid AND attname = 'owner_id'
                WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace"""
        ).fetchall()
        ownerless = connection.execute(
            """SELECT relname FROM pg_class
                WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace
                  AND NOT EXISTS (SELECT FROM pg_attribute
                                   WHERE attrelid = pg_class.oid AND attname = 'owner_id')"""
        ).fetchall()
    expected = {"picture", "concept", "reference", "embedding", "answer", "sighting", "correction"}
    assert {name for name, _ in owned} >= expected
    assert all(protected for _, protected in owned)
    assert ("schema_migration",) in ownerless
    assert not {name for (name,) in ownerless} & expected


def test_owner_id_leads_every_primary_key_and_unique_index(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        leading = connection.execute(
            """SELECT indexrelid::regclass::text, attname FROM pg_index
                 JOIN pg_class ON pg_class.oid = indrelid AND relnamespace = 'public'::regnamespace
                 JOIN pg_attribute ON attrelid = indrelid AND attnum = indkey[0]
                WHERE relrowsecurity AND indisunique"""
        ).fetchall()
    assert len(leading) >= 7
    of_owners = {column for index, column in leading if not index.startswith("objection")}  # it is about one user
    assert of_owners == {"owner_id"}


async def test_the_app_does_not_work_as_superuser(database_url: str) -> None:
    with pytest.raises(DatabaseSetupError, match="bypasses row-level security"):
        await open_pool(database_url)


def test_health_names_what_is_wrong(empty_database_url: str) -> None:
    assert "0001_memory.sql" in (health.database_problem(empty_database_url) or "")
    migrate(empty_database_url)
    assert health.database_problem(empty_database_url) is None
    with psycopg.connect(empty_database_url) as connection:
        connection.execute("ALTER TABLE sighting NO FORCE ROW LEVEL SECURITY")
    assert "Row-level security is off for sighting" in (health.database_problem(empty_database_url) or "")
    nowhere = "postgresql://nobody@127.0.0.1:9/keepsake"
    assert "can't be asked" in (health.database_problem(nowhere) or "")


def test_the_app_url_is_derived_from_the_administrators(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PGPASSWORD", raising=False)
    url = "postgresql://admin:s%40cret@db.example:5433/keepsake?sslmode=require"
    derived = urlsplit(derived_app_url(url))
    assert (derived.username, derived.hostname, derived.port) == ("keepsake_app", "db.example", 5433)
    assert (derived.path, derived.query) == ("/keepsake", "sslmode=require")
    assert derived.password not in {None, "", "s@cret", "s%40cret"}
    assert derived_app_url(url) == derived_app_url(url)
    assert derived_app_url(url.replace("cret", "crets")) != derived_app_url(url)
    assert urlsplit(derived_app_url("postgresql://postgres:@/k?host=/run/pg")).password is None
    monkeypatch.setenv("KEEPSAKE_APP_DATABASE_URL", "postgresql://own@db.example/keepsake")
    assert app_url(url) == "postgresql://own@db.example/keepsake"


def test_with_passwords_the_app_role_gets_its_own(directory: Path) -> None:
    """A server that asks for passwords, as most do, and so does the embedded one."""
    with EmbeddedPostgres(directory) as server:
        url = server.start()
        migrate(url)
        assert why_not_log_in(app_url(url)) is None
        assert why_not_log_in(app_url(with_login(url, "postgres:another"))) is not None
        assert health.database_problem(url) is None

        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("ALTER ROLE postgres PASSWORD 'second'")
        rotated = with_login(url, "postgres:second")
        assert why_not_log_in(app_url(rotated)) is not None
        migrate(rotated)
        assert why_not_log_in(app_url(rotated)) is None


def test_the_app_role_gets_the_password_that_its_own_url_says(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then who runs the bot needs no administrator's URL, and migrating is a step of its own."""
    with EmbeddedPostgres(directory) as server:
        url = server.start()
        apps = with_login(url, "keepsake_app:chosen")
        monkeypatch.setenv("KEEPSAKE_APP_DATABASE_URL", apps)

        with pytest.raises(DatabaseSetupError):
            check_migrated(apps)
        migrate(url)
        check_migrated(apps)

        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("DELETE FROM schema_migration WHERE version = 11")
        with pytest.raises(DatabaseSetupError, match="keepsake-db migrate"):
            check_migrated(apps)


def with_login(url: str, login: str) -> str:
    return re.sub("//[^@]*@", f"//{login}@", url)


async def test_an_administrator_who_is_no_superuser(directory: Path) -> None:
    """As on managed servers: one who owns the database and may create roles, bound by forced security too."""
    with EmbeddedPostgres(directory) as server:
        url = server.start()
        managed = _managed(url)
        with pytest.raises(DatabaseSetupError, match='extension "vector"'):
            migrate(managed)
        with psycopg.connect(url.replace("/keepsake?", "/managed?")) as connection:
            connection.execute("CREATE EXTENSION vector")
        migrate(managed)
        assert health.database_problem(managed) is None
        pool = await open_pool(app_url(managed))
        try:
            async with viewing(pool, Viewer(1)) as connection:
                mochi = await concepts.remember(connection, a_concept(user_owner(1), "Mochi"))
                await concepts.forget(connection, mochi.owner_id, mochi.concept_id)
                assert await connection.fetchval("SELECT count(*) FROM embedding") == 0
        finally:
            pool.terminate()


def test_what_was_said_before_the_words_changed_is_still_said(directory: Path, folder: Path) -> None:
    """Also of what was proposed, and where forced row-level security binds the administrator."""
    for later in sorted(folder.glob("*.sql"))[5:]:
        later.unlink()
    with EmbeddedPostgres(directory) as server:
        url = server.start()
        managed = _managed(url)
        with psycopg.connect(url.replace("/keepsake?", "/managed?")) as connection:
            connection.execute("CREATE EXTENSION vector")
        migrate(managed, folder)
        with psycopg.connect(managed) as connection:
            connection.execute("SELECT set_config('keepsake.personal', 'user:1', true)")
            connection.execute("SELECT set_config('keepsake.shared', 'server:10', true)")
            connection.execute(
                "INSERT INTO server (owner_id, most_of_member, most_of_server) VALUES ('server:10', 7, 70)"
            )
            connection.execute(
                "WITH made AS (INSERT INTO concept (owner_id, name, name_key, created_by) "
                "VALUES ('user:1', 'a', 'a', 1) RETURNING *) INSERT INTO correction "
                "(owner_id, concept_owner_id, concept_id, verdict, embedding_id, vector) "
                "SELECT owner_id, owner_id, concept_id, said, 'pack/1', '[1]' FROM made, "
                "unnest(ARRAY['right', 'not_them']) AS said"
            )
            connection.execute(
                "INSERT INTO set_aside (owner_id, why, name, snapshot, set_by, expires_at) "
                "SELECT 'server:10', 'proposed', 'a', jsonb_build_object('concept', to_jsonb(concept), 'correction', "
                "'[]'::jsonb), 1, now() + interval '1 hour' FROM concept"
            )

        migrate(managed)

        with psycopg.connect(managed) as connection:
            connection.execute("SELECT set_config('keepsake.personal', 'user:1', true)")
            connection.execute("SELECT set_config('keepsake.shared', 'server:10', true)")
            verdicts = connection.execute("SELECT verdict FROM correction ORDER BY verdict").fetchall()
            kept = connection.execute(
                "SELECT proposal.owner_id, name FROM proposal JOIN concept USING (concept_id)"
            ).fetchall()
            limits = connection.execute("SELECT max_per_member, max_per_server FROM server").fetchone()
            unbound = connection.execute(
                "SELECT relname FROM pg_class WHERE relrowsecurity AND NOT relforcerowsecurity"
            ).fetchall()
    assert verdicts == [("incorrect",), ("right",)]
    assert kept == [("server:10", "a")]
    assert limits == (7, 70)
    assert unbound == []


def test_people_who_are_there_already_stay_and_proposals_of_them_wait_for_them(
    empty_database_url: str, folder: Path
) -> None:
    for later in sorted(folder.glob("*.sql"))[13:]:
        later.unlink()
    migrate(empty_database_url, folder)
    with psycopg.connect(empty_database_url) as connection:
        connection.execute(
            "INSERT INTO concept (owner_id, name, name_key, category, created_by, linked_user) VALUES "
            "('server:10', 'a', 'a', '', 1, 2), ('server:10', 'b', 'b', 'Freund', 1, NULL), "
            "('server:10', 'c', 'c', 'cup', 1, NULL), ('user:1', 'd', 'd', '', 1, 2)"
        )
        connection.execute(
            "INSERT INTO proposal (owner_id, concept_owner_id, concept_id, person, expires_at) "
            "SELECT 'server:10', owner_id, concept_id, linked_user, 'infinity' FROM concept WHERE name = 'd'"
        )

    migrate(empty_database_url)

    with psycopg.connect(empty_database_url) as connection:
        people = connection.execute("SELECT name FROM concept WHERE is_person ORDER BY name").fetchall()
        connection.execute("UPDATE concept SET category = 'friend' WHERE name = 'a'")
        [agreed] = connection.execute("SELECT agreed_at FROM proposal").fetchall()
    assert people == [("a",), ("b",), ("d",)]
    assert agreed == (None,)


def test_memories_that_are_there_already_go_by_the_embeddings_they_have(directory: Path, folder: Path) -> None:
    """Also where forced row-level security binds the administrator."""
    for later in sorted(folder.glob("*.sql"))[2:]:
        later.unlink()
    with EmbeddedPostgres(directory) as server:
        url = server.start()
        managed = _managed(url)
        with psycopg.connect(url.replace("/keepsake?", "/managed?")) as connection:
            connection.execute("CREATE EXTENSION vector")
        migrate(managed, folder)
        with psycopg.connect(managed) as connection:
            for owner in ("user:1", "server:10"):
                connection.execute("SELECT set_config('keepsake.personal', %s, true)", (owner,))
                connection.execute(
                    "INSERT INTO picture (owner_id, picture_sha256, jpeg, width, height) "
                    "VALUES (%s, repeat('0', 64), 'x', 1, 1)",
                    (owner,),
                )
                connection.execute(
                    "WITH made AS (INSERT INTO concept (owner_id, name, name_key, created_by) VALUES (%s, 'a', 'a', 1) "
                    "RETURNING *) INSERT INTO reference SELECT owner_id, gen_random_uuid(), concept_id, "
                    "repeat('0', 64), 0, 0, 1, 1, 1 FROM made",
                    (owner,),
                )
                connection.execute(
                    "INSERT INTO embedding SELECT owner_id, concept_id, reference_id, 'pack/1', 0, '[1]' FROM reference"
                )

        migrate(managed)

        with psycopg.connect(url.replace("/keepsake?", "/managed?")) as connection:
            rows = connection.execute("SELECT owner_id, embedding_id, missing FROM embedding_use ORDER BY 1").fetchall()
    assert rows == [("server:10", "pack/1", 0), ("user:1", "pack/1", 0)]
    # and afterwards it is protected like every other table (test_row_level_security_is_on_wherever_there_is_an_owner)


def test_the_command_line(empty_database_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["status", "--url", empty_database_url]) == 1
    assert "pending 0001_memory.sql" in capsys.readouterr().out
    assert cli.main(["migrate", "--url", empty_database_url]) == 0
    assert "applied 0001_memory.sql" in capsys.readouterr().out
    assert cli.main(["status", "--url", empty_database_url]) == 0
    assert cli.main(["migrate", "--url", "postgresql://nobody@127.0.0.1:9/x"]) == 1
    problem = capsys.readouterr().err
    assert "could not be migrated" in problem
    assert "Traceback" not in problem


def test_embedded_data_stays_and_no_process_does(directory: Path) -> None:
    server = EmbeddedPostgres(directory)
    url = server.start()
    assert server.start() == url
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS number")
    server.stop()
    server.stop()
    assert _servers_in(directory) == []
    with EmbeddedPostgres(directory) as again, psycopg.connect(again.start()) as connection:
        assert connection.execute("SELECT number FROM kept").fetchone() == (7,)
    assert _servers_in(directory) == []


def test_embedded_starts_after_everything_was_killed(directory: Path) -> None:
    """First the process that started it, then the server, and its pid belongs to somebody else by now."""
    child = (
        "import sys, os, signal, pathlib; from db.setup.embedded import EmbeddedPostgres; "
        "EmbeddedPostgres(pathlib.Path(sys.argv[1])).start(); os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", child, str(directory)], check=False, timeout=60)
    [abandoned] = _servers_in(directory)
    with EmbeddedPostgres(directory) as server:
        server.start()
        assert _servers_in(directory) == [abandoned]
    assert _servers_in(directory) == []

    server = EmbeddedPostgres(directory)
    server.start()
    [killed] = _servers_in(directory)
    os.kill(killed, signal.SIGKILL)
    psutil.wait_procs([psutil.Process(killed)] if psutil.pid_exists(killed) else [], timeout=10)
    pid_file = directory / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    pid_file.write_text("\n".join([str(os.getpid()), *lines[1:]]) + "\n")
    with psycopg.connect(server.start()) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    server.stop()
    assert _servers_in(directory) == []


def test_embedded_says_what_is_wrong(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("not a directory")
    with pytest.raises(DatabaseSetupError, match="can't be made"):
        EmbeddedPostgres(file / "postgres").start()


def _managed(url: str) -> str:
    """Make a database as managed servers give it; returns the URL of its administrator, who is no superuser."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE ROLE boss LOGIN CREATEROLE PASSWORD 'the-boss'")
        connection.execute("CREATE DATABASE managed OWNER boss")
    return with_login(url, "boss:the-boss").replace("/keepsake?", "/managed?")


def _servers_in(directory: Path) -> list[int]:
    """The pids of Postgres servers (not of their workers) of a data directory."""
    return [
        process.pid
        for process in psutil.process_iter(["cmdline", "status"])
        if process.info["status"] != psutil.STATUS_ZOMBIE
        and "-D" in (process.info["cmdline"] or ())
        and str(directory) in process.info["cmdline"]
    ]
