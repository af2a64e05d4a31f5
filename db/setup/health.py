"""Whether a database is fit for Keepsake; for `keepsake doctor`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from db.errors import DatabaseSetupError
from db.pool import connected_as_caretaker
from db.roles import app_url, why_not_log_in
from db.setup.migrate import status

OLDEST_POSTGRES = 15  # ON DELETE SET NULL of one column
OLDEST_PGVECTOR = (0, 8)  # iterative index scans

POSTGRES_VERSION = "SELECT current_setting('server_version_num')::int / 10000, current_setting('server_version')"

PGVECTOR_VERSION = "SELECT extversion FROM pg_extension WHERE extname = 'vector'"

TABLES_WITHOUT_PROTECTION = """
    SELECT pg_class.relname
      FROM pg_class
      JOIN pg_attribute ON pg_attribute.attrelid = pg_class.oid AND pg_attribute.attname = 'owner_id'
     WHERE pg_class.relkind IN ('r', 'p')
       AND pg_class.relnamespace = 'public'::regnamespace
       AND NOT pg_attribute.attisdropped
       AND NOT (pg_class.relrowsecurity AND pg_class.relforcerowsecurity)
     ORDER BY pg_class.relname
"""

MEMORIES = """
    SELECT embedding_id, count(*), sum(missing)
      FROM embedding_use
     GROUP BY embedding_id
     ORDER BY embedding_id
"""


@dataclass(frozen=True, slots=True)
class MemoriesIn:
    """How many memories go by embeddings of this id; ``missing`` of their references lack the one they should have."""

    embedding_id: str
    memories: int
    missing: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseState:
    """What is to be known about a database; ``app_role_problem`` is None when the role is as it should be."""

    postgres_major: int
    postgres: str
    pgvector: str | None
    applied: tuple[str, ...]
    pending: tuple[str, ...]
    app_role_problem: str | None
    unprotected_tables: tuple[str, ...]
    memories: tuple[MemoriesIn, ...]


def inspect(url: str) -> DatabaseState:
    """Look at a database through the administrator's URL, changing nothing.

    Raises DatabaseSetupError when it can't be reached, or was migrated by another version of the code.
    """
    migrations = status(url)
    with connected_as_caretaker(url) as connection:
        major, version = connection.execute(POSTGRES_VERSION).fetchone() or (0, "unknown")
        pgvector = connection.execute(PGVECTOR_VERSION).fetchone()
        unprotected = connection.execute(TABLES_WITHOUT_PROTECTION).fetchall()
        memories = [] if migrations.pending else connection.execute(MEMORIES).fetchall()
    return DatabaseState(
        postgres_major=major,
        postgres=version,
        pgvector=None if pgvector is None else pgvector[0],
        applied=migrations.applied,
        pending=migrations.pending,
        app_role_problem=None if migrations.pending else why_not_log_in(app_url(url)),
        unprotected_tables=tuple(row[0] for row in unprotected),
        memories=tuple(MemoriesIn(*row) for row in memories),
    )


def database_problem(url: str) -> str | None:
    """Return None when the database (administrator's URL) is fit, else what is wrong and what to do."""
    try:
        state = inspect(url)
    except DatabaseSetupError as problem:
        return str(problem)
    return problem_of(state)


def problem_of(state: DatabaseState) -> str | None:
    """Return the first thing that is wrong with a database, None when it is fit."""
    return next((sentence for is_wrong, sentence in _checks(state) if is_wrong), None)


def _checks(state: DatabaseState) -> Iterator[tuple[bool, str]]:
    """Yield what might be wrong, what has to be put right first at the front."""
    yield (
        state.postgres_major < OLDEST_POSTGRES,
        f"Postgres {state.postgres} is too old: Keepsake needs {OLDEST_POSTGRES} or newer.",
    )
    yield (
        bool(state.pending),
        f"Migrations are missing ({', '.join(state.pending)}): run `keepsake-db migrate`.",
    )
    yield (
        state.pgvector is None,
        "pgvector is missing: install it on the server, then run `CREATE EXTENSION vector`.",
    )
    yield (
        _version(state.pgvector or "0") < OLDEST_PGVECTOR,
        f"pgvector {state.pgvector} is too old: Keepsake needs 0.8 or newer.",
    )
    yield (state.app_role_problem is not None, f"The app role can't be used: {state.app_role_problem}.")
    yield (
        bool(state.unprotected_tables),
        f"Row-level security is off for {', '.join(state.unprotected_tables)}: stop the bot, and turn it on.",
    )


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".")[:2])
