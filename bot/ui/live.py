"""Cards that are kept live: edited every few seconds, until there is no more to tell or they show something else."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from discord.ext import tasks

SECONDS_BETWEEN = 5.0
MAX_EDITS = 120
"""Ten minutes of them: a little less than Discord lets the bot edit a message that only one person sees."""

Loop = tasks.Loop[Callable[[], Coroutine[Any, Any, None]]]

_live: dict[int, Loop] = {}


def keep_live(message_id: int, update: Callable[[], Awaitable[bool]]) -> None:
    """Call ``update`` every few seconds, until it returns False or the message shows something else."""
    end_live(message_id)

    async def tick() -> None:
        if not await update():
            loop.stop()

    loop = tasks.loop(seconds=SECONDS_BETWEEN, count=MAX_EDITS)(tick)
    _live[message_id] = loop
    loop.start().add_done_callback(lambda _: _forget(message_id, loop))


def end_live(message_id: int) -> None:
    """Leave a message alone from now on: it is about to show something else."""
    loop = _live.pop(message_id, None)
    if loop is not None and loop.get_task() is not asyncio.current_task():
        loop.cancel()


def is_any_live() -> bool:
    """Whether some card is kept live."""
    return bool(_live)


def _forget(message_id: int, loop: Loop) -> None:
    if _live.get(message_id) is loop:
        del _live[message_id]
