"""Answers that grow while they are written: an edit a second at most, split where Discord's limit is."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Protocol

import discord
from discord.utils import MISSING

from bot.texts.answers import NOTHING_TO_SAY
from bot.texts.formatting import quoted, split

SECONDS_BETWEEN_EDITS = 1.0
QUIET = discord.AllowedMentions.none()


class AnswerSurface(Protocol):
    """Where an answer appears: a first message that is there already, and more after it."""

    async def edit(self, content: str, file: discord.File | None = None, view: discord.ui.View | None = None) -> None:
        """Change the first message."""

    async def add(self, content: str, file: discord.File | None = None, view: discord.ui.View | None = None) -> None:
        """Go on in another message."""

    async def message_ids(self) -> list[int]:
        """Return the messages that the answer is in by now, the first one first."""

    async def withdraw(self) -> None:
        """Delete what there is of the answer."""


class InReply:
    """An answer as a reply to a message."""

    def __init__(self, first: discord.Message) -> None:
        self._last = first
        self._messages = [first]

    async def edit(self, content: str, file: discord.File | None = None, view: discord.ui.View | None = None) -> None:
        """Change the message."""
        files = [] if file is None else [file]
        await self._last.edit(content=content, attachments=files, view=view, allowed_mentions=QUIET, suppress=True)

    async def add(self, content: str, file: discord.File | None = None, view: discord.ui.View | None = None) -> None:
        """Go on in another message."""
        self._last = await self._last.reply(
            content,
            file=file or MISSING,
            view=view or MISSING,
            mention_author=False,
            allowed_mentions=QUIET,
            suppress_embeds=True,
        )
        self._messages.append(self._last)

    async def message_ids(self) -> list[int]:
        """Return the messages that the answer is in by now, the first one first."""
        return [message.id for message in self._messages]

    async def withdraw(self) -> None:
        """Delete what there is of the answer."""
        await _delete(self._messages)


class InResponse:
    """An answer to a deferred interaction; ``ephemeral`` as it was deferred: a follow-up is public unless told."""

    def __init__(self, interaction: discord.Interaction[discord.Client], *, ephemeral: bool) -> None:
        self._interaction = interaction
        self._ephemeral = ephemeral
        self._messages: list[discord.Message] = []

    async def edit(self, content: str, file: discord.File | None = None, view: discord.ui.View | None = None) -> None:
        """Change the response."""
        files = [] if file is None else [file]
        await self._interaction.edit_original_response(
            content=content, attachments=files, view=view, allowed_mentions=QUIET
        )

    async def add(self, content: str, file: discord.File | None = None, view: discord.ui.View | None = None) -> None:
        """Go on in a follow-up."""
        added = await self._interaction.followup.send(
            content,
            file=file or MISSING,
            view=view or MISSING,
            allowed_mentions=QUIET,
            ephemeral=self._ephemeral,
            suppress_embeds=True,
            wait=True,
        )
        self._messages.append(added)

    async def message_ids(self) -> list[int]:
        """Return the messages that the answer is in by now, the first one first."""
        return [(await self._interaction.original_response()).id, *(message.id for message in self._messages)]

    async def withdraw(self) -> None:
        """Delete what there is of the answer."""
        await _delete([await self._interaction.original_response(), *self._messages])


async def speak(
    place: AnswerSurface,
    words: AsyncIterator[str],
    *,
    ending: str = "",
    file: discord.File | None = None,
    view: discord.ui.View | None = None,
    posted: Callable[[], Awaitable[None]] | None = None,
) -> str:
    """Show an answer as its words come; the last message carries the picture and the buttons.

    ``ending`` follows the answer, on lines of its own; ``posted`` is called after each message beyond the first.
    Returns the whole text.
    """
    text, edited = "", time.monotonic()
    async for piece in words:
        text += piece
        if time.monotonic() - edited >= SECONDS_BETWEEN_EDITS:
            await place.edit(split(quoted(text))[0][:1990] + " …")
            edited = time.monotonic()
    text = f"{quoted(text.strip())}{ending}" or NOTHING_TO_SAY
    *before, last = split(text)
    if not before:
        await place.edit(last, file, view)
        return text
    await place.edit(before[0])
    for number, part in enumerate([*before[1:], last], start=2):
        is_last = number > len(before)
        await place.add(part, file if is_last else None, view if is_last else None)
        if posted is not None:
            await posted()
    return text


async def _delete(messages: Sequence[discord.Message]) -> None:
    """Delete messages; those that are gone already are left alone."""
    for message in messages:
        with contextlib.suppress(discord.HTTPException):
            await message.delete()
