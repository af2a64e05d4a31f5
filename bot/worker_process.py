"""The worker as a child process: started, watched, started again when it dies, stopped with the bot."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from pathlib import Path

from bot.worker_client import WorkerAway, WorkerClient

log = logging.getLogger("keepsake.worker-process")

START_SECONDS = 60.0
LOAD_SECONDS = 300.0
STOP_SECONDS = 10.0


class WorkerProblem(Exception):  # noqa: N818 (it says what is the matter)
    """The worker process doesn't start; the text says why and what to do."""


class WorkerProcess:
    """A worker of one pack on a free port of this machine; its log goes to a file."""

    def __init__(self, pack: str, log_file: Path) -> None:
        self.token = secrets.token_urlsafe(32)
        self.url = ""
        self._pack = pack
        self._log_file = log_file
        self._port = "0"
        self._process: Process | None = None
        self._watcher: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """The process's number while it runs."""
        return None if self._process is None else self._process.pid

    async def start(self) -> None:
        """Start the process and wait until its models are loaded. Raises WorkerProblem."""
        await self._spawn()
        self._watcher = asyncio.create_task(self._watch())
        try:
            await self._until_ready()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stop the process; doing it twice is harmless."""
        if self._watcher is not None:
            self._watcher.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watcher
            self._watcher = None
        process, self._process = self._process, None
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), STOP_SECONDS)
        except TimeoutError:
            process.kill()
            await process.wait()

    async def _spawn(self) -> None:
        command = (sys.executable, "-m", "model_worker.cli", "serve", "--pack", self._pack)
        environment = {**os.environ, "KEEPSAKE_WORKER_TOKEN": self.token, "PYTHONUNBUFFERED": "1"}
        self._log_file.parent.mkdir(parents=True, exist_ok=True)
        with self._log_file.open("ab") as errors:
            self._process = await asyncio.create_subprocess_exec(
                *command,
                "--port",
                self._port,
                "--with-parent",
                stdin=DEVNULL,
                stdout=PIPE,
                stderr=errors,
                env=environment,
                start_new_session=True,  # Ctrl-C is for the bot, which then stops the worker
            )
        assert self._process.stdout is not None  # noqa: S101 (it is a pipe)
        try:
            line = await asyncio.wait_for(self._process.stdout.readline(), START_SECONDS)
        except TimeoutError:
            line = b""
        if not line.startswith(b"ready "):
            raise WorkerProblem(f"The model worker did not start: see {self._log_file}.")
        self.url = line.decode().split()[1]
        self._port = self.url.rpartition(":")[2]

    async def _watch(self) -> None:
        """Start the process again whenever it ends; on the same port, so that the bot finds it."""
        pause = 1.0
        while self._process is not None:
            code = await self._process.wait()
            log.warning("The model worker ended (%s); it is started again. See %s.", code, self._log_file)
            await asyncio.sleep(pause)
            pause = min(2 * pause, 30.0)
            with contextlib.suppress(WorkerProblem):
                await self._spawn()

    async def _until_ready(self) -> None:
        client = WorkerClient(self.url, self.token)
        try:
            async with asyncio.timeout(LOAD_SECONDS):
                while True:
                    with contextlib.suppress(WorkerAway):
                        health = await client.health()
                        if health.state == "failed":
                            raise WorkerProblem(f"{health.why} (its log: {self._log_file})")
                        if health.state == "ready":
                            return
                    await asyncio.sleep(0.2)
        except TimeoutError as error:
            raise WorkerProblem(f"The models took too long to load: see {self._log_file}.") from error
        finally:
            await client.close()
