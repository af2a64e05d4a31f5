"""How a training behaves on a machine that others need: last in line, within a budget, and waiting while they ask."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import time
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import torch

from model_worker.api.protocol import LARGEST_MESSAGE
from model_worker.api.settings import WorkerSettings

PAUSE_SECONDS = 0.5
LOWEST_PRIORITY = 19
LEFT_FREE_GB = 2.0
"""Of a GPU's free memory, for answers."""


def be_last_in_line() -> None:
    """Let every other process go first; on a GPU, take no more memory than the budget.

    ``KEEPSAKE_TRAINING_GPU_GB`` is the budget; without it, all that is free now but a reserve.
    """
    with contextlib.suppress(OSError, AttributeError):
        os.nice(LOWEST_PRIORITY)
    if torch.cuda.is_available():
        free, total = torch.cuda.mem_get_info()
        given = WorkerSettings.read().training_gpu_gb
        budget = free / 1e9 - LEFT_FREE_GB if given is None else given
        torch.cuda.set_per_process_memory_fraction(min(1.0, max(0.0, budget * 1e9 / total)))


def wait_for_answers() -> None:
    """Return when the worker has nothing to do: answers go before training.

    ``WORKER_URL`` and ``KEEPSAKE_WORKER_TOKEN`` say where it is; without them, or when it is away, there is no waiting.
    """
    while _worker_is_at_work():
        time.sleep(PAUSE_SECONDS)


def _worker_is_at_work() -> bool:
    settings = WorkerSettings.read()
    if settings.worker_url is None:
        return False
    token = "" if settings.worker_token is None else settings.worker_token.get_secret_value()
    asked = urllib.request.Request(f"{settings.worker_url}/health", headers={"Authorization": f"Bearer {token}"})  # noqa: S310
    try:
        with urllib.request.urlopen(asked, timeout=2) as answer:  # noqa: S310 (an address that whoever runs it set)
            return bool(json.loads(answer.read(LARGEST_MESSAGE)).get("at_work"))
    except (OSError, ValueError):
        return False


@asynccontextmanager
async def alone_on_this_device(folder: Path) -> AsyncIterator[None]:
    """Wait until no other training runs on this machine; the lock of one that was killed is free."""
    from filelock import FileLock, Timeout

    await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
    lock = FileLock(folder / "device.lock")
    while not lock.is_locked:
        try:
            lock.acquire(timeout=0)
        except Timeout:
            await asyncio.sleep(PAUSE_SECONDS)
    try:
        yield
    finally:
        lock.release()
