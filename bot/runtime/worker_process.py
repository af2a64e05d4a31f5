"""The worker as a child process, on a free port of this machine."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from asyncio.subprocess import PIPE, Process
from pathlib import Path

from bot.runtime.child_process import ChildProcess, ChildStartError, kill_what_is_left
from bot.service.worker_client import WorkerClient
from model_worker.api.errors import WorkerUnavailableError

START_SECONDS = 60.0
LOAD_SECONDS = 300.0
MAX_PAUSE_SECONDS = 30.0


class WorkerProcess(ChildProcess):
    """A worker of one pack; when it is started again it is on the same port, so that the bot finds it."""

    def __init__(self, pack: str, log_file: Path) -> None:
        super().__init__("model worker", log_file, MAX_PAUSE_SECONDS)
        self.token = secrets.token_urlsafe(32)
        self.url = ""
        self._pack = pack
        self._port = "0"

    async def start(self) -> None:
        """Start the process and wait until its models are loaded. Raises ChildStartError."""
        await super().start()
        try:
            await self._until_ready()
        except BaseException:
            await self.stop()
            raise

    async def _spawn(self) -> Process:
        environment = {"KEEPSAKE_WORKER_TOKEN": self.token}
        arguments = ("serve", "--pack", self._pack, "--port", self._port)
        process = await self._run(*arguments, environment=environment, also=["KEEPSAKE_WRITER_KEY"], stdout=PIPE)
        assert process.stdout is not None  # noqa: S101 (it is a pipe)
        line = b""
        try:
            line = await asyncio.wait_for(process.stdout.readline(), START_SECONDS)
        except TimeoutError:
            pass
        finally:
            if not line.startswith(b"ready "):
                kill_what_is_left(process)
        if not line.startswith(b"ready "):
            raise ChildStartError(f"The model worker did not start: see {self._log_file}.")
        self.url = line.decode().split()[1]
        self._port = self.url.rpartition(":")[2]
        return process

    async def _until_ready(self) -> None:
        client = WorkerClient(self.url, self.token)
        try:
            async with asyncio.timeout(LOAD_SECONDS):
                while True:
                    with contextlib.suppress(WorkerUnavailableError):
                        health = await client.health()
                        if health.state == "failed":
                            raise ChildStartError(f"{health.why} (its log: {self._log_file})")
                        if health.state == "ready":
                            return
                    await asyncio.sleep(0.2)
        except TimeoutError as error:
            raise ChildStartError(f"The models took too long to load: see {self._log_file}.") from error
        finally:
            await client.close()
