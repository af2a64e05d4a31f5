"""A part of Keepsake as a child process: started, watched, started again when it ends, stopped with the bot."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
from abc import ABC, abstractmethod
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Iterable, Mapping
from pathlib import Path

from model_worker.api.settings import child_environment

log = logging.getLogger("keepsake.child-process")

STOP_SECONDS = 10.0
FIRST_PAUSE_SECONDS = 1.0


class ChildStartError(Exception):
    """A child process doesn't start; the text says why and what to do."""


class ChildProcess(ABC):
    """A command of `model_worker.cli` that goes on until it is stopped; its log goes to a file.

    Whenever it ends by itself it is started again, after pauses that double up to ``max_pause`` seconds.
    """

    def __init__(self, name: str, log_file: Path, max_pause: float) -> None:
        self._name = name
        self._log_file = log_file
        self._longest_pause = max_pause
        self._process: Process | None = None
        self._watcher: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """The process's number while it runs."""
        return None if self._process is None else self._process.pid

    async def start(self) -> None:
        """Start the process. Raises ChildStartError."""
        self._process = await self._spawn()
        self._watcher = asyncio.create_task(self._watch())

    async def stop(self) -> None:
        """Stop the process; doing it twice is harmless."""
        if self._watcher is not None:
            self._watcher.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watcher
            self._watcher = None
        process, self._process = self._process, None
        if process is None:
            return
        if process.returncode is None:
            process.terminate()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), STOP_SECONDS)
        kill_what_is_left(process)
        await process.wait()

    @abstractmethod
    async def _spawn(self) -> Process:
        """Return the process, started; `_run` starts it. Raises ChildStartError."""

    async def _run(
        self, *arguments: str, environment: Mapping[str, str], also: Iterable[str] = (), stdout: int | None = None
    ) -> Process:
        """Start the command; what it says goes to the log, unless ``stdout`` says where else.

        ``environment`` and ``also`` are what it needs beside what any child is given: values, and variables of ours.
        """
        self._log_file.parent.mkdir(parents=True, exist_ok=True)
        with self._log_file.open("ab") as file:
            return await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "model_worker.cli",
                *arguments,
                "--with-parent",
                stdin=DEVNULL,
                stdout=file if stdout is None else stdout,
                stderr=file,
                env=child_environment({**environment, "PYTHONUNBUFFERED": "1"}, also),
                start_new_session=True,  # Ctrl-C is for the bot, which then stops its children
            )

    async def _watch(self) -> None:
        """Start the process again whenever it ends."""
        pause = FIRST_PAUSE_SECONDS
        while self._process is not None:
            code = await self._process.wait()
            kill_what_is_left(self._process)
            log.warning("The %s ended (%s); it is started again. See %s.", self._name, code, self._log_file)
            await asyncio.sleep(pause)
            pause = min(2 * pause, self._longest_pause)
            with contextlib.suppress(ChildStartError):
                self._process = await self._spawn()


def kill_what_is_left(process: Process) -> None:
    """Kill a process, and those that it started and left behind."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        elif process.returncode is None:
            process.kill()
