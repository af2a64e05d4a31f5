"""Migrations: the SQL files of `migrations`, applied in order, once, under a lock, with checksums."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg.abc import Query

from db import job_queue
from db.errors import DatabaseSetupError, MigrationError
from db.locks import LOCK_MIGRATIONS
from db.roles import open_app_role, why_not_log_in
from db.setup.redaction import redacted

MIGRATIONS = Path(__file__).parents[1] / "migrations"
LOCK_WAIT_SECONDS = 60

CREATE_REGISTER = """
    CREATE TABLE IF NOT EXISTS schema_migration (
        version    integer     PRIMARY KEY,
        name       text        NOT NULL,
        checksum   text        NOT NULL,
        applied_at timestamptz NOT NULL DEFAULT now()
    )
"""

REGISTER_EXISTS = "SELECT to_regclass('schema_migration') IS NOT NULL"

READ_REGISTER = "SELECT version, name, checksum FROM schema_migration ORDER BY version"

ENTER_IN_REGISTER = "INSERT INTO schema_migration (version, name, checksum) VALUES (%s, %s, %s)"


FIRST_WITH_MAINTAIN = 170_000

LET_APP_VACUUM = "GRANT MAINTAIN ON ALL TABLES IN SCHEMA public TO keepsake_app"


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """One SQL file: ``0001_memory.sql`` has version 1; the checksum is SHA-256, whatever the line ends."""

    version: int
    name: str
    sql: str
    checksum: str


@dataclass(frozen=True, slots=True)
class Applied:
    """One line of the database's own register of migrations."""

    version: int
    name: str
    checksum: str


@dataclass(frozen=True, slots=True)
class Status:
    """Which migrations a database has, and which it still needs (names, in order)."""

    applied: tuple[str, ...]
    pending: tuple[str, ...]


def migrate(url: str, folder: Path = MIGRATIONS) -> list[str]:
    """Apply what is missing, all in one transaction, and let the app role log in.

    Parameters
    ----------
    url : str
        The administrator's URL (see `db.roles`).
    folder : Path
        Where the SQL files are.

    Returns
    -------
    list[str]
        The names of the files applied now; empty when the database was up to date.

    Raises
    ------
    MigrationError
        An applied file was changed, or the database is newer than this code.
    DatabaseSetupError
        The database can't be reached, or refused a statement.

    """
    migrations = read_migrations(folder)
    try:
        with psycopg.connect(url, connect_timeout=10) as connection:
            applied_now = _apply(connection, migrations)
            if folder == MIGRATIONS:
                job_queue.install(connection)
                _let_app_vacuum(connection)
    except psycopg.errors.InsufficientPrivilege as error:
        raise DatabaseSetupError(
            f"The administrator may not do what a migration needs: {_first_line(error)}. "
            "Let a superuser do that (as CREATE EXTENSION vector), and try again."
        ) from error
    except psycopg.Error as error:
        raise DatabaseSetupError(f"The database could not be migrated: {_first_line(error)}") from error
    open_app_role(url)
    return applied_now


def status(url: str, folder: Path = MIGRATIONS) -> Status:
    """Return which migrations are applied and pending, changing nothing. Raises as `migrate` does."""
    migrations = read_migrations(folder)
    try:
        with psycopg.connect(url, connect_timeout=10) as connection:
            applied = _read_register(connection)
    except psycopg.Error as error:
        raise DatabaseSetupError(f"The database can't be asked: {_first_line(error)}") from error
    pending = _still_to_apply(migrations, applied)
    return Status(tuple(entry.name for entry in applied), tuple(migration.name for migration in pending))


def check_migrated(app_url: str) -> None:
    """Check that a database has all migrations, through the app role's URL. Raises DatabaseSetupError if it hasn't."""
    pending = status(app_url).pending
    if pending:
        raise DatabaseSetupError(f"Migrations are missing ({', '.join(pending)}): run `keepsake-db migrate`.")
    reason = why_not_log_in(app_url)
    if reason is not None:
        raise DatabaseSetupError(f"The app role can't be used: {reason}.")


def read_migrations(folder: Path = MIGRATIONS) -> list[Migration]:
    """Return the folder's migrations in order. Raises MigrationError on a name or number out of place."""
    migrations = [_read_migration(path) for path in sorted(folder.glob("*.sql"))]
    for expected, migration in enumerate(migrations, start=1):
        if migration.version != expected:
            raise MigrationError(f"Migration {migration.name} should have the number {expected:04}.")
    return migrations


def _read_migration(path: Path) -> Migration:
    match = re.fullmatch(r"(\d{4})_[a-z0-9_]+\.sql", path.name)
    if match is None:
        raise MigrationError(f"Migration {path.name} should be named like 0001_memory.sql.")
    text = path.read_text(encoding="utf-8").replace("\r\n", "\n")
    return Migration(
        version=int(match[1]), name=path.name, sql=text, checksum=hashlib.sha256(text.encode()).hexdigest()
    )


def _apply(connection: psycopg.Connection, migrations: Sequence[Migration]) -> list[str]:
    connection.execute(f"SET LOCAL lock_timeout = '{LOCK_WAIT_SECONDS}s'")
    connection.execute(LOCK_MIGRATIONS)
    connection.execute(CREATE_REGISTER)
    pending = _still_to_apply(migrations, _read_register(connection))
    for migration in pending:
        connection.execute(_trusted(migration.sql))
        connection.execute(ENTER_IN_REGISTER, (migration.version, migration.name, migration.checksum))
    return [migration.name for migration in pending]


def _let_app_vacuum(connection: psycopg.Connection) -> None:
    """Let the app role clean the pages of what was erased; Postgres before 17 leaves that to its own time."""
    if connection.info.server_version >= FIRST_WITH_MAINTAIN:
        connection.execute(LET_APP_VACUUM)


def _read_register(connection: psycopg.Connection) -> list[Applied]:
    exists = connection.execute(REGISTER_EXISTS).fetchone()
    if exists is None or not exists[0]:
        return []
    return [Applied(*row) for row in connection.execute(READ_REGISTER)]


def _still_to_apply(migrations: Sequence[Migration], applied: Sequence[Applied]) -> list[Migration]:
    known = {migration.version: migration for migration in migrations}
    for entry in applied:
        if entry.version not in known:
            raise MigrationError(
                f"The database has migration {entry.name}, which this Keepsake doesn't know: "
                "the database is newer. Update Keepsake."
            )
        if entry.checksum != known[entry.version].checksum:
            raise MigrationError(
                f"Migration {entry.name} was changed after it was applied to this database. "
                "Restore the file, and put the change into a new migration."
            )
    done = {entry.version for entry in applied}
    return [migration for migration in migrations if migration.version not in done]


def _trusted(text: str) -> Query:
    """Say that this text is SQL of our own files: psycopg's types ask for literals otherwise."""
    return text.encode()


def _first_line(error: Exception) -> str:
    return redacted(error).strip().partition("\n")[0].rstrip(".") or type(error).__name__
