"""The worker process: binds, says where, serves until it is told to stop or its parent is gone."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
import sys
from collections.abc import Callable

from aiohttp import web

from model_worker.server.app import Worker
from model_worker.server.loading import LoadModels

PARENT_CHECK_SECONDS = 1.0
SHUTDOWN_SECONDS = 2.0
KEEP_ALIVE_SECONDS = 200.0
"""Longer than the client's: it never meets a connection that was just closed."""


def serve(load: LoadModels, host: str, port: int, token: str | None, *, with_parent: bool) -> int:
    """Serve until SIGTERM or SIGINT (with_parent: or until the parent process is gone); the exit code.

    Without a token, a new one is made and printed.
    """
    if token is None:
        token = secrets.token_urlsafe(32)
        sys.stdout.write(f"token {token}\n")
    try:
        asyncio.run(_serve(Worker(load, token), host, port, with_parent=with_parent))
    except OSError as error:
        sys.stderr.write(f"The worker can't listen on {host}:{port}: {error.strerror}. Choose another --port.\n")
        return 1
    return 0


async def _serve(worker: Worker, host: str, port: int, *, with_parent: bool) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        with contextlib.suppress(NotImplementedError):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
    runner = web.AppRunner(
        worker.app(),
        handler_cancellation=True,
        access_log=None,
        keepalive_timeout=KEEP_ALIVE_SECONDS,
        shutdown_timeout=SHUTDOWN_SECONDS,
    )
    await runner.setup()
    site = web.TCPSite(runner, host, port)
    try:
        await site.start()
        bound = runner.addresses[0]
        sys.stdout.write(f"ready http://{bound[0]}:{bound[1]}\n")
        sys.stdout.flush()
        await _until(stop, os.getppid if with_parent else None)
    finally:
        await runner.cleanup()


async def _until(stop: asyncio.Event, parent: Callable[[], int] | None) -> None:
    first = parent() if parent is not None else None
    while not stop.is_set():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), PARENT_CHECK_SECONDS)
        if parent is not None and parent() != first:
            return
