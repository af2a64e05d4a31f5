"""The queue of background jobs: procrastinate's tables in the same database.

Its schema is procrastinate's own, and so are the changes between its versions: they are applied, in order and once,
with our migrations. Jobs hold the ids of owners, and nothing of what they remember.
"""

from __future__ import annotations

from pathlib import Path

import procrastinate
import psycopg
from procrastinate.schema import SchemaManager

from db.roles import APP_ROLE

HAS_QUEUE = "SELECT to_regclass('procrastinate_jobs') IS NOT NULL"

CREATE_REGISTER = "CREATE TABLE IF NOT EXISTS queue_migration (name text PRIMARY KEY)"

READ_REGISTER = "SELECT name FROM queue_migration"

ENTER_IN_REGISTER = "INSERT INTO queue_migration (name) VALUES (%s)"

GRANT = f"""
    GRANT SELECT, INSERT, UPDATE, DELETE ON
        procrastinate_jobs, procrastinate_events, procrastinate_periodic_defers, procrastinate_workers TO {APP_ROLE};
    GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO {APP_ROLE};
"""


def install(connection: psycopg.Connection) -> None:
    """Make the queue's tables, or bring them up to this version of procrastinate; in the caller's transaction."""
    row = connection.execute(HAS_QUEUE).fetchone()
    is_new = row is None or not row[0]
    connection.execute(CREATE_REGISTER)
    known = {name for (name,) in connection.execute(READ_REGISTER)}
    if is_new:
        connection.execute(SchemaManager.get_schema().encode())
    for path in sorted(Path(SchemaManager.get_migrations_path()).glob("*.sql")):
        if path.name not in known:
            if not is_new:
                connection.execute(path.read_bytes())
            connection.execute(ENTER_IN_REGISTER, (path.name,))
    connection.execute(GRANT.encode())


def open_queue(app_url: str) -> procrastinate.App:
    """Return the queue as the app role sees it; open it with ``open_async``."""
    return procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=app_url, min_size=1, max_size=3))
