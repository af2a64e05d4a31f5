"""The trainer as a child process, beside a worker that is one, too: one machine that has everything."""

from __future__ import annotations

from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bot.runtime.child_process import ChildProcess
from bot.runtime.services import Services
from bot.runtime.settings import Settings
from bot.runtime.worker_process import WorkerProcess
from db.setup.settings import CONNECTION_VARIABLES
from model_worker.api.packs import PackError, load_pack
from model_worker.api.recipes import recipe_of

MAX_PAUSE_SECONDS = 600.0
"""Loading what trains takes a processor's seconds, and a pack that can't be trained never can."""


class TrainerProcess(ChildProcess):
    """A trainer of one pack's adapters: it takes what the queue has, and waits while the worker answers."""

    def __init__(self, settings: Settings, app_url: str, worker: WorkerProcess) -> None:
        super().__init__("trainer", settings.home / "trainer.log", MAX_PAUSE_SECONDS)
        self._settings = settings
        self._app_url = app_url
        self._worker = worker

    async def _spawn(self) -> Process:
        environment = {
            "KEEPSAKE_APP_DATABASE_URL": self._app_url,
            "WORKER_URL": self._worker.url,
            "KEEPSAKE_WORKER_TOKEN": self._worker.token,
            "KEEPSAKE_HOME": str(self._settings.home.absolute()),
        }
        return await self._run(
            "finetune", "work", "--pack", self._settings.pack, environment=environment, also=CONNECTION_VARIABLES
        )


@asynccontextmanager
async def running_trainer(settings: Settings, services: Services) -> AsyncIterator[None]:
    """Run a trainer for as long as the body runs, if the pack can be trained, and its worker is a child process."""
    if services.worker is None or not _can_be_trained(settings.pack):
        yield
        return
    trainer = TrainerProcess(settings, services.app_url, services.worker)
    await trainer.start()
    try:
        yield
    finally:
        await trainer.stop()


def _can_be_trained(pack: str) -> bool:
    try:
        recipe_of(load_pack(pack))
    except PackError:
        return False
    return True
