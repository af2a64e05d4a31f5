"""The one place where what went wrong becomes a sentence for the person who asked."""

from __future__ import annotations

import functools
import logging
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import discord
from discord import app_commands

from bot.assistant import NotAllowed, TooMany
from bot.pictures import NoPicture
from bot.worker_client import WorkerAway, WorkerBusy, WorkerRefused
from db.errors import MemoryAway, NameTaken, NotRemembered
from db.names import NameProblem

log = logging.getLogger("keepsake.bot")

SPOKEN = (
    *(MemoryAway, NameTaken, NotRemembered, NameProblem, NotAllowed, TooMany, NoPicture),
    *(WorkerAway, WorkerBusy, WorkerRefused),
)
"""Their text is a sentence that a person may read."""

UNEXPECTED = "Something went wrong on my side; it is in my log. Nothing was changed. Please try again."

Item = TypeVar("Item")


def sentence_for(error: BaseException) -> str:
    """Return what to tell the person; logs what nobody expected."""
    cause = error.original if isinstance(error, app_commands.CommandInvokeError) else error
    if isinstance(cause, SPOKEN):
        return str(cause)
    if isinstance(cause, app_commands.CheckFailure):
        return "You can't do that here."
    log.error("Unexpected", exc_info=cause)
    return UNEXPECTED


async def tell(interaction: discord.Interaction[Any], error: BaseException) -> None:
    """Tell the person of an interaction what went wrong."""
    sentence = sentence_for(error)
    try:
        if not interaction.response.is_done():
            await interaction.response.send_message(sentence, ephemeral=True)
        elif interaction.response.type is discord.InteractionResponseType.deferred_channel_message:
            await interaction.edit_original_response(content=sentence, attachments=[], view=None)
        else:
            await interaction.followup.send(sentence, ephemeral=True)
    except discord.HTTPException as gone:
        log.warning("Nobody could be told “%s”: %s", sentence, gone)


def explained(
    callback: Callable[[Item, discord.Interaction[Any]], Awaitable[None]],
) -> Callable[[Item, discord.Interaction[Any]], Any]:
    """Make the callback of a button or a modal tell the person what went wrong."""

    @functools.wraps(callback)
    async def wrapped(self: Item, interaction: discord.Interaction[Any]) -> None:
        try:
            await callback(self, interaction)
        except Exception as error:
            await tell(interaction, error)

    return wrapped
