"""The queue of background jobs: procrastinate's tables in the same database.

Its schema is procrastinate's own, and so are the changes between its versions: they are applied, in order and once,
with our migrations. Jobs hold the ids of owners, and nothing of what they remember.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable
from pathlib import Path

import asyncpg
import procrastinate
import psycopg
from procrastinate.schema import SchemaManager

from db.roles import APP_ROLE
from db.types import OwnerId

DEFAULT = "default"
"""The queue of the bot's own jobs."""
TRAINING = "training"
"""The queue of the trainer's jobs."""
TRAIN = "train"
"""The job that trains one owner's adapter."""
FORGETTING = "forgetting"
"""The queue of what a trainer has to delete on its own disk: nothing there waits for a training to end."""
FORGET_CHECKPOINTS = "forget_checkpoints"
"""The job that deletes what trainings of one owner left there."""

HAS_QUEUE = "SELECT to_regclass('procrastinate_jobs') IS NOT NULL"

CREATE_REGISTER = "CREATE TABLE IF NOT EXISTS queue_migration (name text PRIMARY KEY)"

READ_REGISTER = "SELECT name FROM queue_migration"

ENTER_IN_REGISTER = "INSERT INTO queue_migration (name) VALUES (%s)"

# The lock lets one owner's trainings run one after the other, the queueing lock lets one of them wait.
DEFER_TRAINING = """
    SELECT procrastinate_defer_jobs_v1(ARRAY[
        ROW($1, $2, 0, $3, $3, jsonb_build_object('owner_id', $4::text), NULL)::procrastinate_job_to_defer_v1])
"""

TRAINING_WAITS = """
    SELECT EXISTS (SELECT FROM procrastinate_jobs WHERE queueing_lock = $1 AND status IN ('todo', 'doing'))
"""

# By the name of the folder, which says of nobody who they are: who is erased is in no job.
DEFER_FORGETTING = """
    SELECT procrastinate_defer_jobs_v1(ARRAY[
        ROW($1, $2, 0, NULL, NULL, jsonb_build_object('folder', $3::text), NULL)::procrastinate_job_to_defer_v1])
"""

WAS_TRAINED = "SELECT EXISTS (SELECT FROM training_run WHERE owner_id = $1)"

OWNERS_IN_TRAINING = """
    SELECT DISTINCT args ->> 'owner_id' FROM procrastinate_jobs WHERE task_name = $1 AND status IN ('todo', 'doing')
"""

FORGET_TRAINING = "DELETE FROM procrastinate_jobs WHERE queueing_lock = $1 AND status = 'todo'"

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


async def ask_for_training(connection: asyncpg.Connection, owner: OwnerId) -> None:
    """Put a training of an owner's adapter into the queue, in the caller's transaction; one waits at most."""
    with contextlib.suppress(asyncpg.UniqueViolationError):
        async with connection.transaction():
            await connection.execute(DEFER_TRAINING, TRAINING, TRAIN, _lock(owner), owner)


async def training_waits(connection: asyncpg.Connection, owner: OwnerId) -> bool:
    """Whether a training of an owner's adapter was asked for and isn't done: what trains takes seconds to load."""
    return bool(await connection.fetchval(TRAINING_WAITS, _lock(owner)))


def checkpoint_name(owner: OwnerId) -> str:
    """Return the name of the folder of an owner's checkpoints, on any trainer's disk: it doesn't say who that is."""
    return hashlib.sha256(owner.encode()).hexdigest()[:16]


async def ask_to_forget_checkpoints(connection: asyncpg.Connection, owners: Iterable[OwnerId]) -> None:
    """Let the trainer delete what trainings of these owners left on its disk, as soon as this transaction is there."""
    for owner in owners:
        await connection.execute(DEFER_FORGETTING, FORGETTING, FORGET_CHECKPOINTS, checkpoint_name(owner))


async def was_trained(connection: asyncpg.Connection, owner: OwnerId) -> bool:
    """Whether a training of an owner's adapter ever began: without one no trainer keeps anything of them."""
    return bool(await connection.fetchval(WAS_TRAINED, owner))


async def owners_in_training(connection: asyncpg.Connection) -> list[OwnerId]:
    """Return whose training waits, or goes on."""
    return [OwnerId(row[0]) for row in await connection.fetch(OWNERS_IN_TRAINING, TRAIN)]


async def forget_training(connection: asyncpg.Connection, owner: OwnerId) -> None:
    """Take a training of an owner's adapter that hasn't begun out of the queue."""
    await connection.execute(FORGET_TRAINING, _lock(owner))


def _lock(owner: OwnerId) -> str:
    return f"{TRAIN} {owner}"
