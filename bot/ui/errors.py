"""The one place where what went wrong becomes a sentence for the person who asked."""

from __future__ import annotations

import functools
import logging
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import discord
from discord import app_commands

from bot import texts
from bot.archive.schema import ArchiveError
from bot.service.governance import InvalidNumberError
from bot.service.permissions import LimitReachedError, NotAllowedError
from bot.service.worker_client import WorkerBusyError, WorkerRefusedError, WorkerUnavailableError
from bot.ui.attachments import AttachmentError
from db.errors import (
    DatabaseUnavailableError,
    NameTakenError,
    NothingToRollBackError,
    NotRememberedError,
    ObjectedError,
    RateLimitedError,
)
from db.names import InvalidTextError

log = logging.getLogger("keepsake.bot")

SPOKEN = (
    *(
        DatabaseUnavailableError,
        NameTakenError,
        NothingToRollBackError,
        NotRememberedError,
        ObjectedError,
        RateLimitedError,
        InvalidTextError,
    ),
    *(NotAllowedError, LimitReachedError, AttachmentError, InvalidNumberError, ArchiveError),
    *(WorkerUnavailableError, WorkerBusyError, WorkerRefusedError),
)
"""Their text is a sentence that a person may read."""

Item = TypeVar("Item")
QUIET = discord.AllowedMentions.none()


def sentence_for(error: BaseException) -> str:
    """Return what to tell the person; logs what nobody expected."""
    cause = error.original if isinstance(error, app_commands.CommandInvokeError) else error
    if isinstance(cause, SPOKEN):
        return str(cause)[: texts.MESSAGE_LENGTH]
    if isinstance(cause, app_commands.CheckFailure):
        return texts.NOT_HERE
    log.error("Unexpected", exc_info=cause)
    return texts.UNEXPECTED


async def tell(interaction: discord.Interaction[Any], error: BaseException) -> None:
    """Tell the person of an interaction what went wrong."""
    sentence = sentence_for(error)
    try:
        if not interaction.response.is_done():
            await interaction.response.send_message(sentence, ephemeral=True, allowed_mentions=QUIET)
        elif interaction.response.type is discord.InteractionResponseType.deferred_channel_message:
            await interaction.edit_original_response(
                content=sentence, attachments=[], view=None, allowed_mentions=QUIET
            )
        else:
            await interaction.followup.send(sentence, ephemeral=True, allowed_mentions=QUIET)
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
