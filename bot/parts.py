"""The parts of a running Keepsake: database, worker, assistant; started in order, stopped in reverse."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import asyncpg

from bot.assistant import Assistant
from bot.settings import Settings
from bot.worker_client import WorkerClient
from bot.worker_process import WorkerProblem, WorkerProcess
from db.embedded import EmbeddedPostgres
from db.errors import DatabaseProblem, MemoryAway
from db.migrate import migrate
from db.pool import open_pool
from db.roles import app_url

Progress = Callable[[str], None]


class PartProblem(Exception):  # noqa: N818 (it says what is the matter)
    """A part doesn't start: the text says which, why and what to do."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What runs: the assistant, and the app's own way to the database, for the job queue."""

    assistant: Assistant
    app_url: str


@asynccontextmanager
async def running(settings: Settings, progress: Progress) -> AsyncIterator[Parts]:
    """Start what the settings don't say is elsewhere.

    Raises PartProblem.
    """
    async with AsyncExitStack() as stack:
        progress("database: starting")
        try:
            url = settings.database_url or await _embedded(settings, stack)
            applied = await asyncio.to_thread(migrate, url)
            pool = await open_pool(app_url(url))
        except (DatabaseProblem, MemoryAway) as problem:
            raise PartProblem(f"database: {problem}") from problem
        stack.push_async_callback(_close, pool)
        progress(f"database: ready{f' ({len(applied)} migrations applied)' if applied else ''}")
        client = await _worker(settings, stack, progress)
        yield Parts(Assistant(pool, client), app_url(url))


async def _embedded(settings: Settings, stack: AsyncExitStack) -> str:
    server = EmbeddedPostgres(settings.home / "postgres")
    stack.push_async_callback(asyncio.to_thread, server.stop)
    return await asyncio.to_thread(server.start)


async def _worker(settings: Settings, stack: AsyncExitStack, progress: Progress) -> WorkerClient:
    if settings.worker_url is not None:
        if settings.worker_token is None:
            raise PartProblem("worker: WORKER_URL is set, so KEEPSAKE_WORKER_TOKEN has to be, too.")
        client = WorkerClient(settings.worker_url, settings.worker_token)
    else:
        progress(f"worker: loading the pack “{settings.pack}” (the first time takes half a minute)")
        process = WorkerProcess(settings.pack, settings.home / "worker.log")
        stack.push_async_callback(process.stop)
        try:
            await process.start()
        except WorkerProblem as problem:
            raise PartProblem(f"worker: {problem}") from problem
        client = WorkerClient(process.url, process.token)
        progress("worker: ready")
    stack.push_async_callback(client.close)
    return client


async def _close(pool: asyncpg.Pool) -> None:
    try:
        await asyncio.wait_for(pool.close(), 5)
    except TimeoutError:
        pool.terminate()
