"""Who is asking, and where: Discord's users and servers as the memory knows them."""

from __future__ import annotations

from typing import Any

import discord

from db.models import Viewer


def viewer_of(event: discord.Interaction[Any] | discord.Message) -> Viewer:
    """Return the viewer of an interaction or a message: in a DM there is no server."""
    user = event.user if isinstance(event, discord.Interaction) else event.author
    return Viewer(user.id, None if event.guild is None else event.guild.id)


def may_govern(interaction: discord.Interaction[Any]) -> bool:
    """Whether the user may manage the server, and so its memory."""
    return interaction.guild is not None and interaction.permissions.manage_guild
