"""Cards that are kept live: edited every few seconds, until there is no more to tell or they show something else."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from discord.ext import tasks

SECONDS_BETWEEN = 5.0
MAX_EDITS = 120
"""Ten minutes of them: a little less than Discord lets the bot edit a message that only one person sees."""

Update = Callable[[], Awaitable[bool]]


class LiveMessage:
    """A message that is updated every few seconds, until there is no more to tell."""

    def __init__(self, message_id: int, update: Update) -> None:
        self._message_id = message_id
        self._update = update
        self._loop = tasks.loop(seconds=SECONDS_BETWEEN, count=MAX_EDITS)(self._tick)

    def start(self) -> None:
        """Begin; once it has ended, it is no longer among the live ones."""
        _live[self._message_id] = self
        self._loop.start().add_done_callback(self._forget)

    def end(self) -> None:
        """Leave the message alone from now on."""
        # An update that shows another card ends its own loop: cancelling it would cancel what it is about to show.
        if self._loop.get_task() is not asyncio.current_task():
            self._loop.cancel()

    async def _tick(self) -> None:
        if not await self._update():
            self._loop.stop()

    def _forget(self, _: asyncio.Task[Any]) -> None:
        if _live.get(self._message_id) is self:
            del _live[self._message_id]


_live: dict[int, LiveMessage] = {}


def keep_live(message_id: int, update: Update) -> None:
    """Call ``update`` every few seconds, until it returns False or the message shows something else."""
    end_live(message_id)
    LiveMessage(message_id, update).start()


def end_live(message_id: int) -> None:
    """Leave a message alone from now on: it is about to show something else."""
    message = _live.pop(message_id, None)
    if message is not None:
        message.end()


def is_any_live() -> bool:
    """Whether some card is kept live."""
    return bool(_live)
