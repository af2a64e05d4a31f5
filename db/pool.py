"""Connections: a pool that survives the database going away, and transactions that know their viewer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
from pgvector.asyncpg import register_vector

from db.errors import DatabaseSetupError, DatabaseUnavailableError
from db.roles import OTHER_ROLES_ARE_BOUND, ROLE_IS_BOUND
from db.types import Viewer

CONNECT_SECONDS = 5.0
ACQUIRE_SECONDS = 8.0
COMMAND_SECONDS = 20.0

SETTINGS = {
    "application_name": "keepsake",
    "jit": "off",  # our statements are short: compiling one takes longer than running it
    "statement_timeout": "15s",
    "lock_timeout": "10s",
    "idle_in_transaction_session_timeout": "60s",
}

SET_VIEWER = """
    SELECT set_config('keepsake.personal', $1, true),
           set_config('keepsake.shared', $2, true)
"""

AWAY = (
    asyncpg.PostgresConnectionError,  # lost, refused, does not exist
    asyncpg.OperatorInterventionError,  # shut down, crashed, starting up, cancelled by statement_timeout
    asyncpg.InsufficientResourcesError,  # too many connections, disk full
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.LockNotAvailableError,
    TimeoutError,
)
"""What asyncpg raises when the database, not the statement, is the problem."""


async def open_pool(url: str, *, largest: int = 10) -> asyncpg.Pool:
    """Open a pool of connections as the app role.

    It needs the database to be there once, now; afterwards it reconnects by itself.

    Parameters
    ----------
    url : str
        The app's URL (`db.roles.app_url`), of a migrated database.
    largest : int
        Connections at most.

    Raises
    ------
    DatabaseUnavailableError
        The database can't be reached.
    DatabaseSetupError
        It isn't migrated, or the role of the URL would bypass row-level security.

    """
    pool = await asyncpg.create_pool(
        url,
        min_size=0,  # more are restored in the background, with a traceback logged at each failed try
        max_size=largest,
        timeout=CONNECT_SECONDS,
        command_timeout=COMMAND_SECONDS,
        server_settings=SETTINGS,
        init=_prepare_connection,
    )
    try:
        async with _acquired(pool):
            return pool
    except BaseException:
        pool.terminate()
        raise


@asynccontextmanager
async def viewing(pool: asyncpg.Pool, viewer: Viewer) -> AsyncIterator[asyncpg.Connection]:
    """Open a transaction in which only the viewer's own and the current server's rows exist.

    Keep it short: nothing slow (a model, Discord) belongs inside it.

    Raises DatabaseUnavailableError when the database can't be reached or goes away; nothing of it is kept then.
    """
    async with without_viewer(pool) as connection:
        await connection.execute(SET_VIEWER, viewer.personal, viewer.server_memory or "")
        yield connection


@asynccontextmanager
async def without_viewer(pool: asyncpg.Pool) -> AsyncIterator[asyncpg.Connection]:
    """Open a transaction that sees no owner's rows; for health checks and retention.

    Raises DatabaseUnavailableError.
    """
    async with _acquired(pool) as connection, _transaction(connection):
        yield connection


@asynccontextmanager
async def _acquired(pool: asyncpg.Pool) -> AsyncIterator[asyncpg.Connection]:
    try:
        connection = await pool.acquire(timeout=ACQUIRE_SECONDS)
    except (*AWAY, OSError, asyncpg.InterfaceError) as error:
        raise DatabaseUnavailableError from error
    try:
        yield connection
    finally:
        await _release(pool, connection)


async def _release(pool: asyncpg.Pool, connection: asyncpg.Connection) -> None:
    try:
        await pool.release(connection, timeout=CONNECT_SECONDS)
    except (*AWAY, OSError, asyncpg.InterfaceError):
        if not _is_gone(connection):
            connection.terminate()  # it could not be cleaned for the next viewer: the pool makes a new one


@asynccontextmanager
async def _transaction(connection: asyncpg.Connection) -> AsyncIterator[None]:
    """Run the body in a transaction; what says that the database went away becomes DatabaseUnavailableError."""
    try:
        async with connection.transaction():
            yield
    except AWAY as error:
        raise DatabaseUnavailableError from error
    except (ConnectionError, asyncpg.InterfaceError) as error:
        # The body may have other connections that break: only a dead one to the database is ours to name.
        if _is_gone(connection):
            raise DatabaseUnavailableError from error
        raise


def _is_gone(connection: asyncpg.Connection) -> bool:
    try:
        return bool(connection.is_closed())
    except asyncpg.InterfaceError:
        return True  # the pool took it back when it broke


async def _prepare_connection(connection: asyncpg.Connection) -> None:
    for question in (ROLE_IS_BOUND, OTHER_ROLES_ARE_BOUND):
        if not await connection.fetchval(question):
            raise DatabaseSetupError(
                "The app would connect as a role that bypasses row-level security. "
                "Give it the URL of keepsake_app (or of a role like it), not the administrator's."
            )
    try:
        await register_vector(connection)
    except ValueError as error:
        raise DatabaseSetupError("The database has no pgvector yet: run `keepsake-db migrate`.") from error
