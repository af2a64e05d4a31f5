"""Telling somebody something in a direct message: for what is decided while they aren't looking."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import discord
from discord.utils import MISSING

QUIET = discord.AllowedMentions.none()


async def notify(
    client: discord.Client,
    user_id: int,
    text: str,
    view: discord.ui.View | None = None,
    files: Sequence[discord.File] = (),
) -> bool:
    """Send a direct message; returns whether that could be done. Some want none, and some are gone."""
    with contextlib.suppress(discord.HTTPException):
        user = client.get_user(user_id) or await client.fetch_user(user_id)
        await user.send(
            text, allowed_mentions=QUIET, suppress_embeds=True, view=view or MISSING, files=list(files) or MISSING
        )
        return True
    return False
