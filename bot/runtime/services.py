"""The parts of a running Keepsake: database, worker, app; started in order, stopped in reverse."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import asyncpg

from bot.runtime.child_process import ChildStartError
from bot.runtime.settings import Settings
from bot.runtime.worker_process import WorkerProcess
from bot.service.app import App
from bot.service.worker_client import WorkerClient
from db.errors import DatabaseSetupError, DatabaseUnavailableError
from db.pool import open_pool
from db.roles import app_url
from db.setup.embedded import EmbeddedPostgres
from db.setup.migrate import check_migrated, migrate
from db.setup.redaction import redacted
from model_worker.api.packs import PackError, load_pack
from model_worker.api.recipes import recipe_of

Progress = Callable[[str], None]


class ServiceError(Exception):
    """A part doesn't start: the text says which, why and what to do."""


@dataclass(frozen=True, slots=True)
class Services:
    """What runs: the app, the app's own way to the database, and the worker if it is a child process."""

    app: App
    app_url: str
    worker: WorkerProcess | None


@asynccontextmanager
async def running_services(settings: Settings, progress: Progress) -> AsyncIterator[Services]:
    """Start what the settings don't say is elsewhere.

    Raises ServiceError.
    """
    async with AsyncExitStack() as stack:
        url = await _database(settings, stack, progress)
        pool = await _pool(url, stack)
        process = await _worker_process(settings, stack, progress) if settings.worker_url is None else None
        client = _worker_client(settings, process)
        stack.push_async_callback(client.close)
        app = App(pool=pool, worker=client, min_concepts_to_train=_min_concepts_to_train(settings.pack))
        yield Services(app, url, process)


async def _database(settings: Settings, stack: AsyncExitStack, progress: Progress) -> str:
    """Return the app role's URL of a database that has all migrations: no other is kept while the bot runs.

    With the app role's URL alone nothing is migrated: that was a step of its own (`keepsake-db migrate`).
    """
    progress("database: starting")
    try:
        if settings.database_url is None and settings.app_database_url is not None:
            url = settings.app_database_url.get_secret_value()
            await asyncio.to_thread(check_migrated, url)
            applied: list[str] = []
        else:
            administrators = await _administrators_url(settings, stack)
            applied = await asyncio.to_thread(migrate, administrators)
            url = app_url(administrators)
    except (DatabaseSetupError, DatabaseUnavailableError) as problem:
        raise ServiceError(redacted(f"database: {problem.__cause__ or problem}")) from problem
    progress(f"database: ready{f' ({len(applied)} migrations applied)' if applied else ''}")
    return url


async def _pool(url: str, stack: AsyncExitStack) -> asyncpg.Pool:
    try:
        pool = await open_pool(url)
    except (DatabaseSetupError, DatabaseUnavailableError) as problem:
        raise ServiceError(redacted(f"database: {problem.__cause__ or problem}")) from problem
    stack.push_async_callback(_close, pool)
    return pool


async def _administrators_url(settings: Settings, stack: AsyncExitStack) -> str:
    """Return the administrator's URL of the database that is set, or of the embedded one, started."""
    if settings.database_url is not None:
        return settings.database_url.get_secret_value()
    server = EmbeddedPostgres(settings.home / "postgres")
    stack.push_async_callback(asyncio.to_thread, server.stop)
    return await asyncio.to_thread(server.start)


async def _worker_process(settings: Settings, stack: AsyncExitStack, progress: Progress) -> WorkerProcess:
    progress(f"worker: loading the pack “{settings.pack}” (the first time takes half a minute)")
    process = WorkerProcess(settings.pack, settings.home / "worker.log")
    stack.push_async_callback(process.stop)
    try:
        await process.start()
    except ChildStartError as problem:
        raise ServiceError(f"worker: {problem}") from problem
    progress("worker: ready")
    return process


def _worker_client(settings: Settings, process: WorkerProcess | None) -> WorkerClient:
    if process is not None:
        return WorkerClient(process.url, process.token)
    if settings.worker_url is None or settings.worker_token is None:
        raise ServiceError("worker: WORKER_URL is set, so KEEPSAKE_WORKER_TOKEN has to be, too.")
    return WorkerClient(settings.worker_url, settings.worker_token.get_secret_value())


def _min_concepts_to_train(pack: str) -> int | None:
    """Return how many concepts a training of a pack's writer takes; None when it can't be trained here."""
    try:
        return recipe_of(load_pack(pack)).min_concepts
    except PackError:
        return None


async def _close(pool: asyncpg.Pool) -> None:
    try:
        await asyncio.wait_for(pool.close(), 5)
    except TimeoutError:
        pool.terminate()
