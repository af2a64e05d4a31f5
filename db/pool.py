"""Connections: a pool that survives the database going away, and transactions that know their viewer.

What a transaction may see is said by its settings, which the policies of row-level security read (the migrations
``0001`` and ``0002``); this is the only file that makes them. Each is local to its transaction, so that a connection
which goes back to the pool takes no right along.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field

import asyncpg
import psycopg
from pgvector.asyncpg import register_vector

from db.errors import DatabaseSetupError, DatabaseUnavailableError
from db.roles import OTHER_ROLES_ARE_BOUND, ROLE_IS_BOUND
from db.setup.redaction import redacted
from db.setup.settings import DatabaseSettings
from db.types import OwnerId, Viewer

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
           set_config('keepsake.shared', $2, true),
           set_config('keepsake.roles', $3, true),
           set_config('keepsake.governs', $4, true)
"""

READ_SETTING = "SELECT coalesce(current_setting($1, true), '')"

SET = "SELECT set_config($1, $2, true)"

SET_CARETAKER = "SELECT set_config('keepsake.caretaker', 'on', true)"

READ_SECONDS = 2
CONNECTIONS_OF_USER = 2
"""At a time: however much one user asks for at once, others are served."""

SET_READ_TIMEOUT = f"SET LOCAL statement_timeout = '{READ_SECONDS}s'"

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
        server_settings=SETTINGS | {"keepsake.people": DatabaseSettings.read().people},
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
    async with _turn_of(pool, viewer.user_id), without_viewer(pool) as connection:
        roles = ",".join(str(role) for role in sorted(viewer.roles))
        governs = "on" if viewer.is_admin and viewer.server_memory is not None else ""
        await connection.execute(SET_VIEWER, viewer.personal, viewer.server_memory or "", roles, governs)
        yield connection


@asynccontextmanager
async def reading(pool: asyncpg.Pool, viewer: Viewer) -> AsyncIterator[asyncpg.Connection]:
    """Open a transaction as `viewing` does, for what people look at: a statement that takes two seconds is ended.

    Raises DatabaseUnavailableError then, too.
    """
    async with viewing(pool, viewer) as connection:
        await connection.execute(SET_READ_TIMEOUT)
        yield connection


@asynccontextmanager
async def _turn_of(pool: asyncpg.Pool, user_id: int) -> AsyncIterator[None]:
    """Wait until a user has fewer connections than one may have; nobody in particular (0) never waits.

    Who isn't there has no entry, so there are as many as users who are served just now. Raises
    DatabaseUnavailableError after the time that getting a connection may take.
    """
    turns = _turns.setdefault((id(pool), user_id), _Turns()) if user_id else _Turns()
    turns.users += 1
    try:
        try:
            await asyncio.wait_for(turns.free.acquire(), ACQUIRE_SECONDS)
        except TimeoutError as error:
            raise DatabaseUnavailableError from error
        try:
            yield
        finally:
            turns.free.release()
    finally:
        turns.users -= 1
        if user_id and not turns.users:
            _turns.pop((id(pool), user_id), None)


@dataclass(slots=True)
class _Turns:
    """The turns of one user, and how many of their transactions hold one or wait for one."""

    free: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(CONNECTIONS_OF_USER))
    users: int = 0


_turns: dict[tuple[int, int], _Turns] = {}


@asynccontextmanager
async def without_viewer(pool: asyncpg.Pool) -> AsyncIterator[asyncpg.Connection]:
    """Open a transaction that sees no owner's rows; for health checks and retention.

    Raises DatabaseUnavailableError.
    """
    async with _acquired(pool) as connection, _transaction(connection):
        yield connection


@asynccontextmanager
async def outside_transactions(pool: asyncpg.Pool) -> AsyncIterator[asyncpg.Connection]:
    """Open a connection for what has to run outside a transaction, as long as it takes; it sees no owner's rows.

    Raises DatabaseUnavailableError.
    """
    async with _acquired(pool) as connection:
        await connection.execute("SET statement_timeout = 0")
        try:
            yield connection
        except AWAY as error:
            raise DatabaseUnavailableError from error
        finally:
            if not _is_gone(connection):
                await connection.execute("RESET statement_timeout")


@asynccontextmanager
async def as_caretaker(connection: asyncpg.Connection) -> AsyncIterator[None]:
    """See what is due or has to be listed, whoever owns it: answers that expired, which servers there are.

    What is in a memory stays invisible: a caretaker finds whose rows are where, and may delete what has expired.
    """
    async with _set(connection, "keepsake.caretaker", "on"):
        yield


@asynccontextmanager
async def erasing(connection: asyncpg.Connection) -> AsyncIterator[None]:
    """Find what the viewer made, or is linked to them, in every server; to change it, enter that server."""
    async with _set(connection, "keepsake.erasing", "on"):
        yield


@asynccontextmanager
async def entering(connection: asyncpg.Connection, memory: OwnerId) -> AsyncIterator[None]:
    """See and change this memory instead of that of the server that the viewer is in.

    Only for what a viewer may do everywhere, wherever they do it: taking back what is theirs. It may be
    another user's memory, when they keep a picture of the viewer's.
    """
    async with _set(connection, "keepsake.shared", memory), _set(connection, "keepsake.governs", ""):
        yield


@asynccontextmanager
async def opening_trash(connection: asyncpg.Connection) -> AsyncIterator[None]:
    """See and change what was forgotten, too: to forget, to undo, or to delete for good."""
    async with _set(connection, "keepsake.trash", "on"):
        yield


@asynccontextmanager
async def deciding(connection: asyncpg.Connection) -> AsyncIterator[None]:
    """See what is proposed where the viewer decides about it, in its owner's memory."""
    async with _set(connection, "keepsake.deciding", "on"):
        yield


@asynccontextmanager
async def _set(connection: asyncpg.Connection, name: str, value: str) -> AsyncIterator[None]:
    """Make a setting for the body, and give it back what it was.

    The body is a (nested) transaction: when it fails, Postgres itself takes the setting back with all the rest, at a
    time when it would refuse any statement of ours.
    """
    async with connection.transaction():
        before = await connection.fetchval(READ_SETTING, name)
        await connection.execute(SET, name, value)
        yield
        await connection.execute(SET, name, before)


@contextmanager
def connected_as_caretaker(url: str) -> Iterator[psycopg.Connection]:
    """Connect for one transaction of `as_caretaker`, without a pool, through any role's URL.

    Raises DatabaseSetupError when the database can't be asked.
    """
    try:
        with psycopg.connect(url, connect_timeout=10) as connection:
            connection.execute(SET_CARETAKER)
            yield connection
    except psycopg.Error as error:
        raise DatabaseSetupError(f"The database can't be asked: {' '.join(redacted(error).split())}") from error


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
