"""The worker with fake models, served over real HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import web

from bot.service.worker_client import WorkerClient
from model_worker.server.app import Worker
from model_worker.server.loading import LoadFormer, load_former
from model_worker.server.models import Models
from tests.support.fake_models import FakePerceiver, FakeWriter

TOKEN = "a-secret-of-the-worker"


@dataclass(frozen=True)
class RunningWorker:
    """The real worker process."""

    url: str
    token: str


@dataclass(kw_only=True)
class Served:
    url: str
    client: WorkerClient
    perceiver: FakePerceiver
    writer: FakeWriter


@asynccontextmanager
async def served(
    perceiver: FakePerceiver | None = None,
    writer: FakeWriter | None = None,
    load: Callable[[], Models] | None = None,
    max_waiting: int = 32,
    wait: bool = True,
    load_former: LoadFormer = load_former,
) -> AsyncIterator[Served]:
    perceiver, writer = perceiver or FakePerceiver(), writer or FakeWriter()
    worker = Worker(
        load or (lambda: Models(pack="fake", perceiver=perceiver, writer=writer)),
        TOKEN,
        max_waiting=max_waiting,
        load_former=load_former,
    )
    runner = web.AppRunner(worker.app(), handler_cancellation=True, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    client = WorkerClient(url, TOKEN)
    try:
        while wait and (await client.health()).state == "loading":
            await asyncio.sleep(0.01)
        yield Served(url=url, client=client, perceiver=perceiver, writer=writer)
    finally:
        await client.close()
        await runner.cleanup()
