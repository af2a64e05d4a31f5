"""Telling a person what went wrong: in the words of `bot.texts`, where only they see it if that can be."""

from __future__ import annotations

import functools
import logging
import secrets
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import discord
from discord import app_commands

from bot.texts.errors import NOT_HERE, for_error, unexpected
from bot.texts.formatting import MESSAGE_LENGTH
from db.errors import UserFacingError

log = logging.getLogger("keepsake.bot")

Item = TypeVar("Item")
QUIET = discord.AllowedMentions.none()


def sentence_for(error: BaseException) -> str:
    """Return what to tell the person. What nobody expected is logged under a number that they are told."""
    cause = error.original if isinstance(error, app_commands.CommandInvokeError) else error
    if isinstance(cause, UserFacingError):
        return for_error(cause)[:MESSAGE_LENGTH]
    if isinstance(cause, app_commands.CheckFailure):
        return NOT_HERE
    number = secrets.token_hex(4)
    log.error("Unexpected (%s)", number, exc_info=cause)
    return unexpected(number)


async def tell(interaction: discord.Interaction[Any], error: BaseException) -> None:
    """Tell the person of an interaction what went wrong."""
    sentence = sentence_for(error)
    try:
        if not interaction.response.is_done():
            await interaction.response.send_message(
                sentence, ephemeral=True, allowed_mentions=QUIET, suppress_embeds=True
            )
        elif interaction.response.type is discord.InteractionResponseType.deferred_channel_message:
            await interaction.edit_original_response(
                content=sentence, attachments=[], view=None, allowed_mentions=QUIET
            )
        else:
            await interaction.followup.send(sentence, ephemeral=True, allowed_mentions=QUIET, suppress_embeds=True)
    except discord.HTTPException as gone:
        log.warning("Nobody could be told about %s: %s", type(error).__name__, gone)


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
