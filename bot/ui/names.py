"""What people are called where something is asked: as Discord says, of a few of them, and not waited for long."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial

import discord

from bot.service.ask import NamesOf

MAX_NAMES = 4
SECONDS = 2.0


def names_on(client: discord.Client, guild: discord.Guild | None) -> NamesOf:
    """Return how to ask what users are called on a server, or, without one, to everybody."""
    return partial(_names_of, client, guild)


async def _names_of(client: discord.Client, guild: discord.Guild | None, user_ids: Sequence[int]) -> Mapping[int, str]:
    asked = user_ids[:MAX_NAMES]
    names = await asyncio.gather(*(_name_of(client, guild, user_id) for user_id in asked))
    return {user_id: name for user_id, name in zip(asked, names, strict=True) if name is not None}


async def _name_of(client: discord.Client, guild: discord.Guild | None, user_id: int) -> str | None:
    try:
        async with asyncio.timeout(SECONDS):
            if guild is not None:
                return (guild.get_member(user_id) or await guild.fetch_member(user_id)).display_name
            return (client.get_user(user_id) or await client.fetch_user(user_id)).display_name
    except (discord.HTTPException, TimeoutError):
        return None  # they left, or Discord is slow
